//! The states a connection was in, and when it entered each.

use crate::state::State;

/// When a state was entered, in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The move was seen.
    Seen(u64),
    /// It was in the state at `latest` already, and not before `earliest`, where that is known.
    Between {
        /// Not before this; `None` for no bound.
        earliest: Option<u64>,
        /// At this time at the latest.
        latest: u64,
    },
}

/// How long a connection has been in its state, in nanoseconds: at least `min`, at most `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// At least this long.
    pub min: u64,
    /// At most this long; `None` for no bound. Equal to `min` when the entry was seen.
    pub max: Option<u64>,
}

impl Since {
    /// The age at `now`; never negative.
    pub fn age(self, now: u64) -> Age {
        match self {
            Self::Seen(at) => {
                let age = now.saturating_sub(at);
                Age { min: age, max: Some(age) }
            }
            Self::Between { earliest, latest } => {
                Age { min: now.saturating_sub(latest), max: earliest.map(|at| now.saturating_sub(at)) }
            }
        }
    }

    /// When it was in the state, at the latest.
    pub const fn latest(self) -> u64 {
        match self {
            Self::Seen(at) => at,
            Self::Between { latest, .. } => latest,
        }
    }

    /// The moment of entry, if it was seen.
    pub const fn seen(self) -> Option<u64> {
        match self {
            Self::Seen(at) => Some(at),
            Self::Between { .. } => None,
        }
    }
}

/// One stay in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Which state.
    pub state: State,
    /// When it was entered.
    pub since: Since,
    /// When it was left; `None` while it lasts.
    pub until: Option<u64>,
}
