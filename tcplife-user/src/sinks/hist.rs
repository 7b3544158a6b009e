//! `tcplife hist`: the time spent in each state, told at the end.
//!
//! What comes in: transitions. What goes out: at the end a report, and meanwhile an interval log if one is wanted.

use std::io;

use anyhow::Result;
use tcplife_core::observer::Transition;

use super::{
    hist_log::HdrLog,
    stream::{Change, Ending},
};
use crate::stays::{By, Collected, Section};

/// What the commands's formats share.
pub struct Hist {
    collected: Collected,
    log: Option<HdrLog>,
}

impl Hist {
    /// Grouped by what `by` says, and written to `log` as it goes.
    ///
    /// # Errors
    /// Never, but the histogram library does not know.
    pub fn new(by: Option<By>, log: Option<HdrLog>) -> Result<Self> {
        Ok(Self { collected: Collected::new(by)?, log })
    }

    /// A connection left a state.
    pub fn transition(&mut self, change: &Change<'_>, transition: &Transition) {
        let stay = self.collected.transition(change.connection, change.owner, transition);
        if let (Some((state, length)), Some(log)) = (stay, &mut self.log) {
            log.record(state, length);
        }
    }

    /// Writes what is due.
    ///
    /// # Errors
    /// Writing the interval log failed.
    pub fn tick(&mut self, now: u64) -> io::Result<()> {
        self.log.as_mut().map_or(Ok(()), |log| log.tick(now))
    }

    /// The end: what was seen.
    ///
    /// # Errors
    /// Writing the interval log failed.
    pub fn end(&mut self, ending: &Ending<'_>) -> io::Result<Vec<Section>> {
        if let Some(log) = &mut self.log {
            log.end(ending.now)?;
        }
        Ok(self.collected.report(ending.table, ending.selector.filter(), ending.now))
    }
}
