//! Mini-sockets in `TIME_WAIT` whose timer fired, and of which no list has told since.

use tcplife_common::wire::Found;

use super::{
    census::{CLOSE, ESTABLISHED, NETNS, SECOND, SYN_SENT, TIME_WAIT, mini, moved},
    check,
    minis::{Closed, DUMPED},
};
use crate::{
    connection::Connection,
    table::{Census, CensusOutcome, Config, Scope, Table},
};

/// A late segment of the peer's sets the timer again, after a list and before the computed end.
#[test]
fn one_whose_timer_is_set_again_unseen_goes_on() {
    let armed = |at, jiffies: u64, set: u64| {
        let mut found = mini(1, TIME_WAIT, at, 0);
        (found.gauge.jiffies, found.gauge.expires) = (90_000 + jiffies, 90_000 + set + 15_000);
        found
    };
    // The wheel makes 105,000 jiffies 105,472, which is 71.888 s.
    let by_timer = (71_888_000_000, Some("expired"));
    let (mut table, mut ends) = (Table::new(DUMPED), Closed::default());
    let mut list = |table: &mut Table, begun, found: &[Found]| {
        let found = [found.to_vec()];
        let scope = Scope::MiniSockets;
        let census =
            Census { begun, ended: begun, scope, netns: &[NETNS], gone: &[], doubtful: &[], found: &found };
        let outcome = table.take_census(&census, |_| true, &mut ends);
        check::table(table);
        (outcome, std::mem::take(&mut ends.0))
    };
    list(&mut table, 9 * SECOND, &[armed(10 * SECOND, 0, 0)]);
    let id = table.iter().next().map(Connection::id);
    let mut early = Closed::default();
    table.tick(72 * SECOND, &mut early);
    assert_eq!(early.0, [], "it may have been set again");
    let again = armed(72 * SECOND + 1, 15_500, 15_000);
    assert_eq!(list(&mut table, 72 * SECOND, &[again]), (CensusOutcome::default(), vec![]));
    assert_eq!(table.iter().next().map(Connection::id), id);
    assert_eq!(list(&mut table, 100 * SECOND, &[again]), (CensusOutcome::default(), vec![]));
    table.tick(132 * SECOND, &mut early);
    assert_eq!(early.0, []);
    // With its time up one list that does not have it is enough. The wheel makes 120,000 jiffies 120,320.
    let (outcome, ended) = list(&mut table, 132 * SECOND, &[]);
    assert_eq!(
        (outcome, ended, table.len()),
        (CensusOutcome::default(), vec![(131_280_000_001, Some("expired"))], 0)
    );

    // Where no list comes, or somebody else has its ends, it ended when its timer fired; so it does for the end of the trace.
    for wait in [SECOND, 3 * SECOND] {
        let (mut table, mut ends) = (Table::new(DUMPED), Closed::default());
        list(&mut table, 9 * SECOND, &[armed(10 * SECOND, 0, 0)]);
        table.tick(72 * SECOND + wait, &mut ends);
        check::table(&table);
        assert_eq!(ends.0.len(), usize::from(wait > 2 * SECOND));
        table.finish(72 * SECOND + wait, &mut ends);
        assert_eq!(ends.0, [by_timer]);
    }
    let (mut table, mut ends) = (Table::new(DUMPED), Closed::default());
    list(&mut table, 9 * SECOND, &[armed(10 * SECOND, 0, 0)]);
    for (at, old, new) in [(72, CLOSE, SYN_SENT), (73, SYN_SENT, ESTABLISHED)] {
        table.apply(&moved(1, old, new, at * SECOND), &mut ends);
    }
    assert_eq!(ends.0, [by_timer]);
}

/// Records that are applied before a list make time go on while it is made.
#[test]
fn one_whose_timer_fires_while_a_list_is_made_ends_then() {
    let fires = 71_888_000_000;
    let begun = fires - SECOND / 100;
    for missed_before in [false, true] {
        let (mut table, mut ends) = (Table::new(DUMPED), Closed::default());
        let mut time_wait = mini(1, TIME_WAIT, 10 * SECOND, 0);
        (time_wait.gauge.jiffies, time_wait.gauge.expires) = (90_000, 105_000);
        let mut list = |table: &mut Table, begun, found: &[Found]| {
            let (netns, found) = (&[NETNS], [found.to_vec()]);
            let scope = Scope::MiniSockets;
            let census =
                Census { begun, ended: begun, scope, netns, gone: &[], doubtful: &[], found: &found };
            table.take_census(&census, |_| true, &mut ends);
            check::table(table);
            std::mem::take(&mut ends.0)
        };
        list(&mut table, 9 * SECOND, &[time_wait]);
        if missed_before {
            assert_eq!(list(&mut table, begun - SECOND, &[]), []);
        }
        table.tick(fires + 1, &mut Closed::default());
        let ended = list(&mut table, begun, &[]);
        // Two lists that were begun before it fired have missed it: it ended early.
        assert_eq!(ended, if missed_before { vec![(begun, None)] } else { vec![] });
        let ended = list(&mut table, fires + SECOND, &[]);
        assert_eq!(ended, if missed_before { vec![] } else { vec![(fires, Some("expired"))] });
    }
}

#[test]
fn one_that_a_full_table_has_no_room_for_has_expired() {
    let (mut table, mut ends) = (Table::new(Config { capacity: 1, ..DUMPED }), Closed::default());
    let mut time_wait = mini(1, TIME_WAIT, 10 * SECOND, 0);
    (time_wait.gauge.jiffies, time_wait.gauge.expires) = (90_000, 105_000);
    let (scope, found) = (Scope::MiniSockets, &[vec![time_wait]]);
    let census = Census {
        begun: 9 * SECOND,
        ended: 9 * SECOND,
        scope,
        netns: &[NETNS],
        gone: &[],
        doubtful: &[],
        found,
    };
    table.take_census(&census, |_| true, &mut ends);
    table.apply(&moved(2, CLOSE, SYN_SENT, 72 * SECOND), &mut ends);
    check::table(&table);
    assert_eq!(ends.0, [(71_888_000_000, Some("expired"))]);
    assert_eq!((table.len(), table.totals().closed, table.totals().evicted), (1, 1, 0));
}
