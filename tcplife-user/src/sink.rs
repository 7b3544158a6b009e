//! What every output is: a receiver of changes, in order, that is told of losses and of the end.

use std::{io, ops::ControlFlow, time::Duration};

use tcplife_core::{
    observer::Observer,
    suspect::Suspect,
    table::{CensusOutcome, Table},
};

use crate::health::{Health, LossCause};

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
    fn lost(&mut self, at: u64, count: u64, cause: LossCause);

    /// After a loss the table was compared with the kernel's sockets and mended: it is whole again.
    fn resynced(&mut self, at: u64, outcome: &CensusOutcome) {
        let _ = (at, outcome);
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

    /// The hooks are detached; what they told before is still to come.
    fn detached(&mut self) {}

    /// The end: write the summary.
    ///
    /// # Errors
    /// As [`Sink::flush`].
    fn finish(&mut self, now: u64, table: &Table, health: &Health) -> io::Result<()>;
}
