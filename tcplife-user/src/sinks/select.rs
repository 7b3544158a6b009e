//! Which changes are shown, without losing what came before a connection was selected.
//!
//! An owner, or a client's port, may become known only after a connection's first moves. What comes in: transitions and
//! a filter. What goes out: the transitions to show; when a connection is selected late, its earlier ones first. What
//! always holds: each transition that is known goes out once; memory is bounded by the table's.

use std::collections::HashSet;

use tcplife_core::{
    connection::{ConnId, Connection},
    filter::Filter,
    observer::Transition,
    owner::Owner,
    state::State,
    table::Table,
    timeline::{Since, Stay},
};

/// Ids that are kept beyond twice the table's before those that have left it are cleared away.
const SLACK: usize = 4096;

/// A filter over the changes of a run.
pub struct Selector {
    filter: Filter,
    /// Connections that were selected and have not ended; unused when no connection can be selected late.
    selected: Option<HashSet<ConnId>>,
}

impl Selector {
    /// Selects what `filter` wants.
    pub fn new(filter: Filter) -> Self {
        let late = !(filter.pids.is_empty() && filter.comms.is_empty() && filter.local_ports.is_empty());
        Self { filter, selected: late.then(HashSet::new) }
    }

    /// The filter.
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether the connection is wanted, in whatever state.
    pub fn wants(&self, connection: &Connection, owner: Option<Owner>) -> bool {
        self.filter.matches_any_state(connection, owner)
    }

    /// Whether it is wanted, or was and has not ended since: its process may have another name now.
    fn wants_still(&self, connection: &Connection, owner: Option<Owner>) -> bool {
        let is_selected = |selected: &HashSet<ConnId>| selected.contains(&connection.id());
        self.wants(connection, owner) || self.selected.as_ref().is_some_and(is_selected)
    }

    /// Whether a segment of it is wanted, by the state in which it is sent or received.
    pub fn wants_segment(&self, connection: &Connection, owner: Option<Owner>) -> bool {
        self.filter.wants_state(connection.state_of_segment()) && self.wants_still(connection, owner)
    }

    /// Whether its life is wanted: it is, and was in a wanted state.
    pub fn wants_life(&self, connection: &Connection, owner: Option<Owner>) -> bool {
        connection.stays().any(|stay| self.filter.wants_state(stay.state)) && self.wants(connection, owner)
    }

    /// Hands to `show` what is to be shown now that `transition` happened, in order, states apart.
    pub fn transition(
        &mut self,
        connection: &Connection,
        owner: Option<Owner>,
        transition: &Transition,
        mut show: impl FnMut(&Transition),
    ) {
        if !self.wants_still(connection, owner) {
            return;
        }
        if let Some(selected) = &mut self.selected {
            if selected.insert(connection.id()) {
                earlier(connection, transition).iter().for_each(&mut show);
            }
            if transition.to == State::Closed {
                selected.remove(&connection.id());
            }
        }
        show(transition);
    }

    /// Forgets connections that left the table without a word, as those do that it had no room for.
    pub fn tidy(&mut self, table: &Table) {
        if let Some(selected) = &mut self.selected
            && selected.len() > 2 * table.len() + SLACK
        {
            let live: HashSet<ConnId> = table.iter().map(Connection::id).collect();
            selected.retain(|id| live.contains(id));
        }
    }
}

/// The connection's moves before `transition`, as far as it remembers when they were.
fn earlier(connection: &Connection, transition: &Transition) -> Vec<Transition> {
    let mut stays: Vec<Stay> = connection.stays().collect();
    stays.pop_if(|present| present.state == transition.to);
    let moves = stays.windows(2).filter_map(|pair| {
        let at = pair[1].since.seen()?;
        let elapsed = pair[0].since.seen().map(|begin| at.saturating_sub(begin));
        Some(Transition { from: pair[0].state, to: pair[1].state, at, elapsed })
    });
    let opening = stays.first().and_then(|stay| opening(connection, stay));
    opening.into_iter().chain(moves).collect()
}

/// The move that began it, if that was seen and is still remembered.
fn opening(connection: &Connection, first: &Stay) -> Option<Transition> {
    connection.opened()?;
    let from = match first.state {
        State::Listen | State::SynSent => State::Closed,
        State::SynReceived => State::Listen,
        _ => return None,
    };
    let at = match first.since {
        // The handshake of a server's connection began earlier, in a request socket.
        Since::Seen(at) | Since::Between { latest: at, .. } => at,
    };
    Some(Transition { from, to: first.state, at, elapsed: None })
}
