//! Lists of mini-sockets, most of which have not changed since the last one.

use tcplife_common::wire::{self, Found, Head, Mini, Record, flag};

use super::{
    Told,
    census::{
        CLOSE, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, NETNS, SECOND, SYN_SENT, TIME_WAIT, ended, found, mini,
        moved, take,
    },
    check, run,
};
use crate::{
    connection::{Connection, EndCause, Ends},
    observer::{Observer, Transition},
    owner::Owner,
    state::State,
    table::{Census, CensusOutcome, Config, MiniEndSource, Scope, index::Stamp},
    timeline::Since,
};

pub(super) const DUMPED: Config = Config {
    capacity: 100,
    hz: 250,
    life_after_time_wait: false,
    mini_ends: MiniEndSource::Dumped,
    handshakes: crate::table::Handshakes::Hidden,
    takes_up_ended: false,
    onlooker: [0; 16],
};

#[test]
fn an_unchanged_one_is_known_by_its_address_and_timer() {
    let (mut table, mut log) = run(DUMPED, &[]);
    let at_first = mini(1, TIME_WAIT, 10 * SECOND, 5_000);
    take(&mut table, &mut log, 9 * SECOND, &[at_first]);
    let ends = Ends::of(&at_first.tuple);
    let Some((_, stamp)) = table.minis.find(NETNS, &ends) else { panic!("{:?}", table.minis) };
    let of = |found: &Found| Stamp::of(State::TimeWait, found.head.sock, found.gauge.expires);
    assert_eq!(stamp, of(&at_first));
    assert_ne!(stamp, of(&mini(1, TIME_WAIT, 10 * SECOND, 5_001)), "armed again");
    assert_ne!(stamp, of(&mini(2, TIME_WAIT, 10 * SECOND, 5_000)), "another one");
    assert_ne!(stamp, Stamp::NONE);
    assert_eq!(table.minis.find(NETNS + 1, &ends), None);
}

#[test]
fn another_one_with_the_same_ends_is_another_connection() {
    let (mut table, mut log) = run(DUMPED, &[]);
    let first = mini(1, TIME_WAIT, 10 * SECOND, 5_000);
    take(&mut table, &mut log, 9 * SECOND, &[first]);
    let mut second = mini(2, TIME_WAIT, 12 * SECOND, 14_000);
    second.tuple = first.tuple;
    assert_eq!(take(&mut table, &mut log, 11 * SECOND, &[second]).adopted, 1);
    let Some(Told::Transition(_, _, end)) = log.0.last() else { panic!("{log:?}") };
    assert_eq!((end.to, table.len()), (State::Closed, 1));
}

#[test]
fn one_that_was_missed_and_seen_again_has_to_be_missed_twice_again() {
    let (mut table, mut log) = run(DUMPED, &[]);
    let both = [mini(1, TIME_WAIT, 10 * SECOND, 14_000), mini(2, TIME_WAIT, 10 * SECOND, 14_000)];
    let one = &both[..1];
    assert_eq!(take(&mut table, &mut log, 9 * SECOND, &both).adopted, 2);
    for begun in [11, 13] {
        assert_eq!(take(&mut table, &mut log, begun * SECOND, one).missing, 1);
        assert_eq!(take(&mut table, &mut log, (begun + 1) * SECOND, &both).missing, 0);
    }
    assert_eq!(take(&mut table, &mut log, 15 * SECOND, one).missing, 1);
    assert_eq!(take(&mut table, &mut log, 16 * SECOND, one).ended, 1);
    assert_eq!(table.len(), 1);
}

/// When each connection was closed, and why.
#[derive(Default)]
pub(super) struct Closed(pub(super) Vec<(u64, Option<&'static str>)>);

impl Observer for Closed {
    fn transition(&mut self, connection: &Connection, _: Option<Owner>, transition: &Transition) {
        if transition.to == State::Closed {
            self.0.push((transition.at, connection.cause()));
        }
    }
}

#[test]
fn one_that_is_missed_when_its_timer_fires_has_expired() {
    let tick = SECOND / 250;
    for (state, expires, fires) in [(FIN_WAIT2, 16_000, 16_064), (TIME_WAIT, 30_000, 30_208)] {
        let (mut one, listed) = (mini(1, state, 60 * SECOND, 0), 60 * SECOND);
        (one.gauge.jiffies, one.gauge.expires) = (15_000, expires);
        let fires = listed + (fires - 15_000) * tick;
        // The jiffy of the first list may have begun almost a tick before it.
        for (begun, end) in [
            (fires - 2 * tick, (fires - 2 * tick, None)),
            (fires - tick / 2, (fires - tick / 2, Some("expired"))),
            (fires + tick, (fires, Some("expired"))),
        ] {
            let (mut table, mut log) = run(DUMPED, &[]);
            take(&mut table, &mut log, 59 * SECOND, &[one]);
            take(&mut table, &mut log, fires - SECOND, &[one]);
            take(&mut table, &mut log, begun - 1, &[]);
            let census = Census {
                begun,
                ended: begun,
                scope: Scope::MiniSockets,
                netns: &[NETNS],
                gone: &[],
                doubtful: &[],
                found: &[],
            };
            let mut ends = Closed::default();
            table.take_census(&census, |_| true, &mut ends);
            assert_eq!(ends.0, [end], "{state}");
        }
    }
}

#[test]
fn one_that_nobody_asks_about_is_known_as_long_as_its_closed_socket_is_held() {
    let config = Config { mini_ends: MiniEndSource::Ignored, ..DUMPED };
    let handed_over = |sock| {
        let full = moved(sock, FIN_WAIT2, CLOSE, 10 * SECOND);
        let Record::Move(wire::Move { head, tuple, task }) = full else { panic!("{full:?}") };
        let head = Head { flags: flag::MINI, ..head };
        let mini = Mini { substate: TIME_WAIT.into(), address: 77, ..Mini::default() };
        Record::End(wire::End { head, tuple, task, mini, ..wire::End::default() })
    };
    let (mut table, mut log) = run(config, &[handed_over(1), handed_over(2)]);
    let both = [found(1, CLOSE, 12 * SECOND), found(2, CLOSE, 12 * SECOND)];
    // What is listed of mini-sockets is nothing new, and does not keep anything.
    let listed = [both[0], mini(2, TIME_WAIT, 12 * SECOND, 14_000), mini(3, TIME_WAIT, 12 * SECOND, 14_000)];
    assert_eq!(take(&mut table, &mut log, 11 * SECOND, &both), CensusOutcome::default());
    assert_eq!(
        take(&mut table, &mut log, 13 * SECOND, &listed),
        CensusOutcome { missing: 1, ..CensusOutcome::default() }
    );
    assert_eq!(log.lives().count(), 0);
    assert_eq!(
        take(&mut table, &mut log, 14 * SECOND, &listed),
        CensusOutcome { ended: 1, ..CensusOutcome::default() }
    );
    assert_eq!((log.lives().count(), table.len()), (1, 1));
    assert_eq!(take(&mut table, &mut log, 80 * SECOND, &both[..1]), CensusOutcome::default());
    table.finish(81 * SECOND, &mut log);
    assert_eq!((log.lives().count(), table.len()), (2, 0));
    assert_eq!(table.totals().mismatched, 0);
}

#[test]
fn a_list_of_mini_sockets_makes_no_other_one_missed_twice() {
    let (mut table, mut log) = run(DUMPED, &[]);
    let (full, other) = (found(1, ESTABLISHED, 10 * SECOND), mini(2, TIME_WAIT, 10 * SECOND, 14_000));
    take(&mut table, &mut log, 9 * SECOND, &[full, other]);
    for begun in [20, 30] {
        assert_eq!(take(&mut table, &mut log, begun * SECOND, &[other]).missing, 1);
        let minis = Census {
            begun: (begun + 1) * SECOND,
            ended: (begun + 1) * SECOND,
            scope: Scope::MiniSockets,
            netns: &[NETNS],
            gone: &[],
            doubtful: &[],
            found: &[vec![other]],
        };
        assert_eq!(table.take_census(&minis, |_| true, &mut log), CensusOutcome::default());
    }
    assert_eq!(table.len(), 2);
}

/// The end of a connection was lost, and its mini-socket is found: it is one connection, which goes on.
#[test]
fn a_mini_socket_whose_begin_was_lost_is_its_connections() {
    let in_mini = |state, at| {
        let found = mini(1, state, at, 57 * 250);
        Found { head: Head { sock: 99, ..found.head }, ..found }
    };
    for (last, state) in [(ESTABLISHED, TIME_WAIT), (FIN_WAIT2, TIME_WAIT), (FIN_WAIT2, FIN_WAIT2)] {
        let records = [moved(1, CLOSE, SYN_SENT, SECOND), moved(1, SYN_SENT, ESTABLISHED, 2 * SECOND)];
        let (mut table, mut log) = run(Config { hz: 250, ..Config::default() }, &records);
        if last == FIN_WAIT2 {
            for (old, new) in [(ESTABLISHED, FIN_WAIT1), (FIN_WAIT1, FIN_WAIT2)] {
                table.apply(&moved(1, old, new, 3 * SECOND), &mut log);
            }
        }
        let id = table.iter().next().expect("it is open").id();
        let found = [in_mini(state, 10 * SECOND)];
        take(&mut table, &mut log, 9 * SECOND, &found);
        let found = [in_mini(state, 11 * SECOND)];
        take(&mut table, &mut log, 11 * SECOND - 1, &found);
        let left: Vec<&Connection> = table.iter().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!((left[0].id(), left[0].state().lower()), (id, State::from_kernel(state).unwrap().lower()));
        assert!(!left[0].complete() && table.totals().connections() == 1 && table.totals().lives == 1);
    }
}

/// It was there in one list and is not in the next: how long it lasted is not known. Where a hook should have told, it is a loss too.
#[test]
fn an_early_end_that_only_lists_show_has_no_time() {
    for (mini_ends, mismatched) in [(MiniEndSource::Told, 1), (MiniEndSource::Dumped, 0)] {
        let (mut table, mut log) = run(Config { mini_ends, ..DUMPED }, &[]);
        take(&mut table, &mut log, 9 * SECOND, &[mini(1, TIME_WAIT, 10 * SECOND, 15_000)]);
        for begun in [20, 25] {
            take(&mut table, &mut log, begun * SECOND, &[]);
        }
        let told: Vec<_> = log.transitions().map(|(_, t)| (t.to, t.elapsed)).collect();
        assert_eq!(told, [(State::Closed, None)], "{mini_ends:?}");
        assert_eq!(table.totals().mismatched, mismatched, "{mini_ends:?}");
    }
}

/// A connection up to `TIME_WAIT`, which began at 10 s with so many jiffies to go.
fn lived(left: u64) -> Vec<Record> {
    lived_up_to(TIME_WAIT, left)
}

/// A connection up to a mini-socket in this state.
pub(super) fn lived_up_to(state: u8, left: u64) -> Vec<Record> {
    let moves =
        [(CLOSE, SYN_SENT), (SYN_SENT, ESTABLISHED), (ESTABLISHED, FIN_WAIT1), (FIN_WAIT1, FIN_WAIT2)];
    let mut records: Vec<Record> =
        (1..).zip(moves).map(|(at, (old, new))| moved(1, old, new, at * SECOND)).collect();
    let Record::End(end) = ended(1, FIN_WAIT2, 10 * SECOND) else { panic!("no end") };
    let head = Head { flags: flag::ORPHAN | flag::MINI, ..end.head };
    let mini = Mini {
        address: 77,
        jiffies: 90_000,
        expires: 90_000 + left,
        substate: state.into(),
        ..Mini::default()
    };
    records.push(Record::End(wire::End { head, mini, ..end }));
    records
}

#[test]
fn a_life_has_no_length_if_nobody_saw_how_its_time_wait_ended() {
    for (missed_at, told) in [(25, false), (75, true)] {
        let config = Config { life_after_time_wait: true, ..DUMPED };
        let (mut table, mut log) = run(config, &lived(15_000));
        for begun in [missed_at, missed_at + 1] {
            take(&mut table, &mut log, begun * SECOND, &[]);
        }
        let lives: Vec<_> = log.lives().map(|(_, life)| *life).collect();
        let [life] = lives.as_slice() else { panic!("{lives:?}") };
        assert_eq!((life.complete, life.duration.is_some()), (told, told), "{life:?}");
        assert_eq!(life.spent[State::TimeWait.index()].is_some(), told, "{life:?}");
        assert!(table.is_empty());
    }
}

/// An orphan in `FIN_WAIT_2` that is gone before its time is up: by a reset, by hand, or by way of `TIME_WAIT`.
#[test]
fn an_end_in_fin_wait_2_that_nobody_saw_is_not_one_by_a_fin() {
    for (missed_at, end) in [(11, EndCause::Unknown), (73, EndCause::Timeout)] {
        let config = Config { life_after_time_wait: true, ..DUMPED };
        let (mut table, mut log) = run(config, &lived_up_to(FIN_WAIT2, 15_000));
        // The wheel makes 15,000 jiffies 61.9 s.
        if missed_at > 70 {
            let mut listed = mini(1, FIN_WAIT2, 71 * SECOND, 0);
            listed.head.sock = 77;
            take(&mut table, &mut log, 71 * SECOND - 1, &[listed]);
        }
        for begun in [missed_at, missed_at + 1] {
            take(&mut table, &mut log, begun * SECOND, &[]);
        }
        let lives: Vec<_> = log.lives().map(|(_, life)| *life).collect();
        let [life] = lives.as_slice() else { panic!("{lives:?}") };
        assert_eq!(life.end, end, "{life:?}");
        assert_eq!(life.complete, end == EndCause::Timeout, "{life:?}");
    }
}

/// Nobody lists mini-sockets of a namespace that cannot be entered.
#[test]
fn one_in_fin_wait_2_that_is_never_listed_again_leaves_some_day() {
    for after_time_wait in [false, true] {
        let config = Config { life_after_time_wait: after_time_wait, ..DUMPED };
        let (mut table, mut log) = run(config, &[]);
        // The wheel makes 500 jiffies 504.
        take(&mut table, &mut log, 9 * SECOND, &[mini(1, FIN_WAIT2, 10 * SECOND, 500)]);
        table.tick(12_016_000_000, &mut log);
        check::table(&table);
        table.tick(74 * SECOND, &mut log);
        assert_eq!(table.len(), 1, "it may have been in TIME_WAIT until now");
        table.tick(81 * SECOND, &mut log);
        check::table(&table);
        assert_eq!((table.len(), table.totals().lapsed), (0, 1));
        assert_eq!(log.transitions().count(), 0, "which way it went was not seen");
        let ends: Vec<EndCause> = log.lives().map(|(_, life)| life.end).collect();
        assert_eq!(ends, if after_time_wait { &[EndCause::Unknown][..] } else { &[] });
    }
}

#[test]
fn one_in_fin_wait_2_is_waited_for_once_its_timer_fired() {
    let fires = 12_016_000_000;
    for (listed, at) in [(FIN_WAIT2, fires + SECOND / 10), (TIME_WAIT, 40 * SECOND)] {
        let (mut table, mut log) = run(DUMPED, &[]);
        take(&mut table, &mut log, 9 * SECOND, &[mini(1, FIN_WAIT2, 10 * SECOND, 500)]);
        table.tick(fires, &mut log);
        let mut late = mini(1, listed, at, 59 * 250);
        late.gauge.jiffies += 30 * 250;
        late.gauge.expires += 30 * 250;
        take(&mut table, &mut log, at - 1, &[late]);
        for begun in [41, 42] {
            take(&mut table, &mut log, begun * SECOND, &[]);
        }
        let moves: Vec<_> = log.transitions().map(|(_, t)| (t.from, t.to, t.at)).collect();
        let expected = match listed {
            // Its timer had fired: that was its end, late as the machine was to see to it.
            FIN_WAIT2 => vec![(State::FinWait2, State::Closed, fires)],
            _ => vec![
                (State::FinWait2, State::TimeWait, 39 * SECOND),
                (State::TimeWait, State::Closed, 42 * SECOND),
            ],
        };
        assert_eq!(moves, expected);
        assert!(table.is_empty());
    }
}

/// A hook tells of a late segment for one that was there before, and only then a list has it, as it was before or after that.
#[test]
fn one_that_a_hook_told_of_first_is_as_old_as_its_list_says() {
    for looked in [9 * SECOND, 11 * SECOND] {
        let (mut table, mut log) = run(Config { mini_ends: MiniEndSource::Told, ..DUMPED }, &[]);
        let mut found = mini(1, TIME_WAIT, looked, 15_000);
        (found.gauge.stamp_ns, found.gauge.last_ack) = (SECOND, 7_000);
        let head = Head { flags: 0, new: TIME_WAIT, time_ns: 10 * SECOND, ..found.head };
        let mini = Mini { jiffies: 90_000, expires: 105_000, ..Mini::default() };
        let note = wire::MiniNote { head, tuple: found.tuple, mini };
        table.apply(&Record::MiniArmed(note), &mut log);
        let since: Vec<Since> = table.iter().map(Connection::since).collect();
        assert_eq!(since, [Since::Between { earliest: None, latest: 10 * SECOND }]);
        take(&mut table, &mut log, looked - 1, &[found]);
        let since: Vec<Since> = table.iter().map(Connection::since).collect();
        assert_eq!(since, [Since::Seen(7 * SECOND)], "{looked}");
    }
}

/// One that went with its namespace between two looks may have received the FIN before.
#[test]
fn how_one_in_fin_wait_2_ended_that_went_with_its_namespace_is_not_known() {
    let config = Config { life_after_time_wait: true, ..DUMPED };
    let (mut table, mut log) = run(config, &[]);
    take(&mut table, &mut log, 9 * SECOND, &[mini(1, FIN_WAIT2, 10 * SECOND, 15_000)]);
    for begun in [11, 12] {
        let (begun, scope) = (begun * SECOND, Scope::Everything);
        let census =
            Census { begun, ended: begun, scope, netns: &[NETNS], gone: &[NETNS], doubtful: &[], found: &[] };
        table.take_census(&census, |_| true, &mut log);
    }
    let ends: Vec<EndCause> = log.lives().map(|(_, life)| life.end).collect();
    assert_eq!(ends, [EndCause::Unknown]);
}

/// A namespace without a way into it may be there all the same: what is not known to be gone with it ends by its timer.
#[test]
fn one_in_a_namespace_that_may_be_there_ends_by_its_timer() {
    let (none, it): (&[u32], &[u32]) = (&[], &[NETNS]);
    let (seen, by_timer) = (22 * SECOND, 71_888_000_000);
    for (mini_ends, gone, doubtful, told) in [
        (MiniEndSource::Dumped, it, none, (seen, Some("netns_gone"))),
        (MiniEndSource::Dumped, none, it, (by_timer, Some("expired"))),
        (MiniEndSource::Told, it, none, (seen, Some("netns_gone"))),
        (MiniEndSource::Told, none, it, (seen, None)),
    ] {
        let config = Config { mini_ends, ..DUMPED };
        let (mut table, mut log) = run(config, &[]);
        let full = found(1, ESTABLISHED, 10 * SECOND);
        let mut time_wait = mini(2, TIME_WAIT, 10 * SECOND, 15_000);
        (time_wait.gauge.jiffies, time_wait.gauge.expires) = (90_000, 105_000);
        take(&mut table, &mut log, 9 * SECOND, &[full, time_wait]);
        let mut ends = Closed::default();
        for begun in [21, 22] {
            let begun = begun * SECOND;
            let scope = Scope::Everything;
            let census = Census { begun, ended: begun, scope, netns: &[NETNS], gone, doubtful, found: &[] };
            table.take_census(&census, |_| true, &mut ends);
            check::table(&table);
        }
        table.tick(100 * SECOND, &mut ends);
        assert_eq!(ends.0.len(), 2, "{:?}", ends.0);
        assert!(table.is_empty(), "the full socket's events were lost");
        assert_eq!(ends.0.last(), Some(&told), "{mini_ends:?}");
    }
}
