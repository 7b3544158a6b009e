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
    view::{self, Detail, Page},
};
use tokio::sync::watch;

use super::{
    app::Tab,
    cost::CostMeter,
    frame::{Flow, Frame, Leaks, Request},
    log::What,
    rates::Meter,
    settings::Settings,
    still::Still,
    views::Views,
};
use crate::{
    clock::as_ns,
    health::{Health, LossCause},
    sink::{Confirm, Sink},
};

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
    cost: CostMeter,
    views: Views,
    settings: Settings,
    still: Option<Box<Still>>,
    leaks: Arc<Leaks>,
    /// The connection that the screen has selected, as it was at its end.
    ended: Option<Detail>,
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
pub struct Channels {
    /// Where it asks.
    pub requests: watch::Sender<Request>,
    /// Where it is answered; closed when the engine has ended.
    pub frames: watch::Receiver<Arc<Frame>>,
}

impl Bridge {
    /// A bridge that answers `request` until it is asked for something else, and the screen's ends of it.
    pub fn new(request: Request, refresh: Duration) -> (Self, Channels) {
        let (requests, asked) = watch::channel(request.clone());
        let (answers, frames) = watch::channel(Arc::default());
        let bridge = Self {
            requests: asked,
            frames: answers,
            request,
            refresh_ns: as_ns(refresh),
            due: 0,
            paged: 0,
            started: None,
            meter: Meter::default(),
            cost: CostMeter::default(),
            views: Views::new(),
            settings: Settings::default(),
            still: None,
            leaks: Arc::default(),
            ended: None,
        };
        (bridge, Channels { requests, frames })
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
            (Flow::Paused, _) => {
                let views = self.views.still(table, &query.filter, now);
                Some(Box::new(Still::take(table, views, query, now)))
            }
        };
        Heard::Request
    }

    /// Sends a frame: always if it answers a new request, otherwise if it would look different.
    fn publish(&mut self, now: u64, table: &Table, health: &Health, is_answer: bool) {
        let last = self.frames.borrow().clone();
        let request = &self.request;
        let (now, totals, page, view) = match &self.still {
            Some(still) if is_answer => {
                let page = Arc::new(self.with_end(still.page(&request.query)));
                (still.now, still.totals, page, still.views.view(request, still.now))
            }
            Some(still) => (still.now, still.totals, last.page.clone(), last.view.clone()),
            None if !is_answer && self.is_quiet(now, &last, table, health) => {
                (now, last.totals, last.page.clone(), last.view.clone())
            }
            None => {
                self.paged = now;
                let page = self.with_end(view::page(table, &request.query, now));
                (now, *table.totals(), Arc::new(page), self.views.view(request, table, now))
            }
        };
        let leaks = if self.still.is_some() { last.leaks.clone() } else { self.leaks.clone() };
        let frame = Frame {
            request: self.request.clone(),
            now,
            started: self.started.unwrap_or(now),
            page,
            totals,
            view,
            leaks,
            settings: self.settings.known(),
            health: health.clone(),
            rates: self.meter.rates().clone(),
            cost: self.cost.at(now),
        };
        if is_answer || !frame.looks_like(&last) {
            self.frames.send_replace(Arc::new(frame));
        }
    }

    /// Whether a page would be the one that the screen has, so that it need not be made. Time alone turns a connection
    /// into a suspect, and into one that is looked for by age: where one can, a second is over at most.
    fn is_quiet(&self, now: u64, last: &Frame, table: &Table, health: &Health) -> bool {
        let nothing_happened = last.totals == *table.totals()
            && last.health.events == health.events
            && last.health.resyncs == health.resyncs
            && last.health.knowledge == health.knowledge;
        nothing_happened && (now.saturating_sub(self.paged) < SECOND || !self.can_turn(table))
    }

    /// Whether time alone can change a page.
    fn can_turn(&self, table: &Table) -> bool {
        matches!(self.request.tab, Tab::Histograms | Tab::TimeWait)
            || table.totals().live[State::CloseWait.index()] > 0
            || view::Search::parse(&self.request.query.text).0.has_age()
    }

    /// A page with the end of the selected connection, if that has left the table.
    fn with_end(&self, mut page: Page) -> Page {
        let is_selected = |ended: &&Detail| self.request.query.selected == Some(ended.row.id);
        if page.detail.is_none()
            && let Some(mut ended) = self.ended.as_ref().filter(is_selected).cloned()
        {
            // By now whoever held its socket has closed it.
            ended.row.orphan = true;
            page.detail = Some(ended);
        }
        page
    }

    fn filter(&self) -> &Filter {
        &self.request.query.filter
    }
}

impl Observer for Bridge {
    fn transition(&mut self, connection: &Connection, owner: Option<Owner>, transition: &Transition) {
        let query = &self.request.query;
        self.views.transition(connection, owner, transition, &query.filter);
        if transition.to == State::Closed && query.selected == Some(connection.id()) {
            self.ended = Some(view::detail_of(connection, owner, query.leak_after, transition.at));
        }
    }

    fn retransmit(&mut self, connection: &Connection, owner: Option<Owner>, kind: RetransmitKind, at: u64) {
        let what = What::Retransmit(connection.state_of_segment(), kind);
        self.views.note(connection, owner, what, at, &self.request.query.filter);
    }

    fn reset(&mut self, connection: &Connection, owner: Option<Owner>, direction: Direction, at: u64) {
        let what = What::Reset(connection.state_of_segment(), direction);
        self.views.note(connection, owner, what, at, &self.request.query.filter);
    }
}

impl Sink for Bridge {
    /// Losses are in the health of every frame, and shown until the end.
    fn lost(&mut self, _at: u64, _count: u64, _cause: LossCause) {}

    fn is_screen(&self) -> bool {
        true
    }

    fn confirm(&self) -> Confirm {
        Confirm::Every(CONFIRM)
    }

    fn suspects(&mut self, at: u64, mut suspects: Vec<Suspect>) {
        suspects.retain(|suspect| suspect.is_wanted(self.filter()));
        self.leaks = Arc::new(Leaks { at, suspects });
    }

    fn flush(&mut self, now: u64, table: &Table, health: &Health) -> io::Result<ControlFlow<()>> {
        // The first frame tells the screen that the trace has begun.
        let is_first = self.started.is_none();
        self.started.get_or_insert(now);
        self.meter.count(now, table.totals().moves, health.events);
        self.settings.tend(now, self.request.settings);
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
    use tcplife_common::wire::{End, Handle, Head, Move, Record, Tuple};

    use super::*;
    use crate::health::Losses;

    const MS: u64 = 1_000_000;

    fn start() -> (Bridge, Channels, Table) {
        let (bridge, channels) = Bridge::new(Request::default(), Duration::from_millis(500));
        (bridge, channels, Table::new(tcplife_core::table::Config::default()))
    }

    fn fresh(channels: &mut Channels) -> Option<Arc<Frame>> {
        channels.frames.has_changed().unwrap().then(|| channels.frames.borrow_and_update().clone())
    }

    #[test]
    fn the_first_flush_is_the_first_frame() {
        let (mut bridge, mut channels, table) = start();
        let _ = bridge.flush(7 * MS, &table, &Health::default()).unwrap();
        let frame = fresh(&mut channels).unwrap();
        assert_eq!((frame.now, frame.started), (7 * MS, 7 * MS));
    }

    #[test]
    fn a_frame_that_would_look_the_same_is_not_sent() {
        let (mut bridge, mut channels, table) = start();
        let mut health = Health::default();
        let _ = bridge.flush(MS, &table, &health).unwrap();
        fresh(&mut channels).unwrap();
        let _ = bridge.flush(600 * MS, &table, &health).unwrap();
        assert!(fresh(&mut channels).is_none());
        health.events += 1;
        let _ = bridge.flush(700 * MS, &table, &health).unwrap();
        assert!(fresh(&mut channels).is_none(), "not due yet");
        let _ = bridge.flush(1100 * MS, &table, &health).unwrap();
        assert_eq!(fresh(&mut channels).unwrap().health.events, 1);
    }

    #[test]
    fn rows_that_cannot_have_changed_are_not_made_again() {
        for tab in Tab::ALL {
            let (mut bridge, mut channels, table) = start();
            channels.requests.send_modify(|request| request.tab = tab);
            let mut health = Health::default();
            let _ = bridge.flush(MS, &table, &health).unwrap();
            let first = fresh(&mut channels).unwrap();
            // A loss is told, but it moves no connection.
            health.lost = Losses::default().with(LossCause::RingFull, 1);
            let _ = bridge.flush(600 * MS, &table, &health).unwrap();
            let second = fresh(&mut channels).unwrap();
            assert!(Arc::ptr_eq(&first.page, &second.page), "{tab:?}");
            health.events += 1;
            let _ = bridge.flush(1200 * MS, &table, &health).unwrap();
            assert!(!Arc::ptr_eq(&first.page, &fresh(&mut channels).unwrap().page), "{tab:?}");
        }
    }

    #[test]
    fn a_request_is_answered_at_the_next_flush() {
        let (mut bridge, mut channels, table) = start();
        let _ = bridge.flush(MS, &table, &Health::default()).unwrap();
        fresh(&mut channels).unwrap();
        channels.requests.send_modify(|request| request.query.text = "nginx".to_owned());
        let _ = bridge.flush(2 * MS, &table, &Health::default()).unwrap();
        assert_eq!(fresh(&mut channels).unwrap().request.query.text, "nginx");
    }

    #[test]
    fn a_pause_keeps_its_moment_and_still_tells_of_losses() {
        let (mut bridge, mut channels, table) = start();
        let mut health = Health::default();
        let _ = bridge.flush(MS, &table, &health).unwrap();
        channels.requests.send_modify(|request| request.flow = Flow::Paused);
        let _ = bridge.flush(2 * MS, &table, &health).unwrap();
        assert_eq!(fresh(&mut channels).unwrap().now, 2 * MS);
        health.lost = Losses::default().with(LossCause::RingFull, 3);
        let _ = bridge.flush(900 * MS, &table, &health).unwrap();
        let frame = fresh(&mut channels).unwrap();
        assert_eq!((frame.now, frame.health.lost.total()), (2 * MS, 3));
        channels.requests.send_modify(|request| request.flow = Flow::Live);
        let _ = bridge.flush(901 * MS, &table, &health).unwrap();
        assert_eq!(fresh(&mut channels).unwrap().now, 901 * MS);
    }

    #[test]
    fn the_end_of_the_connection_that_is_read_is_told_once_it_has_left_the_table() {
        const ESTABLISHED: u8 = 1;
        const CLOSE: u8 = 7;
        const CLOSE_WAIT: u8 = 8;
        let (mut bridge, mut channels, mut table) = start();
        let head = |old, new, time_ns| Head { sock: 64, old, new, time_ns, ..Head::default() };
        let tuple = Tuple { local_port: 80, remote_port: 4000, ..Tuple::default() };
        let moved = Record::Move(Move { head: head(ESTABLISHED, CLOSE_WAIT, MS), tuple, ..Move::default() });
        table.apply(&moved, &mut bridge);
        let id = table.iter().next().unwrap().id();
        channels.requests.send_modify(|request| request.query.selected = Some(id));
        let _ = bridge.flush(2 * MS, &table, &Health::default()).unwrap();
        fresh(&mut channels).unwrap();
        let end = End { head: head(CLOSE_WAIT, CLOSE, 5 * MS), tuple, ..End::default() };
        table.apply(&Record::End(end), &mut bridge);
        let gone = Handle { head: head(CLOSE, CLOSE, 6 * MS), ..Handle::default() };
        table.apply(&Record::Gone(gone), &mut bridge);
        assert_eq!(table.len(), 0);
        let health = Health { events: 2, ..Health::default() };
        let _ = bridge.flush(900 * MS, &table, &health).unwrap();
        let frame = fresh(&mut channels).unwrap();
        let Some(detail) = &frame.page.detail else { panic!("{frame:?}") };
        let stay = detail.stays[detail.stays.len() - 2];
        assert_eq!((stay.state, stay.until), (State::CloseWait, Some(5 * MS)));
        assert_eq!((detail.row.state, detail.row.orphan), (State::Closed, true));
        channels.requests.send_modify(|request| request.query.selected = None);
        let _ = bridge.flush(901 * MS, &table, &health).unwrap();
        assert_eq!(fresh(&mut channels).unwrap().page.detail, None);
    }

    #[test]
    fn a_screen_that_is_gone_ends_the_engine() {
        let (mut bridge, channels, table) = start();
        drop(channels);
        assert_eq!(bridge.flush(MS, &table, &Health::default()).unwrap(), ControlFlow::Break(()));
    }
}
