//! Connections by process, port or peer.

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
};

use crate::{
    connection::{Connection, Role},
    numbers::{Numbered, Numbering, hash_address, largest, places},
    owner::{Owner, Process},
    state::State,
    table::Table,
    timeline::Since,
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
    fn of(by: GroupBy, table: &Table, connection: &Connection) -> Self {
        match by {
            GroupBy::Process => {
                let owner = table.owner(connection);
                Self::Process(owner.map(|Owner { process: Process { pid, comm, .. }, .. }| (pid, comm)))
            }
            GroupBy::Port => Self::Port(service_port(table, connection)),
            GroupBy::Peer => Self::Peer(connection.remote().ip()),
        }
    }

    /// A small number that says which group a connection is in; only where [`GroupKey::has_marks`].
    fn mark(by: GroupBy, table: &Table, connection: &Connection) -> u32 {
        match by {
            GroupBy::Process => table.owner_mark(connection),
            GroupBy::Port => u32::from(service_port(table, connection)),
            GroupBy::Peer => 0,
        }
    }

    const fn has_marks(by: GroupBy) -> bool {
        matches!(by, GroupBy::Process | GroupBy::Port)
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

/// The port of the service that a connection uses. Where it is not known who opened it, that is the
/// port that has a listener, or the lower one: ports that are given to clients are high.
fn service_port(table: &Table, connection: &Connection) -> u16 {
    let ends = connection.ends();
    let is_client = match connection.role() {
        Some(role) => role == Role::Client,
        None => {
            ends.local_port > ends.remote_port && !table.has_listener(connection.netns(), ends.local_port)
        }
    };
    if is_client && ends.remote_port != 0 { ends.remote_port } else { ends.local_port }
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
    /// When the first of them entered its state.
    pub oldest: Since,
    /// Segments sent again on them.
    pub retransmits: u64,
}

/// Connections by group: first how many are in each, then all about the largest.
pub(super) struct Tally {
    by: GroupBy,
    /// Every connection's group.
    groups: Numbering<GroupKey>,
    /// Every connection's number in the table, and whether it is suspicious.
    members: Vec<(u32, bool)>,
}

impl Tally {
    pub(super) fn new(by: GroupBy, room: usize) -> Self {
        let groups = Numbering::new(GroupKey::has_marks(by), room);
        Self { by, groups, members: Vec::with_capacity(room) }
    }

    pub(super) fn add(&mut self, table: &Table, slot: u32, connection: &Connection, is_suspicious: bool) {
        let key = || GroupKey::of(self.by, table, connection);
        self.groups.add(GroupKey::mark(self.by, table, connection), key);
        self.members.push((slot, is_suspicious));
    }

    /// The largest, those with suspicious connections first.
    pub(super) fn rows(self, table: &Table) -> Vec<GroupRow> {
        let Numbered { keys, numbers } = self.groups.finish();
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
            oldest: Since::Seen(u64::MAX),
            retransmits: 0,
        }
    }

    fn add(&mut self, connection: &Connection) {
        self.by_state[connection.state().index()] += 1;
        if connection.entered() < self.oldest.latest() {
            self.oldest = connection.since();
        }
        self.retransmits += u64::from(connection.retransmits());
    }
}
