//! Offsets of kernel struct members, in bytes, as the agent resolved them from the running kernel's BTF.
//!
//! rustc emits no CO-RE relocations, so the agent writes these into the programs' instructions before it loads them
//! ([`crate::constants`]). [`ABSENT`] means that the kernel has no such member: programs test for it and leave out what needs it.

/// Offset value of a member that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

macro_rules! layout {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// See the module's documentation. Each field is named `struct_member`.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Layout {
            $($(#[$doc])* pub $field: u32,)*
        }

        impl Layout {
            /// A layout in which nothing is known.
            pub const UNKNOWN: Self = Self { $($field: ABSENT,)* };
            /// The names of the fields, in order.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field),)*];

            /// A layout of what `offset` tells for each field's name.
            pub fn from_fn(mut offset: impl FnMut(&'static str) -> u32) -> Self {
                Self { $($field: offset(stringify!($field)),)* }
            }

            /// The size of this struct: four bytes for each field.
            pub const SIZE: usize = size_of::<Self>();

            /// The offsets in the order of the fields.
            #[must_use]
            pub const fn to_words(&self) -> [u32; Self::SIZE / 4] {
                [$(self.$field,)*]
            }
        }

        const _: () = assert!(size_of::<Layout>() == 4 * Layout::NAMES.len());
    };
}

layout! {
    /// `sock_common.skc_daddr`, __be32.
    skc_daddr,
    /// `sock_common.skc_rcv_saddr`, __be32.
    skc_rcv_saddr,
    /// `sock_common.skc_hash`, u32: which ehash bucket.
    skc_hash,
    /// `sock_common.skc_dport`, __be16.
    skc_dport,
    /// `sock_common.skc_num`, u16 in host order.
    skc_num,
    /// `sock_common.skc_family`, u16.
    skc_family,
    /// `sock_common.skc_state`, u8.
    skc_state,
    /// `sock_common.skc_net`, `struct net *`.
    skc_net,
    /// `sock_common.skc_v6_daddr`, `struct in6_addr`.
    skc_v6_daddr,
    /// `sock_common.skc_v6_rcv_saddr`, `struct in6_addr`.
    skc_v6_rcv_saddr,
    /// `sock_common.skc_cookie`, u64; 0 until one is handed out.
    skc_cookie,
    /// `sock_common.skc_nulls_node`: how a socket hangs in its ehash chain.
    skc_nulls_node,
    /// `sock.sk_protocol`, u16.
    sk_protocol,
    /// `sock.sk_type`, u16 (enum sock_type).
    sk_type,
    /// `sock.sk_socket`, pointer; null once the application's handle is gone.
    sk_socket,
    /// `sock.sk_err`, int.
    sk_err,
    /// `sock.sk_lock.owned`, int: 1 while a task works on the socket in a system call.
    sk_lock_owned,
    /// `inet_sock.inet_sport`, __be16; kept until `tcp_destroy_sock`.
    inet_sport,
    /// `tcp_sock.bytes_sent`, u64: payload sent, retransmissions included.
    bytes_sent,
    /// `tcp_sock.bytes_retrans`, u64: payload sent again.
    bytes_retrans,
    /// `tcp_sock.bytes_received`, u64: payload received in order, plus 1 for a FIN.
    bytes_received,
    /// `tcp_sock.total_retrans`, u32: segments sent again.
    total_retrans,
    /// `tcp_sock.srtt_us`, u32: smoothed round-trip time in microseconds, times 8.
    srtt_us,
    /// `net.ns.inum`, u32.
    net_inum,
    /// `net.ipv4.tcp_death_row.hashinfo`, pointer.
    net_hashinfo,
    /// `inet_hashinfo.ehash`, pointer to the buckets.
    ehash,
    /// `inet_hashinfo.ehash_mask`, u32.
    ehash_mask,
    /// Size of `struct inet_ehash_bucket`.
    ehash_bucket_size,
    /// `inet_timewait_sock.tw_substate`, u8.
    tw_substate,
    /// `inet_timewait_sock.tw_timer.expires`, unsigned long, in jiffies.
    tw_expires,
    /// `task_struct.tgid`, pid_t.
    task_tgid,
    /// `task_struct.group_leader`, pointer.
    task_group_leader,
    /// `task_struct.flags`, unsigned int.
    task_flags,
    /// `task_struct.comm`, 16 bytes.
    task_comm,
    /// `task_struct.start_boottime` (`real_start_time` before 5.5), u64, nanoseconds.
    task_start_boottime,
    /// `tcp_request_sock.snt_synack`, u64, microseconds of `CLOCK_MONOTONIC`: when the SYN-ACK was first sent.
    snt_synack,
    /// `sock_common.skc_flags`, unsigned long.
    skc_flags,
    /// `sock.sk_ack_backlog`, u32.
    sk_ack_backlog,
    /// `sock.sk_max_ack_backlog`, u32.
    sk_max_ack_backlog,
    /// `inet_connection_sock.icsk_ack.lrcvtime`, u32, jiffies.
    lrcvtime,
    /// `tcp_sock.rcv_nxt`, u32.
    rcv_nxt,
    /// `tcp_sock.copied_seq`, u32.
    copied_seq,
    /// `tcp_sock.write_seq`, u32.
    write_seq,
    /// `tcp_sock.snd_una`, u32.
    snd_una,
    /// `tcp_sock.rcv_tstamp`, u32, jiffies.
    rcv_tstamp,
    /// `tcp_sock.lsndtime`, u32, jiffies.
    lsndtime,
    /// `tcp_sock.tcp_mstamp`, u64, microseconds of `CLOCK_MONOTONIC`.
    tcp_mstamp,
    /// `socket.sk`, pointer.
    socket_sk,
    /// `file.f_inode`, pointer.
    file_inode,
    /// `file.private_data`, pointer.
    file_private_data,
    /// `inode.i_mode`, u16.
    inode_mode,
    /// References to a network namespace, u32: `net.ns.__ns_ref`, before that `ns.count`, `net.count` up to 5.10. 0 when it is going.
    net_references,
    /// `net.ipv4.sysctl_tcp_fin_timeout`, int, jiffies.
    net_fin_timeout,
    /// `tcp_timewait_sock.tw_ts_recent_stamp`, int, seconds of `CLOCK_MONOTONIC`.
    tw_ts_recent_stamp,
    /// `inet_timewait_sock.tw_entry_stamp`, u32, milliseconds of `CLOCK_MONOTONIC`, from 6.14 on.
    tw_entry_stamp,
    /// `mptcp_sock.first`, pointer to the first subflow.
    mptcp_first,
    /// `request_sock.num_retrans`, u8.
    num_retrans,
}
