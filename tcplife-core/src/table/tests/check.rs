//! Whether a table agrees with itself.

use std::collections::HashSet;

use super::super::{Table, index::Stamp};
use crate::{
    connection::{Connection, Marks, Phase},
    state::State,
};

/// Checks counts and indexes against the connections.
pub(super) fn table(table: &Table) {
    let totals = table.totals();
    assert_eq!(totals.opened, totals.live_total() + totals.closed + totals.evicted);
    assert!(totals.unattributed <= totals.connections());
    let mut live = [0; State::COUNT];
    let mut ids = HashSet::new();
    let (mut by_sock, mut minis, mut listening, mut embryos) = (0, 0, 0, 0);
    let (mut requests, mut parked, mut processes) = (0, 0, HashSet::new());
    for (slot, connection) in table.numbered() {
        live[connection.state().index()] += 1;
        assert!(ids.insert(connection.id()), "an id is here once");
        if connection.marks.has(Marks::BY_SOCK) {
            by_sock += 1;
            assert_eq!(table.socks.get(&connection.sock), Some(&slot));
        }
        if connection.phase == Phase::Mini {
            minis += usize::from(!table.ignores_minis());
            mini(table, slot, connection);
        } else {
            assert_ne!(connection.state(), State::TimeWait, "TIME_WAIT is in a mini-socket");
        }
        assert_eq!(connection.phase == Phase::Closed, connection.state() == State::Closed);
        assert!(
            connection.phase != Phase::Closed || connection.marks.has(Marks::BY_SOCK),
            "CLOSED waits for a reason"
        );
        if connection.state() == State::Listen {
            listening += 1;
            assert!(table.listeners.on(connection.netns, connection.ends.local_port).contains(&slot));
        }
        if connection.state() == State::SynReceived && connection.phase == Phase::Full {
            embryos += usize::from(table.embryos.iter().any(|other| other == slot));
        }
        if connection.is_request() {
            requests += 1;
            assert_eq!(table.requests.get(connection.netns, &connection.ends), Some(slot));
        }
        if connection.is_parked() {
            parked += 1;
            assert!(connection.state() != State::Listen && !table.ignores_minis());
        }
        if connection.via.is_some() {
            processes.insert(connection.process);
            assert!(table.processes.get(connection.process).is_some());
        }
    }
    assert_eq!(live, totals.live);
    assert_eq!(ids.len(), table.len());
    assert_eq!((by_sock, minis), (table.socks.len(), table.minis.len()));
    assert_eq!(minis, table.minis.on_ports());
    assert_eq!((listening, embryos), (table.listeners.len(), table.embryos.iter().count()));
    assert_eq!((requests, parked), (table.requests.len(), table.parked.len()));
    assert_eq!(processes.len(), table.processes.len());
}

/// Checks a connection in a mini-socket.
fn mini(table: &Table, slot: u32, connection: &Connection) {
    assert!(matches!(connection.state(), State::FinWait2 | State::TimeWait));
    let ignored = table.ignores_minis();
    assert_eq!(table.mini(connection.netns, &connection.ends), (!ignored).then_some(slot));
    let stamped =
        table.minis.find(connection.netns, &connection.ends).is_some_and(|place| place.1 != Stamp::NONE);
    assert!(!stamped || connection.state() == State::TimeWait, "others may change in other ways");
    assert!(!ignored || connection.marks.has(Marks::BY_SOCK), "nothing else is kept of it");
}
