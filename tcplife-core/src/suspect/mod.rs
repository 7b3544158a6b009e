//! Sockets that wait for somebody's close, as the kernel has them at one moment.
//!
//! What comes in: a dump of the sockets in `CLOSE_WAIT`, `FIN_WAIT_2`, `FIN_WAIT_1` and `CLOSED` and of the listeners, with every
//! holder's descriptor, and a table that has taken that dump as a census. What goes out: a [`Suspect`] for each socket that is in
//! the table, with its [`Verdict`] and the evidence; how many orphans there are. What always holds: nothing is in it that the dump has not found; a process is
//! named only where the kernel's own structures lead to it.

mod evidence;
pub mod groups;
#[cfg(test)]
mod tests;
mod verdict;

use std::cmp::Reverse;

use tcplife_common::wire::{Found, mark};

use evidence::Socket;
pub use evidence::{Sight, Sockets};
use verdict::judge;
pub use verdict::{Facts, Keeper, Verdict};

use crate::{
    by_two::by_two,
    connection::{Connection, Role},
    filter::Filter,
    owner::{Owner, Process, Via},
    state::State,
    table::{Table, since_fin_wait_2},
    timeline::Age,
};

/// Sockets that a thread judges at a time.
const TURN: usize = 1024;

/// One descriptor of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Whose.
    pub process: Process,
    /// Which.
    pub fd: u32,
}

/// Who has to accept a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The process that listens; the first of several that hold the listener.
    pub process: Process,
    /// How many processes hold it, such as the workers of a server; of init not, which only keeps it.
    pub processes: usize,
    /// Connections that wait.
    pub queue: u32,
    /// How many may wait.
    pub limit: u32,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// On another host, or not to be told.
    Unknown,
    /// On this host; whose it is, if that is known.
    Here(Option<Process>),
    /// It was on this host and is gone: nothing will ever come from there.
    Gone,
}

/// A socket that waits for somebody's close, or whose descriptor does.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// The connection, as the table knows it.
    pub connection: Connection,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// What it is called.
    pub verdict: Verdict,
    /// Why.
    pub facts: Facts,
    /// Every descriptor of every process, by process and number.
    pub holders: Vec<Holder>,
    /// Of one in an accept queue: who has to accept it.
    pub listener: Option<Listening>,
    /// The other end.
    pub peer: Peer,
    /// The other end opened it; where that was not seen, somebody listens at its local end.
    pub of_server: bool,
    /// `SO_KEEPALIVE` is on.
    pub keepalive: bool,
}

/// How many suspects somebody has to fix something about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Faults {
    /// Leaks.
    pub leaks: usize,
    /// What is left of connections that are over.
    pub ended: usize,
}

impl Faults {
    /// Counts them.
    pub fn of<'a>(suspects: impl IntoIterator<Item = &'a Suspect>) -> Self {
        let mut faults = Self::default();
        for suspect in suspects {
            faults.leaks += usize::from(suspect.verdict.is_leak());
            faults.ended += usize::from(suspect.verdict == Verdict::EndedUnclosed);
        }
        faults
    }

    /// Whether there are any.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

impl Suspect {
    /// Whether the user selected it: by its owner, or by any process that holds it or has to accept it.
    pub fn is_wanted(&self, filter: &Filter) -> bool {
        if filter.is_empty() {
            return true;
        }
        let holders = self.holders.iter().map(|holder| Owner { process: holder.process, via: Via::Holder });
        let listener = self.listener.map(|listener| Owner { process: listener.process, via: Via::Listener });
        let mut whose = holders.chain(listener).chain(self.owner).map(Some).chain([None]);
        whose.any(|owner| filter.matches(&self.connection, owner))
    }

    /// Whether somebody here has to close the socket, sooner or later: an orphan was closed here already.
    pub fn is_closable(&self) -> bool {
        self.facts.keeper != Keeper::Nobody
    }

    /// The process that has to close it: the owner if it holds it, else the first that does, else who listens.
    pub(crate) fn accused(&self) -> Option<Process> {
        let owns = |holder: &&Holder| self.owner.is_some_and(|owner| owner.process.pid == holder.process.pid);
        let holder = self.holders.iter().find(owns).or_else(|| self.holders.first());
        let listener = || self.listener.map(|listener| listener.process);
        let orphan = || self.owner.filter(|_| self.facts.keeper == Keeper::Nobody).map(|owner| owner.process);
        holder.map(|holder| holder.process).or_else(listener).or_else(orphan)
    }
}

/// What the sockets of a dump are, at `now` (nanoseconds of `CLOCK_MONOTONIC`), oldest first. `table` has taken the same dump
/// as a census. A leak needs `leak_after` nanoseconds in its state; `hz` is the kernel's ticks a second.
pub fn suspects(table: &Table, sockets: &Sockets<'_>, now: u64, leak_after: u64, hz: u32) -> Vec<Suspect> {
    let when = (now, leak_after, hz);
    let may_wait = |socket: &&Socket<'_>| socket.is_judged() && !(socket.is_mini() && table.ignores_minis());
    let waiting: Vec<&Socket<'_>> = sockets.all().iter().filter(may_wait).collect();
    let judged = by_two(&waiting, TURN, |socket| suspect(table, sockets, socket, when));
    #[expect(clippy::filter_map_identity, reason = "stays in the same memory; flatten does not")]
    let mut suspects: Vec<Suspect> = judged.into_iter().filter_map(|suspect| suspect).collect();
    suspects.sort_by_cached_key(|suspect| (Reverse(suspect.facts.age.min), suspect.connection.id()));
    suspects
}

/// How many of something there are of each verdict, in the order of [`Verdict::ALL`].
pub type Tally = [usize; Verdict::ALL.len()];

/// How many of the orphans in mini-sockets that are wanted there are of each verdict. Nobody here has to close them: they are
/// many, and to most their number is all that there is to tell.
pub fn orphans(
    sockets: &Sockets<'_>,
    is_wanted: impl Fn(&Found) -> bool,
    now: u64,
    leak_after: u64,
    hz: u32,
) -> Tally {
    let mut counts = Tally::default();
    for socket in sockets.all().iter().filter(|socket| socket.is_mini() && is_wanted(socket.found)) {
        let facts = Facts { age: since_fin_wait_2(socket.found, hz).age(now), ..socket.facts(hz) };
        if let Some(verdict) = judge(&facts, leak_after) {
            counts[verdict as usize] += 1;
        }
    }
    counts
}

fn suspect(
    table: &Table,
    sockets: &Sockets<'_>,
    socket: &Socket<'_>,
    (now, leak_after, hz): (u64, u64, u32),
) -> Option<Suspect> {
    let state = socket.state();
    let connection = table.found(socket.found).filter(|connection| connection.state() == state)?;
    let facts = Facts { age: age(connection, socket, now, hz), ..socket.facts(hz) };
    let awaits_accept = facts.keeper == Keeper::AcceptQueue;
    Some(Suspect {
        connection: connection.clone(),
        owner: table.owner(connection),
        verdict: judge(&facts, leak_after)?,
        facts,
        holders: socket.holders(),
        listener: if awaits_accept { sockets.listener(socket) } else { None },
        peer: sockets.peer(table, socket),
        of_server: connection.role().map_or_else(|| sockets.listens_for(socket), |role| role == Role::Server),
        keepalive: socket.found.gauge.marks & mark::KEEPALIVE != 0,
    })
}

/// How long it has been in its state. What the table has seen is exact; the socket's own clocks must not contradict it. Those of a
/// closed socket tell less the later they are read.
fn age(connection: &Connection, socket: &Socket<'_>, now: u64, hz: u32) -> Age {
    let (known, found) = (connection.since().age(now), socket.found);
    if socket.is_mini() || socket.state() == State::Closed {
        return known;
    }
    let clocks = crate::table::since_gauge(connection.state(), &found.gauge, found.head.time_ns, hz).age(now);
    let overlap =
        known.max.is_none_or(|max| clocks.min <= max) && clocks.max.is_none_or(|max| known.min <= max);
    if overlap { known } else { clocks }
}
