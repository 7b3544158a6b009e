//! Connections by process, port or peer.

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
};

use crate::{
    connection::{Connection, Role},
    numbers::{Numbered, hash_address, largest, places},
    owner::{Owner, Process},
    state::State,
    table::Table,
};

/// Groups that are listed at most; the largest come first.
pub const MOST: usize = 1_000;

/// What connections are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// The owner.
    Process,
    /// The port of the service: the remote one of a client, the local one of a server.
    Port,
    /// The remote address.
    Peer,
}

impl GroupBy {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Process, Self::Port, Self::Peer];

    /// The name on the screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Port => "port",
            Self::Peer => "peer",
        }
    }
}

/// One group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKey {
    /// The connections of a process (thread-group id and name); of nobody known.
    Process(Option<(u32, [u8; 16])>),
    /// Those of a service's port.
    Port(u16),
    /// Those with an address.
    Peer(IpAddr),
}

/// By what nearly always tells keys of one kind apart, and no more: a screen hashes the key of every connection.
impl Hash for GroupKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Process(process) => state.write_u32(process.map_or(0, |(pid, _)| pid)),
            Self::Port(port) => state.write_u16(*port),
            Self::Peer(address) => hash_address(address, state),
        }
    }
}

impl GroupKey {
    /// The group of a connection.
    pub fn of(by: GroupBy, connection: &Connection, owner: Option<Owner>) -> Self {
        match by {
            GroupBy::Process => {
                Self::Process(owner.map(|Owner { process: Process { pid, comm, .. }, .. }| (pid, comm)))
            }
            GroupBy::Port if connection.role() == Some(Role::Client) => {
                Self::Port(connection.remote().port())
            }
            GroupBy::Port => Self::Port(connection.local().port()),
            GroupBy::Peer => Self::Peer(connection.remote().ip()),
        }
    }

    /// The search term that finds the group.
    pub fn term(&self) -> String {
        match self {
            Self::Process(Some((pid, _))) => format!("pid:{pid}"),
            Self::Process(None) => "pid:-".to_owned(),
            Self::Port(port) => format!("port:{port}"),
            Self::Peer(address) => format!("peer:{address}"),
        }
    }
}

/// A group as a row of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRow {
    /// Which.
    pub key: GroupKey,
    /// Its connections.
    pub count: usize,
    /// How many of them there are in each state.
    pub by_state: [usize; State::COUNT],
    /// How many of them are suspicious.
    pub suspicious: usize,
    /// When the first of them entered its state, at the latest, nanoseconds of `CLOCK_MONOTONIC`.
    pub oldest: u64,
    /// Segments sent again on them.
    pub retransmits: u64,
}

/// Connections by group: first how many are in each, then all about the largest.
pub(super) struct Tally {
    by: GroupBy,
    /// Every connection's group.
    keys: Vec<GroupKey>,
    /// Every connection's number in the table, and whether it is suspicious.
    members: Vec<(u32, bool)>,
}

impl Tally {
    pub(super) fn new(by: GroupBy, room: usize) -> Self {
        Self { by, keys: Vec::with_capacity(room), members: Vec::with_capacity(room) }
    }

    pub(super) fn add(
        &mut self,
        slot: u32,
        connection: &Connection,
        owner: Option<Owner>,
        is_suspicious: bool,
    ) {
        self.keys.push(GroupKey::of(self.by, connection, owner));
        self.members.push((slot, is_suspicious));
    }

    /// The largest, those with suspicious connections first.
    pub(super) fn rows(self, table: &Table) -> Vec<GroupRow> {
        let Numbered { keys, numbers } = Numbered::of(&self.keys);
        let mut sizes = vec![(0u32, 0u32); keys.len()];
        for (&(_, is_suspicious), &number) in self.members.iter().zip(&numbers) {
            let (suspicious, count) = &mut sizes[number as usize];
            *suspicious += u32::from(is_suspicious);
            *count += 1;
        }
        let worst = |&(suspicious, count): &(u32, u32)| u64::from(suspicious) << 32 | u64::from(count);
        let shown = largest(sizes.iter().map(worst), MOST);
        let mut rows: Vec<GroupRow> =
            shown.iter().map(|&number| GroupRow::of(keys[number as usize], sizes[number as usize])).collect();
        let places = places(sizes.len(), &shown);
        for (&(slot, _), number) in self.members.iter().zip(numbers) {
            if let Some(place) = places[number as usize]
                && let Some(connection) = table.at(slot)
            {
                rows[place].add(connection);
            }
        }
        rows.sort_unstable_by(|a, b| {
            (b.suspicious, b.count).cmp(&(a.suspicious, a.count)).then(a.key.cmp(&b.key))
        });
        rows
    }
}

impl GroupRow {
    /// A group, without what its connections tell.
    fn of(key: GroupKey, (suspicious, count): (u32, u32)) -> Self {
        Self {
            key,
            count: count as usize,
            by_state: [0; State::COUNT],
            suspicious: suspicious as usize,
            oldest: u64::MAX,
            retransmits: 0,
        }
    }

    fn add(&mut self, connection: &Connection) {
        self.by_state[connection.state().index()] += 1;
        self.oldest = self.oldest.min(connection.entered());
        self.retransmits += u64::from(connection.retransmits());
    }
}
