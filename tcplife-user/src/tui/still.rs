//! What a paused screen looks at.
//!
//! What comes in: the table at one moment and the request that is open. What goes out: pages of that moment. What
//! always holds: all of a page is of the same moment; what is copied is bounded, however large the table is, so that
//! a pause never holds the engine up.

use std::collections::{HashMap, HashSet};

use tcplife_core::{
    connection::{ConnId, Connection},
    table::{Table, Totals},
    view::{self, Detail, Page, Query, Row},
};

use super::views::StillViews;

/// Rows that are copied at most, around those in view.
const ROOM: usize = 10_000;

/// One moment.
pub struct Still {
    /// When, nanoseconds of `CLOCK_MONOTONIC`.
    pub now: u64,
    /// The counts.
    pub totals: Totals,
    /// What the views show besides connections.
    pub views: StillViews,
    /// What `page` answers.
    query: Query,
    page: Page,
    connections: HashMap<ConnId, Connection>,
}

impl Still {
    /// Takes one, for the rows that `query` asks for and as many around them as there is room for.
    pub fn take(table: &Table, views: StillViews, query: &Query, now: u64) -> Self {
        let around = ROOM.saturating_sub(query.limit);
        let offset = query.offset.saturating_sub(around / 2);
        let query = Query { offset, limit: ROOM.max(query.limit), ..query.clone() };
        let page = view::page(table, &query, now);
        let ids: HashSet<ConnId> = page.rows.iter().map(|row| row.id).collect();
        let connections = table
            .iter()
            .filter(|connection| ids.contains(&connection.id()))
            .map(|connection| (connection.id(), connection.clone()))
            .collect();
        Self { now, totals: *table.totals(), views, query, page, connections }
    }

    /// Whether it has all that `query` asks for; otherwise another one is needed.
    pub fn answers(&self, query: &Query) -> bool {
        let Query { offset, limit, .. } = *query;
        let wanted = Query { offset, limit, selected: query.selected, ..self.query.clone() };
        let end = offset.saturating_add(limit).min(self.page.matched);
        let last = self.query.offset.saturating_add(self.page.rows.len());
        wanted == *query && self.query.offset <= offset && end <= last
    }

    /// The page for a query that it [`Still::answers`].
    pub fn page(&self, query: &Query) -> Page {
        let first = query.offset.saturating_sub(self.query.offset);
        let rows = self.page.rows.iter().skip(first).take(query.limit).cloned().collect();
        let selected = query.selected.and_then(|id| self.page.rows.iter().position(|row| row.id == id));
        Page {
            rows,
            selected: selected.map(|at| at + self.query.offset),
            detail: selected.and_then(|at| self.detail(&self.page.rows[at])),
            groups: self.page.groups.clone(),
            ..self.page
        }
    }

    fn detail(&self, row: &Row) -> Option<Detail> {
        let connection = self.connections.get(&row.id)?;
        Some(view::detail_of(connection, row.owner, self.query.leak_after, self.now))
    }
}

#[cfg(test)]
mod tests {
    use tcplife_common::wire::{Head, Move, Record, Tuple};
    use tcplife_core::{state::State, view::SortKey};

    use super::*;

    /// A table of `count` connections, the oldest first.
    fn table(count: u16) -> Table {
        let mut table = Table::new(tcplife_core::table::Config::default());
        for n in 1..=count {
            let local = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
            let tuple = Tuple { local, remote: local, local_port: n, remote_port: 80, ..Tuple::default() };
            let head = Head { sock: u64::from(n) << 6, cookie: n.into(), netns: 1, ..Head::default() };
            for (old, new) in [(7, 2), (2, 1)] {
                let head = Head { old, new, time_ns: u64::from(n) * 1000, ..head };
                table.apply(&Record::Move(Move { head, tuple, ..Move::default() }), &mut ());
            }
        }
        table
    }

    #[test]
    fn it_answers_as_the_table_did() {
        let mut live = table(100);
        let query = Query { limit: 10, ..Query::default() };
        let still = Still::take(&live, StillViews::default(), &query, 1_000_000);
        let id = still.page(&query).rows[7].id;
        let queries = [
            query.clone(),
            Query { offset: 95, ..query.clone() },
            Query { offset: 50, selected: Some(id), ..query.clone() },
        ];
        for query in queries {
            assert!(still.answers(&query));
            assert_eq!(still.page(&query), view::page(&live, &query, 1_000_000));
        }
        let head =
            Head { sock: 8 << 6, cookie: 8, netns: 1, old: 1, new: 8, time_ns: 2_000_000, ..Head::default() };
        live.apply(&Record::Move(Move { head, ..Move::default() }), &mut ());
        let selected = Query { selected: Some(id), ..query };
        assert_eq!(view::page(&live, &selected, 3_000_000).detail.unwrap().row.state, State::CloseWait);
        assert_eq!(still.page(&selected).detail.unwrap().row.state, State::Established);
    }

    #[test]
    fn another_order_or_a_place_beyond_its_rows_needs_another_one() {
        let table = table(20_000);
        let query = Query { limit: 10, ..Query::default() };
        let still = Still::take(&table, StillViews::default(), &query, 1_000_000_000);
        assert_eq!(still.connections.len(), ROOM);
        assert!(still.answers(&Query { offset: 9_990, ..query.clone() }));
        assert!(!still.answers(&Query { offset: 9_991, ..query.clone() }));
        assert!(!still.answers(&Query { sort: SortKey::Local, ..query.clone() }));
        let last = Query { offset: 19_990, ..query };
        let still = Still::take(&table, StillViews::default(), &last, 1_000_000_000);
        assert!(still.answers(&last));
        assert_eq!(still.page(&last).rows.len(), 10);
    }
}
