//! What a screen needs to know, computed from the table without copying it.
//!
//! What comes in: the table, a [`Query`] and the time. What goes out: a [`Page`] of rows by value, and the detail of
//! the selected connection. What always holds: rows are in the query's order with ties in a fixed order; only the
//! rows of the page are made; the cost is linear in the table and n log n in the page alone. Groups, if they are asked
//! for, take the place of rows.

mod groups;
mod search;
mod short_text;
mod word;

use std::{collections::HashSet, net::SocketAddr};

use foldhash::fast::RandomState;

use crate::{
    connection::{ConnId, Connection, EndCause, FirstClose, MiniEndCause, Role},
    filter::{Filter, StateSet},
    owner::Owner,
    state::State,
    table::Table,
    timeline::{Since, Stay},
};

use groups::Tally;
pub use groups::{GroupBy, GroupKey, GroupRow};
pub use search::{Search, Subject};

/// By what rows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortKey {
    /// Whether it is suspicious, then time in the present state.
    #[default]
    Suspicion,
    /// Time in the present state, at least.
    Age,
    /// State, in the protocol's order.
    State,
    /// Owner's name, then pid; connections without owner last.
    Owner,
    /// Owner's pid; connections without owner last.
    Pid,
    /// How the owner is known, the strongest evidence first.
    Via,
    /// Local address, then port.
    Local,
    /// Remote address, then port.
    Remote,
    /// Inode of the network namespace.
    Netns,
    /// Segments sent again.
    Retransmits,
}

impl SortKey {
    /// Every key, in the order in which the screen offers them.
    pub const ALL: [Self; 10] = [
        Self::Suspicion,
        Self::Age,
        Self::State,
        Self::Pid,
        Self::Owner,
        Self::Via,
        Self::Local,
        Self::Remote,
        Self::Netns,
        Self::Retransmits,
    ];

    /// The name on the screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspicion => "suspicion, then age",
            Self::Age => "age",
            Self::State => "state",
            Self::Owner => "owner",
            Self::Pid => "pid",
            Self::Via => "via",
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Netns => "netns",
            Self::Retransmits => "retransmits",
        }
    }
}

/// What to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The filters of the command line.
    pub filter: Filter,
    /// What rows have to fit, see [`Search`]; empty for any row.
    pub text: String,
    /// States to show; empty for every state.
    pub states: StateSet,
    /// Groups instead of rows.
    pub group: Option<GroupBy>,
    /// Order of the rows.
    pub sort: SortKey,
    /// Largest first; for [`SortKey::Age`] that is oldest first.
    pub descending: bool,
    /// Rows to leave out at the top.
    pub offset: usize,
    /// Rows to show at most.
    pub limit: usize,
    /// The connection to give the detail and the position of.
    pub selected: Option<ConnId>,
    /// Time in `CLOSE_WAIT` from which a row is suspicious, nanoseconds.
    pub leak_after: u64,
}

impl Default for Query {
    /// Oldest first, everything, 50 rows.
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            text: String::new(),
            states: StateSet::default(),
            group: None,
            sort: SortKey::Age,
            descending: true,
            offset: 0,
            limit: 50,
            selected: None,
            leak_after: 30_000_000_000,
        }
    }
}

/// A connection as a row of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which connection.
    pub id: ConnId,
    /// Its state.
    pub state: State,
    /// When it entered the state: the screen computes the ticking age.
    pub since: Since,
    /// Local end.
    pub local: SocketAddr,
    /// Remote end.
    pub remote: SocketAddr,
    /// Inode of its network namespace.
    pub netns: u32,
    /// Who opened it.
    pub role: Option<Role>,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// Segments sent again.
    pub retransmits: u32,
    /// Whether the application closed the socket.
    pub orphan: bool,
    /// Whether a timewait mini-socket holds it.
    pub in_mini_socket: bool,
    /// Whether it is in `CLOSE_WAIT` for `leak_after` at least.
    pub suspicious: bool,
}

/// Everything about one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// The row.
    pub row: Row,
    /// Every state it was in.
    pub stays: Vec<Stay>,
    /// Whether it was in an accept queue when last seen.
    pub awaits_accept: bool,
    /// When it was opened, if that was seen.
    pub opened: Option<u64>,
    /// Whether the opening and every move were seen.
    pub complete: bool,
    /// Who closed first.
    pub first_close: FirstClose,
    /// How the full socket ended, once it has.
    pub end: Option<EndCause>,
    /// What ended its mini-socket, if that is known.
    pub mini_end: Option<MiniEndCause>,
    /// Payload sent, in bytes, once the full socket ended; `None` also if that was before the trace.
    pub bytes_sent: Option<u64>,
    /// Payload received, in bytes, once the full socket ended.
    pub bytes_received: Option<u64>,
    /// Smoothed round-trip time in microseconds, once the full socket ended.
    pub srtt_us: Option<u32>,
    /// Resets sent on it.
    pub resets_sent: u16,
    /// Resets received on it.
    pub resets_received: u16,
}

/// The rows of one screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows, at most [`Query::limit`]; none when groups are asked for.
    pub rows: Vec<Row>,
    /// The groups, if they are asked for, the largest first.
    pub groups: Vec<GroupRow>,
    /// Network namespaces that have a connection, filters or not.
    pub namespaces: usize,
    /// How many connections match.
    pub matched: usize,
    /// How many connections there are.
    pub total: usize,
    /// How many of those that match are suspicious.
    pub suspicious: usize,
    /// How many there are in each state of those that [`Query::filter`] leaves, whatever text and states are asked for.
    pub by_state: [usize; State::COUNT],
    /// Position of the selected connection among those that match.
    pub selected: Option<usize>,
    /// The selected connection, whether it matches or not; `None` once it has left the table.
    pub detail: Option<Detail>,
}

/// What decides where a row is, taken out of the connection so that sorting does not run about in the table.
/// Rows are sorted by `major`, then `minor`, then by place in the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    major: u128,
    minor: u32,
    slot: u32,
}

/// The page that `query` asks for, as things are at `now` (nanoseconds of `CLOCK_MONOTONIC`).
pub fn page(table: &Table, query: &Query, now: u64) -> Page {
    let mut page = Page { total: table.len(), ..Page::default() };
    let search = Search::parse(&query.text).0;
    let mut ranks = Vec::with_capacity(table.len());
    let mut selected = None;
    let mut tally = query.group.map(|by| Tally::new(by, table.len()));
    let mut namespaces = Namespaces::default();
    for (slot, connection) in table.numbered() {
        namespaces.see(connection.netns());
        let owner = table.owner(connection);
        let is_selected = query.selected == Some(connection.id());
        if is_selected {
            page.detail = Some(detail_of(connection, owner, query.leak_after, now));
        }
        if !query.filter.wants(table, connection) {
            continue;
        }
        let state = connection.state();
        page.by_state[state.index()] += 1;
        let wanted = query.states.wants(state)
            && (search.is_empty() || search.finds(&Subject::of(connection, owner, now)));
        if !wanted {
            continue;
        }
        let suspicious = is_suspicious(connection, query.leak_after, now);
        page.matched += 1;
        page.suspicious += usize::from(suspicious);
        if let Some(tally) = &mut tally {
            tally.add(table, slot, connection, suspicious);
            continue;
        }
        let rank = rank(query, slot, connection, owner, suspicious);
        if is_selected {
            selected = Some(rank);
        }
        ranks.push(rank);
    }
    page.namespaces = namespaces.count();
    page.groups = tally.map(|tally| tally.rows(table)).unwrap_or_default();
    page.selected = selected.map(|selected| ranks.iter().filter(|&&rank| rank < selected).count());
    let rows = window(&mut ranks, query.offset, query.limit).iter().filter_map(|rank| {
        let connection = table.at(rank.slot)?;
        Some(row_of(connection, table.owner(connection), query.leak_after, now))
    });
    page.rows = rows.collect();
    page
}

/// The ranks from `offset` on, in order. The others are left in any order.
fn window(ranks: &mut [Rank], offset: usize, limit: usize) -> &[Rank] {
    let end = offset.saturating_add(limit).min(ranks.len());
    let begin = offset.min(end);
    let mut rest = ranks;
    if end < rest.len() {
        rest.select_nth_unstable(end);
        rest = &mut rest[..end];
    }
    if begin > 0 && begin < rest.len() {
        rest.select_nth_unstable(begin);
    }
    let shown = &mut rest[begin..];
    shown.sort_unstable();
    shown
}

fn rank(query: &Query, slot: u32, connection: &Connection, owner: Option<Owner>, suspicious: bool) -> Rank {
    let ends = connection.ends();
    // Entered late is a small age.
    let age = u128::from(u64::MAX - connection.entered());
    let (major, minor) = match query.sort {
        SortKey::Suspicion => (u128::from(suspicious) << 64 | age, 0),
        SortKey::Age => (age, 0),
        SortKey::State => (connection.state().index() as u128, 0),
        SortKey::Owner => match owner {
            Some(Owner { process, .. }) => (u128::from_be_bytes(process.comm), process.pid),
            None => (if query.descending { 0 } else { u128::MAX }, 0),
        },
        SortKey::Pid => match owner {
            Some(Owner { process, .. }) => (u128::from(process.pid), 0),
            None => (if query.descending { 0 } else { u128::MAX }, 0),
        },
        SortKey::Via => (owner.map_or(u128::MAX, |owner| owner.via as u128), 0),
        SortKey::Local => (u128::from_be_bytes(ends.local), u32::from(ends.local_port)),
        SortKey::Remote => (u128::from_be_bytes(ends.remote), u32::from(ends.remote_port)),
        SortKey::Netns => (u128::from(connection.netns()), 0),
        SortKey::Retransmits => (u128::from(connection.retransmits()), 0),
    };
    if query.descending { Rank { major: !major, minor: !minor, slot } } else { Rank { major, minor, slot } }
}

fn is_suspicious(connection: &Connection, leak_after: u64, now: u64) -> bool {
    connection.state() == State::CloseWait && connection.since().age(now).min >= leak_after
}

/// A connection as a row, as things are at `now`; suspicious after `leak_after` nanoseconds in `CLOSE_WAIT`.
pub fn row_of(connection: &Connection, owner: Option<Owner>, leak_after: u64, now: u64) -> Row {
    Row {
        id: connection.id(),
        state: connection.state(),
        since: connection.since(),
        local: connection.local(),
        remote: connection.remote(),
        netns: connection.netns(),
        role: connection.role(),
        owner,
        retransmits: connection.retransmits(),
        orphan: connection.is_orphan(),
        in_mini_socket: connection.in_mini_socket(),
        suspicious: is_suspicious(connection, leak_after, now),
    }
}

/// All of a connection, as [`row_of`].
pub fn detail_of(connection: &Connection, owner: Option<Owner>, leak_after: u64, now: u64) -> Detail {
    Detail {
        row: row_of(connection, owner, leak_after, now),
        stays: connection.stays().collect(),
        awaits_accept: connection.awaits_accept(),
        opened: connection.opened(),
        complete: connection.complete(),
        first_close: connection.first_close(),
        end: connection.end(),
        mini_end: connection.mini_end,
        bytes_sent: connection.bytes_sent(),
        bytes_received: connection.bytes_received(),
        srtt_us: connection.srtt_us(),
        resets_sent: connection.resets_sent(),
        resets_received: connection.resets_received(),
    }
}

/// Counts network namespaces. Connections of one come in runs, and mostly there are few.
#[derive(Default)]
struct Namespaces {
    few: Vec<u32>,
    more: HashSet<u32, RandomState>,
}

impl Namespaces {
    fn see(&mut self, inode: u32) {
        if self.few.contains(&inode) {
            return;
        }
        if self.few.len() < 8 {
            self.few.push(inode);
        } else {
            self.more.insert(inode);
        }
    }

    fn count(&self) -> usize {
        self.few.len() + self.more.len()
    }
}
