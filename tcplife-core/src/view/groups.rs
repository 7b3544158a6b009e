//! Connections by process, port or peer.

use std::{collections::HashMap, net::IpAddr};

use foldhash::fast::RandomState;

use crate::{
    connection::{Connection, Role},
    owner::{Owner, Process},
    state::State,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupKey {
    /// The connections of a process (thread-group id and name); of nobody known.
    Process(Option<(u32, [u8; 16])>),
    /// Those of a service's port.
    Port(u16),
    /// Those with an address.
    Peer(IpAddr),
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

/// Connections by group.
pub(super) struct Tally {
    by: GroupBy,
    groups: HashMap<GroupKey, GroupRow, RandomState>,
}

impl Tally {
    pub(super) fn new(by: GroupBy) -> Self {
        Self { by, groups: HashMap::default() }
    }

    pub(super) fn add(&mut self, connection: &Connection, owner: Option<Owner>, is_suspicious: bool) {
        let key = GroupKey::of(self.by, connection, owner);
        let group = self.groups.entry(key).or_insert_with(|| GroupRow {
            key,
            count: 0,
            by_state: [0; State::COUNT],
            suspicious: 0,
            oldest: u64::MAX,
            retransmits: 0,
        });
        group.count += 1;
        group.by_state[connection.state().index()] += 1;
        group.suspicious += usize::from(is_suspicious);
        group.oldest = group.oldest.min(connection.entered());
        group.retransmits += u64::from(connection.retransmits());
    }

    /// The largest, those with suspicious connections first.
    pub(super) fn rows(self) -> Vec<GroupRow> {
        let mut rows: Vec<GroupRow> = self.groups.into_values().collect();
        rows.sort_unstable_by(|a, b| {
            (b.suspicious, b.count).cmp(&(a.suspicious, a.count)).then(a.key.cmp(&b.key))
        });
        rows.truncate(MOST);
        rows
    }
}
