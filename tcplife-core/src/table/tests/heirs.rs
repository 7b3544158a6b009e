//! Owners that no longer hold what they own.

use tcplife_common::wire::{Found, Record, flag};

use super::{
    census::{CLOSE, CLOSE_WAIT, ESTABLISHED, LISTEN, SECOND, SYN_SENT, found, held, moved, take},
    run,
};
use crate::{
    owner::Via,
    table::{Config, Table},
};

/// A daemon that lets its parent end, a child that inherits what its parent accepted.
#[test]
fn what_its_owner_no_longer_holds_is_its_next_holders() {
    let by_parent = |record| match record {
        Record::Move(mut moved) => {
            moved.head.flags |= flag::BY_TASK;
            moved.task = held(found(1, LISTEN, 1), 42).task;
            Record::Move(moved)
        }
        other => other,
    };
    let listens = by_parent(moved(1, CLOSE, LISTEN, SECOND));
    let connects = by_parent(moved(3, CLOSE, SYN_SENT, SECOND));
    let (mut table, mut log) = run(Config::default(), &[listens, connects]);
    let at = |seconds: u64, pids: &[u32]| -> Vec<Found> {
        let sockets = [(1, LISTEN), (2, ESTABLISHED), (3, SYN_SENT)];
        let sockets = sockets.into_iter().map(|(sock, state)| found(sock, state, seconds * SECOND));
        sockets.flat_map(|socket| pids.iter().map(move |&pid| held(socket, pid))).collect()
    };
    let owners = |table: &Table| {
        let of = |port| table.iter().find(|connection| connection.local().port() == port);
        let owner = |port| table.owner(of(port).expect("it is there")).expect("it has an owner");
        [1, 2, 3].map(|port| (owner(port).process.pid, owner(port).via))
    };
    take(&mut table, &mut log, 2 * SECOND, &at(2, &[42]));
    let before = [(42, Via::Listener), (42, Via::Holder), (42, Via::Connect)];
    assert_eq!(owners(&table), before);
    take(&mut table, &mut log, 3 * SECOND, &at(3, &[41, 42, 43]));
    assert_eq!(owners(&table), before, "it still holds them");
    take(&mut table, &mut log, 4 * SECOND, &at(4, &[43, 44]));
    assert_eq!(owners(&table), [(43, Via::Holder), (43, Via::Holder), (42, Via::Connect)]);
}

/// Its first event came before the list at the start, and after the list had looked at it or while its new state was stored.
#[test]
fn who_holds_one_that_moved_during_the_list_owns_it() {
    for looked in [SECOND - 1, SECOND + 1] {
        let (mut table, mut log) = run(Config::default(), &[moved(1, ESTABLISHED, CLOSE_WAIT, SECOND)]);
        take(&mut table, &mut log, SECOND / 2, &[held(found(1, ESTABLISHED, looked), 42)]);
        let owners: Vec<_> = table.iter().map(|connection| table.owner(connection)).collect();
        let [Some(owner)] = owners[..] else { panic!("{looked}: {owners:?}") };
        assert_eq!((owner.process.pid, owner.via), (42, Via::Holder));
    }
}

/// Its event came when the list had looked at the first of its holders only.
#[test]
fn who_was_found_with_it_before_the_event_still_holds_it() {
    let (mut table, mut log) = run(Config::default(), &[moved(1, ESTABLISHED, CLOSE_WAIT, SECOND)]);
    let before = held(found(1, ESTABLISHED, SECOND - 1), 42);
    let after = held(found(1, CLOSE_WAIT, SECOND + 1), 43);
    take(&mut table, &mut log, SECOND / 2, &[before, after]);
    let owners: Vec<_> = table.iter().filter_map(|connection| table.owner(connection)).collect();
    assert_eq!(owners.iter().map(|owner| owner.process.pid).collect::<Vec<_>>(), [42]);
}

/// In a full table the place of one that somebody else holds by now is another's before the list is gone through.
#[test]
fn who_holds_one_that_was_evicted_does_not_own_what_has_its_place() {
    let (mut table, mut log) = run(Config { capacity: 2, ..Config::default() }, &[]);
    let listener = |at| held(found(2, LISTEN, at), 1);
    take(&mut table, &mut log, SECOND, &[listener(SECOND), held(found(1, ESTABLISHED, SECOND), 42)]);
    let mut waiting = found(3, ESTABLISHED, 2 * SECOND);
    waiting.tuple.local_port = 2;
    let next = [listener(2 * SECOND), held(found(1, ESTABLISHED, 2 * SECOND), 43), waiting];
    take(&mut table, &mut log, 2 * SECOND, &next);
    assert_eq!(table.totals().evicted, 1);
    let owners: Vec<_> = table.iter().filter_map(|connection| table.owner(connection)).collect();
    assert_eq!(owners.iter().map(|owner| owner.process.pid).collect::<Vec<_>>(), [1, 1]);
}
