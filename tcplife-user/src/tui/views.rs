//! What the views show besides connections, of the moment or of a pause.
//!
//! What comes in: changes, and the table when a view is open. What goes out: a [`View`]. What always holds: only what
//! the open view shows is made; in a pause all of it is of the same moment.

use std::sync::Arc;

use tcplife_core::{
    connection::Connection,
    filter::Filter,
    observer::Transition,
    owner::Owner,
    ports::{self, TIME_WAIT},
    state::State,
    table::Table,
    timeline::Stay,
    view::{Search, Subject},
};

use super::{
    app::Tab,
    frame::{Ports, Request, View},
    log::{Log, Logged, What, Whose},
};
use crate::stays::{By, Collected, Section};

/// Places that are listed.
const PLACES: usize = 500;
/// A TIME_WAIT that is shorter than the kernel's by more than this ended early.
const SLACK: u64 = 100_000_000;

/// Collects while the screen is open.
pub struct Views {
    log: Log,
    /// By every kind of group from the start, so that nothing is missing when one is asked for.
    stays: Collected,
    ended_early: u64,
}

/// What a paused screen shows.
#[derive(Default)]
pub struct StillViews {
    log: Arc<[Logged]>,
    stays: Vec<(Option<By>, Arc<[Section]>)>,
    ports: Arc<Ports>,
}

impl Views {
    /// Nothing so far.
    pub fn new() -> Self {
        Self { log: Log::default(), stays: Collected::new(&By::ALL), ended_early: 0 }
    }

    /// A connection moved.
    pub fn transition(
        &mut self,
        connection: &Connection,
        owner: Option<Owner>,
        transition: &Transition,
        filter: &Filter,
    ) {
        if !filter.matches_any_state(connection, owner) {
            return;
        }
        self.stays.transition(connection, owner, transition);
        let &Transition { from, to, at, elapsed } = transition;
        // Where nobody saw how it ended, this is the most that it can have lasted.
        let lasted = |stay: Stay| Some(stay.until?.saturating_sub(stay.since.seen()?));
        let time_wait = || connection.stays().find(|stay| stay.state == State::TimeWait);
        if from == State::TimeWait
            && time_wait().and_then(lasted).is_some_and(|most| most + SLACK < TIME_WAIT)
        {
            self.ended_early += 1;
        }
        if filter.wants_state(from) || filter.wants_state(to) {
            self.log.push(at, What::Move { from, to, elapsed }, Whose::of(connection, owner));
        }
    }

    /// Something else happened on a connection in its present state.
    pub fn note(
        &mut self,
        connection: &Connection,
        owner: Option<Owner>,
        what: What,
        at: u64,
        filter: &Filter,
    ) {
        if filter.matches_segment(connection, owner) {
            self.log.push(at, what, Whose::of(connection, owner));
        }
    }

    /// What the open view shows.
    pub fn view(&mut self, request: &Request, table: &Table, now: u64) -> View {
        match request.tab {
            Tab::Connections | Tab::Leaks => View::None,
            Tab::Histograms => View::Stays(self.report(request.by, table, &request.query.filter, now)),
            Tab::TimeWait => View::Ports(self.ports(table, &request.query.filter, now)),
            Tab::Events => View::Log(fitting(&self.log.newest_first(), &request.query.text, now)),
        }
    }

    /// What each view shows at this moment, for a pause.
    pub fn still(&mut self, table: &Table, filter: &Filter, now: u64) -> StillViews {
        let kinds = std::iter::once(None).chain(By::ALL.map(Some));
        let stays = kinds.map(|by| (by, self.report(by, table, filter, now))).collect();
        StillViews { log: self.log.newest_first(), stays, ports: self.ports(table, filter, now) }
    }

    fn report(&mut self, by: Option<By>, table: &Table, filter: &Filter, now: u64) -> Arc<[Section]> {
        self.stays.report(by, table, filter, now).into()
    }

    fn ports(&self, table: &Table, filter: &Filter, now: u64) -> Arc<Ports> {
        Arc::new(Ports { usages: ports::usages(table, filter, now, PLACES), ended_early: self.ended_early })
    }
}

impl StillViews {
    /// What the open view shows.
    pub fn view(&self, request: &Request, now: u64) -> View {
        match request.tab {
            Tab::Connections | Tab::Leaks => View::None,
            Tab::Histograms => {
                let stays = self.stays.iter().find(|(by, _)| *by == request.by);
                View::Stays(stays.map(|(_, sections)| Arc::clone(sections)).unwrap_or_default())
            }
            Tab::TimeWait => View::Ports(Arc::clone(&self.ports)),
            Tab::Events => View::Log(fitting(&self.log, &request.query.text, now)),
        }
    }
}

/// The events that fit a text.
fn fitting(log: &Arc<[Logged]>, text: &str, now: u64) -> Arc<[Logged]> {
    let search = Search::parse(text).0;
    if search.is_empty() {
        return Arc::clone(log);
    }
    log.iter().filter(|event| search.finds(&subject(event, now))).copied().collect()
}

fn subject(event: &Logged, now: u64) -> Subject {
    let states = match event.what {
        What::Move { from, to, .. } => [from, to],
        What::Retransmit(state, _) | What::Reset(state, _) => [state, state],
    };
    let Whose { local, remote, netns, owner } = event.whose;
    let age = now.saturating_sub(event.at);
    Subject { states: states.into_iter().collect(), local, remote, netns, owner, age }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixtures as fix;

    #[test]
    fn events_are_filtered_by_the_same_language_as_rows() {
        let log = fix::log();
        let numbers =
            |text: &str| fitting(&log, text, fix::NOW).iter().map(|event| event.number).collect::<Vec<_>>();
        assert_eq!(numbers(""), [6, 5, 4, 3, 2, 1]);
        assert_eq!(numbers("comm:nginx"), [6]);
        assert_eq!(numbers("state:close_wait"), [6], "either side of a move");
        assert_eq!(numbers("age>2s -nginx"), [4, 3, 2, 1]);
    }
}
