//! The newest events, for the view that shows them as they come.
//!
//! What comes in: what the model tells an observer. What goes out: the last [`ROOM`] events. What always holds: never
//! more than that; each event has a number of its own, counted up, so that a view can stay where it is while new ones
//! come.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use tcplife_core::{
    connection::Connection,
    observer::{Direction, RetransmitKind},
    owner::Owner,
    state::State,
};

/// Events that are kept.
pub const ROOM: usize = 4000;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A connection went from one state to another.
    Move {
        /// State left.
        from: State,
        /// State entered.
        to: State,
        /// Nanoseconds in `from`; `None` when its begin was not seen.
        elapsed: Option<u64>,
    },
    /// Something was sent again.
    Retransmit(State, RetransmitKind),
    /// A reset went or came.
    Reset(State, Direction),
}

/// Whose event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// Local end.
    pub local: SocketAddr,
    /// Remote end.
    pub remote: SocketAddr,
    /// Inode of the network namespace.
    pub netns: u32,
    /// The process.
    pub owner: Option<Owner>,
}

impl Whose {
    /// That of a connection.
    pub fn of(connection: &Connection, owner: Option<Owner>) -> Self {
        Self { local: connection.local(), remote: connection.remote(), netns: connection.netns(), owner }
    }
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its number, from 1.
    pub number: u64,
    /// When, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: u64,
    /// What happened.
    pub what: What,
    /// To whom.
    pub whose: Whose,
}

/// The newest events.
#[derive(Clone, Debug, Default)]
pub struct Log {
    events: VecDeque<Logged>,
    numbered: u64,
}

impl Log {
    /// Adds one.
    pub fn push(&mut self, at: u64, what: What, whose: Whose) {
        if self.events.len() == ROOM {
            self.events.pop_back();
        }
        self.numbered += 1;
        self.events.push_front(Logged { number: self.numbered, at, what, whose });
    }

    /// All that are kept, newest first.
    pub fn newest_first(&self) -> Arc<[Logged]> {
        self.events.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let nowhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
        let whose = Whose { local: nowhere, remote: nowhere, netns: 1, owner: None };
        let mut log = Log::default();
        for at in 0..9000 {
            log.push(at, What::Reset(State::Established, Direction::Sent), whose);
        }
        let events = log.newest_first();
        assert_eq!(events.len(), ROOM);
        assert_eq!((events[0].at, events[0].number), (8999, 9000));
        assert_eq!(events[ROOM - 1].at, 5000);
    }
}
