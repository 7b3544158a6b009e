//! What a user selected.
//!
//! What comes in: the values of the filter flags. What goes out: whether a connection is wanted. What always holds:
//! kinds of filter are joined by "and", values of one kind by "or"; an empty filter wants everything.

use std::ops::RangeInclusive;

use crate::{connection::Connection, owner::Owner, state::State, table::Table};

/// A set of ports, as ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSet(Vec<RangeInclusive<u16>>);

impl PortSet {
    /// Adds a range; an empty one adds nothing.
    pub fn insert(&mut self, ports: RangeInclusive<u16>) {
        if !ports.is_empty() {
            self.0.push(ports);
        }
    }

    /// Whether the port is in the set.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }

    /// Whether no port is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<RangeInclusive<u16>> for PortSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u16>>>(ranges: I) -> Self {
        let mut set = Self::default();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

/// A set of states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSet(u16);

impl StateSet {
    /// Adds a state.
    pub fn insert(&mut self, state: State) {
        self.0 |= 1 << state.index();
    }

    /// Takes a state out if it is in, and in if it is not.
    pub fn toggle(&mut self, state: State) {
        self.0 ^= 1 << state.index();
    }

    /// Whether the state is in the set.
    pub fn contains(self, state: State) -> bool {
        self.0 & (1 << state.index()) != 0
    }

    /// Whether a filter of this set wants the state: an empty one wants any.
    pub fn wants(self, state: State) -> bool {
        self.is_empty() || self.contains(state)
    }

    /// Whether a state is in both.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether no state is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<State> for StateSet {
    fn from_iter<I: IntoIterator<Item = State>>(states: I) -> Self {
        let mut set = Self::default();
        for state in states {
            set.insert(state);
        }
        set
    }
}

/// Which address families are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// Both.
    #[default]
    Both,
    /// IPv4, mapped addresses included.
    V4,
    /// IPv6.
    V6,
}

impl Families {
    /// Whether IPv4 is among them, or IPv6.
    pub const fn wants(self, is_ipv4: bool) -> bool {
        match self {
            Self::Both => true,
            Self::V4 => is_ipv4,
            Self::V6 => !is_ipv4,
        }
    }
}

/// Which connections are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Thread-group ids of owners; empty for any.
    pub pids: Vec<u32>,
    /// Names of owners (`comm`, up to 15 bytes), exactly; empty for any.
    pub comms: Vec<Vec<u8>>,
    /// States; empty for any.
    pub states: StateSet,
    /// Local ports; empty for any.
    pub local_ports: PortSet,
    /// Remote ports; empty for any.
    pub remote_ports: PortSet,
    /// Address families.
    pub families: Families,
    /// Inodes of network namespaces; empty for any.
    pub netns: Vec<u32>,
}

impl Filter {
    /// Whether everything is wanted.
    pub fn is_empty(&self) -> bool {
        let Self { pids, comms, states, local_ports, remote_ports, families, netns } = self;
        (pids.is_empty() && comms.is_empty() && states.is_empty() && netns.is_empty())
            && (local_ports.is_empty() && remote_ports.is_empty() && *families == Families::Both)
    }

    /// Whether a connection of a table is wanted. Most often everything is, and then nobody asks whose it is.
    pub fn wants(&self, table: &Table, connection: &Connection) -> bool {
        self.is_empty() || self.matches(connection, table.owner(connection))
    }

    /// Whether the connection, in the state it is in, is wanted.
    pub fn matches(&self, connection: &Connection, owner: Option<Owner>) -> bool {
        self.wants_state(connection.state()) && self.matches_any_state(connection, owner)
    }

    /// Whether a segment of the connection is wanted, by the state in which it is sent or received.
    pub fn matches_segment(&self, connection: &Connection, owner: Option<Owner>) -> bool {
        self.wants_state(connection.state_of_segment()) && self.matches_any_state(connection, owner)
    }

    /// Whether the connection is wanted when it is in a wanted state.
    pub fn matches_any_state(&self, connection: &Connection, owner: Option<Owner>) -> bool {
        let ends = connection.ends();
        self.families.wants(connection.is_ipv4())
            && (self.netns.is_empty() || self.netns.contains(&connection.netns()))
            && (self.local_ports.is_empty() || self.local_ports.contains(ends.local_port))
            && (self.remote_ports.is_empty() || self.remote_ports.contains(ends.remote_port))
            && self.wants_owner(owner)
    }

    /// Whether a state is wanted.
    pub fn wants_state(&self, state: State) -> bool {
        self.states.wants(state)
    }

    fn wants_owner(&self, owner: Option<Owner>) -> bool {
        if self.pids.is_empty() && self.comms.is_empty() {
            return true;
        }
        let Some(Owner { process, .. }) = owner else { return false };
        (self.pids.is_empty() || self.pids.contains(&process.pid))
            && (self.comms.is_empty() || self.comms.iter().any(|name| name == process.comm_bytes()))
    }
}
