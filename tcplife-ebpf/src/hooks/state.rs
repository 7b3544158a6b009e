//! `inet_sock_set_state(const struct sock *sk, int oldstate, int newstate)`: the state changes.

use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use tcplife_common::wire::{End, Mini, Move, Task, flag, kind};

use crate::{
    maps::{Outcome, count},
    mini,
    read::{
        self, TCP_CLOSE, TCP_CLOSING, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_LISTEN, TCP_SYN_RECV,
        TCP_SYN_SENT, TypedSock,
    },
    record::{deliver, head, wanted},
};

/// Which of the two programs runs. Each takes its own target states, so that one in a softirq can interrupt the
/// other in a task without either losing the event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Targets that only a task enters, in a system call.
    Task,
    /// All other targets.
    Net,
}

#[inline(always)]
fn side_of(new: u8) -> Side {
    match new {
        TCP_SYN_SENT | TCP_FIN_WAIT1 | TCP_LAST_ACK | TCP_LISTEN => Side::Task,
        _ => Side::Net,
    }
}

/// One hit of the tracepoint.
#[inline(always)]
pub fn changed(ctx: &BtfTracePointContext, side: Side) {
    let new = ctx.arg::<i32>(2) as u8;
    if side_of(new) != side {
        return;
    }
    let old = ctx.arg::<i32>(1) as u8;
    let Some(sock) = TypedSock::new(ctx.arg(0)) else { return };
    if !sock.is_tcp() {
        return;
    }
    if side == Side::Net && new == TCP_CLOSE {
        ended(ctx, sock, old);
    } else {
        moved(sock, old, new);
    }
}

#[inline(always)]
fn moved(sock: TypedSock, old: u8, new: u8) {
    let tuple = sock.tuple();
    let netns = sock.netns();
    if !wanted(&tuple, netns, old) {
        count(Outcome::Filtered);
        return;
    }
    let mut record = Move { head: head(kind::MOVE, sock, netns, old, new), tuple, task: Task::default() };
    if old == TCP_LISTEN && new == TCP_SYN_RECV && tuple.remote_port == 0 {
        // inet_csk_clone_lock up to 6.12: the clone still has the listener's cookie and no remote end.
        record.head.flags |= flag::TUPLE_PENDING;
    } else {
        record.head.cookie = sock.cookie();
    }
    if sock.is_orphan() {
        record.head.flags |= flag::ORPHAN;
    }
    if side_of(new) == Side::Task || (old == TCP_FIN_WAIT2 && new == TCP_FIN_WAIT2) {
        attribute(sock, &mut record.head.flags, &mut record.task);
    }
    deliver(record);
}

/// Names the current task if it is the one that makes the move.
#[inline(always)]
fn attribute(sock: TypedSock, flags: &mut u8, task: &mut Task) {
    if !sock.held_by_task() {
        return;
    }
    if let Some(current) = read::current_task() {
        *flags |= flag::BY_TASK;
        *task = current;
    }
}

#[inline(always)]
fn ended(ctx: &BtfTracePointContext, sock: TypedSock, old: u8) {
    let mut tuple = sock.tuple();
    let (port, stats) = sock.stats();
    if port != 0 {
        tuple.local_port = port;
    }
    tuple.err = sock.err();
    let netns = sock.netns();
    if !wanted(&tuple, netns, old) {
        count(Outcome::Filtered);
        return;
    }
    let mut record = End {
        head: head(kind::END, sock, netns, old, TCP_CLOSE),
        tuple,
        task: Task::default(),
        stats,
        mini: Mini::default(),
    };
    record.head.cookie = sock.cookie();
    if sock.is_orphan() {
        record.head.flags |= flag::ORPHAN;
    }
    if tuple.err == 0 {
        hand_over(ctx, sock, &mut record);
        attribute(sock, &mut record.head.flags, &mut record.task);
    }
    deliver(record);
}

/// Fills in the mini-socket, if the connection lives on in one.
#[inline(always)]
fn hand_over(ctx: &BtfTracePointContext, sock: TypedSock, record: &mut End) {
    if record.head.old != TCP_FIN_WAIT2 && record.head.old != TCP_CLOSING {
        return;
    }
    if let Some(mini) = mini::find(sock, record.head.cookie, record.tuple.remote_port) {
        record.head.flags |= flag::MINI;
        record.mini = mini;
    } else {
        debug!(
            ctx,
            "no mini-socket after state {} of local port {}", record.head.old, record.tuple.local_port
        );
    }
}
