//! What a table counts.

use crate::state::State;

/// Counts since the table was made; `live` is of now. `opened = live + closed + evicted` always holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections in the table, by [`State::index`].
    pub live: [u64; State::COUNT],
    /// Transitions told.
    pub moves: u64,
    /// Connections and listeners that came into the table, those that existed before the trace included.
    pub opened: u64,
    /// How many of `opened` are listeners.
    pub listeners: u64,
    /// Connections and listeners that left the table because they ended.
    pub closed: u64,
    /// Lives told.
    pub lives: u64,
    /// Connections that had to leave the table because it was full.
    pub evicted: u64,
    /// How many of `opened` have, or had when they left, no known owner. Listeners excluded.
    pub unattributed: u64,
    /// Signs of lost events: a state or a socket that the events seen do not lead to.
    pub mismatched: u64,
    /// How many of `closed` left unseen: mini-sockets in `FIN_WAIT_2` that are certainly gone by now.
    pub lapsed: u64,
    /// Retransmits and resets that belong to no connection in the table.
    pub unmatched_notes: u64,
    /// Records that no kernel makes: unknown state numbers and impossible moves. Ignored.
    pub invalid: u64,
}

impl Totals {
    /// Connections seen, listeners excluded.
    pub const fn connections(&self) -> u64 {
        self.opened.saturating_sub(self.listeners)
    }

    /// Connections and listeners in the table, in any state.
    pub fn live_total(&self) -> u64 {
        self.live.iter().sum()
    }
}
