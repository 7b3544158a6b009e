//! Connections that turn out to be ones that nobody asked for.

use tcplife_common::wire::{Head, Record, Tuple};

use super::{
    census::{ended, moved},
    check, run,
};
use crate::{state::State, table::Config};

const CLOSE: u8 = 7;
const SYN_SENT: u8 = 2;
const ESTABLISHED: u8 = 1;
const LISTEN: u8 = 10;

fn parts(record: &Record) -> (Head, Tuple) {
    let Record::Move(record) = record else { panic!("no move") };
    (record.head, record.tuple)
}

#[test]
fn they_were_never_there() {
    let records = [moved(1, CLOSE, SYN_SENT, 10), moved(2, CLOSE, LISTEN, 20)];
    let (mut table, mut log) = run(Config::default(), &records);
    for record in [moved(1, SYN_SENT, ESTABLISHED, 30), moved(2, CLOSE, LISTEN, 20)] {
        let (head, tuple) = parts(&record);
        table.withdraw(&head, &tuple, &mut log);
        check::table(&table);
    }
    let totals = table.totals();
    assert_eq!((table.len(), totals.opened, totals.unattributed, totals.listeners), (0, 0, 0, 0));
    assert_eq!(log.lives().count(), 0);
}

#[test]
fn another_one_at_the_same_address_has_ended_unseen() {
    let (mut table, mut log) =
        run(Config::default(), &[moved(1, CLOSE, SYN_SENT, 10), moved(1, SYN_SENT, ESTABLISHED, 20)]);
    let (head, tuple) = parts(&moved(1, SYN_SENT, ESTABLISHED, 30));
    table.withdraw(&Head { cookie: 5, ..head }, &tuple, &mut log);
    check::table(&table);
    assert_eq!((table.len(), table.totals().mismatched), (0, 1));
    assert_eq!(log.lives().map(|life| life.1.end.name()).collect::<Vec<_>>(), ["unknown"]);
    assert_eq!(table.totals().live[State::Established.index()], 0);
}

#[test]
fn one_whose_end_is_held_back_has_ended_as_it_was_told() {
    const FIN_WAIT1: u8 = 4;
    const FIN_WAIT2: u8 = 5;
    let steps =
        [(CLOSE, SYN_SENT), (SYN_SENT, ESTABLISHED), (ESTABLISHED, FIN_WAIT1), (FIN_WAIT1, FIN_WAIT2)];
    let mut records: Vec<Record> =
        steps.iter().zip(10..).map(|(&(old, new), at)| moved(1, old, new, at)).collect();
    records.push(ended(1, FIN_WAIT2, 20));
    let (mut table, mut log) = run(Config::default(), &records);
    assert_eq!((table.len(), log.lives().count()), (1, 0), "a reset may follow");
    let (head, tuple) = parts(&moved(1, SYN_SENT, ESTABLISHED, 30));
    table.withdraw(&Head { cookie: 5, ..head }, &tuple, &mut log);
    check::table(&table);
    assert_eq!((table.len(), table.totals().mismatched), (0, 0));
    assert_eq!(log.lives().map(|life| life.1.end.name()).collect::<Vec<_>>(), ["aborted"]);
}
