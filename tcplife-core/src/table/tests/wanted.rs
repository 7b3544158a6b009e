//! A census of what is wanted alone.

use super::census::{ESTABLISHED, NETNS, found};
use crate::table::{Census, Config, Scope, Table};

/// What is left out is as if it had not been found.
#[test]
fn what_is_not_wanted_is_not_taken_up() {
    let mut table = Table::new(Config::default());
    let found = [vec![found(1, ESTABLISHED, 10), found(2, ESTABLISHED, 10)], vec![found(3, ESTABLISHED, 10)]];
    let census = Census {
        begun: 5,
        ended: 5,
        scope: Scope::Some,
        netns: &[NETNS],
        gone: &[],
        doubtful: &[],
        found: &found,
    };
    let outcome = table.take_census(&census, |found| found.head.sock != 2, &mut ());
    assert_eq!((outcome.adopted, table.len()), (2, 2));
    assert!(table.iter().all(|connection| connection.sock != 2));
}
