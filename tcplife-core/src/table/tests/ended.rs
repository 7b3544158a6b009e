//! What a process still has of connections that were over before they were found.

use tcplife_common::wire::{self, Record};

use super::{
    census::{
        CLOSE, ESTABLISHED, SECOND, SYN_SENT, TIME_WAIT, found, head, held, mini, moved, state_of, take,
    },
    check, run,
};
use crate::{
    state::State,
    table::{Config, Handshakes, MiniEndSource},
};

const TAKES_UP_ENDED: Config = Config {
    takes_up_ended: true,
    mini_ends: MiniEndSource::Told,
    capacity: 100,
    hz: 250,
    life_after_time_wait: false,
    handshakes: Handshakes::Hidden,
    onlooker: [0; 16],
};

#[test]
fn what_is_left_of_a_connection_is_taken_up_where_that_is_asked_for() {
    let now = 100 * SECOND;
    let ended = held(found(1, CLOSE, now), 42);
    let nobodys = found(2, CLOSE, now);
    let mut fresh = held(found(3, CLOSE, now), 42);
    fresh.tuple.remote_port = 0;
    let sockets = [ended, nobodys, fresh, mini(4, TIME_WAIT, now, 10_000), held(found(4, CLOSE, now), 42)];
    for (config, closed) in [(Config::default(), None), (TAKES_UP_ENDED, Some(State::Closed))] {
        let (mut table, mut log) = run(config, &[]);
        take(&mut table, &mut log, now - 1, &sockets);
        take(&mut table, &mut log, now, &sockets);
        assert_eq!([1, 2, 3].map(|port| state_of(&table, port)), [closed, None, None]);
        assert_eq!(
            table.iter().filter(|connection| connection.local().port() == 4).count(),
            1,
            "in its mini-socket"
        );
        let gone = Record::Gone(wire::Handle { head: head(1, CLOSE, now + 1), ..wire::Handle::default() });
        table.apply(&gone, &mut log);
        assert_eq!(state_of(&table, 1), None, "the application let go");
        assert!(log.0.is_empty(), "that was before the trace: {log:?}");
    }
}

#[test]
fn what_is_left_of_a_connection_goes_unseen_with_its_descriptor() {
    let (mut table, mut log) = run(TAKES_UP_ENDED, &[]);
    take(&mut table, &mut log, SECOND - 1, &[held(found(1, CLOSE, SECOND), 42)]);
    assert_eq!(take(&mut table, &mut log, 2 * SECOND, &[]).missing, 1);
    assert_eq!(take(&mut table, &mut log, 3 * SECOND, &[]).ended, 1);
    assert!(table.is_empty() && log.0.is_empty(), "{log:?}");
}

#[test]
fn what_was_closed_while_it_was_listed_is_not_taken_up() {
    let (mut table, mut log) = run(TAKES_UP_ENDED, &[]);
    table.expect_census();
    let gone = wire::Handle { head: head(1, CLOSE, SECOND + 1), ..wire::Handle::default() };
    table.apply(&Record::Gone(gone), &mut log);
    take(&mut table, &mut log, SECOND - 1, &[held(found(1, CLOSE, SECOND), 42)]);
    assert!(table.is_empty());
}

#[test]
fn what_is_left_takes_no_ones_place() {
    let (mut table, mut log) = run(Config { capacity: 1, ..TAKES_UP_ENDED }, &[]);
    let sockets = [found(1, ESTABLISHED, SECOND), held(found(2, CLOSE, SECOND), 42)];
    take(&mut table, &mut log, SECOND - 1, &sockets);
    assert_eq!([1, 2].map(|port| state_of(&table, port)), [Some(State::Established), None]);
}

#[test]
fn a_socket_that_connects_again_is_a_new_connection() {
    let (mut table, mut log) = run(TAKES_UP_ENDED, &[]);
    take(&mut table, &mut log, SECOND - 1, &[held(found(1, CLOSE, SECOND), 42)]);
    table.apply(&moved(1, CLOSE, SYN_SENT, 2 * SECOND), &mut log);
    check::table(&table);
    assert_eq!((table.len(), state_of(&table, 1)), (1, Some(State::SynSent)));
}
