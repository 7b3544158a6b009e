//! Reads of kernel memory: the one place that knows how.
//!
//! What always holds: every offset comes from the running kernel's BTF. The verifier types the pointers that a
//! hook passes, so members are read by plain loads, which fault to 0 rather than crash; memory that the verifier
//! has no type for (hash chains) goes through `bpf_probe_read_kernel`.

use core::{marker::PhantomData, mem::MaybeUninit};

use aya_ebpf::{
    bindings::{tcp_sock, tcp_timewait_sock},
    helpers::generated::{
        bpf_get_current_task, bpf_get_current_task_btf, bpf_get_socket_cookie, bpf_probe_read_kernel,
        bpf_skc_to_tcp_sock, bpf_skc_to_tcp_timewait_sock, bpf_sock_from_file,
    },
};
use tcplife_common::wire::{
    Born, End, End4, End4By, Found, Handle, MiniNote, Move, Move4, Move4By, Note, Pair, Stats, Task, Tuple,
    mark,
};

use crate::constants::{ABSENT, offset, setting};

pub const TCP_SYN_SENT: u8 = 2;
pub const TCP_SYN_RECV: u8 = 3;
pub const TCP_FIN_WAIT1: u8 = 4;
pub const TCP_FIN_WAIT2: u8 = 5;
pub const TCP_TIME_WAIT: u8 = 6;
pub const TCP_CLOSE: u8 = 7;
pub const TCP_LAST_ACK: u8 = 9;
pub const TCP_LISTEN: u8 = 10;
pub const TCP_CLOSING: u8 = 11;
pub const TCP_NEW_SYN_RECV: u8 = 12;

const AF_INET: u16 = 2;
const IPPROTO_TCP: u16 = 6;
/// `PF_KTHREAD` of include/linux/sched.h.
const PF_KTHREAD: u32 = 0x0020_0000;

/// Values that all-zero bytes are one of.
pub trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for u16 {}
impl Plain for u32 {}
impl Plain for u64 {}
impl Plain for i32 {}
impl Plain for *const u8 {}
impl Plain for [u8; 16] {}
impl Plain for Move {}
impl Plain for Move4 {}
impl Plain for Move4By {}
impl Plain for End {}
impl Plain for End4 {}
impl Plain for End4By {}
impl Plain for Note {}
impl Plain for Handle {}
impl Plain for Born {}
impl Plain for MiniNote {}
impl Plain for Found {}

/// Makes a value of zeroes where it is to be, a word at a time: of `T::default()` the compiler makes a loop over bytes, which
/// takes longer than all the rest of a short program.
#[inline(always)]
pub fn zeroed<T: Plain>(place: &mut MaybeUninit<T>) -> &mut T {
    const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() == 8) }
    let words = place.as_mut_ptr().cast::<u64>();
    let mut n = 0;
    while n < size_of::<T>() / 8 {
        // SAFETY: within the value, which is made of whole, aligned words. Volatile, or it is that loop again.
        unsafe { words.add(n).write_volatile(0) };
        n += 1;
    }
    // SAFETY: all of it is zeroes, and these are a `T`.
    unsafe { place.assume_init_mut() }
}

/// How memory behind a pointer is read.
pub trait Access: Copy {
    /// Reads one member.
    fn load<T: Plain>(base: *const u8, offset: u64) -> T;
    /// The `struct tcp_sock` of a full socket.
    fn tcp(sock: *const u8) -> *const u8;
}

/// By plain loads: the verifier knows the pointer's type, because the hook declares it.
#[derive(Clone, Copy)]
pub struct Typed;

/// By `bpf_probe_read_kernel`: the verifier does not know the pointer's type.
#[derive(Clone, Copy)]
pub struct Probed;

impl Access for Typed {
    #[inline(always)]
    fn load<T: Plain>(base: *const u8, offset: u64) -> T {
        // SAFETY: the verifier knows the pointer's type and the constant offset, and refuses the program if the
        // load were outside of the object; a load from memory that is gone reads 0.
        unsafe { base.add(offset as usize).cast::<T>().read() }
    }

    #[inline(always)]
    fn tcp(sock: *const u8) -> *const u8 {
        // SAFETY: the helper takes any socket and checks its kind.
        let tcp: *mut tcp_sock = unsafe { bpf_skc_to_tcp_sock(sock.cast_mut().cast()) };
        tcp.cast()
    }
}

impl Access for Probed {
    #[inline(always)]
    fn load<T: Plain>(base: *const u8, offset: u64) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the helper checks the address, and leaves zeroes when it cannot read; all-zero bytes are a `T`.
        unsafe {
            let from = base.wrapping_add(offset as usize);
            bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from.cast());
            value.assume_init()
        }
    }

    #[inline(always)]
    fn tcp(sock: *const u8) -> *const u8 {
        sock
    }
}

/// A socket. Every kind (full socket, timewait mini-socket, request) begins with a `struct sock_common`; the methods
/// say which kind they need.
#[derive(Clone, Copy)]
pub struct Sock<A: Access>(*const u8, PhantomData<A>);

/// A socket that a hook declares as one.
pub type TypedSock = Sock<Typed>;
/// A socket whose address was found in memory or in a register.
pub type ProbedSock = Sock<Probed>;

impl<A: Access> Sock<A> {
    /// The socket at an address, unless it is null.
    #[inline(always)]
    pub fn new(pointer: *const u8) -> Option<Self> {
        (!pointer.is_null()).then_some(Self(pointer, PhantomData))
    }

    #[inline(always)]
    pub fn load<T: Plain>(self, offset: u64) -> T {
        A::load(self.0, offset)
    }

    /// The address: what names the socket while it lives.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    /// Any kind.
    #[inline(always)]
    pub fn state(self) -> u8 {
        self.load(offset!(skc_state))
    }

    /// Any kind: the network namespace's inode.
    #[inline(always)]
    pub fn netns(self) -> u32 {
        A::load(self.net(), offset!(net_inum))
    }

    #[inline(always)]
    fn net(self) -> *const u8 {
        self.load(offset!(skc_net))
    }

    /// Any kind: references to its network namespace, which is going when there are none.
    #[inline(always)]
    pub fn net_references(self) -> u32 {
        A::load(self.net(), offset!(net_references))
    }

    /// Any kind: its network namespace's `tcp_fin_timeout`, in jiffies.
    #[inline(always)]
    pub fn fin_timeout(self) -> u32 {
        A::load(self.net(), offset!(net_fin_timeout))
    }

    /// Any kind: the ehash bucket's number is a part of it.
    #[inline(always)]
    pub fn hash(self) -> u32 {
        self.load(offset!(skc_hash))
    }

    /// Any kind: the namespace's `struct inet_hashinfo`.
    #[inline(always)]
    pub fn hashinfo(self) -> *const u8 {
        A::load(self.net(), offset!(net_hashinfo))
    }

    /// Any kind: the cookie as it is; 0 for none.
    #[inline(always)]
    pub fn cookie_now(self) -> u64 {
        self.load(offset!(skc_cookie))
    }

    /// Full socket: plain TCP, and not MPTCP's own socket (protocol 262) or another user of the tracepoint.
    #[inline(always)]
    pub fn is_tcp(self) -> bool {
        self.load::<u16>(offset!(sk_protocol)) == IPPROTO_TCP
    }

    /// Full socket: no application has a handle on it.
    #[inline(always)]
    pub fn is_orphan(self) -> bool {
        self.load::<*const u8>(offset!(sk_socket)).is_null()
    }

    /// Full socket: `sk_err`.
    #[inline(always)]
    pub fn err(self) -> u16 {
        self.load::<i32>(offset!(sk_err)) as u16
    }

    /// Full socket: the peer's FIN was received (`tcp_fin`).
    #[inline(always)]
    pub fn has_fin(self) -> bool {
        self.load::<u64>(offset!(skc_flags)) as u32 & mark::FIN_IN != 0
    }

    /// Full socket: the current task is in a system call on it (`lock_sock`). While it is, packets wait in the
    /// backlog, so nothing runs on the socket in softirq: the current task is no bystander.
    #[inline(always)]
    pub fn held_by_task(self) -> bool {
        self.load::<i32>(offset!(sk_lock_owned)) != 0
    }

    /// Full socket: the TCP part.
    #[inline(always)]
    pub fn tcp(self) -> Option<Self> {
        Self::new(A::tcp(self.0))
    }

    /// Any kind: both ends. Local port 0 when none is bound, or, for a full socket in CLOSE, when
    /// [`Sock::closed_port`] has it.
    #[inline(always)]
    pub fn tuple(self) -> Tuple {
        let family = self.load::<u16>(offset!(skc_family));
        let (local, remote) = if family == AF_INET {
            (mapped(self.load(offset!(skc_rcv_saddr))), mapped(self.load(offset!(skc_daddr))))
        } else {
            (self.load_v6(offset!(skc_v6_rcv_saddr)), self.load_v6(offset!(skc_v6_daddr)))
        };
        Tuple {
            local,
            remote,
            local_port: self.load::<u16>(offset!(skc_num)),
            remote_port: u16::from_be(self.load(offset!(skc_dport))),
            err: 0,
            family,
        }
    }

    /// Any kind: whether it is an `AF_INET` socket.
    #[inline(always)]
    pub fn is_inet(self) -> bool {
        self.load::<u16>(offset!(skc_family)) == AF_INET
    }

    /// Any kind, of an `AF_INET` socket: as [`Sock::tuple`].
    #[inline(always)]
    pub fn pair(self) -> Pair {
        Pair {
            local: self.load(offset!(skc_rcv_saddr)),
            remote: self.load(offset!(skc_daddr)),
            local_port: self.load::<u16>(offset!(skc_num)),
            remote_port: u16::from_be(self.load(offset!(skc_dport))),
            err: 0,
            family: AF_INET,
        }
    }

    #[inline(always)]
    fn load_v6(self, offset: u64) -> [u8; 16] {
        let halves: [u64; 2] = [self.load(offset), self.load(offset + 8)];
        bytes16(halves)
    }

    /// Full socket in CLOSE: `skc_num` is 0 there, but `inet_sport` stays until the socket is freed.
    #[inline(always)]
    pub fn closed_port(self) -> u16 {
        self.tcp().map_or(0, |tcp| u16::from_be(tcp.load(offset!(inet_sport))))
    }

    /// Full socket: what it did.
    #[inline(always)]
    pub fn stats(self) -> (u16, Stats) {
        self.tcp().map_or((0, Stats::default()), Self::tcp_stats)
    }

    /// The TCP part of a full socket: the port it is bound to, and what it did.
    #[inline(always)]
    pub fn tcp_stats(self) -> (u16, Stats) {
        let sent: u64 = self.load(offset!(bytes_sent));
        let again: u64 = self.load(offset!(bytes_retrans));
        let stats = Stats {
            bytes_sent: sent.wrapping_sub(again),
            bytes_received: self.load(offset!(bytes_received)),
            retransmits: self.load(offset!(total_retrans)),
            srtt_us: self.load::<u32>(offset!(srtt_us)) >> 3,
        };
        (u16::from_be(self.load(offset!(inet_sport))), stats)
    }
}

impl TypedSock {
    /// The same socket, read in the way that costs the verifier less and the program more.
    #[inline(always)]
    pub fn probed(self) -> ProbedSock {
        Sock(self.0, PhantomData)
    }

    /// The socket behind a file, if it is one. The kernel has the helper.
    #[inline(always)]
    pub fn of_file(file: *const u8) -> Option<Self> {
        // SAFETY: a file as the hook passes it, which is what the helper asks for; it takes files of any kind.
        let socket = unsafe { bpf_sock_from_file(file.cast_mut().cast()) };
        if socket.is_null() {
            return None;
        }
        Self::new(Typed::load(socket.cast(), offset!(socket_sk)))
    }

    /// Timewait mini-socket: the same, typed as what it is.
    #[inline(always)]
    pub fn timewait(self) -> Option<Self> {
        // SAFETY: the helper takes any socket and checks its kind.
        let tw: *mut tcp_timewait_sock = unsafe { bpf_skc_to_tcp_timewait_sock(self.0.cast_mut().cast()) };
        Self::new(tw.cast())
    }

    /// Full socket: its cookie, handed out now if it has none and the kernel lets us.
    #[inline(always)]
    pub fn cookie(self) -> u64 {
        let cookie = self.cookie_now();
        if cookie == 0 && setting!(has_cookie_helper) == 1 {
            // SAFETY: a full socket, as the helper asks.
            return unsafe { bpf_get_socket_cookie(self.0.cast_mut().cast()) };
        }
        cookie
    }
}

#[inline(always)]
fn bytes16(halves: [u64; 2]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&halves[0].to_ne_bytes());
    bytes[8..].copy_from_slice(&halves[1].to_ne_bytes());
    bytes
}

/// An IPv4 address, in network order, as IPv4-mapped IPv6.
#[inline(always)]
fn mapped(address: u32) -> [u8; 16] {
    let low = (u64::from(address) << 32) | 0xffff_0000;
    bytes16([0, if cfg!(target_endian = "little") { low } else { (0xffff << 32) | u64::from(address) }])
}

/// The current task's process; `None` for a kernel thread.
#[inline(always)]
pub fn current_task() -> Option<Task> {
    if setting!(has_task_helper) == 1 {
        // SAFETY: takes nothing, returns the address of a live task_struct; the verifier types it.
        return unless_kernel_thread::<Typed>(unsafe { bpf_get_current_task_btf() }.cast());
    }
    // SAFETY: takes nothing, returns the address of a live task_struct.
    unless_kernel_thread::<Probed>(unsafe { bpf_get_current_task() } as *const u8)
}

#[inline(always)]
fn unless_kernel_thread<A: Access>(task: *const u8) -> Option<Task> {
    if A::load::<u32>(task, offset!(task_flags)) & PF_KTHREAD != 0 {
        return None;
    }
    Some(process_of::<A>(task))
}

/// The process of a task.
#[inline(always)]
pub fn process_of<A: Access>(task: *const u8) -> Task {
    let leader: *const u8 = A::load(task, offset!(task_group_leader));
    let start = offset!(task_start_boottime);
    let comm = offset!(task_comm);
    Task {
        tgid: A::load(task, offset!(task_tgid)),
        reserved: 0,
        start_ns: if start == ABSENT { 0 } else { A::load(leader, start) },
        comm: bytes16([A::load(leader, comm), A::load(leader, comm + 8)]),
    }
}
