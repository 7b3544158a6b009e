//! Lists of mini-sockets, most of which have not changed since the last one.

use tcplife_common::wire;

use super::{
    Told,
    census::{NETNS, SECOND, TIME_WAIT, mini, take},
    run,
};
use crate::{
    connection::Ends,
    state::State,
    table::{Config, MiniEnds, index::Stamp},
};

const DUMPED: Config = Config {
    capacity: 100,
    hz: 250,
    life_after_time_wait: false,
    mini_ends: MiniEnds::Dumped,
    handshakes: crate::table::Handshakes::Hidden,
    onlooker: [0; 16],
};

#[test]
fn an_unchanged_one_is_known_by_its_address_and_timer() {
    let (mut table, mut log) = run(DUMPED, &[]);
    let at_first = mini(1, TIME_WAIT, 10 * SECOND, 5_000);
    take(&mut table, &mut log, 9 * SECOND, &[at_first]);
    let ends = Ends::of(&at_first.tuple);
    let slot = table.minis.get(NETNS, &ends);
    let stamp = |found: &wire::Found| Stamp::of(found.head.sock, found.mini.expires);
    assert!(slot.is_some());
    assert_eq!(table.minis.unchanged(NETNS, &ends, stamp(&at_first)), slot);
    let armed_again = mini(1, TIME_WAIT, 10 * SECOND, 5_001);
    assert_eq!(table.minis.unchanged(NETNS, &ends, stamp(&armed_again)), None);
    assert_eq!(table.minis.unchanged(NETNS, &ends, stamp(&mini(2, TIME_WAIT, 10 * SECOND, 5_000))), None);
    assert_eq!(table.minis.unchanged(NETNS + 1, &ends, stamp(&at_first)), None);
    assert_eq!(table.minis.unchanged(NETNS, &ends, Stamp::NONE), None);
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
