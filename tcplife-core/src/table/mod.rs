//! The table of connections: records in, changes out.

mod totals;

use tcplife_common::wire::Record;

use crate::{
    connection::{ConnId, Connection, Ends},
    observer::Observer,
    owner::Owner,
    state::State,
    timeline::Since,
};

pub use totals::Totals;

/// Where the ends of mini-sockets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MiniEnds {
    /// Nobody tells: they are computed from the timer, by the rule of the kernel's timer wheel.
    Computed,
    /// A hook or a dump tells: [`Table::mini_gone`].
    Told,
}

/// How a table behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most connections held at once; at least 1.
    pub capacity: usize,
    /// The kernel's ticks per second (`CONFIG_HZ`).
    pub hz: u32,
    /// Lives are told after `TIME_WAIT`, with the time spent in it.
    pub life_after_time_wait: bool,
    /// Where the ends of mini-sockets come from.
    pub mini_ends: MiniEnds,
}

impl Default for Config {
    fn default() -> Self {
        Self { capacity: 1_000_000, hz: 250, life_after_time_wait: false, mini_ends: MiniEnds::Computed }
    }
}

/// A mini-socket as a hook or a dump found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MiniSeen {
    /// Inode of its network namespace.
    pub netns: u32,
    /// Both ends.
    pub ends: Ends,
    /// Address of the `struct inet_timewait_sock`; 0 if not known.
    pub address: u64,
    /// Cookie, which is the full socket's; 0 if not known.
    pub cookie: u64,
    /// Its state: [`State::FinWait2`] or [`State::TimeWait`].
    pub state: State,
    /// When it entered that state.
    pub since: Since,
    /// When this was found, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at: u64,
    /// `tw_timer.expires` in jiffies.
    pub expires: u64,
    /// The kernel's 64-bit jiffies at `at`.
    pub jiffies: u64,
}

/// The end of a mini-socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MiniGone {
    /// Inode of its network namespace.
    pub netns: u32,
    /// Both ends.
    pub ends: Ends,
    /// Address of the `struct inet_timewait_sock`; 0 if not known.
    pub address: u64,
    /// Cookie, which is the full socket's; 0 if not known.
    pub cookie: u64,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at: u64,
}

/// Every connection known.
#[derive(Debug)]
pub struct Table {
    config: Config,
    totals: Totals,
}

impl Table {
    /// An empty table.
    pub fn new(config: Config) -> Self {
        Self { config, totals: Totals::default() }
    }

    /// Applies one record, in the order in which they come.
    pub fn apply<O: Observer + ?Sized>(&mut self, record: &Record, observer: &mut O) {
        let _ = (record, observer, self.config);
    }

    /// Ends what ends by the time `now` without a record. Any calls give the same result as none, as long as no
    /// later record is older than `now`.
    pub fn tick<O: Observer + ?Sized>(&mut self, now: u64, observer: &mut O) {
        let _ = (now, observer);
    }

    /// Tells the lives of connections that are closed for good and were not told yet. For the end of the trace.
    pub fn finish<O: Observer + ?Sized>(&mut self, now: u64, observer: &mut O) {
        let _ = (now, observer);
    }

    /// A mini-socket was seen: begun, re-armed, moved to `TIME_WAIT`, or in a dump.
    pub fn mini_seen<O: Observer + ?Sized>(&mut self, seen: &MiniSeen, observer: &mut O) {
        let _ = (seen, observer);
    }

    /// A mini-socket ended.
    pub fn mini_gone<O: Observer + ?Sized>(&mut self, gone: &MiniGone, observer: &mut O) {
        let _ = (gone, observer);
    }

    /// The owner of the socket at an address became known; ignored when a stronger one is.
    pub fn owner_seen(&mut self, sock: u64, owner: &Owner) {
        let _ = (sock, owner);
    }

    /// A connection's owner.
    pub fn owner(&self, connection: &Connection) -> Option<Owner> {
        let _ = connection;
        None
    }

    /// The connection of an id. Looks at all: for a screen, not for every record.
    pub fn get(&self, id: ConnId) -> Option<&Connection> {
        self.iter().find(|connection| connection.id() == id)
    }

    /// Every connection, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        std::iter::empty()
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was counted.
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }
}
