//! What the engine's side and the screen's side tell each other.
//!
//! What comes in: from the screen a [`Request`], from the engine a [`Frame`]. What always holds: both are values that
//! nobody changes any more; each frame says which request it answers, so the screen can tell an answer that came too
//! late; both travel through channels that keep the newest only, so neither side waits for the other.

use std::sync::Arc;

use tcplife_core::{
    table::Totals,
    view::{Page, Query},
};

use super::{app::Tab, log::Logged, rates::Rates};
use crate::sink::Health;

/// Whether the data moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// Rows are those of now.
    #[default]
    Live,
    /// Rows are those of the moment at which the user asked for a pause.
    Paused,
}

/// What the screen wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The view that is open.
    pub tab: Tab,
    /// Of now, or of the moment of the pause.
    pub flow: Flow,
    /// Which connections.
    pub query: Query,
}

/// Everything a screen shows, of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// What this answers.
    pub request: Request,
    /// The moment of rows, counts and log, nanoseconds of `CLOCK_MONOTONIC`; in a pause that of its begin.
    pub now: u64,
    /// When the trace began, on the same clock.
    pub started: u64,
    /// The connections.
    pub page: Arc<Page>,
    /// Counts over all connections.
    pub totals: Totals,
    /// The newest events, newest first; empty unless the view shows them.
    pub log: Arc<[Logged]>,
    /// How the trace goes; of now, even in a pause.
    pub health: Health,
    /// How much happens; of now, even in a pause.
    pub rates: Rates,
    /// Leaks among the selected connections, as the kernel confirmed them last.
    pub leaks: usize,
}

impl Frame {
    /// Whether a screen of `other` would look the same but for the ages, which go on by themselves.
    pub fn looks_like(&self, other: &Self) -> bool {
        let Self { request, now: _, started, page, totals, log, health, rates, leaks } = self;
        let counts = *started == other.started && *totals == other.totals && *health == other.health;
        counts
            && *rates == other.rates
            && *leaks == other.leaks
            && *request == other.request
            && *page == other.page
            && *log == other.log
    }
}
