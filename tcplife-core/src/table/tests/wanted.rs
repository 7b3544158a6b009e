//! A census of what is wanted alone.

use super::census::{ESTABLISHED, found};
use crate::table::{Census, Config, Table};

/// What is left out is as if it had not been found.
#[test]
fn what_is_not_wanted_is_not_taken_up() {
    let mut table = Table::new(Config::default());
    let found = [vec![found(1, ESTABLISHED, 10), found(2, ESTABLISHED, 10)], vec![found(3, ESTABLISHED, 10)]];
    let census = Census::of_some(5, &found);
    let outcome = table.take_census(&census, |found| found.head.sock != 2, &mut ());
    assert_eq!((outcome.adopted, table.len()), (2, 2));
    assert!(table.iter().all(|connection| connection.sock != 2));
}
