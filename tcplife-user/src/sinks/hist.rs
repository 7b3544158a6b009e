//! `tcplife hist`: the time spent in each state, told at the end.
//!
//! What comes in: transitions. What goes out, once: for each state the finished stays and, beside them, those that
//! last. What always holds: a stay is counted when it ends, under the state that was left.

use anyhow::{Context, Result};
use tcplife_core::{
    histogram::{Finished, Histograms, Open},
    observer::Transition,
    state::State,
};

use super::stream::Ending;

/// The stays in one state.
pub struct Row {
    /// Which state.
    pub state: State,
    /// Stays that ended.
    pub finished: Finished,
    /// Stays that last.
    pub open: Open,
}

/// What was collected.
pub struct Collected(Histograms);

impl Collected {
    /// Without any stay.
    ///
    /// # Errors
    /// Never, but the histogram library does not know.
    pub fn new() -> Result<Self> {
        Ok(Self(Histograms::new().context("cannot make histograms")?))
    }

    /// A connection left a state.
    pub fn transition(&mut self, transition: &Transition) {
        let is_stay = match transition.from {
            // A connection that comes out of a listener is not the end of the listener.
            State::Listen => transition.to == State::Closed,
            State::Closed => false,
            _ => true,
        };
        if is_stay {
            self.0.record(transition.from, transition.elapsed);
        }
    }

    /// The wanted states in the protocol's order.
    pub fn rows(&self, ending: &Ending<'_>) -> Vec<Row> {
        let mut ages: [Vec<u64>; State::COUNT] = Default::default();
        for connection in ending.table.iter() {
            if ending.selector.wants(connection, ending.table.owner(connection)) {
                ages[connection.state().index()].push(connection.since().age(ending.now).min);
            }
        }
        State::ALL
            .into_iter()
            .zip(ages.iter_mut())
            .filter(|&(state, _)| state != State::Closed && ending.selector.filter().wants_state(state))
            .map(|(state, ages)| Row { state, finished: self.0.finished(state), open: Open::of(ages) })
            .collect()
    }
}
