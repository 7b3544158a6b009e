//! What a sink is told, in the order in which it happened.
//!
//! What comes in: calls made by [`crate::table::Table`] while it applies a record. What goes out: whatever the sink
//! makes of it. What always holds: the connection is shown in the state after the change; a transition's `from` is
//! the state it was in; each connection's life is told at most once.

use crate::{
    connection::{Connection, EndCause, FirstClose},
    owner::Owner,
    state::State,
};

/// A connection moved from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// State left.
    pub from: State,
    /// State entered.
    pub to: State,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at: u64,
    /// Time spent in `from`, in nanoseconds; `None` when its start, or its end, was not seen.
    pub elapsed: Option<u64>,
}

/// What was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetransmitKind {
    /// A segment.
    Segment,
    /// The SYN-ACK of a handshake.
    SynAck,
}

impl RetransmitKind {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::SynAck => "syn_ack",
        }
    }
}

/// Which way a reset went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// This end sent it.
    Sent,
    /// The other end sent it.
    Received,
}

impl Direction {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

/// A finished connection. Times in nanoseconds of `CLOCK_MONOTONIC`, durations in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it was opened, if that was seen. See [`Connection::opened`].
    pub opened: Option<u64>,
    /// When the full socket went to CLOSE; when `TIME_WAIT` ended, if lives are told after it. At the latest, if the
    /// end was not seen.
    pub closed: u64,
    /// From `opened` to `closed`, if both were seen.
    pub duration: Option<u64>,
    /// Time spent in each state, by [`State::index`]; `None` for a state it was not in, or for how long is not known.
    /// Of a complete connection they add up to `duration`.
    pub spent: [Option<u64>; State::COUNT],
    /// Who closed first.
    pub first_close: FirstClose,
    /// How it ended.
    pub end: EndCause,
    /// Payload sent, in bytes; `None` if the full socket's end was not told.
    pub bytes_sent: Option<u64>,
    /// Payload received, in bytes; as `bytes_sent`.
    pub bytes_received: Option<u64>,
    /// Segments sent again, as far as is known.
    pub retransmits: u32,
    /// Whether the opening and every move were seen.
    pub complete: bool,
}

/// A receiver of changes. Every method does nothing unless defined.
pub trait Observer {
    /// A connection moved.
    fn transition(&mut self, connection: &Connection, owner: Option<Owner>, transition: &Transition) {
        let _ = (connection, owner, transition);
    }

    /// Something was sent again at the time `at`.
    fn retransmit(&mut self, connection: &Connection, owner: Option<Owner>, kind: RetransmitKind, at: u64) {
        let _ = (connection, owner, kind, at);
    }

    /// A reset was sent or received at the time `at`.
    fn reset(&mut self, connection: &Connection, owner: Option<Owner>, direction: Direction, at: u64) {
        let _ = (connection, owner, direction, at);
    }

    /// A connection is finished.
    fn life(&mut self, connection: &Connection, owner: Option<Owner>, life: &Life) {
        let _ = (connection, owner, life);
    }
}

/// Ignores everything.
impl Observer for () {}
