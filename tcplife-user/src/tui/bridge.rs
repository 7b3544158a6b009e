//! The engine's end of the screen.
//!
//! What comes in: changes and the table, from the engine; the newest request, from the screen. What goes out: a frame
//! when the request changed, and otherwise one each refresh interval if it would look different. What always holds:
//! the engine never waits for the screen; a paused screen is answered from one moment until it asks for what that
//! moment's copy does not have; when the screen is gone, the run ends.

use std::{io, ops::ControlFlow, sync::Arc, time::Duration};

use tcplife_core::{
    connection::Connection,
    filter::Filter,
    observer::{Direction, Observer, RetransmitKind, Transition},
    owner::Owner,
    state::State,
    suspect::Suspect,
    table::Table,
    view,
};
use tokio::sync::watch;

use super::{
    app::Tab,
    frame::{Flow, Frame, Request},
    log::{Log, Logged, What, Whose},
    rates::Meter,
    still::Still,
};
use crate::sink::{Confirm, Health, Sink};

const SECOND: u64 = 1_000_000_000;
/// Suspects are confirmed this often.
const CONFIRM: Duration = Duration::from_secs(2);

/// The sink that feeds the screen.
pub struct Bridge {
    requests: watch::Receiver<Request>,
    frames: watch::Sender<Arc<Frame>>,
    request: Request,
    refresh_ns: u64,
    due: u64,
    /// When the newest page was made.
    paged: u64,
    started: Option<u64>,
    meter: Meter,
    log: Log,
    still: Option<Box<Still>>,
    /// Leaks that the kernel confirmed last.
    leaks: usize,
}

/// What the screen wants of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// The same as before.
    Nothing,
    /// Something new.
    Request,
    /// There is no screen any more.
    Gone,
}

/// What the screen has in hand.
pub struct Ends {
    /// Where it asks.
    pub requests: watch::Sender<Request>,
    /// Where it is answered; closed when the engine has ended.
    pub frames: watch::Receiver<Arc<Frame>>,
}

impl Bridge {
    /// A bridge that answers `request` until it is asked for something else, and the screen's ends of it.
    pub fn new(request: Request, refresh: Duration) -> (Self, Ends) {
        let (requests, asked) = watch::channel(request.clone());
        let (answers, frames) = watch::channel(Arc::default());
        let bridge = Self {
            requests: asked,
            frames: answers,
            request,
            refresh_ns: u64::try_from(refresh.as_nanos()).unwrap_or(u64::MAX),
            due: 0,
            paged: 0,
            started: None,
            meter: Meter::default(),
            log: Log::default(),
            still: None,
            leaks: 0,
        };
        (bridge, Ends { requests, frames })
    }

    /// Takes over a new request, if there is one.
    fn listen(&mut self, now: u64, table: &Table) -> Heard {
        match self.requests.has_changed() {
            Err(_) => return Heard::Gone,
            Ok(false) => return Heard::Nothing,
            Ok(true) => {}
        }
        self.request = self.requests.borrow_and_update().clone();
        let query = &self.request.query;
        self.still = match (self.request.flow, self.still.take()) {
            (Flow::Live, _) => None,
            (Flow::Paused, Some(still)) if still.answers(query) => Some(still),
            (Flow::Paused, _) => Some(Box::new(Still::take(table, &self.log, query, now))),
        };
        Heard::Request
    }

    /// Sends a frame: always if it answers a new request, otherwise if it would look different.
    fn publish(&mut self, now: u64, table: &Table, health: &Health, is_answer: bool) {
        let last = self.frames.borrow().clone();
        let query = &self.request.query;
        let (now, totals, page, log) = match &self.still {
            Some(still) if is_answer => {
                (still.now, still.totals, Arc::new(still.page(query)), self.shown(|| still.log.clone()))
            }
            Some(still) => (still.now, still.totals, last.page.clone(), last.log.clone()),
            None if !is_answer && self.is_quiet(now, &last, table, health) => {
                (now, last.totals, last.page.clone(), last.log.clone())
            }
            None => {
                self.paged = now;
                let page = Arc::new(view::page(table, query, now));
                (now, *table.totals(), page, self.shown(|| self.log.newest_first()))
            }
        };
        let frame = Frame {
            request: self.request.clone(),
            now,
            started: self.started.unwrap_or(now),
            page,
            totals,
            log,
            health: health.clone(),
            rates: self.meter.rates().clone(),
            leaks: self.leaks,
        };
        if is_answer || !frame.looks_like(&last) {
            self.frames.send_replace(Arc::new(frame));
        }
    }

    /// Whether a page would be the one that the screen has, so that it need not be made. Time alone turns a connection
    /// into a suspect: where one can, a second is over at most.
    fn is_quiet(&self, now: u64, last: &Frame, table: &Table, health: &Health) -> bool {
        let nothing_happened = last.totals == *table.totals()
            && last.health.events == health.events
            && last.health.resyncs == health.resyncs
            && last.health.knowledge == health.knowledge;
        let can_turn = table.totals().live[State::CloseWait.index()] > 0;
        nothing_happened && (!can_turn || now.saturating_sub(self.paged) < SECOND)
    }

    /// The events, if the open view shows them.
    fn shown(&self, log: impl FnOnce() -> Arc<[Logged]>) -> Arc<[Logged]> {
        match self.request.tab {
            Tab::Events => log(),
            Tab::Connections => Arc::default(),
        }
    }

    fn filter(&self) -> &Filter {
        &self.request.query.filter
    }
}

impl Observer for Bridge {
    fn transition(&mut self, connection: &Connection, owner: Option<Owner>, transition: &Transition) {
        let &Transition { from, to, at, elapsed } = transition;
        let filter = self.filter();
        if filter.matches_any_state(connection, owner) && (filter.wants_state(from) || filter.wants_state(to))
        {
            self.log.push(at, What::Move { from, to, elapsed }, Whose::of(connection, owner));
        }
    }

    fn retransmit(&mut self, connection: &Connection, owner: Option<Owner>, kind: RetransmitKind, at: u64) {
        if self.filter().matches(connection, owner) {
            let what = What::Retransmit(connection.state(), kind);
            self.log.push(at, what, Whose::of(connection, owner));
        }
    }

    fn reset(&mut self, connection: &Connection, owner: Option<Owner>, direction: Direction, at: u64) {
        if self.filter().matches(connection, owner) {
            self.log.push(at, What::Reset(connection.state(), direction), Whose::of(connection, owner));
        }
    }
}

impl Sink for Bridge {
    /// Losses are in the health of every frame, and shown until the end.
    fn lost(&mut self, _at: u64, _count: u64, _cause: &'static str) {}

    fn confirm(&self) -> Confirm {
        Confirm::Every(CONFIRM)
    }

    fn suspects(&mut self, _at: u64, suspects: Vec<Suspect>) {
        let selected = suspects.iter().filter(|suspect| suspect.is_wanted(self.filter()));
        self.leaks = selected.filter(|suspect| suspect.verdict.is_leak()).count();
    }

    fn flush(&mut self, now: u64, table: &Table, health: &Health) -> io::Result<ControlFlow<()>> {
        // The first frame tells the screen that the trace has begun.
        let is_first = self.started.is_none();
        self.started.get_or_insert(now);
        self.meter.count(now, table.totals().moves, health.events);
        let heard = self.listen(now, table);
        if heard == Heard::Gone {
            return Ok(ControlFlow::Break(()));
        }
        let is_answer = is_first || heard == Heard::Request;
        if is_answer || now >= self.due {
            self.due = now.saturating_add(self.refresh_ns);
            self.publish(now, table, health, is_answer);
        }
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self, now: u64, table: &Table, health: &Health) -> io::Result<()> {
        self.publish(now, table, health, false);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn start() -> (Bridge, Ends, Table) {
        let (bridge, ends) = Bridge::new(Request::default(), Duration::from_millis(500));
        (bridge, ends, Table::new(tcplife_core::table::Config::default()))
    }

    fn fresh(ends: &mut Ends) -> Option<Arc<Frame>> {
        ends.frames.has_changed().unwrap().then(|| ends.frames.borrow_and_update().clone())
    }

    #[test]
    fn the_first_flush_is_the_first_frame() {
        let (mut bridge, mut ends, table) = start();
        let _ = bridge.flush(7 * MS, &table, &Health::default()).unwrap();
        let frame = fresh(&mut ends).unwrap();
        assert_eq!((frame.now, frame.started), (7 * MS, 7 * MS));
    }

    #[test]
    fn a_frame_that_would_look_the_same_is_not_sent() {
        let (mut bridge, mut ends, table) = start();
        let mut health = Health::default();
        let _ = bridge.flush(MS, &table, &health).unwrap();
        fresh(&mut ends).unwrap();
        let _ = bridge.flush(600 * MS, &table, &health).unwrap();
        assert_eq!(fresh(&mut ends), None);
        health.events += 1;
        let _ = bridge.flush(700 * MS, &table, &health).unwrap();
        assert_eq!(fresh(&mut ends), None, "not due yet");
        let _ = bridge.flush(1100 * MS, &table, &health).unwrap();
        assert_eq!(fresh(&mut ends).unwrap().health.events, 1);
    }

    #[test]
    fn a_request_is_answered_at_the_next_flush() {
        let (mut bridge, mut ends, table) = start();
        let _ = bridge.flush(MS, &table, &Health::default()).unwrap();
        fresh(&mut ends).unwrap();
        ends.requests.send_modify(|request| request.query.text = "nginx".to_owned());
        let _ = bridge.flush(2 * MS, &table, &Health::default()).unwrap();
        assert_eq!(fresh(&mut ends).unwrap().request.query.text, "nginx");
    }

    #[test]
    fn a_pause_keeps_its_moment_and_still_tells_of_losses() {
        let (mut bridge, mut ends, table) = start();
        let mut health = Health::default();
        let _ = bridge.flush(MS, &table, &health).unwrap();
        ends.requests.send_modify(|request| request.flow = Flow::Paused);
        let _ = bridge.flush(2 * MS, &table, &health).unwrap();
        assert_eq!(fresh(&mut ends).unwrap().now, 2 * MS);
        health.lost = vec![("ring_full", 3)];
        let _ = bridge.flush(900 * MS, &table, &health).unwrap();
        let frame = fresh(&mut ends).unwrap();
        assert_eq!((frame.now, frame.health.lost_total()), (2 * MS, 3));
        ends.requests.send_modify(|request| request.flow = Flow::Live);
        let _ = bridge.flush(901 * MS, &table, &health).unwrap();
        assert_eq!(fresh(&mut ends).unwrap().now, 901 * MS);
    }

    #[test]
    fn a_screen_that_is_gone_ends_the_engine() {
        let (mut bridge, ends, table) = start();
        drop(ends);
        assert_eq!(bridge.flush(MS, &table, &Health::default()).unwrap(), ControlFlow::Break(()));
    }
}
