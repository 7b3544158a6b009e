//! Watches the self-test's connections and notes which hooks were seen working.
//!
//! What comes in: changes of connections in the self-test's namespace. What goes out: for each hook, whether what only
//! it can tell was told. What always holds: a hook that is not exercised is not called broken.

use std::{
    collections::BTreeSet,
    io,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use tcplife_core::{
    connection::{Connection, End},
    observer::{Direction, Life, Observer, RetransmitKind, Transition},
    owner::{Owner, Via},
    state::State,
    table::Table,
};

use super::selftest::SelfTest;
use crate::{
    sink::{Health, Hook, Sink},
    sinks::json,
};

/// The end of the namespace takes the kernel's own time.
const LEAVE: Duration = Duration::from_millis(700);

/// Hooks that the self-test exercises, by their names in `summary.hooks`.
const EXERCISED: [&str; 12] = [
    "state",
    "retransmit",
    "retransmit_syn_ack",
    "reset_sent",
    "reset_received",
    "socket_gone",
    "accept",
    "syn_received",
    "time_wait_begin",
    "time_wait_from_fin_wait_2",
    "time_wait_end",
    "time_wait_cause",
];

/// Those of them that take a second.
const RETRANSMITS: [&str; 2] = ["retransmit", "retransmit_syn_ack"];

/// What is told by lists of sockets comes later than the self-test takes.
const DUMP: &str = "iter/";

/// How a hook did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What only it tells was told.
    Works,
    /// It is attached and was exercised, and nothing came.
    Silent,
    /// It is attached; nothing was there for it to see.
    Unexercised,
    /// It is not attached.
    Off,
}

/// The sink of `tcplife doctor`.
pub struct Probe {
    test: Option<SelfTest>,
    phase: Phase,
    seen: BTreeSet<&'static str>,
    health: Health,
    summary: Vec<u8>,
}

/// Where the self-test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Retransmissions are awaited.
    Waiting,
    /// The thread was told to end.
    Ending,
    /// The thread has ended, then; the kernel cleans up after it.
    Over(Instant),
    /// What is told now is not by a hook.
    Done,
}

impl Probe {
    /// With the self-test to begin, if there is one.
    pub fn new(test: Option<SelfTest>) -> Self {
        let (seen, health, summary) = Default::default();
        Self { test, phase: Phase::Waiting, seen, health, summary }
    }

    /// The hooks and how each did.
    pub fn verdicts(&self) -> Vec<(&Hook, Verdict)> {
        self.health.hooks.iter().map(|hook| (hook, self.verdict(hook))).collect()
    }

    fn verdict(&self, hook: &Hook) -> Verdict {
        let Some(mechanism) = &hook.mechanism else { return Verdict::Off };
        if self.seen.contains(hook.what) {
            Verdict::Works
        } else if self.test.is_some() && EXERCISED.contains(&hook.what) && !mechanism.starts_with(DUMP) {
            Verdict::Silent
        } else {
            Verdict::Unexercised
        }
    }

    /// The summary's JSON line, and the self-test, to ask how it went.
    pub fn into_parts(self) -> (Vec<u8>, Option<SelfTest>) {
        (self.summary, self.test)
    }

    fn saw(&mut self, what: &'static str) {
        if self.phase != Phase::Done {
            self.seen.insert(what);
        }
    }

    fn next_phase(&self, test: &SelfTest) -> Phase {
        let is_settled = |what: &&str| !self.is_silent(what);
        match self.phase {
            Phase::Waiting | Phase::Ending if test.is_over() => Phase::Over(Instant::now()),
            Phase::Waiting if RETRANSMITS.iter().all(is_settled) => {
                test.go_on();
                Phase::Ending
            }
            Phase::Over(since) if since.elapsed() > LEAVE || EXERCISED.iter().all(is_settled) => Phase::Done,
            phase => phase,
        }
    }

    fn is_silent(&self, what: &str) -> bool {
        self.health.hooks.iter().any(|hook| hook.what == what && self.verdict(hook) == Verdict::Silent)
    }

    fn saw_owner(&mut self, owner: Option<Owner>) {
        if owner.is_some_and(|owner| owner.via == Via::Accept) {
            self.saw("accept");
        }
    }
}

impl Observer for Probe {
    fn transition(&mut self, connection: &Connection, owner: Option<Owner>, transition: &Transition) {
        self.saw("state");
        self.saw_owner(owner);
        match (transition.from, transition.to) {
            (State::SynReceived, State::Established) if transition.elapsed.is_some() => {
                self.saw("syn_received");
            }
            (State::FinWait2, State::TimeWait) if connection.is_orphan() => {
                self.saw("time_wait_from_fin_wait_2");
            }
            (_, State::TimeWait) => {
                self.saw("time_wait_begin");
            }
            (State::TimeWait, State::Closed) if !connection.end_computed() => {
                self.saw("time_wait_end");
            }
            (State::FinWait2, State::Closed)
                if !connection.end_computed() && connection.cause() == Some("reset_sent") =>
            {
                self.saw("time_wait_cause");
            }
            _ => {}
        }
    }

    fn retransmit(&mut self, _: &Connection, _: Option<Owner>, kind: RetransmitKind, _: u64) {
        self.saw(match kind {
            RetransmitKind::Segment => "retransmit",
            RetransmitKind::SynAck => "retransmit_syn_ack",
        });
    }

    fn reset(&mut self, _: &Connection, _: Option<Owner>, direction: Direction, _: u64) {
        self.saw(match direction {
            Direction::Sent => "reset_sent",
            Direction::Received => "reset_received",
        });
    }

    fn life(&mut self, _: &Connection, owner: Option<Owner>, life: &Life) {
        self.saw_owner(owner);
        // Its socket was closed before the application let go of it, which only this hook tells.
        if life.end == End::Refused {
            self.saw("socket_gone");
        }
    }
}

impl Sink for Probe {
    fn ready(&mut self) {
        if let Some(test) = &self.test {
            test.go_on();
        }
    }

    fn lost(&mut self, _: u64, _: u64, _: &'static str) {}

    fn flush(&mut self, _now: u64, _: &Table, health: &Health) -> io::Result<ControlFlow<()>> {
        self.health.clone_from(health);
        self.phase = self.test.as_ref().map_or(Phase::Done, |test| self.next_phase(test));
        Ok(if self.phase == Phase::Done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn finish(&mut self, _now: u64, table: &Table, health: &Health) -> io::Result<()> {
        self.health.clone_from(health);
        json::line(&mut self.summary, &json::Summary::of(table, health));
        Ok(())
    }
}
