//! `tcplife hist`: the time spent in each state, told at the end.
//!
//! What comes in: transitions. What goes out: at the end a report, and meanwhile an interval log if one is wanted.

use std::io;

use tcplife_core::{filter::StateSet, observer::Transition};

use super::{
    hist_log::HdrLog,
    stream::{Change, Ending},
};
use crate::stays::{By, Collected, Section};

/// What the command's formats share.
pub struct Hist {
    collected: Collected,
    by: Option<By>,
    log: Option<HdrLog>,
    /// Those that are wanted; empty for all.
    states: StateSet,
}

impl Hist {
    /// Of stays in `states`, or in any if it is empty; grouped by what `by` says, and written to `log` as it goes.
    pub fn new(states: StateSet, by: Option<By>, log: Option<HdrLog>) -> Self {
        Self { collected: Collected::new(by.as_slice()), by, log, states }
    }

    /// A connection left a state.
    pub fn transition(&mut self, change: &Change<'_>, transition: &Transition) {
        // A change is shown for either of its states; a stay is in the one that was left.
        if !self.states.wants(transition.from) {
            return;
        }
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

    /// What was seen, at the end.
    pub fn report(&mut self, ending: &Ending<'_>) -> Vec<Section> {
        self.collected.report(self.by, ending.table, ending.selector.filter(), ending.now)
    }

    /// The end of the interval log.
    ///
    /// # Errors
    /// Writing it failed.
    pub fn end(&mut self, now: u64) -> io::Result<()> {
        self.log.as_mut().map_or(Ok(()), |log| log.end(now))
    }
}
