//! What stays are grouped by.

use std::{
    borrow::Cow,
    cmp::Ordering,
    hash::{Hash, Hasher},
    net::IpAddr,
};

use serde::{Serialize, Serializer, ser::SerializeMap};
use tcplife_core::{
    connection::Connection,
    numbers::{Numbering, hash_address},
    owner::{Owner, Process},
    state::State,
    table::Table,
};

use crate::{
    escape,
    process::container::{Container, Containers},
};

/// A kind of group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By owner.
    Process,
    /// By local port.
    LocalPort,
    /// By remote address.
    Remote,
    /// By the container that the owner runs in.
    Container,
}

impl By {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Process, Self::LocalPort, Self::Remote, Self::Container];

    /// The name on a screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::LocalPort => "local port",
            Self::Remote => "remote address",
            Self::Container => "container",
        }
    }
}

/// A process with the name that it had when it was first counted: by another name it is the same.
#[derive(Clone, Copy, Debug)]
pub struct Member(pub Process);

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.0.identity() == other.0.identity()
    }
}

impl Eq for Member {}

impl PartialOrd for Member {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Member {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.identity().cmp(&other.0.identity())
    }
}

/// One group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The connections of a process; `None` for those whose owner is not known.
    Process(Option<Member>),
    /// Those of a local port.
    LocalPort(u16),
    /// Those to and from an address; `None` for listeners.
    Remote(Option<IpAddr>),
    /// Those of processes in a container, or in none; `None` if that is not known.
    Container(Option<Container>),
}

/// By what nearly always tells groups of one kind apart, and no more: a report hashes the group of every connection.
impl Hash for Group {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Process(process) => state.write_u32(process.map_or(0, |Member(process)| process.pid)),
            Self::LocalPort(port) => state.write_u16(*port),
            Self::Remote(None) => state.write_u32(0),
            Self::Remote(Some(address)) => hash_address(address, state),
            Self::Container(container) => container.hash(state),
        }
    }
}

impl Group {
    /// The group as text that a terminal can show.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Process(Some(Member(process))) => {
                format!("{} pid {}", escape::printable(process.comm_bytes()), process.pid).into()
            }
            Self::Process(None) => "owner not known".into(),
            Self::LocalPort(port) => format!("local port {port}").into(),
            Self::Remote(Some(address)) => format!("remote {address}").into(),
            Self::Remote(None) => "listeners".into(),
            Self::Container(Some(Container::Id(id))) => {
                format!("container {}", String::from_utf8_lossy(id)).into()
            }
            Self::Container(Some(Container::Host)) => "in no container".into(),
            Self::Container(None) => "container not known".into(),
        }
    }
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Process(process) => {
                map.serialize_entry("pid", &process.map(|Member(process)| process.pid))?;
                let comm = process.as_ref().map(|Member(process)| process.comm_text());
                map.serialize_entry("comm", &comm)?;
            }
            Self::LocalPort(port) => map.serialize_entry("local_port", port)?,
            Self::Remote(address) => map.serialize_entry("remote_addr", address)?,
            Self::Container(container) => {
                map.serialize_entry("container", &container.as_ref().map(Container::name))?;
            }
        }
        map.end()
    }
}

/// Finds the group of a connection.
#[derive(Debug)]
pub struct Grouper {
    by: By,
    containers: Containers,
}

impl Grouper {
    /// By what `by` says.
    pub fn new(by: By) -> Self {
        Self { by, containers: Containers::default() }
    }

    /// By what.
    pub const fn by(&self) -> By {
        self.by
    }

    /// Groups for the connections of a table, and `more`.
    pub fn numbering(&self, table: &Table, more: usize) -> Numbering<Group> {
        Numbering::new(!matches!(self.by, By::Remote), table.len() + more)
    }

    /// A small number that says which group a connection is in, where [`Grouper::numbering`] takes marks.
    pub fn mark(&self, table: &Table, connection: &Connection) -> u32 {
        match self.by {
            By::Process | By::Container => table.owner_mark(connection),
            By::LocalPort => u32::from(connection.ends().local_port),
            By::Remote => 0,
        }
    }

    /// The group that a connection is in now.
    pub fn group(&mut self, connection: &Connection, owner: Option<Owner>) -> Group {
        match self.by {
            By::Process => Group::Process(owner.map(|owner| Member(owner.process))),
            By::LocalPort => Group::LocalPort(connection.ends().local_port),
            By::Remote => {
                let is_listener = connection.state() == State::Listen;
                Group::Remote((!is_listener).then(|| connection.remote().ip()))
            }
            By::Container => Group::Container(owner.and_then(|owner| self.containers.of(&owner.process))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_one_group_by_whatever_name() {
        let of =
            |start_ns, name| Group::Process(Some(Member(Process { pid: 7, start_ns, comm: [name; 16] })));
        assert_eq!(of(1, b'a'), of(1, b'b'));
        assert_ne!(of(1, b'a'), of(2, b'a'), "the pid was given to another");
    }
}
