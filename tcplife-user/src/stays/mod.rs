//! The time spent in each state, finished and open stays side by side, for all connections and by group.
//!
//! What comes in: transitions, and at any time the table. What goes out: a [`Report`]. What always holds: a stay is
//! counted when it ends, under the state that was left, in the group that its connection is in at that moment; every
//! stay is in exactly one section of a report, and the sections add up to all.

pub mod container;
mod group;

use std::collections::HashMap;

use anyhow::{Context, Result};
use tcplife_core::{
    connection::Connection,
    filter::Filter,
    histogram::{Bar, Finished, Groups, Histograms, Open, bars},
    observer::Transition,
    owner::Owner,
    state::State,
    table::Table,
};

pub use group::{By, Group, Grouper};

/// Groups that a report names at most; all others are one.
pub const SHOWN: usize = 20;
/// Groups that have histograms of their own at least: more than are shown, so that a late one can still grow large.
const KEPT: usize = 64;

/// The stays in one state.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which state.
    pub state: State,
    /// Stays that ended.
    pub finished: Finished,
    /// Stays that last.
    pub open: Open,
    /// Both, on a logarithmic axis.
    pub bars: Vec<Bar>,
}

/// Whose stays they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those of every connection.
    All,
    /// Those of one group.
    One(Group),
    /// Those of all groups that have no section of their own.
    Other,
}

/// The stays of all connections or of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Whose.
    pub which: Which,
    /// The wanted states, in the protocol's order.
    pub rows: Vec<Row>,
}

impl Row {
    /// Whether there is anything in the state.
    pub const fn has_any(&self) -> bool {
        self.finished.count + self.finished.unknown_start + self.open.count > 0
    }
}

/// What was collected so far.
pub struct Collected {
    all: Histograms,
    groups: Option<(Grouper, Groups<Group>)>,
}

/// Ages of open stays, by [`State::index`].
type Ages = [Vec<u64>; State::COUNT];

impl Collected {
    /// Without any stay; with groups if `by` names a kind.
    ///
    /// # Errors
    /// Never, but the histogram library does not know.
    pub fn new(by: Option<By>) -> Result<Self> {
        let groups = by.map(|by| Groups::new(KEPT).map(|groups| (Grouper::new(by), groups))).transpose();
        Ok(Self {
            all: Histograms::new().context("cannot make histograms")?,
            groups: groups.context("cannot make histograms")?,
        })
    }

    /// A connection left a state. Returns the stay that this ends, if it is one.
    pub fn transition(
        &mut self,
        connection: &Connection,
        owner: Option<Owner>,
        transition: &Transition,
    ) -> Option<(State, Option<u64>)> {
        let &Transition { from, to, elapsed, .. } = transition;
        let is_stay = match from {
            // A connection that comes out of a listener is not the end of the listener.
            State::Listen => to == State::Closed,
            State::Closed => false,
            _ => true,
        };
        if !is_stay {
            return None;
        }
        self.all.record(from, elapsed);
        if let Some((grouper, groups)) = &mut self.groups {
            groups.record(grouper.group(connection, owner), from, elapsed);
        }
        Some((from, elapsed))
    }

    /// All stays of the states that `filter` wants, with the open ones of the connections that it wants: in one
    /// section, or the largest groups first and the rest last.
    pub fn report(&mut self, table: &Table, filter: &Filter, now: u64) -> Vec<Section> {
        let wanted = table.iter().filter_map(|connection| {
            let owner = table.owner(connection);
            filter.matches(connection, owner).then_some((connection, owner))
        });
        let Some((grouper, groups)) = &mut self.groups else {
            let mut ages = Ages::default();
            wanted.for_each(|(connection, _)| push(&mut ages, connection, now));
            return vec![Section { which: Which::All, rows: rows(Some(&self.all), &mut ages, filter) }];
        };
        let mut open: HashMap<Group, Ages> = HashMap::new();
        for (connection, owner) in wanted {
            push(open.entry(grouper.group(connection, owner)).or_default(), connection, now);
        }
        sections(groups, open, filter)
    }
}

fn push(ages: &mut Ages, connection: &Connection, now: u64) {
    ages[connection.state().index()].push(connection.since().age(now).min);
}

fn sections(groups: &Groups<Group>, mut open: HashMap<Group, Ages>, filter: &Filter) -> Vec<Section> {
    let mut sizes: HashMap<Group, u64> = groups.sizes().collect();
    for (group, ages) in &open {
        *sizes.entry(*group).or_default() += ages.iter().map(|ages| ages.len() as u64).sum::<u64>();
    }
    let mut largest: Vec<(u64, Group)> = sizes.into_iter().map(|(group, size)| (size, group)).collect();
    largest.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    largest.truncate(SHOWN);
    let is_shown = |group: &Group| largest.iter().any(|(_, shown)| shown == group);
    let mut sections: Vec<Section> = Vec::with_capacity(largest.len() + 1);
    for &(_, group) in &largest {
        let mut ages = open.remove(&group).unwrap_or_default();
        let rows = rows(groups.get(&group).as_deref(), &mut ages, filter);
        sections.push(Section { which: Which::One(group), rows });
    }
    let mut ages = Ages::default();
    for of in open.into_values() {
        ages.iter_mut().zip(of).for_each(|(all, mut some)| all.append(&mut some));
    }
    let rows = rows(Some(&groups.others(is_shown)), &mut ages, filter);
    if rows.iter().any(Row::has_any) {
        sections.push(Section { which: Which::Other, rows });
    }
    sections
}

fn rows(finished: Option<&Histograms>, ages: &mut Ages, filter: &Filter) -> Vec<Row> {
    State::ALL
        .into_iter()
        .zip(ages)
        .filter(|&(state, _)| state != State::Closed && filter.wants_state(state))
        .map(|(state, ages)| Row {
            state,
            finished: finished.map_or_else(Finished::default, |finished| finished.finished(state)),
            open: Open::of(ages),
            bars: bars(finished.and_then(|finished| finished.lengths(state)), ages),
        })
        .collect()
}
