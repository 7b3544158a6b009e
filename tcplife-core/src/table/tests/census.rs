//! Dumps against events.

use proptest::prelude::*;
use tcplife_common::wire::{self, Found, Gauge, Head, Mini, Move, Record, Task, Tuple, flag};

use super::{Log, Told, check, configs, random, run};
use crate::{
    connection::Connection,
    owner::Via,
    state::State,
    table::{Census, CensusOutcome, Config, MiniEndSource, Scope, Table},
    timeline::Since,
};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const NETNS: u32 = 7;

pub(super) const ESTABLISHED: u8 = 1;
pub(super) const SYN_SENT: u8 = 2;
pub(super) const FIN_WAIT1: u8 = 4;
pub(super) const FIN_WAIT2: u8 = 5;
pub(super) const TIME_WAIT: u8 = 6;
pub(super) const CLOSE: u8 = 7;
pub(super) const CLOSE_WAIT: u8 = 8;
const LAST_ACK: u8 = 9;
pub(super) const LISTEN: u8 = 10;

fn tuple(port: u16) -> Tuple {
    let address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
    Tuple { local: address, remote: address, local_port: port, remote_port: 80, err: 0, family: 2 }
}

pub(super) fn head(sock: u64, state: u8, at: u64) -> Head {
    Head { netns: NETNS, time_ns: at, sock, cookie: sock + 1000, old: state, new: state, ..Head::default() }
}

/// A full socket; each has the port of its number.
pub(super) fn found(sock: u64, state: u8, at: u64) -> Found {
    let port = u16::try_from(sock).expect("a small number");
    Found { head: head(sock, state, at), tuple: tuple(port), ..Found::default() }
}

pub(super) fn held(found: Found, pid: u32) -> Found {
    let head = Head { flags: found.head.flags | flag::HELD, ..found.head };
    Found { head, task: Task { tgid: pid, comm: *b"holder\0\0\0\0\0\0\0\0\0\0", ..Task::default() }, ..found }
}

/// A mini-socket whose timer has `left` jiffies to go, at 250 Hz.
pub(super) fn mini(sock: u64, state: u8, at: u64, left: u64) -> Found {
    let full = found(sock, state, at);
    Found {
        head: Head { flags: flag::MINI | flag::ORPHAN, new: TIME_WAIT, ..full.head },
        gauge: Gauge { jiffies: 90_000, expires: 90_000 + left, ..Gauge::default() },
        ..full
    }
}

pub(super) fn moved(sock: u64, old: u8, new: u8, at: u64) -> Record {
    let full = found(sock, new, at);
    Record::Move(Move { head: Head { old, ..full.head }, tuple: full.tuple, task: Task::default() })
}

pub(super) fn take(table: &mut Table, log: &mut Log, begun: u64, found: &[Found]) -> CensusOutcome {
    let found: Vec<Vec<Found>> = found.chunks(2).map(<[Found]>::to_vec).collect();
    let (scope, netns) = (Scope::Everything, &[NETNS]);
    let census = Census { begun, ended: begun, scope, netns, gone: &[], doubtful: &[], found: &found };
    let outcome = table.take_census(&census, |_| true, log);
    check::table(table);
    log.check(table);
    outcome
}

pub(super) fn state_of(table: &Table, port: u16) -> Option<State> {
    table.iter().find(|connection| connection.local().port() == port).map(Connection::state)
}

#[test]
fn what_was_there_before_is_taken_up_once() {
    let (mut table, mut log) = run(Config::default(), &[]);
    let now = 100 * SECOND;
    let sockets =
        [found(1, LISTEN, now), held(found(2, ESTABLISHED, now), 42), mini(3, TIME_WAIT, now, 10_000)];
    let outcome = take(&mut table, &mut log, now - 1, &sockets);
    assert_eq!(outcome, CensusOutcome { adopted: 3, ..CensusOutcome::default() });
    let again = take(&mut table, &mut log, now + 1, &sockets);
    assert_eq!(again, CensusOutcome::default());
    assert_eq!(table.len(), 3);
    assert!(log.0.is_empty(), "nothing happened: {log:?}");
    let two = table.iter().find(|connection| connection.local().port() == 2).expect("taken up");
    assert!(!two.complete());
    let owner = table.owner(two).expect("it has a holder");
    assert_eq!((owner.process.pid, owner.via), (42, Via::Holder));
}

#[test]
fn a_socket_held_twice_is_one_connection() {
    let (mut table, mut log) = run(Config::default(), &[]);
    let socket = found(1, ESTABLISHED, SECOND);
    take(&mut table, &mut log, 1, &[held(socket, 42), held(socket, 43), socket]);
    assert_eq!(table.len(), 1);
}

#[test]
fn ages_are_what_the_kernels_clocks_allow() {
    let (mut table, mut log) = run(Config::default(), &[]);
    let now = 1000 * SECOND;
    // At 250 Hz: the last ACK 10 s ago, the last data 30 s ago.
    let gauge = Gauge { jiffies: 100_000, last_ack: 97_500, last_data: 92_500, ..Gauge::default() };
    let leak = Found { gauge, ..found(1, CLOSE_WAIT, now) };
    take(&mut table, &mut log, now - 1, &[leak, mini(2, TIME_WAIT, now, 60 * 250 - 2500)]);
    let since = |port| table.iter().find(|c| c.local().port() == port).map(Connection::since);
    let Some(Since::Between { earliest: Some(earliest), latest }) = since(1) else {
        panic!("{:?}", since(1))
    };
    let tick = SECOND / 250;
    assert_eq!((earliest, latest), (now - 30 * SECOND - tick, now - 10 * SECOND + tick));
    assert_eq!(since(2), Some(Since::Seen(now - 10 * SECOND)));
}

#[test]
fn an_event_after_the_look_wins() {
    let records = [moved(1, CLOSE, SYN_SENT, SECOND), moved(1, SYN_SENT, ESTABLISHED, 3 * SECOND)];
    let (mut table, mut log) = run(Config::default(), &records);
    let outcome = take(&mut table, &mut log, SECOND, &[found(1, SYN_SENT, 2 * SECOND)]);
    assert_eq!(outcome, CensusOutcome::default());
    assert_eq!(state_of(&table, 1), Some(State::Established));
}

/// How a socket ends that was in `old`.
pub(super) fn ended(sock: u64, old: u8, at: u64) -> Record {
    let full = found(sock, CLOSE, at);
    let head = Head { old, flags: flag::ORPHAN, ..full.head };
    Record::End(wire::End { head, tuple: full.tuple, ..wire::End::default() })
}

#[test]
fn what_ended_after_the_look_is_no_ghost() {
    let records = [moved(1, CLOSE, SYN_SENT, SECOND), moved(1, SYN_SENT, ESTABLISHED, SECOND)];
    let (mut table, mut log) = run(Config::default(), &records);
    let look = 2 * SECOND;
    table.expect_census();
    // One that was known, one whose end is all that is heard of it, and one whose address is used again already.
    for record in [
        ended(1, ESTABLISHED, look + 2),
        ended(2, LAST_ACK, look + 3),
        moved(1, CLOSE, SYN_SENT, look + 4),
        ended(1, SYN_SENT, look + 5),
    ] {
        table.apply(&record, &mut log);
    }
    let lives = log.lives().count();
    let outcome =
        take(&mut table, &mut log, look, &[found(1, ESTABLISHED, look + 1), found(2, LAST_ACK, look + 1)]);
    assert_eq!(outcome, CensusOutcome::default());
    assert!(table.is_empty());
    assert_eq!(log.lives().count(), lives);
    // The next list is another one.
    let outcome = take(&mut table, &mut log, 3 * SECOND, &[found(1, ESTABLISHED, 3 * SECOND)]);
    assert_eq!(outcome.adopted, 1);
}

#[test]
fn a_state_that_is_not_stored_yet_is_not_the_state() {
    let records = [
        moved(1, CLOSE, SYN_SENT, SECOND),
        moved(1, SYN_SENT, ESTABLISHED, SECOND),
        moved(1, ESTABLISHED, FIN_WAIT1, 2 * SECOND),
    ];
    let (mut table, mut log) = run(Config::default(), &records);
    let outcome = take(&mut table, &mut log, SECOND, &[found(1, ESTABLISHED, 2 * SECOND + 1)]);
    assert_eq!(outcome, CensusOutcome::default());
    assert_eq!(state_of(&table, 1), Some(State::FinWait1));
    assert_eq!(log.lives().count(), 0);
}

#[test]
fn a_lost_move_is_mended_and_told() {
    let records = [moved(1, CLOSE, SYN_SENT, SECOND), moved(1, SYN_SENT, ESTABLISHED, 3 * SECOND)];
    let (mut table, mut log) = run(Config::default(), &records);
    let outcome = take(&mut table, &mut log, 5 * SECOND, &[found(1, CLOSE_WAIT, 6 * SECOND)]);
    assert_eq!(outcome, CensusOutcome { corrected: 1, ..CensusOutcome::default() });
    assert_eq!(state_of(&table, 1), Some(State::CloseWait));
    let Some(Told::Transition(_, _, last)) = log.0.last() else { panic!("{log:?}") };
    assert_eq!((last.to, last.elapsed), (State::CloseWait, None));
}

#[test]
fn a_lost_end_is_mended_though_the_socket_is_held() {
    let records = [moved(1, CLOSE, SYN_SENT, SECOND), moved(1, SYN_SENT, ESTABLISHED, 2 * SECOND)];
    let (mut table, mut log) = run(Config::default(), &records);
    let closed = |at| [held(found(1, CLOSE, at), 42)];
    let outcome = take(&mut table, &mut log, 5 * SECOND, &closed(6 * SECOND));
    assert_eq!(outcome, CensusOutcome { corrected: 1, ..CensusOutcome::default() });
    let Some(Told::Transition(_, _, last)) = log.0.last() else { panic!("{log:?}") };
    assert_eq!((last.from, last.to, last.elapsed), (State::Established, State::Closed, None));
    assert_eq!(take(&mut table, &mut log, 7 * SECOND, &closed(7 * SECOND)), CensusOutcome::default());
    assert_eq!((table.len(), log.lives().count()), (1, 0), "the application holds it");
    assert_eq!(take(&mut table, &mut log, 8 * SECOND, &[]).missing, 1);
    assert_eq!(take(&mut table, &mut log, 9 * SECOND, &[]).ended, 1);
    assert_eq!(log.lives().map(|life| life.1.end.name()).collect::<Vec<_>>(), ["unknown"]);
}

#[test]
fn a_socket_that_was_about_to_begin_is_not_closed() {
    let (mut table, mut log) = run(Config::default(), &[moved(1, CLOSE, SYN_SENT, SECOND)]);
    let begins = take(&mut table, &mut log, SECOND - 1, &[found(1, CLOSE, SECOND + 1)]);
    assert_eq!(begins, CensusOutcome::default());
    assert_eq!(state_of(&table, 1), Some(State::SynSent));
    let over = take(&mut table, &mut log, 3 * SECOND, &[found(1, CLOSE, 3 * SECOND)]);
    assert_eq!(over.corrected, 1);
    assert_eq!(state_of(&table, 1), Some(State::Closed));
}

#[test]
fn a_listener_that_was_shut_down_is_none() {
    let (mut table, mut log) = run(Config::default(), &[]);
    take(&mut table, &mut log, 1, &[held(found(1, LISTEN, SECOND), 42)]);
    let outcome = take(&mut table, &mut log, 2 * SECOND, &[held(found(1, CLOSE, 2 * SECOND), 42)]);
    assert_eq!(outcome.corrected, 1);
    assert!(table.is_empty());
}

#[test]
fn a_lost_end_of_a_mini_socket_is_mended_though_the_full_one_is_held() {
    let config = Config { mini_ends: MiniEndSource::Told, ..Config::default() };
    let full = found(1, CLOSE, 2 * SECOND);
    let closes = Record::End(wire::End {
        head: Head { old: FIN_WAIT2, flags: flag::MINI, ..full.head },
        tuple: full.tuple,
        mini: Mini { address: 2, expires: 15_000, jiffies: 0, substate: TIME_WAIT.into(), touch: 0 },
        ..wire::End::default()
    });
    let (mut table, mut log) = run(config, &[moved(1, CLOSE, SYN_SENT, SECOND), closes]);
    assert_eq!(state_of(&table, 1), Some(State::TimeWait));
    let held = held(found(1, CLOSE, 70 * SECOND), 42);
    assert_eq!(take(&mut table, &mut log, 70 * SECOND - 1, &[held]).missing, 1);
    assert_eq!(take(&mut table, &mut log, 71 * SECOND, &[held]).ended, 1);
    assert_eq!(state_of(&table, 1), Some(State::Closed));
}

#[test]
fn a_ghost_is_ended_by_the_second_census_that_misses_it() {
    let records = [moved(1, CLOSE, SYN_SENT, SECOND), moved(1, SYN_SENT, ESTABLISHED, 2 * SECOND)];
    let (mut table, mut log) = run(Config::default(), &records);
    assert_eq!(take(&mut table, &mut log, 3 * SECOND, &[]).missing, 1);
    assert_eq!(
        take(&mut table, &mut log, 4 * SECOND, &[found(1, ESTABLISHED, 4 * SECOND)]),
        CensusOutcome::default()
    );
    assert_eq!(take(&mut table, &mut log, 5 * SECOND, &[]).missing, 1);
    assert_eq!(take(&mut table, &mut log, 6 * SECOND, &[]).ended, 1);
    assert!(table.is_empty());
    let lives: Vec<_> = log.lives().collect();
    assert_eq!(lives.len(), 1);
    assert_eq!(lives[0].1.end.name(), "unknown");
}

#[test]
fn other_namespaces_and_newer_connections_are_not_missed() {
    let records = [moved(1, CLOSE, SYN_SENT, 10 * SECOND)];
    let (mut table, mut log) = run(Config::default(), &records);
    assert_eq!(take(&mut table, &mut log, 9 * SECOND, &[]), CensusOutcome::default());
    let (begun, scope) = (20 * SECOND, Scope::Everything);
    let all = Census { begun, ended: begun, scope, netns: &[NETNS], gone: &[], doubtful: &[], found: &[] };
    let elsewhere = Census { netns: &[NETNS + 1], ..all };
    assert_eq!(table.take_census(&elsewhere, |_| true, &mut log), CensusOutcome::default());
    let minis = Census { scope: Scope::MiniSockets, ..all };
    assert_eq!(table.take_census(&minis, |_| true, &mut log), CensusOutcome::default());
    assert_eq!(table.len(), 1);
}

#[test]
fn a_mini_socket_moves_on_at_its_timers_time() {
    let (mut table, mut log) = run(Config::default(), &[]);
    take(&mut table, &mut log, 9 * SECOND, &[mini(1, FIN_WAIT2, 10 * SECOND, 5000)]);
    let id = table.iter().next().map(Connection::id);
    // Seen half a second after its FIN came.
    take(&mut table, &mut log, 19 * SECOND, &[mini(1, TIME_WAIT, 20 * SECOND, 60 * 250 - 125)]);
    let Some(Told::Transition(_, _, last)) = log.0.last() else { panic!("{log:?}") };
    assert_eq!((last.from, last.to, last.at), (State::FinWait2, State::TimeWait, 20 * SECOND - SECOND / 2));
    // A duplicate FIN sets the timer again; TIME_WAIT does not begin anew.
    take(&mut table, &mut log, 29 * SECOND, &[mini(1, TIME_WAIT, 30 * SECOND, 60 * 250)]);
    assert_eq!(log.0.len(), 1);
    table.tick(90 * SECOND, &mut log);
    assert_eq!(table.len(), 1, "60 s after the last FIN, and no earlier");
    table.tick(93 * SECOND, &mut log);
    assert!(table.is_empty());
    let Some(Told::Transition(ended, _, _)) = log.0.last() else { panic!("{log:?}") };
    assert_eq!(Some(*ended), id.map(|id| id.0));
}

#[test]
fn a_mini_socket_that_times_out_in_fin_wait_2_ends_at_its_timers_time() {
    let config = Config { mini_ends: MiniEndSource::Dumped, ..Config::default() };
    let (mut table, mut log) = run(config, &[]);
    // 500 jiffies are 2 s at 250 Hz; the wheel makes it 90504, which is 2.016 s.
    take(&mut table, &mut log, 9 * SECOND, &[mini(1, FIN_WAIT2, 10 * SECOND, 500)]);
    table.tick(12 * SECOND + SECOND / 2, &mut log);
    assert_eq!(table.len(), 1, "it may be in TIME_WAIT by now");
    take(&mut table, &mut log, 13 * SECOND, &[]);
    take(&mut table, &mut log, 13 * SECOND + 1, &[]);
    let Some(Told::Transition(_, _, last)) = log.0.last() else { panic!("{log:?}") };
    assert_eq!((last.from, last.to, last.at), (State::FinWait2, State::Closed, 12_016_000_000));
}

#[test]
fn a_time_wait_is_armed_once_however_often_it_is_seen() {
    let config = Config { mini_ends: MiniEndSource::Dumped, ..Config::default() };
    let (mut table, mut log) = run(config, &[]);
    for second in 10..60 {
        let left = (70 - second) * 250;
        let mut seen = mini(1, TIME_WAIT, second * SECOND, left);
        (seen.gauge.expires, seen.gauge.jiffies) = (90_000 + 60 * 250, 90_000 + 60 * 250 - left);
        take(&mut table, &mut log, second * SECOND - 1, &[seen]);
    }
    table.tick(70 * SECOND, &mut log);
    assert_eq!(table.len(), 1);
    table.tick(72 * SECOND + SECOND / 20, &mut log);
    take(&mut table, &mut log, 72 * SECOND + SECOND / 20, &[]);
    assert!(table.is_empty());
    assert_eq!(log.0.len(), 1);
}

#[test]
fn a_reused_address_is_another_connection() {
    let (mut table, mut log) = run(Config::default(), &[]);
    take(&mut table, &mut log, 1, &[found(1, ESTABLISHED, SECOND)]);
    let mut other = found(1, ESTABLISHED, 2 * SECOND);
    other.head.cookie = 5;
    assert_eq!(take(&mut table, &mut log, SECOND, &[other]).adopted, 1);
    take(&mut table, &mut log, 2 * SECOND + 1, &[other]);
    assert_eq!(table.len(), 1);
    assert_eq!(log.lives().count(), 1);
}

#[test]
fn one_without_a_cookie_is_not_one_that_had_one() {
    let records = [moved(1, CLOSE, SYN_SENT, SECOND), moved(1, SYN_SENT, ESTABLISHED, 2 * SECOND)];
    let (mut table, mut log) = run(Config::default(), &records);
    let mut other = found(1, ESTABLISHED, 4 * SECOND);
    other.head.cookie = 0;
    let outcome = take(&mut table, &mut log, 3 * SECOND, &[other]);
    assert_eq!((outcome.adopted, table.len(), log.lives().count()), (1, 1, 1));
}

#[test]
fn who_only_looked_at_a_descriptor_is_no_owner() {
    let config = Config { onlooker: [b'o'; 16], ..Config::default() };
    for (comm, owned) in [([b'o'; 16], false), ([b'p'; 16], true)] {
        let (mut table, mut log) = run(config, &[]);
        take(&mut table, &mut log, 1, &[found(1, CLOSE_WAIT, SECOND)]);
        let Record::Move(closes) = moved(1, CLOSE_WAIT, LAST_ACK, 2 * SECOND) else { panic!("no move") };
        let head = Head { flags: flag::BY_TASK, ..closes.head };
        let task = Task { tgid: 42, comm, ..Task::default() };
        table.apply(&Record::Move(Move { head, task, ..closes }), &mut log);
        let owner = table.iter().next().and_then(|connection| table.owner(connection));
        assert_eq!(owner.is_some(), owned);
    }
}

/// Whatever record comes, as a dump's.
pub(super) fn as_found(record: &Record) -> Found {
    let tuple = match record {
        Record::Move(record) => record.tuple,
        Record::End(record) => record.tuple,
        _ => Tuple::default(),
    };
    let (jiffies, expires) = match record {
        Record::End(wire::End { mini, .. }) => (mini.jiffies, mini.expires),
        _ => (0, 0),
    };
    let head = *record.head();
    let stamp_ns = head.time_ns / 2;
    let gauge = Gauge { jiffies, expires, stamp_ns, fin_timeout: 15_000, ..Gauge::default() };
    Found { head, tuple, gauge, ..Found::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_census_leaves_a_sound_table(
        records in random::records(120),
        dump in random::records(60),
        config in configs(),
    ) {
        let (mut table, mut log) = run(config, &records);
        let begun = records.last().map_or(0, |record| record.head().time_ns);
        let dump: Vec<Vec<Found>> = dump.chunks(7).map(|piece| piece.iter().map(as_found).collect()).collect();
        for begun in begun..begun + 3 {
            let scope = Scope::Everything;
            let census = Census { begun, ended: begun, scope, netns: &[1, 2], gone: &[2], doubtful: &[1], found: &dump };
            table.take_census(&census, |_| true, &mut log);
            check::table(&table);
        }
        prop_assert!(table.len() <= config.capacity);
        table.finish(u64::MAX, &mut log);
        check::table(&table);
    }
}
