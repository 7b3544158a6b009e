//! One connection: who talks to whom, in which state, since when, and how it went.
//!
//! What comes in: changes made by [`crate::table`] alone. What goes out: accessors. What always holds: entry times
//! never decrease, and a known address or port is never replaced by an unknown one.

use std::net::SocketAddr;

pub use crate::{
    end_cause::{EndCause, MiniEndCause},
    ends::Ends,
};
use crate::{
    history::History,
    owner::Via,
    state::State,
    timeline::{Since, Stay},
};

/// Identifies a connection for the whole run; never reused. Given in the order in which connections were noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// This end: active open.
    Client,
    /// The other end: passive open.
    Server,
}

impl Role {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// Who sent the first FIN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FirstClose {
    /// This end.
    Local,
    /// The other end.
    Remote,
    /// Both at once: neither had seen the other's (CLOSING).
    Both,
    /// Nobody: no FIN yet, or it ended without one.
    #[default]
    None,
}

impl FirstClose {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Both => "both",
            Self::None => "none",
        }
    }
}

/// What in the kernel stands for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// A full socket (`struct sock`).
    Full,
    /// A timewait mini-socket (`struct inet_timewait_sock`) took over.
    Mini,
    /// Nothing any more; the application may still hold the closed socket.
    Closed,
}

/// Facts about a connection that are yes or no, each independent of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u16);

impl Marks {
    /// No application has a handle.
    pub(crate) const ORPHAN: Self = Self(1);
    /// The opening was seen.
    pub(crate) const OPENING: Self = Self(1 << 1);
    /// A move was lost since.
    pub(crate) const GAP: Self = Self(1 << 2);
    /// LISTEN -> `SYN_RECEIVED` is not announced yet: the tuple is not known.
    pub(crate) const HELD: Self = Self(1 << 3);
    /// Its life was reported, or it has none (listeners).
    pub(crate) const REPORTED: Self = Self(1 << 4);
    /// The end of its mini-socket was computed, not seen.
    pub(crate) const COMPUTED: Self = Self(1 << 5);
    /// A FIN was received.
    pub(crate) const FIN_IN: Self = Self(1 << 6);
    /// Its socket's address leads to it.
    pub(crate) const BY_SOCK: Self = Self(1 << 7);
    /// The last census did not find it.
    pub(crate) const MISSED: Self = Self(1 << 8);
    /// The bytes that it sent and received are known.
    pub(crate) const COUNTED: Self = Self(1 << 9);
    /// The timer of its mini-socket fired, and no dump has told since what became of it.
    pub(crate) const OVERDUE: Self = Self(1 << 10);
    /// Missed, and its timer cannot be why, or need not be.
    pub(crate) const UNTIMED: Self = Self(1 << 11);

    pub(crate) const fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }

    pub(crate) const fn set(&mut self, mark: Self) {
        self.0 |= mark.0;
    }

    pub(crate) const fn put(&mut self, mark: Self, yes: bool) {
        if yes {
            self.set(mark);
        } else {
            self.clear(mark);
        }
    }

    pub(crate) const fn clear(&mut self, mark: Self) {
        self.0 &= !mark.0;
    }
}

/// One connection, or one listener. Small: the table may hold a million.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(crate) id: ConnId,
    /// Address of the `struct sock`.
    pub(crate) sock: u64,
    /// 0 for not known.
    pub(crate) cookie: u64,
    /// Address of the mini-socket; 0 without.
    pub(crate) mini: u64,
    /// When the full socket went to CLOSE; 0 for not yet.
    pub(crate) closed_at: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) history: History,
    pub(crate) ends: Ends,
    pub(crate) netns: u32,
    /// Number of the owner's process in the table's processes; meaningless without `via`.
    pub(crate) process: u32,
    pub(crate) retransmits: u32,
    pub(crate) srtt_us: u32,
    /// Low 32 bits of the jiffy in which the mini-socket's timer fires; once it is overdue, of the one until which it is waited for.
    pub(crate) due: u32,
    pub(crate) resets_sent: u16,
    pub(crate) resets_received: u16,
    pub(crate) marks: Marks,
    pub(crate) via: Option<Via>,
    pub(crate) role: Option<Role>,
    pub(crate) first_close: FirstClose,
    pub(crate) end: Option<EndCause>,
    pub(crate) mini_end: Option<MiniEndCause>,
    pub(crate) phase: Phase,
}

const _: () = assert!(size_of::<Connection>() <= 200);

impl Connection {
    pub(crate) fn new(id: ConnId, netns: u32, ends: Ends, history: History) -> Self {
        Self {
            id,
            sock: 0,
            cookie: 0,
            mini: 0,
            closed_at: 0,
            bytes_sent: 0,
            bytes_received: 0,
            history,
            ends,
            netns,
            process: 0,
            retransmits: 0,
            srtt_us: 0,
            due: 0,
            resets_sent: 0,
            resets_received: 0,
            marks: Marks::default(),
            via: None,
            role: None,
            first_close: FirstClose::None,
            end: None,
            mini_end: None,
            phase: Phase::Full,
        }
    }

    /// Enters a state, and keeps what it tells about FINs.
    pub(crate) fn enter(&mut self, state: State, since: Since) {
        if self.history.enter(state, since) {
            self.marks.clear(Marks::OPENING);
            self.marks.set(Marks::GAP);
        }
        self.note_fins();
    }

    /// What the present state tells about FINs.
    pub(crate) fn note_fins(&mut self) {
        let state = self.state();
        self.first_close = match (state, self.first_close) {
            (State::Closing, _) => FirstClose::Both,
            (State::FinWait1 | State::FinWait2 | State::TimeWait, FirstClose::None) => FirstClose::Local,
            (State::CloseWait | State::LastAck, FirstClose::None) => FirstClose::Remote,
            (_, known) => known,
        };
        if matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait) {
            self.marks.set(Marks::FIN_IN);
        }
    }

    /// Which one it is.
    pub const fn id(&self) -> ConnId {
        self.id
    }

    /// Inode of its network namespace.
    pub const fn netns(&self) -> u32 {
        self.netns
    }

    /// Both ends as the kernel names them.
    pub const fn ends(&self) -> &Ends {
        &self.ends
    }

    /// The local end; a mapped address as IPv4. The port is 0 until it is known.
    pub fn local(&self) -> SocketAddr {
        self.ends.local_addr()
    }

    /// The remote end; a mapped address as IPv4.
    pub fn remote(&self) -> SocketAddr {
        self.ends.remote_addr()
    }

    /// Whether it is IPv4, on whatever kind of socket.
    pub fn is_ipv4(&self) -> bool {
        self.ends.is_ipv4()
    }

    /// Who opened it; `None` for listeners and where the opening was not seen.
    pub const fn role(&self) -> Option<Role> {
        self.role
    }

    /// How its owner is known, if one is. The owner itself: [`crate::table::Table::owner`].
    pub const fn via(&self) -> Option<Via> {
        self.via
    }

    /// The state it is in.
    pub const fn state(&self) -> State {
        self.history.state()
    }

    /// When it entered that state.
    pub fn since(&self) -> Since {
        self.history.since()
    }

    /// When it entered that state, or at the latest.
    pub(crate) const fn entered(&self) -> u64 {
        self.history.latest()
    }

    /// Every state it was in, in order, the present one last.
    pub fn stays(&self) -> impl Iterator<Item = Stay> + '_ {
        self.history.stays()
    }

    /// Whether the application closed the socket and has no handle on it any more.
    pub const fn is_orphan(&self) -> bool {
        self.marks.has(Marks::ORPHAN) && !self.awaits_accept()
    }

    /// Whether it was in an accept queue when last seen: the application had no handle on it yet. Only a closing
    /// application leaves these states, so without a handle in one of them there never was one.
    pub const fn awaits_accept(&self) -> bool {
        self.marks.has(Marks::ORPHAN)
            && matches!(self.state(), State::SynReceived | State::Established | State::CloseWait)
    }

    /// Whether the full socket is closed for good.
    pub(crate) const fn is_over(&self) -> bool {
        !matches!(self.phase, Phase::Full)
    }

    /// Whether its full socket is gone, and nobody has told what became of it.
    pub(crate) const fn is_parked(&self) -> bool {
        matches!(self.phase, Phase::Full) && self.sock != 0 && !self.marks.has(Marks::BY_SOCK)
    }

    /// Whether it is a request so far: the handshake of a passive open, without a full socket.
    pub const fn is_request(&self) -> bool {
        matches!(self.state(), State::SynReceived) && self.sock == 0
    }

    /// What in the kernel stands for it.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether a timewait mini-socket holds it.
    pub const fn in_mini_socket(&self) -> bool {
        matches!(self.phase, Phase::Mini)
    }

    /// Who closed first, as far as is known.
    pub const fn first_close(&self) -> FirstClose {
        self.first_close
    }

    /// How the full socket ended, once it has.
    pub const fn end(&self) -> Option<EndCause> {
        self.end
    }

    /// Why it is CLOSED: what ended its mini-socket, or else how the full socket ended. `None` before that, for a listener,
    /// and where it is not known.
    pub fn cause(&self) -> Option<&'static str> {
        match (self.state(), self.mini) {
            (State::Closed, 0) => self.end.filter(|&end| end != EndCause::Unknown).map(EndCause::name),
            (State::Closed, _) => self.mini_end.map(MiniEndCause::name),
            _ => None,
        }
    }

    /// Whether the end of its `TIME_WAIT` was computed from the kernel's timer rather than seen.
    pub const fn end_computed(&self) -> bool {
        self.marks.has(Marks::COMPUTED)
    }

    /// Payload sent, in bytes; known from the full socket's end on, if that was told.
    pub fn bytes_sent(&self) -> Option<u64> {
        self.marks.has(Marks::COUNTED).then_some(self.bytes_sent)
    }

    /// Payload received, in bytes; known from the full socket's end on, if that was told.
    pub fn bytes_received(&self) -> Option<u64> {
        self.marks.has(Marks::COUNTED).then_some(self.bytes_received)
    }

    /// Segments and SYN-ACKs sent again, as far as is known.
    pub const fn retransmits(&self) -> u32 {
        self.retransmits
    }

    /// Resets sent on it.
    pub const fn resets_sent(&self) -> u16 {
        self.resets_sent
    }

    /// Resets received on it.
    pub const fn resets_received(&self) -> u16 {
        self.resets_received
    }

    /// Smoothed round-trip time at its end, in microseconds.
    pub const fn srtt_us(&self) -> Option<u32> {
        match self.srtt_us {
            0 => None,
            us => Some(us),
        }
    }

    /// Whether its opening and every move since were seen.
    pub const fn complete(&self) -> bool {
        self.marks.has(Marks::OPENING) && !self.marks.has(Marks::GAP)
    }

    /// The state in which a segment is sent or received: once closed, the one before. The kernel sends an application's reset
    /// after the move to CLOSE (`__tcp_close`, `tcp_disconnect`).
    pub fn state_of_segment(&self) -> State {
        match self.state() {
            State::Closed => self.history.left().unwrap_or(State::Closed),
            state => state,
        }
    }

    /// When it was opened, in nanoseconds of `CLOCK_MONOTONIC`; `None` if that was not seen. A server's connection
    /// counts from its leaving `SYN_RECEIVED`: the handshake before is not in this socket (`struct request_sock`).
    pub fn opened(&self) -> Option<u64> {
        if self.marks.has(Marks::OPENING) { self.history.begin() } else { None }
    }
}
