//! `inet_sock_set_state(const struct sock *sk, int oldstate, int newstate)`: the state changes.

use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use tcplife_common::{
    counters::Lane,
    wire::{End, Move, Task, flag, kind},
};

use crate::{
    maps::{Outcome, count, count_state_run, count_state_taken},
    mini,
    read::{
        self, TCP_CLOSE, TCP_CLOSING, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_LISTEN, TCP_SYN_RECV,
        TCP_SYN_SENT, TypedSock,
    },
    record::{deliver, head, wanted},
};

/// Which of the two programs runs. Each takes the changes of its own context, so that one in a softirq can interrupt the
/// other in a task without either losing the event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A task makes the change, in a system call: interrupts are on.
    Task,
    /// A softirq or a timer makes the change.
    Net,
}

impl Side {
    /// Where the program counts.
    #[inline(always)]
    const fn lane(self) -> Lane {
        match self {
            Self::Task => Lane::StateByTask,
            Self::Net => Lane::StateByNet,
        }
    }
}

/// A task that works on a socket holds its lock; a softirq finds it free, or leaves its packet to the task.
#[inline(always)]
fn side_of(sock: TypedSock) -> Side {
    if sock.held_by_task() { Side::Task } else { Side::Net }
}

/// Whether an application makes such a move, rather than the network while a task happens to hold the lock.
#[inline(always)]
fn is_applications(old: u8, new: u8) -> bool {
    match new {
        TCP_SYN_SENT | TCP_FIN_WAIT1 | TCP_LAST_ACK | TCP_LISTEN => true,
        TCP_FIN_WAIT2 => old == TCP_FIN_WAIT2,
        _ => false,
    }
}

/// One hit of the tracepoint.
#[inline(always)]
pub fn changed(ctx: &BtfTracePointContext, side: Side) {
    if side == Side::Task {
        count_state_run();
    }
    let Some(sock) = TypedSock::new(ctx.arg(0)) else { return };
    if side_of(sock) != side {
        return;
    }
    count_state_taken(side.lane());
    if !sock.is_tcp() {
        return;
    }
    let old = ctx.arg::<i32>(1) as u8;
    let new = ctx.arg::<i32>(2) as u8;
    let beyond = Beyond { netns: sock.netns(), orphan: sock.is_orphan() };
    if new == TCP_CLOSE {
        ended(ctx, sock, &beyond, old, side);
    } else {
        moved(sock, &beyond, old, new, side);
    }
}

/// What is behind the socket's pointers. The verifier searches all of the kernel's types by name for each load of a pointer,
/// on every path that leads to it (`btf_nested_type_is_trusted`): so they are loaded once, before the paths part, or else
/// a start takes half as long again.
struct Beyond {
    netns: u32,
    orphan: bool,
}

#[inline(always)]
fn moved(sock: TypedSock, beyond: &Beyond, old: u8, new: u8, side: Side) {
    let tuple = sock.tuple();
    let netns = beyond.netns;
    if !wanted(&tuple, netns, old) {
        count(side.lane(), Outcome::Filtered);
        return;
    }
    deliver(side.lane(), |record: &mut Move| {
        record.head = head(kind::MOVE, sock, netns, old, new);
        record.tuple = tuple;
        if old == TCP_LISTEN && new == TCP_SYN_RECV && tuple.remote_port == 0 {
            // inet_csk_clone_lock up to 6.12: the clone still has the listener's cookie and no remote end.
            record.head.flags |= flag::TUPLE_PENDING;
        } else {
            record.head.cookie = sock.cookie();
        }
        if beyond.orphan {
            record.head.flags |= flag::ORPHAN;
        }
        if side == Side::Task && is_applications(old, new) {
            attribute(&mut record.head.flags, &mut record.task);
        }
    });
}

/// Names the current task, which makes the move.
#[inline(always)]
fn attribute(flags: &mut u8, task: &mut Task) {
    if let Some(current) = read::current_task() {
        *flags |= flag::BY_TASK;
        *task = current;
    }
}

#[inline(always)]
fn ended(ctx: &BtfTracePointContext, sock: TypedSock, beyond: &Beyond, old: u8, side: Side) {
    let mut tuple = sock.tuple();
    let (port, stats) = sock.stats();
    if port != 0 {
        tuple.local_port = port;
    }
    tuple.err = sock.err();
    let netns = beyond.netns;
    if !wanted(&tuple, netns, old) {
        count(side.lane(), Outcome::Filtered);
        return;
    }
    deliver(side.lane(), |record: &mut End| {
        record.head = head(kind::END, sock, netns, old, TCP_CLOSE);
        record.head.cookie = sock.cookie();
        record.tuple = tuple;
        record.stats = stats;
        if beyond.orphan {
            record.head.flags |= flag::ORPHAN;
        }
        if tuple.err == 0 {
            hand_over(ctx, sock, record);
            if side == Side::Task {
                attribute(&mut record.head.flags, &mut record.task);
            }
        }
    });
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
