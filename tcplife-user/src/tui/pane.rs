//! What the detail pane shows.

use tcplife_core::view::Detail;

/// The detail of a connection, beside the view or in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    /// It is closed.
    #[default]
    Closed,
    /// It is open; the answer is on its way.
    Waiting,
    /// The connection as it is.
    Live(Box<Detail>),
    /// The connection has left the table, and nobody saw how; this is what was known last, and until when it is good, in
    /// nanoseconds of `CLOCK_MONOTONIC`.
    Gone(Box<Detail>, u64),
}

impl Pane {
    /// Whether it takes room.
    pub const fn is_open(&self) -> bool {
        !matches!(self, Self::Closed)
    }

    /// What it shows, as it is or was last.
    pub fn detail(&self) -> Option<&Detail> {
        match self {
            Self::Closed | Self::Waiting => None,
            Self::Live(detail) | Self::Gone(detail, _) => Some(detail),
        }
    }

    /// Takes over what is known of the connection at `now`, if the pane is open; `None` for one that is gone.
    pub fn refresh(&mut self, newest: Option<Detail>, now: u64) {
        if let Some(detail) = newest
            && self.is_open()
        {
            *self = Self::Live(Box::new(detail));
        } else if let Self::Live(known) = self {
            *self = Self::Gone(known.clone(), now);
        }
    }
}
