//! How connections end: as full sockets, and as the mini-sockets after them.

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndCause {
    /// Both ends closed in order. Also, as long as its mini-socket is there, of one that only this end closed (`FIN_WAIT_2`
    /// without an application): what ends that decides.
    Fin,
    /// This end reset it.
    ResetSent,
    /// The other end reset it.
    ResetReceived,
    /// The other end did not answer any more.
    Timeout,
    /// The other end refused the connection.
    Refused,
    /// Given up or destroyed without a word from the other end.
    Aborted,
    /// Its end was not seen.
    Unknown,
}

impl EndCause {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::ResetSent => "reset_sent",
            Self::ResetReceived => "reset_received",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
            Self::Unknown => "unknown",
        }
    }
}

/// What ended the mini-socket of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MiniEndCause {
    /// Its time was up: that of `TIME_WAIT`, or that of `FIN_WAIT_2` without an application.
    Expired,
    /// A new connection has its addresses and ports.
    Reused,
    /// The other end reset it.
    ResetReceived,
    /// It got a segment that nobody was there for, and reset the other end.
    ResetSent,
    /// It was destroyed on behalf of a user (`SOCK_DESTROY`).
    Destroyed,
    /// Its network namespace went.
    NetnsGone,
}

impl MiniEndCause {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Reused => "reused",
            Self::ResetReceived => "reset_received",
            Self::ResetSent => "reset_sent",
            Self::Destroyed => "destroyed",
            Self::NetnsGone => "netns_gone",
        }
    }
}
