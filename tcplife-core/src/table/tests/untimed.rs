//! Mini-sockets that are gone, and whose timer need not be why.

use tcplife_common::wire::Found;

use super::{
    census::{CLOSE, ESTABLISHED, FIN_WAIT2, NETNS, SECOND, SYN_SENT, TIME_WAIT, mini, moved, take},
    check,
    minis::{Closed, DUMPED, lived_up_to},
    run,
};
use crate::{
    connection::Connection,
    observer::{Observer, Transition},
    owner::Owner,
    state::State,
    table::{Census, Scope, Table},
};

/// Where connections went, how long they had been in the state before, and the cause.
#[derive(Default)]
struct Moves(Vec<(State, State, Option<u64>, Option<&'static str>)>);

impl Observer for Moves {
    fn transition(&mut self, connection: &Connection, _: Option<Owner>, told: &Transition) {
        self.0.push((told.from, told.to, told.elapsed, connection.cause()));
    }
}

fn list<O: Observer>(table: &mut Table, observer: &mut O, begun: u64, found: &[Found]) {
    table.tick(begun, observer);
    list_until(table, observer, (begun, begun), found);
}

fn list_until<O: Observer>(table: &mut Table, observer: &mut O, (begun, ended): (u64, u64), found: &[Found]) {
    let found = [found.to_vec()];
    let (scope, netns) = (Scope::MiniSockets, &[NETNS]);
    let census = Census { begun, ended, scope, netns, gone: &[], doubtful: &[], found: &found };
    table.take_census(&census, |_| true, observer);
    check::table(table);
}

/// The wheel makes 500 jiffies 504: the timer fires at 12.016 s.
const FIRES: u64 = 12_016_000_000;

/// A table with one mini-socket, found at 10 s, whose timer fires then.
fn with_one(state: u8) -> (Table, Found) {
    let (mut table, mut log) = run(DUMPED, &[]);
    let mut one = mini(1, state, 10 * SECOND, 500);
    if state == TIME_WAIT {
        // Of a whole TIME_WAIT the wheel makes 105,000 jiffies 105,472.
        (one.gauge.jiffies, one.gauge.expires) = (105_472 - 504, 105_000);
    }
    take(&mut table, &mut log, 10 * SECOND - 1, &[one]);
    (table, one)
}

/// It was missed before its timer fired, and again after that.
#[test]
fn one_that_was_missed_before_its_timer_fired_did_not_expire() {
    for state in [FIN_WAIT2, TIME_WAIT] {
        let (mut table, _) = with_one(state);
        let mut ends = Closed::default();
        list(&mut table, &mut ends, FIRES - SECOND / 10, &[]);
        list(&mut table, &mut ends, FIRES + SECOND, &[]);
        assert_eq!(ends.0, [(FIRES + SECOND, None)], "{state}");
        assert!(table.is_empty());
    }
}

/// Its timer fired while the first list that missed it was made, and the second one comes right behind.
#[test]
fn one_whose_timer_fires_while_a_list_is_made_has_expired() {
    for state in [FIN_WAIT2, TIME_WAIT] {
        let (mut table, _) = with_one(state);
        let mut ends = Closed::default();
        let millis = SECOND / 1_000;
        list_until(&mut table, &mut ends, (FIRES - 6 * millis, FIRES + 4 * millis), &[]);
        list_until(&mut table, &mut ends, (FIRES + 5 * millis, FIRES + 15 * millis), &[]);
        assert_eq!(ends.0, [(FIRES, Some("expired"))], "{state}");
    }
}

/// It was missed before its timer fired, and no list came after that.
#[test]
fn one_that_was_missed_before_its_time_has_no_time_without_another_list() {
    let (mut table, _) = with_one(TIME_WAIT);
    let mut moves = Moves::default();
    list(&mut table, &mut moves, FIRES - SECOND, &[]);
    table.tick(FIRES + 3 * SECOND, &mut moves);
    assert_eq!(moves.0, [(State::TimeWait, State::Closed, None, None)]);
    assert!(table.is_empty());
}

/// It was not missed after all: a list can pass by one that moves in the kernel's tables meanwhile.
#[test]
fn one_that_was_missed_once_expires_as_others_do() {
    let (mut table, one) = with_one(FIN_WAIT2);
    let mut ends = Closed::default();
    list(&mut table, &mut ends, FIRES - SECOND, &[]);
    list(&mut table, &mut ends, FIRES - SECOND / 2, &[one]);
    for late in [1, 2] {
        list(&mut table, &mut ends, FIRES + late * SECOND, &[]);
    }
    assert_eq!(ends.0, [(FIRES, Some("expired"))]);
}

/// Between two lists that are far apart the peer may have reset it, or its `TIME_WAIT` may have come and gone.
#[test]
fn how_one_in_fin_wait_2_ended_between_lists_that_are_far_apart_is_not_known() {
    // Of 56 s a list had it for 44 s, or for 36 s.
    for (first, before, expired) in [
        (8 * SECOND, 0, true),
        (12 * SECOND, 0, false),
        (56 * SECOND, 12 * SECOND, true),
        (56 * SECOND, 20 * SECOND, false),
    ] {
        let (mut table, mut log) = run(DUMPED, &[]);
        let fires = 70 * SECOND;
        let found = fires - first;
        let one = mini(1, FIN_WAIT2, found, first * 250 / SECOND);
        take(&mut table, &mut log, found - 1, &[one]);
        if before > 0 {
            take(&mut table, &mut log, fires - before, &[one]);
        }
        let mut moves = Moves::default();
        list(&mut table, &mut moves, fires + 20 * SECOND, &[]);
        list(&mut table, &mut moves, fires + 21 * SECOND, &[]);
        let cause = expired.then_some("expired");
        let [(from, to, elapsed, told)] = moves.0[..] else { panic!("{:?}", moves.0) };
        assert_eq!((from, to, elapsed, told), (State::FinWait2, State::Closed, None, cause));
    }
}

/// A list had it long after it should have been gone: its timer was not the one that was computed.
#[test]
fn one_that_a_list_had_after_its_time_did_not_expire_then() {
    let (mut table, one) = with_one(FIN_WAIT2);
    let mut ends = Closed::default();
    for seen in [1, 2] {
        list(&mut table, &mut ends, FIRES + seen * SECOND, &[one]);
    }
    for missed in [3, 4] {
        list(&mut table, &mut ends, FIRES + missed * SECOND, &[]);
    }
    assert_eq!(ends.0, [(FIRES + 4 * SECOND, None)]);
}

/// The level of the wheel follows from how long the timer was when it was set, not from what is left of it.
#[test]
fn one_that_is_found_late_expires_when_it_would_have_if_it_had_been_found_early() {
    let timeout: u64 = 20 * 250;
    // Set in the jiffy 90,000: 5,000 ticks are of the level of 512, which makes 95,000 95,232; the last 1,000 were of that of 64.
    let fires = 10 * SECOND + 5_232 * (SECOND / 250);
    for after in [0, 4_000, 4_990] {
        let found_at = 10 * SECOND + after * (SECOND / 250);
        let mut one = mini(1, FIN_WAIT2, found_at, 0);
        (one.gauge.jiffies, one.gauge.expires) = (90_000 + after, 90_000 + timeout);
        one.gauge.fin_timeout = u32::try_from(timeout).unwrap_or(0);
        // The last segment came when the timer was set; the kernel keeps that in seconds, or in milliseconds.
        for by_its_own_clock in [false, true] {
            (one.gauge.stamp_ns, one.gauge.last_ack) =
                if by_its_own_clock { (0, 10_000) } else { (10 * SECOND, 0) };
            let (mut table, mut log) = run(DUMPED, &[]);
            let mut ends = Closed::default();
            take(&mut table, &mut log, found_at - 1, &[one]);
            list(&mut table, &mut ends, fires - SECOND / 10, &[one]);
            for late in [1, 2] {
                list(&mut table, &mut ends, fires + late * SECOND, &[]);
            }
            assert_eq!(ends.0, [(fires, Some("expired"))], "{after} {by_its_own_clock}");
        }
    }
}

/// Its ends went to another connection: that was in `TIME_WAIT` (`tcp_timewait_state_process`), or after a reset.
#[test]
fn one_in_fin_wait_2_whose_ends_have_a_new_user_ended_before_that() {
    let (mut table, _) = run(DUMPED, &lived_up_to(FIN_WAIT2, 15_000));
    let mut moves = Moves::default();
    for (at, old, new) in [(12, CLOSE, SYN_SENT), (13, SYN_SENT, ESTABLISHED)] {
        table.apply(&moved(1, old, new, at * SECOND), &mut moves);
    }
    check::table(&table);
    assert!(moves.0.contains(&(State::FinWait2, State::Closed, None, None)), "{:?}", moves.0);
}
