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
    connection::{Connection, EndCause},
    observer::{Direction, Life, Observer, RetransmitKind, Transition},
    owner::{Owner, Via},
    state::State,
    table::Table,
};

use super::selftest::SelfTest;
use crate::{
    health::{Health, Hook, HookKind, LossCause},
    sink::Sink,
    sinks::json,
};

/// The end of the namespace takes the kernel's own time.
const LEAVE: Duration = Duration::from_millis(700);

/// Hooks that the self-test takes a second to exercise.
const SLOW: [HookKind; 2] = [HookKind::Retransmit, HookKind::RetransmitSynAck];

/// What is told by lists of sockets comes later than the self-test takes.
const DUMP: &str = "iter/";

/// How a hook did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
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
    seen: BTreeSet<HookKind>,
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
    pub fn trials(&self) -> Vec<(&Hook, Trial)> {
        self.health.hooks.iter().map(|hook| (hook, self.trial(hook))).collect()
    }

    fn trial(&self, hook: &Hook) -> Trial {
        let Some(mechanism) = &hook.mechanism else { return Trial::Off };
        if self.seen.contains(&hook.kind) {
            Trial::Works
        } else if self.test.is_some() && hook.kind != HookKind::Dump && !mechanism.starts_with(DUMP) {
            Trial::Silent
        } else {
            Trial::Unexercised
        }
    }

    /// The summary's JSON line, and the self-test, to ask how it went.
    pub fn into_parts(self) -> (Vec<u8>, Option<SelfTest>) {
        (self.summary, self.test)
    }

    fn saw(&mut self, kind: HookKind) {
        if self.phase != Phase::Done {
            self.seen.insert(kind);
        }
    }

    fn next_phase(&self, test: &SelfTest) -> Phase {
        match self.phase {
            Phase::Waiting | Phase::Ending if test.is_over() => Phase::Over(Instant::now()),
            Phase::Waiting if !self.is_any_silent(|kind| SLOW.contains(&kind)) => {
                test.go_on();
                Phase::Ending
            }
            Phase::Over(since) if since.elapsed() > LEAVE || !self.is_any_silent(|_| true) => Phase::Done,
            phase => phase,
        }
    }

    fn is_any_silent(&self, of: impl Fn(HookKind) -> bool) -> bool {
        self.health.hooks.iter().any(|hook| of(hook.kind) && self.trial(hook) == Trial::Silent)
    }

    fn saw_owner(&mut self, owner: Option<Owner>) {
        if owner.is_some_and(|owner| owner.via == Via::Accept) {
            self.saw(HookKind::Accept);
        }
    }
}

impl Observer for Probe {
    fn transition(&mut self, connection: &Connection, owner: Option<Owner>, transition: &Transition) {
        self.saw(HookKind::State);
        self.saw_owner(owner);
        match (transition.from, transition.to) {
            (State::SynReceived, State::Established) if transition.elapsed.is_some() => {
                self.saw(HookKind::SynReceived);
            }
            (State::FinWait2, State::TimeWait) if connection.is_orphan() => {
                self.saw(HookKind::TimeWaitFromFinWait2);
            }
            (_, State::TimeWait) => {
                self.saw(HookKind::TimeWaitBegin);
            }
            (State::TimeWait, State::Closed) if !connection.end_computed() => {
                self.saw(HookKind::TimeWaitEnd);
            }
            (State::FinWait2, State::Closed)
                if !connection.end_computed() && connection.cause() == Some("reset_sent") =>
            {
                self.saw(HookKind::TimeWaitCause);
            }
            _ => {}
        }
    }

    fn retransmit(&mut self, _: &Connection, _: Option<Owner>, kind: RetransmitKind, _: u64) {
        self.saw(match kind {
            RetransmitKind::Segment => HookKind::Retransmit,
            RetransmitKind::SynAck => HookKind::RetransmitSynAck,
        });
    }

    fn reset(&mut self, _: &Connection, _: Option<Owner>, direction: Direction, _: u64) {
        self.saw(match direction {
            Direction::Sent => HookKind::ResetSent,
            Direction::Received => HookKind::ResetReceived,
        });
    }

    fn life(&mut self, _: &Connection, owner: Option<Owner>, life: &Life) {
        self.saw_owner(owner);
        // Its socket was closed before the application let go of it, which only this hook tells.
        if life.end == EndCause::Refused {
            self.saw(HookKind::SocketGone);
        }
    }
}

impl Sink for Probe {
    fn ready(&mut self) {
        if let Some(test) = &self.test {
            test.go_on();
        }
    }

    fn lost(&mut self, _: u64, _: u64, _: LossCause) {}

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
