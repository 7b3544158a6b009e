//! What the agent decides before the programs are loaded: filters and which helpers the kernel has.

/// Most network namespaces that the kernel side filters by itself; with more, the agent filters.
pub const MAX_NETNS: usize = 8;
/// Words of a bitmap with one bit for each port.
pub const PORT_WORDS: usize = 65536 / 64;
/// [`Settings::families`]: IPv4 is wanted.
pub const FAMILY_V4: u32 = 1;
/// [`Settings::families`]: IPv6 is wanted.
pub const FAMILY_V6: u32 = 2;

/// Which sockets a dump shows is a set of bits: n for full sockets in the kernel's state n, this plus n for mini-sockets
/// that stand for state n.
pub const MINI_BITS: u32 = 16;

/// Settings of the kernel programs, written into their instructions ([`crate::constants`]), so a part that is off costs nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Set of `FAMILY_*`. An IPv4-mapped IPv6 socket counts as IPv4.
    pub families: u32,
    /// 1: only the local ports in the map `LOCAL_PORTS`.
    pub by_local_port: u32,
    /// 1: only the remote ports in the map `REMOTE_PORTS`.
    pub by_remote_port: u32,
    /// How many of `netns` are used; 0 means every namespace.
    pub netns_count: u32,
    /// Inode numbers of the wanted network namespaces.
    pub netns: [u32; MAX_NETNS],
    /// 1: the helper `bpf_get_socket_cookie` exists for tracing programs (6.1 has it, 5.10 has not).
    pub has_cookie_helper: u32,
    /// 1: the helper `bpf_get_current_task_btf` exists (from 5.11 on): the task's members are read by plain loads.
    pub has_task_helper: u32,
    /// 1: the helper `bpf_sock_from_file` exists (from 5.11 on): the members of a descriptor's socket are read by plain loads.
    pub has_file_helper: u32,
    /// 1: `tcp_retransmit_skb` has a third argument, the error of the attempt.
    pub retransmit_has_err: u32,
    /// Bytes of the ring buffer, a power of two: each time that so many more have been written, the agent is woken.
    pub wakeup_bytes: u32,
}

/// Whether a record of `size` bytes, with what the kernel puts before it, that begins at an address reaches the end of a `piece`
/// of the ring buffer ([`Settings::wakeup_bytes`], a power of two). Records lie one behind the other, also where the ring buffer
/// begins anew, whose size is so many whole pieces: each end is reached by one of them.
#[must_use]
#[inline]
pub const fn reaches_end(address: u64, size: u64, piece: u64) -> bool {
    (address & (piece - 1)) + size >= piece
}

impl Settings {
    /// The size of this struct: four bytes for each word.
    pub const SIZE: usize = size_of::<Self>();

    /// Everything is traced, nothing optional is assumed.
    pub const ALL: Self = Self {
        families: FAMILY_V4 | FAMILY_V6,
        by_local_port: 0,
        by_remote_port: 0,
        netns_count: 0,
        netns: [0; MAX_NETNS],
        has_cookie_helper: 0,
        has_task_helper: 0,
        has_file_helper: 0,
        retransmit_has_err: 0,
        wakeup_bytes: 0,
    };

    /// The settings in the order of the fields.
    #[must_use]
    pub fn to_words(&self) -> [u32; Self::SIZE / 4] {
        let mut words = [0; Self::SIZE / 4];
        words[..4].copy_from_slice(&[
            self.families,
            self.by_local_port,
            self.by_remote_port,
            self.netns_count,
        ]);
        words[4..4 + MAX_NETNS].copy_from_slice(&self.netns);
        words[4 + MAX_NETNS..].copy_from_slice(&[
            self.has_cookie_helper,
            self.has_task_helper,
            self.has_file_helper,
            self.retransmit_has_err,
            self.wakeup_bytes,
        ]);
        words
    }
}

const _: () = assert!(Settings::SIZE == 4 * (4 + MAX_NETNS + 5));
