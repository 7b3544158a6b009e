//! The table of connections.
//!
//! What comes in: the kernel's records in the order in which they were made, what hooks and dumps tell of
//! mini-sockets, and the time. What goes out: changes to an [`Observer`], and the connections as they are. What always
//! holds: a connection is here at most once and its id is never reused; the table never holds more than its
//! capacity; `opened = live + closed + evicted`; a record never fails, however little it fits what is known.
//!
//! Between records a full socket is known by its address. It is freed and its address reused at once, and one socket
//! can live several connections, so each record is checked: cookie, tuple and state before have to fit, or else an
//! event was lost (`moves`). A connection handed to a timewait mini-socket is known by its tuple (`mini`), if anybody asks.

mod census;
mod closed;
mod cut;
mod departed;
mod evict;
mod gauge;
mod index;
mod mini;
mod moves;
mod notes;
mod parked;
mod processes;
mod requests;
mod seen;
mod slab;
mod store;
#[cfg(test)]
mod tests;
mod totals;
mod wheel;

use std::collections::HashMap;

use foldhash::fast::RandomState;
use tcplife_common::wire::{Found, Head, Record, Tuple, flag};

use crate::{
    connection::{Connection, Ends, MiniEndCause},
    observer::Observer,
    owner::Owner,
    timeline::Since,
};

use census::Listed;
use cut::Cuts;
use departed::Departed;
use index::{Embryos, Listeners, Minis};
use parked::Parked;
use processes::Processes;
use requests::Requests;
use slab::Slab;
use wheel::Due;

pub use census::{Census, CensusOutcome, Scope};
pub(crate) use gauge::{ago, orphaned_at, since_fin_wait_2, since_gauge};
pub use totals::Totals;

/// Where the ends of mini-sockets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MiniEndSource {
    /// Nobody tells: they are computed from the timer, by the rule of the kernel's timer wheel.
    Computed,
    /// As computed, and dumps tell what that cannot, within two seconds: [`Table::take_census`].
    Dumped,
    /// A hook tells, by [`Record::MiniGone`].
    Told,
    /// Nobody asks: a connection leaves when the application has let go of its full socket, or when a census finds that closed
    /// socket no more. Not with `life_after_time_wait`.
    Ignored,
}

/// Where the handshakes of passive opens come from: they happen in request sockets, before the connection's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshakes {
    /// Nobody tells: how long they took is not known.
    Hidden,
    /// A hook tells, by [`Record::Born`]; a server's connection is announced when it did.
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
    pub mini_ends: MiniEndSource,
    /// Where the handshakes of passive opens come from.
    pub handshakes: Handshakes,
    /// Connections that were over before a census found them are taken up where a process still has a descriptor: somebody asks for
    /// suspects. Their lives are not told.
    pub takes_up_ended: bool,
    /// The name of processes that hold the descriptors of others for a moment, to look at them, and let go of one last
    /// when its owner closes it meanwhile (`bpf_iter` for `task_file`): closing makes none of them an owner.
    pub onlooker: [u8; 16],
}

impl Default for Config {
    fn default() -> Self {
        Self {
            capacity: 1_000_000,
            hz: 250,
            life_after_time_wait: false,
            mini_ends: MiniEndSource::Computed,
            handshakes: Handshakes::Hidden,
            takes_up_ended: false,
            onlooker: [0; 16],
        }
    }
}

/// Every connection known.
#[derive(Debug)]
pub struct Table {
    config: Config,
    totals: Totals,
    next_id: u64,
    slab: Slab,
    /// Full sockets by address; also mini-sockets' former full sockets, until the application lets go of them.
    socks: HashMap<u64, u32, RandomState>,
    minis: Minis,
    listeners: Listeners,
    embryos: Embryos,
    requests: Requests,
    processes: Processes,
    due: Due,
    departed: Departed,
    parked: Parked,
    /// All sockets are listed from time to time.
    is_listed: bool,
    /// Records held back; mostly none.
    cuts: Cuts,
    /// The last census missed some.
    missed_some: bool,
    listed: Listed,
    /// Where the search for a connection to evict goes on.
    hand: u32,
}

impl Table {
    /// An empty table.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            totals: Totals::default(),
            next_id: 1,
            slab: Slab::default(),
            socks: HashMap::default(),
            minis: Minis::default(),
            listeners: Listeners::default(),
            embryos: Embryos::default(),
            requests: Requests::default(),
            processes: Processes::default(),
            due: Due::default(),
            departed: Departed::default(),
            parked: Parked::default(),
            is_listed: false,
            cuts: Cuts::default(),
            missed_some: false,
            listed: Listed::default(),
            hand: 0,
        }
    }

    /// Applies one record, in the order in which they come.
    pub fn apply<O: Observer + ?Sized>(&mut self, record: &Record, observer: &mut O) {
        self.tick(record.head().time_ns, observer);
        if self.holds_back(record, observer) {
            return;
        }
        match record {
            Record::Move(record) => self.moved(record, observer),
            Record::End(record) => self.ended(record, observer),
            Record::Retransmit(record) => self.retransmitted(record, observer),
            Record::Reset(record) => self.reset(record, observer),
            Record::Gone(record) => self.gone(record, observer),
            Record::Accepted(record) => self.accepted(record, observer),
            Record::Born(record) => self.born(record, observer),
            Record::MiniArmed(_) | Record::MiniGone(_) if self.ignores_minis() => {}
            Record::MiniArmed(record) => self.mini_armed(record, observer),
            Record::MiniGone(record) => self.mini_gone(record, observer),
        }
    }

    /// Ends what ends by the time `now` without a record. Whether and how often it is called makes no difference to
    /// what is told, only to when, as long as no later record is older than `now`.
    pub fn tick<O: Observer + ?Sized>(&mut self, now: u64, observer: &mut O) {
        self.release_until(now, observer);
        self.expire_until(now, observer);
    }

    fn expire_until<O: Observer + ?Sized>(&mut self, now: u64, observer: &mut O) {
        while let Some(fired) = self.due.pop(now) {
            self.expire(&fired, observer);
        }
    }

    /// Tells what is certain and was not told yet: lives of connections that are closed for good though the
    /// application still holds the socket. For the end of the trace.
    pub fn finish<O: Observer + ?Sized>(&mut self, now: u64, observer: &mut O) {
        self.tick(now, observer);
        self.release_all(observer);
        self.settle(u64::MAX, observer);
        for slot in 0..self.slab.bound() {
            self.announce(slot, observer);
            if let Some(at) = self.overdue(slot, now) {
                self.end_mini(slot, Since::Seen(at), true, Some(MiniEndCause::Expired), observer);
            }
            if self.slab.get(slot).is_some_and(Connection::is_over) {
                self.let_go(slot, observer);
            }
        }
    }

    /// The owner of the full socket at an address became known; ignored when a stronger one is.
    pub fn owner_seen(&mut self, sock: u64, owner: &Owner) {
        if let Some(&slot) = self.socks.get(&sock) {
            self.offer(slot, &owner.process, owner.via);
        }
    }

    /// Takes out the connection of a full socket without a word, as if it had never come in: it has these ends, which nobody
    /// asked for, and there will be no more of it. Another connection at the socket's address has ended unseen.
    pub fn withdraw<O: Observer + ?Sized>(&mut self, head: &Head, tuple: &Tuple, observer: &mut O) {
        self.release_of(head.sock, observer);
        if let Some(slot) = self.find(head, &Ends::of(tuple), observer) {
            self.take_back(slot);
        }
    }

    /// A connection's owner.
    pub fn owner(&self, connection: &Connection) -> Option<Owner> {
        self.processes.owner(connection)
    }

    /// A small number that says whose a connection is, as long as nothing changes; 0 for nobody's.
    pub fn owner_mark(&self, connection: &Connection) -> u32 {
        if connection.via.is_some() { connection.process + 1 } else { 0 }
    }

    /// Whether nobody asks about mini-sockets: the table has none.
    pub(crate) fn ignores_minis(&self) -> bool {
        self.config.mini_ends == MiniEndSource::Ignored
    }

    /// The connection of a socket that a dump found, once the dump was taken as a census.
    pub fn found(&self, found: &Found) -> Option<&Connection> {
        let slot = if found.head.has(flag::MINI) {
            self.mini(found.head.netns, &Ends::of(&found.tuple))
        } else {
            self.socks.get(&found.head.sock).copied()
        };
        self.slab.get(slot?)
    }

    /// Every connection, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slab.iter().map(|(_, connection)| connection)
    }

    /// Every connection with its number, for [`Table::at`] while the table is not changed.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u32, &Connection)> {
        self.slab.iter()
    }

    /// The connection of a number.
    pub(crate) fn at(&self, slot: u32) -> Option<&Connection> {
        self.slab.get(slot)
    }

    /// Whether anybody listens on a port of a network namespace.
    pub(crate) fn has_listener(&self, netns: u32, port: u16) -> bool {
        !self.listeners.on(netns, port).is_empty()
    }

    /// Inodes of the network namespaces in which there are mini-sockets.
    pub fn mini_netns(&self) -> impl Iterator<Item = u32> + '_ {
        self.minis.netns()
    }

    /// How many connections there are.
    pub const fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was counted.
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }
}
