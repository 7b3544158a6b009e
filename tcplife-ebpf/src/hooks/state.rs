//! `inet_sock_set_state(const struct sock *sk, int oldstate, int newstate)`: the state changes.

use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use tcplife_common::{
    counters::Lane,
    wire::{End, Move, Task, flag, kind},
};

use crate::{
    maps::{Outcome, STATE_PROGRESS, count, count_state_run, count_state_taken},
    mini,
    read::{
        self, TCP_CLOSE, TCP_CLOSING, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_LISTEN, TCP_SYN_RECV,
        TCP_SYN_SENT, TypedSock,
    },
    record::{deliver, head, wanted},
};

/// Whether an application makes such a move, rather than the network while a task happens to hold the lock.
#[inline(always)]
fn is_applications(old: u8, new: u8) -> bool {
    match new {
        TCP_SYN_SENT | TCP_FIN_WAIT1 | TCP_LAST_ACK | TCP_LISTEN => true,
        TCP_FIN_WAIT2 => old == TCP_FIN_WAIT2,
        _ => false,
    }
}

/// A hit of the tracepoint, in `state_change`.
#[inline(always)]
pub fn change(ctx: &BtfTracePointContext) {
    let Some(progress) = STATE_PROGRESS.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's element, which lives as long as the program. Volatile, because `spare` looks at it in between.
    let (running, done) = unsafe { (&raw mut (*progress).running, &raw mut (*progress).done) };
    // SAFETY: as above. Before 6.1 a softirq runs this program while it is interrupted: that one leaves what it found.
    let before = unsafe { running.read_volatile() };
    // SAFETY: as above.
    unsafe {
        done.write_volatile(0);
        running.write_volatile(1);
    }
    count_state_run();
    take(ctx, Lane::StateTask, Lane::StateNet);
    // SAFETY: as above.
    unsafe {
        done.write_volatile(ctx.arg(0));
        running.write_volatile(before);
    }
}

/// A hit of the tracepoint, in `state_spare`, which comes after `state_change`. From 6.1 on the kernel does not run a program
/// that is at work on the same CPU already: not in a softirq that interrupts it and, where tracepoints can be preempted
/// (seen on 7.2), not in any other task until it goes on.
#[inline(always)]
pub fn spare(ctx: &BtfTracePointContext) {
    let Some(progress) = STATE_PROGRESS.get_ptr(0) else { return };
    // SAFETY: as in `change`.
    let (running, done) = unsafe {
        ((&raw const (*progress).running).read_volatile(), (&raw const (*progress).done).read_volatile())
    };
    if running != 0 && done != ctx.arg::<u64>(0) {
        take(ctx, Lane::SpareTask, Lane::SpareNet);
    }
}

/// A task that works on a socket holds its lock; a softirq finds it free, or leaves its packet to the task.
#[inline(always)]
fn take(ctx: &BtfTracePointContext, by_task: Lane, by_net: Lane) {
    let Some(sock) = TypedSock::new(ctx.arg(0)) else { return };
    let lane = if sock.held_by_task() { by_task } else { by_net };
    count_state_taken(lane);
    if !sock.is_tcp() {
        return;
    }
    let old = ctx.arg::<i32>(1) as u8;
    let new = ctx.arg::<i32>(2) as u8;
    let beyond = Beyond { netns: sock.netns(), orphan: sock.is_orphan() };
    if new == TCP_CLOSE {
        ended(ctx, sock, &beyond, old, lane);
    } else {
        moved(sock, &beyond, old, new, lane);
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
fn moved(sock: TypedSock, beyond: &Beyond, old: u8, new: u8, lane: Lane) {
    let tuple = sock.tuple();
    let netns = beyond.netns;
    if !wanted(&tuple, netns, old) {
        count(lane, Outcome::Filtered);
        return;
    }
    deliver(lane, |record: &mut Move| {
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
        if sock.held_by_task() && is_applications(old, new) {
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
fn ended(ctx: &BtfTracePointContext, sock: TypedSock, beyond: &Beyond, old: u8, lane: Lane) {
    let mut tuple = sock.tuple();
    let (port, stats) = sock.stats();
    if port != 0 {
        tuple.local_port = port;
    }
    tuple.err = sock.err();
    let netns = beyond.netns;
    if !wanted(&tuple, netns, old) {
        count(lane, Outcome::Filtered);
        return;
    }
    deliver(lane, |record: &mut End| {
        record.head = head(kind::END, sock, netns, old, TCP_CLOSE);
        record.head.cookie = sock.cookie();
        record.tuple = tuple;
        record.stats = stats;
        if beyond.orphan {
            record.head.flags |= flag::ORPHAN;
        }
        if tuple.err == 0 {
            hand_over(ctx, sock, record);
            if sock.held_by_task() {
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
