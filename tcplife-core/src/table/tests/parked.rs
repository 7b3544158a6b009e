//! Connections whose end was lost, and of which an event tells before a list of sockets does.

use proptest::prelude::*;
use tcplife_common::wire::{Found, Head, Mini, MiniNote, Note, Record, flag};

use super::{
    Log, Told,
    census::{
        CLOSE, CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, LISTEN, SECOND, SYN_SENT, TIME_WAIT, as_found,
        found, mini, moved, take,
    },
    check, configs, random, run,
};
use crate::{
    connection::Connection,
    state::State,
    table::{Census, CensusOutcome, Config, MiniEndSource, Scope, Table},
    timeline::Since,
};

const ADDRESS: u64 = 1;
const COOKIE: u64 = 1001;
const SYN_RECV: u8 = 3;

/// A mini-socket of the connection on [`ADDRESS`].
fn in_mini(state: u8, at: u64, left: u64) -> Found {
    let found = mini(ADDRESS, state, at, left);
    Found { head: Head { sock: 99, cookie: COOKIE, ..found.head }, ..found }
}

/// A list was made, a connection is established at 2 s, and at 4 s another one, of port 2, has its socket's address.
fn address_used_again(mini_ends: MiniEndSource) -> (Table, Log) {
    let (mut table, mut log) = run(Config { mini_ends, ..Config::default() }, &[]);
    take(&mut table, &mut log, 1, &[]);
    let Record::Move(mut next) = moved(2, CLOSE, SYN_SENT, 4 * SECOND) else { panic!("no move") };
    next.head.sock = ADDRESS;
    for record in [
        moved(ADDRESS, CLOSE, SYN_SENT, SECOND),
        moved(ADDRESS, SYN_SENT, ESTABLISHED, 2 * SECOND),
        Record::Move(next),
    ] {
        table.apply(&record, &mut log);
        check::table(&table);
    }
    log.check(&table);
    assert_eq!(table.totals().mismatched, 1, "a loss is told at once");
    (table, log)
}

/// What is there of the two, by its local port.
fn left(table: &Table) -> Vec<(u16, u64, State)> {
    let of = |connection: &Connection| (connection.local().port(), connection.id().0, connection.state());
    let mut left: Vec<_> = table.iter().map(of).collect();
    left.sort_unstable();
    left
}

/// What is listed of the other one.
fn other(at: u64) -> Found {
    let other = found(2, SYN_SENT, at);
    Found { head: Head { sock: ADDRESS, ..other.head }, ..other }
}

#[test]
fn one_that_goes_on_in_a_mini_socket_is_the_same() {
    for (state, expected) in [(TIME_WAIT, State::TimeWait), (FIN_WAIT2, State::FinWait2)] {
        let (mut table, mut log) = address_used_again(MiniEndSource::Dumped);
        let found = [in_mini(state, 5 * SECOND, 14_500), other(5 * SECOND)];
        let outcome = take(&mut table, &mut log, 5 * SECOND - 1, &found);
        assert_eq!(outcome, CensusOutcome { corrected: 1, ..CensusOutcome::default() });
        assert_eq!(left(&table), [(1, 1, expected), (2, 2, State::SynSent)]);
        let totals = table.totals();
        assert_eq!((totals.connections(), totals.lives, totals.mismatched), (2, 1, 1));
        let closed: Vec<_> = log.lives().map(|(id, life)| (id, life.closed, life.complete)).collect();
        assert_eq!(closed, [(1, 4 * SECOND, false)], "not later than its address was used again");
        table.tick(SECOND * 75, &mut log);
        assert_eq!(table.len(), if state == TIME_WAIT { 1 } else { 2 }, "its timer is known");
        log.check(&table);
    }
}

/// It was an orphan in `FIN_WAIT_2`, in a mini-socket already, when its address was used again; its peer's FIN came later.
#[test]
fn one_that_entered_time_wait_after_its_address_was_used_again_did_so_then() {
    let (mut table, mut log) = address_used_again(MiniEndSource::Dumped);
    // Of 60 s 50 are left at 30 s.
    take(
        &mut table,
        &mut log,
        30 * SECOND - 1,
        &[in_mini(TIME_WAIT, 30 * SECOND, 12_500), other(30 * SECOND)],
    );
    let connection = table.iter().find(|connection| connection.id().0 == 1).expect("it goes on");
    let since = Since::Between { earliest: Some(2 * SECOND), latest: 20 * SECOND };
    assert_eq!((connection.state(), connection.since()), (State::TimeWait, since));
    assert_eq!(log.lives().map(|(_, life)| life.closed).collect::<Vec<_>>(), [4 * SECOND]);
}

/// The application shut it down and still has the closed socket, which is listed before its mini-socket.
#[test]
fn one_that_goes_on_beside_its_closed_socket_is_the_same() {
    let config = Config { mini_ends: MiniEndSource::Dumped, ..Config::default() };
    let begin = [moved(ADDRESS, CLOSE, SYN_SENT, SECOND), moved(ADDRESS, SYN_SENT, ESTABLISHED, 2 * SECOND)];
    let (mut table, mut log) = run(config, &begin);
    let both = |at| [found(ADDRESS, CLOSE, at), in_mini(TIME_WAIT, at, 14_500)];
    let outcome = take(&mut table, &mut log, 5 * SECOND - 1, &both(5 * SECOND));
    assert_eq!((outcome.adopted, outcome.corrected), (1, 1));
    take(&mut table, &mut log, 6 * SECOND - 1, &both(6 * SECOND));
    assert_eq!(left(&table), [(1, 1, State::TimeWait)]);
    let totals = table.totals();
    assert_eq!((totals.opened, totals.lives, totals.mismatched), (1, 0, 1), "the application has it");
    for begun in [7, 8] {
        take(&mut table, &mut log, begun * SECOND, &[in_mini(TIME_WAIT, 9 * SECOND, 14_000)]);
    }
    table.finish(9 * SECOND, &mut log);
    assert_eq!(log.lives().map(|(id, life)| (id, life.closed)).collect::<Vec<_>>(), [(1, 5 * SECOND)]);
}

#[test]
fn one_whose_mini_socket_moves_on_is_the_same() {
    let (mut table, mut log) = address_used_again(MiniEndSource::Told);
    let found = in_mini(TIME_WAIT, 5 * SECOND, 0);
    let head = Head { flags: 0, old: TIME_WAIT, new: TIME_WAIT, ..found.head };
    let mini = Mini { address: 99, jiffies: 90_000, expires: 105_000, ..Mini::default() };
    let note = MiniNote { head, tuple: found.tuple, mini };
    table.apply(&Record::MiniArmed(note), &mut log);
    check::table(&table);
    log.check(&table);
    assert_eq!(left(&table), [(1, 1, State::TimeWait), (2, 2, State::SynSent)]);
}

#[test]
fn one_that_no_list_has_was_closed_when_its_address_was_used_again() {
    let closed = |log: &Log| match log.0.as_slice() {
        [.., Told::Transition(1, _, last), Told::Life(1, _, life)] => {
            (last.from, last.to, last.at, life.closed, life.end.name())
        }
        told => panic!("{told:?}"),
    };
    let expected = (State::Established, State::Closed, 4 * SECOND, 4 * SECOND, "unknown");
    let (mut table, mut log) = address_used_again(MiniEndSource::Dumped);
    let before = log.0.len();
    // A mini-socket that is younger than the list may not be in it.
    let outcome = take(&mut table, &mut log, 4 * SECOND, &[other(5 * SECOND)]);
    assert_eq!(outcome, CensusOutcome { missing: 1, ..CensusOutcome::default() });
    // Nor is that of another connection its.
    let mut stranger = in_mini(TIME_WAIT, 6 * SECOND, 14_500);
    stranger.head.cookie = 7;
    let outcome = take(&mut table, &mut log, 5 * SECOND, &[other(6 * SECOND), stranger]);
    assert_eq!(outcome, CensusOutcome { adopted: 1, ended: 1, ..CensusOutcome::default() });
    assert_eq!((closed(&log), log.0.len() - before), (expected, 2));

    let (mut table, mut log) = address_used_again(MiniEndSource::Told);
    table.finish(9 * SECOND, &mut log);
    assert_eq!(closed(&log), expected);
    check::table(&table);
}

#[test]
fn what_cannot_go_on_or_is_asked_for_by_nobody_is_closed_at_once() {
    let (table, _) = address_used_again(MiniEndSource::Ignored);
    assert_eq!(left(&table), [(2, 2, State::SynSent)]);
    for (is_listed, last) in [(false, (ESTABLISHED, FIN_WAIT1)), (true, (ESTABLISHED, CLOSE_WAIT))] {
        let (mut table, mut log) = run(Config { mini_ends: MiniEndSource::Dumped, ..Config::default() }, &[]);
        if is_listed {
            take(&mut table, &mut log, 1, &[]);
        }
        for (old, new) in [(CLOSE, SYN_SENT), (SYN_SENT, ESTABLISHED), last, (CLOSE, SYN_SENT)] {
            table.apply(&moved(ADDRESS, old, new, 2 * SECOND), &mut log);
        }
        assert_eq!(left(&table), [(1, 2, State::SynSent)]);
    }
}

/// The next connection with the same ends has another socket, and its end is lost too: the mini-socket is its own.
#[test]
fn one_whose_ends_are_used_again_does_not_go_on() {
    for mini_ends in [MiniEndSource::Dumped, MiniEndSource::Told] {
        let (mut table, mut log) = address_used_again(mini_ends);
        for (old, new) in [(CLOSE, SYN_SENT), (SYN_SENT, ESTABLISHED)] {
            let Record::Move(mut again) = moved(1, old, new, 5 * SECOND) else { panic!("no move") };
            (again.head.sock, again.head.cookie) = (3, 1003);
            table.apply(&Record::Move(again), &mut log);
            check::table(&table);
        }
        assert_eq!(left(&table), [(1, 3, State::Established), (2, 2, State::SynSent)]);
        let closed: Vec<_> = log.lives().map(|(id, life)| (id, life.closed)).collect();
        assert_eq!(closed, [(1, 4 * SECOND)]);
        let mut mini = in_mini(TIME_WAIT, 7 * SECOND, 14_500);
        mini.head.cookie = 0;
        for begun in [6 * SECOND, 8 * SECOND, 9 * SECOND] {
            take(&mut table, &mut log, begun, &[mini, other(7 * SECOND)]);
        }
        assert_eq!(left(&table), [(1, 3, State::TimeWait), (2, 2, State::SynSent)]);
        log.check(&table);
    }
}

#[test]
fn one_that_waits_to_be_found_is_in_no_handshake() {
    let (mut table, mut log) = run(Config { mini_ends: MiniEndSource::Dumped, ..Config::default() }, &[]);
    take(&mut table, &mut log, 1, &[]);
    for record in [moved(ADDRESS, LISTEN, SYN_RECV, SECOND), moved(ADDRESS, CLOSE, SYN_SENT, 2 * SECOND)] {
        table.apply(&record, &mut log);
    }
    assert_eq!(table.parked.len(), 1);
    let found = found(ADDRESS, SYN_RECV, 3 * SECOND);
    let head = Head { sock: 0, flags: flag::SYN_ACK, ..found.head };
    table.apply(&Record::Retransmit(Note { head, tuple: found.tuple }), &mut log);
    check::table(&table);
    assert!(matches!(log.0.last(), Some(Told::Retransmit(3, ..))), "the next connection's: {:?}", log.0);
}

/// Room for another is not what a connection that may be there still has to leave for.
#[test]
fn one_that_waits_to_be_found_leaves_a_full_table_first() {
    let config = Config { capacity: 3, mini_ends: MiniEndSource::Told, ..Config::default() };
    let (mut table, mut log) = run(config, &[]);
    take(&mut table, &mut log, 1, &[found(7, ESTABLISHED, 1), found(8, ESTABLISHED, 1)]);
    let Record::Move(mut next) = moved(9, CLOSE, SYN_SENT, 4 * SECOND) else { panic!("no move") };
    next.head.sock = 7;
    table.apply(&Record::Move(next), &mut log);
    table.apply(&moved(10, CLOSE, SYN_SENT, 5 * SECOND), &mut log);
    check::table(&table);
    assert_eq!(left(&table), [(8, 2, State::Established), (9, 3, State::SynSent), (10, 4, State::SynSent)]);
    assert_eq!((table.totals().evicted, table.totals().closed, log.lives().count()), (0, 1, 1));
    log.check(&table);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_between_records_leave_a_sound_table(
        records in random::records(150),
        dump in random::records(40),
        config in configs(),
    ) {
        let (mut table, mut log) = run(config, &[]);
        let mut dump = dump.iter();
        for records in records.chunks(15) {
            let begun = records.first().map_or(0, |record| record.head().time_ns);
            table.expect_census();
            for record in records {
                table.apply(record, &mut log);
                check::table(&table);
            }
            let as_found = |record: &Record| {
                let mut found = as_found(record);
                found.head.time_ns = begun + found.head.time_ns % SECOND;
                found
            };
            let found: Vec<Vec<Found>> = vec![dump.by_ref().take(5).map(as_found).collect()];
            let scope = if begun % 3 == 0 { Scope::MiniSockets } else { Scope::Everything };
            let census = Census { begun, ended: begun, scope, netns: &[1, 2], gone: &[2], doubtful: &[1], found: &found };
            table.take_census(&census, |_| true, &mut log);
            check::table(&table);
            prop_assert!(table.len() <= config.capacity);
        }
        table.finish(u64::MAX, &mut log);
        check::table(&table);
        prop_assert_eq!(table.parked.len(), 0);
    }
}
