//! `inet_sock_set_state(const struct sock *sk, int oldstate, int newstate)`: the state changes.

use aya_ebpf::{helpers::generated::bpf_get_current_task, programs::BtfTracePointContext};
use aya_log_ebpf::debug;
use tcplife_common::{
    counters::Lane,
    wire::{End, End4, End4By, Head, Mini, Move, Move4, Move4By, Task, flag, kind},
};

use super::gone;
use crate::{
    maps::{DONE_SLOTS, Done, Outcome, STATE_DONE, Tally},
    mini,
    read::{
        self, TCP_CLOSE, TCP_CLOSING, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_LISTEN, TCP_SYN_RECV,
        TCP_SYN_SENT, TypedSock,
    },
    record::{head, reserve, submit, wanted},
};

/// A hit of the tracepoint, in `state_change`.
#[inline(always)]
pub fn change(ctx: &BtfTracePointContext) {
    let Some(hit) = Hit::of(ctx) else { return };
    let Some(done) = STATE_DONE.get_ptr_mut(hit.slot()) else { return };
    take(ctx, &hit, Program::First);
    // SAFETY: this CPU's element, which lives as long as the program.
    unsafe { *done = hit.name() };
}

/// A hit of the tracepoint, in `state_spare`, which comes after `state_change`. From 6.1 on the kernel does not run a program
/// that is at work on the same CPU already: not in a softirq that interrupts it and, where tracepoints can be preempted
/// (seen on 7.2), not in any other task until it goes on. What `state_change` was kept from, and so has not noted, is taken
/// here. Where they can be preempted, a task that goes on with `state_spare` on another CPU, or after another task of its slot,
/// finds no note, and its change is told twice.
#[inline(always)]
pub fn spare(ctx: &BtfTracePointContext) {
    let Some(hit) = Hit::of(ctx) else { return };
    let Some(done) = STATE_DONE.get_ptr_mut(hit.slot()) else { return };
    // SAFETY: as in `change`.
    let done = unsafe { &mut *done };
    let name = hit.name();
    if done.sock == name.sock && done.states == name.states {
        // The same may come again, and be missed.
        done.sock = 0;
        return;
    }
    take(ctx, &hit, Program::Spare);
}

/// What the tracepoint shows.
struct Hit {
    sock: TypedSock,
    old: u8,
    new: u8,
    /// A task that works on a socket holds its lock; a softirq finds it free, or leaves its packet to the task.
    by_task: bool,
}

impl Hit {
    #[inline(always)]
    fn of(ctx: &BtfTracePointContext) -> Option<Self> {
        let sock = TypedSock::new(ctx.arg(0))?;
        let (old, new) = (ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8);
        Some(Self { sock, old, new, by_task: sock.held_by_task() })
    }

    /// Where it is noted between the two programs. Without the lock they run with softirqs off, and nothing comes in between.
    /// With it a softirq may, whose socket is not held, and where tracepoints can be preempted any other task.
    #[inline(always)]
    fn slot(&self) -> u32 {
        if !self.by_task {
            return 0;
        }
        // SAFETY: takes nothing; the address is not followed.
        let task = unsafe { bpf_get_current_task() };
        // Fibonacci hashing: the upper bits of the product.
        let hash = (task >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - DONE_SLOTS.ilog2());
        (hash as u32).max(1)
    }

    /// What tells it from others.
    #[inline(always)]
    fn name(&self) -> Done {
        Done { sock: self.sock.address(), states: u64::from(self.old) << 8 | u64::from(self.new) }
    }
}

/// Which of the two programs runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    /// `state_change`
    First,
    /// `state_spare`
    Spare,
}

#[inline(always)]
fn take(ctx: &BtfTracePointContext, hit: &Hit, program: Program) {
    let &Hit { sock, old, new, by_task } = hit;
    let lane = match (program, by_task) {
        (Program::First, true) => Lane::StateTask,
        (Program::First, false) => Lane::StateNet,
        (Program::Spare, true) => Lane::SpareTask,
        (Program::Spare, false) => Lane::SpareNet,
    };
    let Some(mut tally) = Tally::of(lane) else { return };
    if program == Program::First {
        tally.count_state_run();
    }
    tally.count_state_taken();
    if !sock.is_tcp() {
        return;
    }
    let change = Change { sock, old, new, by_task, netns: sock.netns(), orphan: sock.is_orphan() };
    // The spare runs so seldom that what its short records would save is not worth having the verifier look at them.
    match (new == TCP_CLOSE, program == Program::First && sock.is_inet()) {
        (false, true) => change.moved_4(&mut tally),
        (false, false) => change.moved(&mut tally),
        // There is no short record with both a task and a mini-socket.
        (true, true) if !by_task || !change.may_hand_over() => change.ended_4(ctx, &mut tally),
        (true, _) => change.ended(ctx, &mut tally),
    }
}

/// A change of state. The verifier searches all of the kernel's types by name for each load of a pointer, on every path that
/// leads to it (`btf_nested_type_is_trusted`): so what is behind the socket's pointers is loaded once, before the paths
/// part, or else a start takes half as long again.
struct Change {
    sock: TypedSock,
    old: u8,
    new: u8,
    by_task: bool,
    netns: u32,
    orphan: bool,
}

impl Change {
    /// Whether an application makes such a move, rather than the network while a task happens to hold the lock.
    #[inline(always)]
    fn is_applications(&self) -> bool {
        self.by_task
            && match self.new {
                TCP_SYN_SENT | TCP_FIN_WAIT1 | TCP_LAST_ACK | TCP_LISTEN => true,
                TCP_FIN_WAIT2 => self.old == TCP_FIN_WAIT2,
                _ => false,
            }
    }

    /// Whether a mini-socket may take over.
    #[inline(always)]
    fn may_hand_over(&self) -> bool {
        self.old == TCP_FIN_WAIT2 || self.old == TCP_CLOSING
    }

    #[inline(always)]
    fn head(&self, kind: u8, remote_port: u16) -> Head {
        let mut head = head(kind, self.sock, self.netns, self.old, self.new);
        if self.old == TCP_LISTEN && self.new == TCP_SYN_RECV && remote_port == 0 {
            // inet_csk_clone_lock up to 6.12: the clone still has the listener's cookie and no remote end.
            head.flags |= flag::TUPLE_PENDING;
        } else {
            head.cookie = self.sock.cookie();
        }
        if self.orphan {
            head.flags |= flag::ORPHAN;
        }
        head
    }

    #[inline(always)]
    fn moved_4(&self, tally: &mut Tally) {
        let pair = self.sock.pair();
        if !wanted(&pair, self.netns, self.old) {
            return tally.count(Outcome::Filtered);
        }
        if self.is_applications() {
            let Some(mut entry) = reserve::<Move4By>(tally) else { return };
            let record = read::zeroed(&mut entry);
            record.head = self.head(kind::MOVE_4_BY, pair.remote_port);
            record.pair = pair;
            attribute(&mut record.head.flags, &mut record.task);
            submit(entry, tally);
        } else {
            let Some(mut entry) = reserve::<Move4>(tally) else { return };
            let record = read::zeroed(&mut entry);
            record.head = self.head(kind::MOVE_4, pair.remote_port);
            record.pair = pair;
            submit(entry, tally);
        }
    }

    #[inline(always)]
    fn moved(&self, tally: &mut Tally) {
        let tuple = self.sock.tuple();
        if !wanted(&tuple, self.netns, self.old) {
            return tally.count(Outcome::Filtered);
        }
        let Some(mut entry) = reserve::<Move>(tally) else { return };
        let record = read::zeroed(&mut entry);
        record.head = self.head(kind::MOVE, tuple.remote_port);
        record.tuple = tuple;
        if self.is_applications() {
            attribute(&mut record.head.flags, &mut record.task);
        }
        submit(entry, tally);
    }

    #[inline(always)]
    fn ended_4(&self, ctx: &BtfTracePointContext, tally: &mut Tally) {
        let mut pair = self.sock.pair();
        let (port, stats) = self.sock.stats();
        if port != 0 {
            pair.local_port = port;
        }
        pair.err = self.sock.err();
        if !wanted(&pair, self.netns, self.old) {
            return tally.count(Outcome::Filtered);
        }
        if self.by_task {
            let Some(mut entry) = reserve::<End4By>(tally) else { return };
            let record = read::zeroed(&mut entry);
            record.head = self.head(kind::END_4_BY, pair.remote_port);
            record.pair = pair;
            record.stats = stats;
            if pair.err == 0 {
                attribute(&mut record.head.flags, &mut record.task);
            }
            submit(entry, tally);
            self.note_told();
        } else {
            let Some(mut entry) = reserve::<End4>(tally) else { return };
            let record = read::zeroed(&mut entry);
            record.head = self.head(kind::END_4, pair.remote_port);
            record.pair = pair;
            record.stats = stats;
            self.hand_over(ctx, pair.remote_port, &mut record.head, &mut record.mini);
            submit(entry, tally);
        }
    }

    #[inline(always)]
    fn ended(&self, ctx: &BtfTracePointContext, tally: &mut Tally) {
        let mut tuple = self.sock.tuple();
        let (port, stats) = self.sock.stats();
        if port != 0 {
            tuple.local_port = port;
        }
        tuple.err = self.sock.err();
        if !wanted(&tuple, self.netns, self.old) {
            return tally.count(Outcome::Filtered);
        }
        let Some(mut entry) = reserve::<End>(tally) else { return };
        let record = read::zeroed(&mut entry);
        record.head = self.head(kind::END, tuple.remote_port);
        record.tuple = tuple;
        record.stats = stats;
        self.hand_over(ctx, tuple.remote_port, &mut record.head, &mut record.mini);
        if self.by_task && tuple.err == 0 {
            attribute(&mut record.head.flags, &mut record.task);
        }
        submit(entry, tally);
        self.note_told();
    }

    /// An orphan's end was told.
    #[inline(always)]
    fn note_told(&self) {
        if self.by_task && self.orphan {
            gone::note_told(self.sock, self.sock.cookie_now());
        }
    }

    /// Fills in the mini-socket, if the connection lives on in one. Whatever `sk_err` says: where `IP_RECVERR` is set, that of
    /// an ICMP message stays until somebody asks for it (`tcp_v4_err`).
    #[inline(always)]
    fn hand_over(&self, ctx: &BtfTracePointContext, remote_port: u16, head: &mut Head, told: &mut Mini) {
        if !self.may_hand_over() {
            return;
        }
        if let Some(mini) = mini::find(self.sock, head.cookie) {
            head.flags |= flag::MINI;
            *told = mini;
        } else {
            if self.sock.has_fin() {
                head.flags |= flag::FIN_IN;
            }
            debug!(ctx, "no mini-socket after state {} to remote port {}", self.old, remote_port);
        }
    }
}

/// Names the current task, which makes the move.
#[inline(always)]
fn attribute(flags: &mut u8, task: &mut Task) {
    if let Some(current) = read::current_task() {
        *flags |= flag::BY_TASK;
        *task = current;
    }
}
