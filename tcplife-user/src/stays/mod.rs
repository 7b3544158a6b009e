//! The time spent in each state, finished and open stays side by side, for all connections and by group.
//!
//! What comes in: transitions, and at any time the table. What goes out: a [`Report`]. What always holds: a stay is
//! counted when it ends, under the state that was left, in the group that its connection is in at that moment; every
//! stay is in exactly one section of a report, and the sections add up to all.

mod group;

use std::cmp::Reverse;

use tcplife_core::{
    connection::Connection,
    filter::Filter,
    histogram::{Bar, Finished, Groups, Histograms, Open, OpenStays, bars},
    numbers::{Numbered, Numbering, largest, places, sizes},
    observer::Transition,
    owner::Owner,
    state::State,
    table::Table,
    timeline::Since,
};

#[cfg(test)]
pub use group::Member;
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
    /// The same by kinds of groups.
    grouped: Vec<(Grouper, Groups<Group>)>,
}

/// Open stays, by [`State::index`].
type Lasting = [OpenStays; State::COUNT];

impl Collected {
    /// Without any stay; with groups of these kinds.
    pub fn new(kinds: &[By]) -> Self {
        let grouped = |&by: &By| (Grouper::new(by), Groups::new(KEPT));
        Self { all: Histograms::default(), grouped: kinds.iter().map(grouped).collect() }
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
        for (grouper, groups) in &mut self.grouped {
            groups.record(grouper.group(connection, owner), from, elapsed);
        }
        Some((from, elapsed))
    }

    /// All stays of the states that `filter` wants, with the open ones of the connections that it wants: in one
    /// section, or with groups of the kind `by`, if there are such, the largest first and the rest last.
    pub fn report(&mut self, by: Option<By>, table: &Table, filter: &Filter, now: u64) -> Vec<Section> {
        let wanted = table.iter().filter(|connection| filter.wants(table, connection));
        let of_kind = self.grouped.iter_mut().find(|(grouper, _)| Some(grouper.by()) == by);
        let Some((grouper, groups)) = of_kind else {
            let mut lasting = Lasting::default();
            wanted.for_each(|connection| lasting[connection.state().index()].push(connection.since(), now));
            return vec![Section { which: Which::All, rows: rows(Some(&self.all), &mut lasting, filter) }];
        };
        // Whatever has finished stays is put behind the open ones.
        let of_open = grouper.numbering(table, 2 * KEPT);
        let mut open = Opens { groups: of_open, stays: Vec::with_capacity(table.len()) };
        for connection in wanted {
            let mark = grouper.mark(table, connection);
            open.groups.add(mark, || grouper.group(connection, table.owner(connection)));
            open.stays.push((connection.state(), connection.since()));
        }
        sections(&self.all, groups, open, filter, now)
    }
}

/// Open stays: of each the group, the state and the begin.
struct Opens {
    groups: Numbering<Group>,
    stays: Vec<(State, Since)>,
}

fn sections(
    all: &Histograms,
    groups: &Groups<Group>,
    mut open: Opens,
    filter: &Filter,
    now: u64,
) -> Vec<Section> {
    let (finished, counts): (Vec<Group>, Vec<u64>) = groups.sizes().unzip();
    for group in finished {
        open.groups.add_unmarked(group);
    }
    let Numbered { keys: names, numbers } = open.groups.finish();
    let (of_open, of_finished) = numbers.split_at(open.stays.len());
    let mut sizes = sizes(names.len(), of_open);
    for (&number, count) in of_finished.iter().zip(counts) {
        sizes[number as usize] += count;
    }
    let mut shown = largest(sizes.iter().copied(), SHOWN);
    // Equal ones in an order that does not change from one time to the next.
    shown.sort_unstable_by_key(|&number| (Reverse(sizes[number as usize]), names[number as usize]));
    let places = places(names.len(), &shown);
    // The last one is for all others.
    let mut lasting: Vec<Lasting> = std::iter::repeat_with(Lasting::default).take(shown.len() + 1).collect();
    for ((state, since), &number) in open.stays.into_iter().zip(of_open) {
        lasting[places[number as usize].unwrap_or(shown.len())][state.index()].push(since, now);
    }
    let largest: Vec<Group> = shown.iter().map(|&number| names[number as usize]).collect();
    let mut sections: Vec<Section> = Vec::with_capacity(lasting.len());
    for (group, lasting) in largest.iter().zip(&mut lasting) {
        let rows = rows(groups.get(group).as_deref(), lasting, filter);
        sections.push(Section { which: Which::One(*group), rows });
    }
    let others = groups.others(all, |group| largest.contains(group));
    let rows = rows(Some(&others), &mut lasting[shown.len()], filter);
    if rows.iter().any(Row::has_any) {
        sections.push(Section { which: Which::Other, rows });
    }
    sections
}

fn rows(finished: Option<&Histograms>, lasting: &mut Lasting, filter: &Filter) -> Vec<Row> {
    State::ALL
        .into_iter()
        .zip(lasting)
        .filter(|&(state, _)| state != State::Closed && filter.wants_state(state))
        .map(|(state, lasting)| Row {
            state,
            finished: finished.map_or_else(Finished::default, |finished| finished.finished(state)),
            open: lasting.sum_up(),
            bars: bars(finished.and_then(|finished| finished.lengths(state)), lasting.ages()),
        })
        .collect()
}
