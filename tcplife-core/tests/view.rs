//! Pages of a small table, and filters on its connections.

#![forbid(unsafe_code)]

use std::net::Ipv4Addr;

use tcplife_common::wire::{Head, Move, Note, Record, Task, Tuple, flag};
use tcplife_core::{
    connection::ConnId,
    filter::{Families, Filter},
    state::State,
    table::{Config, Table},
    view::{GroupBy, GroupKey, Page, Query, SortKey, page},
};

const SECOND: u64 = 1_000_000_000;

fn mapped(host: u8) -> [u8; 16] {
    Ipv4Addr::new(10, 0, 0, host).to_ipv6_mapped().octets()
}

/// Connection `n` on namespace `n % 3`, opened in second `n` by `worker-n`; every fourth is in `CLOSE_WAIT`.
fn table(count: u8) -> Table {
    let mut table = Table::new(Config::default());
    for n in 1..=count {
        let head = |old, new, after: u64| Head {
            flags: flag::BY_TASK,
            old,
            new,
            netns: u32::from(n % 3),
            time_ns: u64::from(n) * SECOND + after,
            sock: u64::from(n),
            ..Head::default()
        };
        let remote_port = 8000 + u16::from(n);
        let (mut local, mut remote) = (mapped(1), mapped(n));
        if n % 5 == 0 {
            (local, remote) = ([n; 16], [0xfd; 16]);
        }
        let tuple = Tuple { local, remote, local_port: 4000 - u16::from(n), remote_port, ..Tuple::default() };
        let mut comm = [0; 16];
        comm[..7].copy_from_slice(b"Worker-");
        comm[7] = b'a' + n % 26;
        let task = Task { tgid: u32::from(n), start_ns: 1, comm, ..Task::default() };
        table.apply(&Record::Move(Move { head: head(7, 2, 0), tuple, task }), &mut ());
        table.apply(&Record::Move(Move { head: head(2, 1, 1), tuple, task }), &mut ());
        if n % 4 == 0 {
            table.apply(&Record::Move(Move { head: head(1, 8, 2), tuple, task }), &mut ());
        }
        for _ in 0..n % 7 {
            table.apply(&Record::Retransmit(Note { head: head(1, 1, 3), tuple }), &mut ());
        }
    }
    table
}

fn ids(page: &Page) -> Vec<u64> {
    page.rows.iter().map(|row| row.id.0).collect()
}

#[test]
fn the_oldest_come_first() {
    let table = table(10);
    let page = page(&table, &Query { limit: 3, ..Query::default() }, 60 * SECOND);
    assert_eq!(ids(&page), [1, 2, 3]);
    assert_eq!((page.matched, page.total), (10, 10));
    assert_eq!(page.by_state[State::CloseWait.index()], 2);
    assert_eq!(page.rows[0].local.to_string(), "10.0.0.1:3999");
    assert_eq!(page.rows[0].since.age(60 * SECOND).max, Some(59 * SECOND - 1));
}

#[test]
fn any_window_is_a_part_of_the_whole_order() {
    let table = table(60);
    for sort in SortKey::ALL {
        for descending in [false, true] {
            let query = |offset, limit| Query { sort, descending, offset, limit, ..Query::default() };
            let all = ids(&page(&table, &query(0, usize::MAX), 0));
            assert_eq!(all.len(), 60);
            for (offset, limit) in [(0, 1), (0, 7), (5, 20), (59, 5), (40, 20), (60, 1), (1000, 5), (3, 0)] {
                let part = ids(&page(&table, &query(offset, limit), 0));
                let wanted: Vec<u64> = all.iter().copied().skip(offset).take(limit).collect();
                assert_eq!(part, wanted, "{sort:?} {descending} {offset} {limit}");
            }
        }
    }
}

#[test]
fn rows_are_in_the_order_of_each_key() {
    let table = table(30);
    let rows = |sort| page(&table, &Query { sort, descending: false, ..Query::default() }, 0).rows;
    assert!(rows(SortKey::Age).is_sorted_by_key(|row| std::cmp::Reverse(row.since.seen())));
    assert!(rows(SortKey::State).is_sorted_by_key(|row| row.state));
    assert!(rows(SortKey::Owner).is_sorted_by_key(|row| row.owner.map(|owner| owner.process.comm)));
    assert!(rows(SortKey::Netns).is_sorted_by_key(|row| row.netns));
    assert!(rows(SortKey::Retransmits).is_sorted_by_key(|row| row.retransmits));
}

#[test]
fn the_text_is_looked_for_in_everything_shown() {
    let table = table(12);
    let found = |text: &str| {
        let query = Query { text: text.to_owned(), ..Query::default() };
        ids(&page(&table, &query, 0))
    };
    assert_eq!(found("WORKER-C"), [2]);
    assert_eq!(found("close_wait"), [4, 8, 12]);
    assert_eq!(found("10.0.0.7:8007"), [7]);
    assert_eq!(found("fdfd:"), [5, 10]);
    assert_eq!(found("nothing"), []);
}

#[test]
fn groups_hold_every_row_that_matches() {
    let table = table(12);
    for by in GroupBy::ALL {
        let query = |text: &str, group| Query { text: text.to_owned(), group, ..Query::default() };
        let grouped = page(&table, &query("-worker-b", Some(by)), 40 * SECOND);
        assert!(grouped.rows.is_empty());
        assert_eq!(grouped.groups.iter().map(|group| group.count).sum::<usize>(), 11, "{by:?}");
        assert_eq!((grouped.matched, grouped.suspicious, grouped.namespaces), (11, 2, 3));
        assert!(grouped.groups[0].suspicious > 0, "the suspicious come first");
        for group in &grouped.groups {
            // The term of a group finds its rows.
            let rows = page(&table, &query(&group.key.term(), None), 40 * SECOND);
            let has_self = rows.rows.iter().any(|row| row.id.0 == 1);
            assert_eq!(rows.matched - usize::from(has_self), group.count, "{by:?} {}", group.key.term());
        }
    }
}

#[test]
fn states_are_counted_before_the_text_and_the_choice_of_states() {
    let table = table(12);
    let query = Query {
        text: "worker-e".to_owned(),
        states: [State::CloseWait].into_iter().collect(),
        filter: Filter { pids: vec![4, 5, 12], ..Filter::default() },
        ..Query::default()
    };
    let page = page(&table, &query, 0);
    assert_eq!((ids(&page), page.matched), (vec![4], 1));
    let of = |state: State| page.by_state[state.index()];
    assert_eq!((of(State::CloseWait), of(State::Established)), (2, 1));
    assert_eq!(page.by_state.iter().sum::<usize>(), 3);
}

#[test]
fn states_and_filters_join() {
    let table = table(12);
    let query = Query {
        states: [State::CloseWait].into_iter().collect(),
        filter: Filter { pids: vec![4, 5, 12], ..Filter::default() },
        ..Query::default()
    };
    let page = page(&table, &query, 0);
    assert_eq!(ids(&page), [4, 12]);
    assert_eq!((page.matched, page.total), (2, 12));
}

#[test]
fn suspicious_rows_are_marked_and_counted() {
    let table = table(12);
    let query = Query { leak_after: 30 * SECOND, ..Query::default() };
    let page = page(&table, &query, 40 * SECOND);
    assert_eq!(page.suspicious, 2);
    let marked: Vec<u64> = page.rows.iter().filter(|row| row.suspicious).map(|row| row.id.0).collect();
    assert_eq!(marked, [4, 8]);
}

#[test]
fn suspicious_rows_come_before_older_ones() {
    let table = table(12);
    let query = Query { leak_after: 30 * SECOND, sort: SortKey::Suspicion, ..Query::default() };
    assert_eq!(ids(&page(&table, &query, 40 * SECOND))[..4], [4, 8, 1, 2]);
}

/// Where nobody saw who opened it, the port that has a listener is the service's.
#[test]
fn a_connection_that_was_there_before_is_in_the_group_of_its_service() {
    let mut table = table(0);
    for (sock, old, new, local_port, remote_port) in
        [(1, 7, 10, 80, 0), (2, 1, 8, 80, 4000), (3, 1, 4, 4000, 80)]
    {
        let head = Head { old, new, sock, time_ns: SECOND, ..Head::default() };
        let remote = if remote_port == 0 { [0; 16] } else { mapped(1) };
        let tuple = Tuple { local: mapped(1), remote, local_port, remote_port, ..Tuple::default() };
        table.apply(&Record::Move(Move { head, tuple, task: Task::default() }), &mut ());
    }
    let query = Query { group: Some(GroupBy::Port), ..Query::default() };
    let groups = page(&table, &query, 2 * SECOND).groups;
    assert_eq!(
        groups.iter().map(|group| (group.key, group.count)).collect::<Vec<_>>(),
        [(GroupKey::Port(80), 3)]
    );
}

#[test]
fn the_selected_row_is_followed() {
    let table = table(12);
    let query = Query { selected: Some(ConnId(4)), limit: 2, ..Query::default() };
    let shown = page(&table, &query, 0);
    assert_eq!(shown.selected, Some(3));
    let detail = shown.detail.unwrap();
    assert_eq!(detail.row.id, ConnId(4));
    let states: Vec<State> = detail.stays.iter().map(|stay| stay.state).collect();
    assert_eq!(states, [State::SynSent, State::Established, State::CloseWait]);
    assert_eq!(detail.stays[1].until, Some(4 * SECOND + 2));
    assert_eq!((detail.bytes_sent, detail.end), (None, None));

    let hidden = Query { text: "worker-b".to_owned(), ..query.clone() };
    let shown = page(&table, &hidden, 0);
    assert_eq!(shown.selected, None, "it does not match");
    assert!(shown.detail.is_some(), "but it is there");
    assert!(page(&table, &Query { selected: Some(ConnId(99)), ..query }, 0).detail.is_none());
}

#[test]
fn filters_of_one_kind_are_alternatives_and_of_several_kinds_conditions() {
    let table = table(12);
    let matching = |filter: &Filter| -> Vec<u64> {
        let matches = |c: &&_| filter.matches(c, table.owner(c));
        let mut ids: Vec<u64> = table.iter().filter(matches).map(|c| c.id().0).collect();
        ids.sort_unstable();
        ids
    };
    let any = Filter::default();
    assert!(any.is_empty());
    assert_eq!(matching(&any).len(), 12);
    assert_eq!(matching(&Filter { families: Families::V6, ..any.clone() }), [5, 10]);
    assert_eq!(matching(&Filter { families: Families::V4, ..any.clone() }).len(), 10);
    let ports: Filter =
        Filter { remote_ports: [8001..=8003, 8009..=8009].into_iter().collect(), ..any.clone() };
    assert!(!ports.is_empty());
    assert_eq!(matching(&ports), [1, 2, 3, 9]);
    assert_eq!(matching(&Filter { netns: vec![2], ..ports.clone() }), [2]);
    assert_eq!(matching(&Filter { local_ports: std::iter::once(3990..=3995).collect(), ..ports }), [9]);
    let named = Filter { comms: vec![b"Worker-d".into(), b"Worker-e".into()], ..any.clone() };
    assert_eq!(matching(&named), [3, 4]);
    assert_eq!(matching(&Filter { states: std::iter::once(State::CloseWait).collect(), ..named }), [4]);
    assert_eq!(matching(&Filter { comms: vec![b"worker-d".into()], ..any }), [], "names are exact");
}
