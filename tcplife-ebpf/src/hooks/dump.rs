//! Iterators: the sockets as they are now. Their records go to the reader of the iterator, not to the ring buffer.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    bindings::seq_file,
    helpers::generated::{bpf_jiffies64, bpf_seq_write},
};
use tcplife_common::{
    settings::MINI_BITS,
    wire::{Found, flag, kind, mark},
};

use crate::{
    constants::{ABSENT, offset, setting},
    maps::DUMP_STATES,
    read::{
        self, Access, Probed, ProbedSock, Sock, TCP_CLOSE, TCP_FIN_WAIT2, TCP_LISTEN, TCP_NEW_SYN_RECV,
        TCP_SYN_RECV, TCP_TIME_WAIT, TypedSock,
    },
    record::head,
};

/// Offsets of the contexts' members: `struct bpf_iter__tcp` and `struct bpf_iter__task_file`, which are ABI.
const META: usize = 0;
const SOCKET: usize = 8;
const TASK: usize = 8;
const DESCRIPTOR: usize = 16;
const FILE: usize = 24;

/// `S_IFMT` and `S_IFSOCK` of include/uapi/linux/stat.h.
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
/// `enum sock_type` of include/linux/net.h.
const SOCK_STREAM: u16 = 1;
const IPPROTO_MPTCP: u16 = 262;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

#[inline(always)]
fn member(ctx: *mut c_void, at: usize) -> *const u8 {
    // SAFETY: `ctx` is an iterator's context, `at` the offset of one of its members; the verifier checks both.
    unsafe { ctx.cast::<u8>().add(at).cast::<*const u8>().read() }
}

/// `iter/tcp`: full sockets, mini-sockets and requests of one namespace.
#[inline(always)]
pub fn socket(ctx: *mut c_void) {
    let Some(sock) = TypedSock::new(member(ctx, SOCKET)) else { return };
    let state = sock.state();
    let mut place = MaybeUninit::uninit();
    let found = read::zeroed(&mut place);
    // Typed as what they are, so that their members need no helper; requests are few. A mini-socket of a connection that an MPTCP
    // listener made cannot be: its `tw_prot` is the listener's (`tcp_prot_override`), and `bpf_skc_to_tcp_timewait_sock` takes
    // `tcp_prot` only.
    let told = match state {
        TCP_TIME_WAIT => match sock.timewait() {
            Some(tw) => mini_socket(tw, found),
            None => mini_socket(sock.probed(), found),
        },
        TCP_NEW_SYN_RECV => request(sock.probed(), found),
        _ if !asked_for(u32::from(state)) => false,
        _ => sock.tcp().map(|tcp| full(tcp, state, found)).is_some(),
    };
    if told {
        write(ctx, found);
    }
}

/// `iter/task_file`: every descriptor of every process.
#[inline(always)]
pub fn file(ctx: *mut c_void) {
    let task = member(ctx, TASK);
    let file = member(ctx, FILE);
    if task.is_null() || file.is_null() {
        return;
    }
    let mut place = MaybeUninit::uninit();
    if setting!(has_file_helper) == 1 {
        if let Some(sock) = TypedSock::of_file(file) {
            held(ctx, task, sock, &mut place);
        }
    } else if let Some(sock) = socket_of(file) {
        held(ctx, task, sock, &mut place);
    }
}

/// The socket behind a file, if it is one, where the kernel has no helper for that.
#[inline(always)]
fn socket_of(file: *const u8) -> Option<ProbedSock> {
    let inode: *const u8 = Probed::load(file, offset!(file_inode));
    if Probed::load::<u16>(inode, offset!(inode_mode)) & S_IFMT != S_IFSOCK {
        return None;
    }
    let socket: *const u8 = Probed::load(file, offset!(file_private_data));
    ProbedSock::new(Probed::load(socket, offset!(socket_sk)))
}

/// A process's descriptor of a socket. One that listens for MPTCP has no connections of its own: TCP's come to its first subflow
/// (`mptcp_listen`), which has no descriptor.
#[inline(always)]
fn held<A: Access>(ctx: *mut c_void, task: *const u8, sock: Sock<A>, place: &mut MaybeUninit<Found>) {
    // No file has a mini-socket or a request.
    let state = sock.state();
    if !asked_for(u32::from(state)) {
        return;
    }
    let found = if is_tcp(sock) {
        let Some(tcp) = sock.tcp() else { return };
        let found = read::zeroed(place);
        full(tcp, state, found);
        found
    } else if state == TCP_LISTEN
        && let Some(first) = first_subflow(sock)
        && first.state() == TCP_LISTEN
        && is_tcp(first)
    {
        let found = read::zeroed(place);
        full(first, state, found);
        found
    } else {
        return;
    };
    found.head.flags |= flag::HELD;
    found.task = read::process_of::<A>(task);
    // SAFETY: the descriptor's number, a u32 member of the context.
    found.gauge.fd = unsafe { ctx.cast::<u8>().add(DESCRIPTOR).cast::<u32>().read() };
    write(ctx, found);
}

/// The first subflow of MPTCP's own socket. A listener has no other.
#[inline(always)]
fn first_subflow<A: Access>(sock: Sock<A>) -> Option<ProbedSock> {
    let is_mptcp = sock.load::<u16>(offset!(sk_protocol)) == IPPROTO_MPTCP;
    if !is_mptcp || offset!(mptcp_first) == ABSENT {
        return None;
    }
    // By the helper: the verifier knows the socket as a `struct sock` only.
    ProbedSock::new(Probed::load(sock.address() as *const u8, offset!(mptcp_first)))
}

/// A descriptor's socket can be of any family and type.
#[inline(always)]
fn is_tcp<A: Access>(sock: Sock<A>) -> bool {
    let family: u16 = sock.load(offset!(skc_family));
    let is_stream = sock.load::<u16>(offset!(sk_type)) == SOCK_STREAM;
    (family == AF_INET || family == AF_INET6) && is_stream && sock.is_tcp()
}

#[inline(always)]
fn write(ctx: *mut c_void, found: &Found) {
    // SAFETY: the context's first member points to the iterator's `struct bpf_iter_meta`, whose first member is the
    // file that is read; the record lives on the stack with its exact size.
    unsafe {
        let meta = member(ctx, META).cast::<*mut seq_file>();
        bpf_seq_write(meta.read(), (&raw const *found).cast_mut().cast(), size_of::<Found>() as u32);
    }
}

/// Whether the agent asked for sockets in this state; mini-sockets have bits of their own, by substate.
#[inline(always)]
fn asked_for(bit: u32) -> bool {
    DUMP_STATES.get(0).is_some_and(|states| *states >> (bit & 31) & 1 == 1)
}

/// What every kind of socket has. Records are filled in in place: BPF programs have 512 bytes of stack.
#[inline(always)]
fn common<A: Access>(sock: Sock<A>, state: u8, found: &mut Found) {
    found.head = head(kind::FOUND, sock, sock.netns(), state, state);
    found.head.cookie = sock.cookie_now();
    found.tuple = sock.tuple();
    // SAFETY: takes nothing and cannot fail.
    found.gauge.jiffies = unsafe { bpf_jiffies64() };
}

/// A timewait mini-socket. False if its substate was not asked for.
#[inline(always)]
fn mini_socket<A: Access>(tw: Sock<A>, found: &mut Found) -> bool {
    let substate: u8 = tw.load(offset!(tw_substate));
    if !asked_for(MINI_BITS + u32::from(substate)) {
        return false;
    }
    common(tw, TCP_TIME_WAIT, found);
    found.head.old = substate;
    found.head.flags |= flag::MINI | flag::ORPHAN;
    found.gauge.expires = tw.load(offset!(tw_expires));
    if offset!(tw_entry_stamp) != ABSENT {
        found.gauge.last_ack = tw.load(offset!(tw_entry_stamp));
    }
    if offset!(tw_ts_recent_stamp) != ABSENT {
        let seconds: u32 = tw.load(offset!(tw_ts_recent_stamp));
        found.gauge.stamp_ns = u64::from(seconds) * 1_000_000_000;
    }
    // What tells since when one in FIN_WAIT_2 is an orphan.
    if substate == TCP_FIN_WAIT2 && offset!(net_fin_timeout) != ABSENT {
        found.gauge.fin_timeout = tw.fin_timeout();
    }
    true
}

/// A request: the handshake of a passive open. False if its state was not asked for.
#[inline(always)]
fn request(request: ProbedSock, found: &mut Found) -> bool {
    if !asked_for(u32::from(TCP_NEW_SYN_RECV)) {
        return false;
    }
    common(request, TCP_NEW_SYN_RECV, found);
    found.head.old = TCP_SYN_RECV;
    found.head.flags |= flag::ORPHAN;
    if offset!(snt_synack) != ABSENT {
        found.gauge.stamp_ns = request.load::<u64>(offset!(snt_synack)).wrapping_mul(1000);
    }
    if offset!(num_retrans) != ABSENT {
        found.stats.retransmits = u32::from(request.load::<u8>(offset!(num_retrans)));
    }
    true
}

/// The TCP part of a full socket.
#[inline(always)]
fn full<A: Access>(sock: Sock<A>, state: u8, found: &mut Found) {
    common(sock, state, found);
    let (bound, figures) = sock.tcp_stats();
    found.stats = figures;
    if found.tuple.local_port == 0 {
        found.tuple.local_port = bound;
    }
    found.tuple.err = sock.err();
    let gauge = &mut found.gauge;
    if sock.is_orphan() {
        found.head.flags |= flag::ORPHAN;
    }
    if state == TCP_LISTEN {
        gauge.recv_queue = sock.load(offset!(sk_ack_backlog));
        gauge.send_queue = sock.load(offset!(sk_max_ack_backlog));
    } else {
        let received: u32 = sock.load(offset!(rcv_nxt));
        gauge.recv_queue = received.wrapping_sub(sock.load(offset!(copied_seq)));
        let written: u32 = sock.load(offset!(write_seq));
        gauge.send_queue = written.wrapping_sub(sock.load(offset!(snd_una)));
    }
    gauge.last_ack = sock.load(offset!(rcv_tstamp));
    gauge.last_data = sock.load(offset!(lrcvtime));
    gauge.last_sent = sock.load(offset!(lsndtime));
    gauge.marks = sock.load::<u64>(offset!(skc_flags)) as u32 & (mark::FIN_IN | mark::KEEPALIVE);
    if state == TCP_CLOSE {
        gauge.stamp_ns = sock.load::<u64>(offset!(tcp_mstamp)).wrapping_mul(1000);
    }
}
