//! Requests in dumps, and the connections that they become.

use tcplife_common::wire::{self, Found, Gauge, Head, Record, Stats, flag};

use super::{
    Log,
    census::{NETNS, SECOND, ended, found, moved, take},
    run,
};
use crate::{
    connection::{Connection, Role},
    state::{NEW_SYN_RECV, State},
    table::{CensusOutcome, Config, Handshakes, Table},
    timeline::Since,
};

const ESTABLISHED: u8 = 1;
const SYN_RECV: u8 = 3;
const LISTEN: u8 = 10;

/// A request whose SYN-ACK was sent at `sent`; its address is not that of the socket that it becomes.
fn request(sock: u64, at: u64, sent: u64) -> Found {
    let full = found(sock, SYN_RECV, at);
    let head = Head { new: NEW_SYN_RECV, sock: sock + 500, cookie: 0, flags: flag::ORPHAN, ..full.head };
    let gauge = Gauge { stamp_ns: sent, ..Gauge::default() };
    Found { head, gauge, stats: Stats { retransmits: 1, ..Stats::default() }, ..full }
}

fn born(sock: u64, at: u64, begun: u64) -> Record {
    let full = found(sock, SYN_RECV, at);
    Record::Born(wire::Born { head: full.head, tuple: full.tuple, begun_ns: begun })
}

fn only(table: &Table) -> &Connection {
    assert_eq!(table.len(), 1, "{table:?}");
    table.iter().next().expect("there is one")
}

/// A table that has taken up one request, and its id.
fn with_request(handshakes: Handshakes) -> (Table, Log, u64) {
    let (mut table, mut log) = run(Config { handshakes, ..Config::default() }, &[]);
    let outcome = take(&mut table, &mut log, 9 * SECOND, &[request(1, 10 * SECOND, 8 * SECOND)]);
    assert_eq!(outcome, CensusOutcome { adopted: 1, ..CensusOutcome::default() });
    let id = only(&table).id().0;
    (table, log, id)
}

#[test]
fn a_request_is_taken_up_with_its_age() {
    let (mut table, mut log, _) = with_request(Handshakes::Told);
    let connection = only(&table);
    assert_eq!((connection.state(), connection.role()), (State::SynReceived, Some(Role::Server)));
    assert_eq!((connection.since(), connection.retransmits()), (Since::Seen(8 * SECOND), 1));
    let again = take(&mut table, &mut log, 19 * SECOND, &[request(1, 20 * SECOND, 8 * SECOND)]);
    assert_eq!(again, CensusOutcome::default());
    only(&table);
    assert!(log.0.is_empty(), "nothing happened: {log:?}");
}

#[test]
fn the_connection_that_it_becomes_is_the_same() {
    for handshakes in [Handshakes::Told, Handshakes::Hidden] {
        let (mut table, mut log, id) = with_request(handshakes);
        let told = handshakes == Handshakes::Told;
        let mut records = vec![moved(1, LISTEN, SYN_RECV, 11 * SECOND)];
        records.extend(told.then(|| born(1, 11 * SECOND + 1, 8 * SECOND)));
        records.push(moved(1, SYN_RECV, ESTABLISHED, 11 * SECOND + 2));
        for record in &records {
            table.apply(record, &mut log);
        }
        let connection = only(&table);
        assert_eq!((connection.id().0, connection.state()), (id, State::Established));
        assert_eq!((connection.retransmits(), connection.complete()), (1, true));
        let lengths: Vec<_> = log.transitions().map(|(id, t)| (id, t.from, t.elapsed)).collect();
        let stay = Some(3 * SECOND + 2);
        assert_eq!(lengths, [(id, State::Listen, None), (id, State::SynReceived, stay)]);
        table.apply(&ended(1, ESTABLISHED, 12 * SECOND), &mut log);
        table.tick(13 * SECOND, &mut log);
        assert!(table.is_empty());
        assert_eq!((table.totals().opened, table.totals().closed, log.lives().count()), (1, 1, 1));
    }
}

#[test]
fn one_that_was_born_during_the_look_is_not_doubled() {
    let (mut table, mut log) = run(Config { handshakes: Handshakes::Told, ..Config::default() }, &[]);
    table.expect_census();
    let begun = 10 * SECOND;
    for record in [
        moved(1, LISTEN, SYN_RECV, begun + 2),
        born(1, begun + 3, 8 * SECOND),
        moved(1, SYN_RECV, ESTABLISHED, begun + 4),
    ] {
        table.apply(&record, &mut log);
    }
    let outcome = take(&mut table, &mut log, begun, &[request(1, begun + 1, 8 * SECOND)]);
    assert_eq!(outcome, CensusOutcome::default());
    assert_eq!(only(&table).state(), State::Established);
}

#[test]
fn one_that_is_gone_was_given_up() {
    let (mut table, mut log, id) = with_request(Handshakes::Told);
    assert_eq!(take(&mut table, &mut log, 30 * SECOND, &[]).missing, 1);
    assert_eq!(take(&mut table, &mut log, 31 * SECOND, &[]).ended, 1);
    assert!(table.is_empty());
    let moves: Vec<_> = log.transitions().map(|(id, t)| (id, t.from, t.to, t.elapsed)).collect();
    assert_eq!(moves, [(id, State::SynReceived, State::Closed, None)]);
    assert_eq!((log.lives().count(), table.totals().mismatched), (0, 0), "no life, and nothing was lost");
}

#[test]
fn a_second_try_from_the_same_port_is_another_one() {
    let (mut table, mut log, id) = with_request(Handshakes::Told);
    let outcome = take(&mut table, &mut log, 30 * SECOND, &[request(1, 31 * SECOND, 29 * SECOND)]);
    assert_eq!(outcome.adopted, 1);
    assert_ne!(only(&table).id().0, id);
    assert_eq!(log.transitions().count(), 1, "the first one's end");
}

#[test]
fn a_full_socket_whose_making_was_lost_is_the_request() {
    let (mut table, mut log, id) = with_request(Handshakes::Told);
    let outcome = take(&mut table, &mut log, 30 * SECOND, &[found(1, ESTABLISHED, 31 * SECOND)]);
    assert_eq!(outcome, CensusOutcome { corrected: 1, ..CensusOutcome::default() });
    let connection = only(&table);
    assert_eq!((connection.id().0, connection.netns()), (id, NETNS));
    assert!(!connection.complete());
    assert!(!connection.awaits_accept(), "an application has it by now");
    table.apply(&ended(1, ESTABLISHED, 32 * SECOND), &mut log);
    table.tick(33 * SECOND, &mut log);
    assert_eq!(log.lives().count(), 1);
}

#[test]
fn an_event_of_a_full_socket_whose_making_was_lost_is_the_requests() {
    let (mut table, mut log, id) = with_request(Handshakes::Told);
    table.apply(&ended(1, ESTABLISHED, 32 * SECOND), &mut log);
    assert!(table.is_empty());
    assert!(log.lives().all(|life| life.0 == id));
    assert_eq!(log.lives().count(), 1);
}

/// A socket that was not bound gets its port after it listens.
#[test]
fn a_listener_is_found_by_the_port_that_it_gets_later() {
    let listens = moved(1, 7, LISTEN, SECOND);
    let Record::Move(mut unbound) = listens else { panic!("{listens:?}") };
    (unbound.tuple.local_port, unbound.tuple.remote_port) = (0, 0);
    (unbound.head.flags, unbound.task.tgid) = (flag::BY_TASK, 42);
    let (mut table, mut log) = run(Config::default(), &[Record::Move(unbound)]);
    let mut listener = found(1, LISTEN, 3 * SECOND);
    listener.tuple.remote_port = 0;
    take(&mut table, &mut log, 2 * SECOND, &[listener]);
    assert_eq!(only(&table).local().port(), 1);
    let child = Found { tuple: listener.tuple, ..found(2, ESTABLISHED, 5 * SECOND) };
    take(&mut table, &mut log, 4 * SECOND, &[listener, child]);
    let child = table.iter().find(|c| c.state() == State::Established).expect("taken up");
    assert_eq!(table.owner(child).map(|owner| owner.process.pid), Some(42));
}
