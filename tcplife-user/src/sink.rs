//! What every output is: a receiver of changes, in order, that is told of losses and of the end.

use std::{io, ops::ControlFlow, time::Duration};

use tcplife_core::{
    observer::Observer,
    suspect::Suspect,
    table::{Table, Verdict},
};

/// How one kind of information reaches us, or why it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What it tells, in the words of `summary.hooks`: `state`, `retransmit`, `reset`, ...
    pub what: &'static str,
    /// The mechanism in use, such as `tp_btf/inet_sock_set_state`.
    pub mechanism: Option<String>,
    /// Why there is none; empty when there is one.
    pub why_off: String,
    /// Whether it would tell something that is asked for.
    pub needed: bool,
    /// What it does not tell here, and what it takes; of one in use.
    pub limit: Option<&'static str>,
}

impl Hook {
    /// A hook in use.
    pub const fn on(what: &'static str, mechanism: String) -> Self {
        Self { what, mechanism: Some(mechanism), why_off: String::new(), needed: true, limit: None }
    }

    /// A hook that is not to be had.
    pub const fn off(what: &'static str, why_off: String) -> Self {
        Self { what, mechanism: None, why_off, needed: true, limit: None }
    }

    /// A hook that nobody asks for.
    pub fn unneeded(what: &'static str, why: &str) -> Self {
        Self { needed: false, ..Self::off(what, why.to_owned()) }
    }
}

/// Whether the table is what the kernel has, as far as losses go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Knowledge {
    /// Nothing was lost.
    #[default]
    Whole,
    /// Events were lost, and the table was not compared with the kernel's sockets since.
    Incomplete,
    /// Events were lost, and the table is whole again.
    Mended,
}

/// How well the trace goes, at one moment. All counts are since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The hooks, in a fixed order.
    pub hooks: Vec<Hook>,
    /// Records that reached the model.
    pub events: u64,
    /// Hook hits of the kernel side.
    pub hits: u64,
    /// Hits that the kernel-side filters left out.
    pub filtered: u64,
    /// Losses by cause.
    pub lost: Vec<(&'static str, u64)>,
    /// What the table is worth after them.
    pub knowledge: Knowledge,
    /// How often the table was compared with the kernel's sockets.
    pub resyncs: u64,
}

impl Health {
    /// Whether a hook is in use.
    pub fn has(&self, what: &str) -> bool {
        self.hooks.iter().any(|hook| hook.what == what && hook.mechanism.is_some())
    }

    /// Another mechanism tells what a hook would have told, unless there is that hook.
    pub fn replace(&mut self, what: &str, mechanism: &str) {
        for hook in self.hooks.iter_mut().filter(|hook| hook.what == what && hook.mechanism.is_none()) {
            *hook = Hook::on(hook.what, mechanism.to_owned());
        }
    }

    /// All losses.
    pub fn lost_total(&self) -> u64 {
        self.lost.iter().map(|&(_, count)| count).sum()
    }
}

/// When a sink wants to know the suspects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// Never.
    Never,
    /// When the trace begins, and when it ends.
    AtBothEnds,
    /// This often, as long as a connection is old enough to be one.
    Every(Duration),
}

/// One kind of output.
pub trait Sink: Observer {
    /// All hooks are attached; what happens from now on is seen.
    fn ready(&mut self) {}

    /// `count` events were lost by `cause` before `at` (nanoseconds of `CLOCK_MONOTONIC`).
    fn lost(&mut self, at: u64, count: u64, cause: &'static str);

    /// After a loss the table was compared with the kernel's sockets and mended: it is whole again.
    fn resynced(&mut self, at: u64, verdict: &Verdict) {
        let _ = (at, verdict);
    }

    /// Whether somebody looks at it and waits for an answer.
    fn is_screen(&self) -> bool {
        false
    }

    /// When it wants to know the suspects.
    fn confirm(&self) -> Confirm {
        Confirm::Never
    }

    /// The suspects as the kernel has them at `at` (nanoseconds of `CLOCK_MONOTONIC`).
    fn suspects(&mut self, at: u64, suspects: Vec<Suspect>) {
        let _ = (at, suspects);
    }

    /// A batch of records was applied, or some time has passed: write out what is due. [`ControlFlow::Break`] ends the
    /// run as a signal would.
    ///
    /// # Errors
    /// What writing failed with; [`io::ErrorKind::BrokenPipe`] ends the command as if it had been asked to.
    fn flush(&mut self, now: u64, table: &Table, health: &Health) -> io::Result<ControlFlow<()>>;

    /// The end: write the summary.
    ///
    /// # Errors
    /// As [`Sink::flush`].
    fn finish(&mut self, now: u64, table: &Table, health: &Health) -> io::Result<()>;
}
