//! Who is taken for the owner of a connection because it listens where that came in.

use tcplife_common::wire::{Found, Head, Move, Record, Task, Tuple, flag};

use super::{
    Log,
    census::{CLOSE, ESTABLISHED, SECOND, SYN_SENT, found, moved, take},
    check, run,
};
use crate::{
    owner::Via,
    table::{Config, Table},
};

const SYN_RECEIVED: u8 = 3;
const CLOSE_WAIT: u8 = 8;
const LISTEN: u8 = 10;

/// The connection, and the port it came in at.
const SOCK: u64 = 1;
const ANY: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
const OWN: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];

/// A listener on the connection's port that a process holds, if its number is not 0.
fn listener(sock: u64, local: [u8; 16], pid: u32) -> Found {
    let of = found(SOCK, LISTEN, SECOND);
    let flags = if pid == 0 { 0 } else { flag::HELD };
    Found {
        head: Head { sock, cookie: sock + 1000, flags, ..of.head },
        tuple: Tuple { local, remote: ANY, remote_port: 0, ..of.tuple },
        task: Task { tgid: pid, ..Task::default() },
        ..of
    }
}

fn owner(table: &Table) -> Option<(u32, Via)> {
    let connection = table.iter().find(|connection| connection.sock == SOCK).expect("it is there");
    table.owner(connection).map(|owner| (owner.process.pid, owner.via))
}

/// Whose a connection is after a dump of these listeners and what follows.
fn after(listeners: &[Found], then: impl Fn(&mut Table, &mut Log)) -> Option<(u32, Via)> {
    let (mut table, mut log) = run(Config::default(), &[]);
    take(&mut table, &mut log, SECOND - 1, listeners);
    then(&mut table, &mut log);
    check::table(&table);
    owner(&table)
}

/// Whose a connection is that a dump found in this state, and that no process holds.
fn found_in(state: u8, listeners: &[Found]) -> Option<(u32, Via)> {
    let socket = found(SOCK, state, 2 * SECOND);
    after(listeners, |table, log| {
        take(table, log, SECOND, &[listeners, &[socket]].concat());
    })
}

/// Whose a connection is that nothing was known of before it moved so.
fn moving(old: u8, new: u8, listeners: &[Found]) -> Option<(u32, Via)> {
    after(listeners, |table, log| table.apply(&moved(SOCK, old, new, 2 * SECOND), log))
}

/// Whose a connection is that comes in now.
fn coming(listeners: &[Found]) -> Option<(u32, Via)> {
    let Record::Move(child) = moved(SOCK, LISTEN, SYN_RECEIVED, 2 * SECOND) else { panic!("no move") };
    let head = Head { flags: flag::ORPHAN, ..child.head };
    after(listeners, |table, log| table.apply(&Record::Move(Move { head, ..child }), log))
}

const TEN: Option<(u32, Via)> = Some((10, Via::Listener));

#[test]
fn a_connection_that_comes_in_is_the_closest_listeners() {
    assert_eq!(coming(&[listener(5, ANY, 11), listener(6, OWN, 10)]), TEN);
    assert_eq!(coming(&[listener(5, OWN, 11), listener(6, OWN, 10)]), None);
    assert_eq!(coming(&[listener(5, ANY, 11), listener(6, OWN, 0)]), None, "not the other's, whosever it is");
}

#[test]
fn one_that_came_in_before_may_be_any_listeners() {
    let one = [listener(5, ANY, 10)];
    let same = [listener(5, ANY, 10), listener(6, OWN, 10)];
    let two = [listener(5, ANY, 11), listener(6, OWN, 10)];
    let unknown = [listener(5, ANY, 0), listener(6, OWN, 10)];
    for (listeners, expected) in
        [(one.as_slice(), TEN), (same.as_slice(), TEN), (two.as_slice(), None), (unknown.as_slice(), None)]
    {
        assert_eq!(found_in(CLOSE_WAIT, listeners), expected);
        assert_eq!(moving(ESTABLISHED, CLOSE_WAIT, listeners), expected);
    }
}

#[test]
fn a_client_that_is_bound_to_the_port_came_to_no_listener() {
    let listeners = [listener(5, ANY, 10)];
    assert_eq!(found_in(SYN_SENT, &listeners), None);
    assert_eq!(moving(SYN_SENT, ESTABLISHED, &listeners), None);
    assert_eq!(moving(CLOSE, SYN_SENT, &listeners), None);
}
