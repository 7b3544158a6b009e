//! Mini-sockets that a dump found.

use tcplife_common::wire::Found;

use super::super::{
    MiniEndSource, Table,
    gauge::{LAG_NS, entered_time_wait, orphan_timer_set, since_fin_wait_2, since_time_wait},
    index::Stamp,
    mini::differ,
    store::Opening,
    wheel::{self, Timer},
};
use super::{Census, CensusOutcome};
use crate::{
    connection::{EndCause, Ends, Marks, MiniEndCause, Phase},
    observer::Observer,
    state::State,
    timeline::Since,
};

/// A mini-socket with less time than this to go is not taken up, nanoseconds.
const SPENT_NS: u64 = 100_000_000;
/// A mini-socket in `FIN_WAIT_2` is taken to have expired if a list had it no longer than this before its timer fired, or for three
/// quarters of its time. A list of ten namespaces comes some six seconds after the one before.
const NEAR_NS: u64 = 10_000_000_000;

/// The newest list of mini-sockets.
#[derive(Debug, Default)]
pub(in crate::table) struct Listed {
    begun: u64,
    netns: Vec<u32>,
}

impl Listed {
    pub(super) fn note(&mut self, census: &Census<'_>) {
        self.begun = census.begun;
        let unseen = |inode| census.gone.contains(inode) || census.doubtful.contains(inode);
        self.netns.clear();
        self.netns.extend(census.netns.iter().filter(|inode| !unseen(inode)));
    }

    /// When a mini-socket of a namespace was there that was not missed since; 0 if nothing is known of that.
    fn seen(&self, netns: u32) -> u64 {
        if self.netns.binary_search(&netns).is_ok() { self.begun } else { 0 }
    }
}

impl Table {
    /// A mini-socket was found. Returns its connection.
    pub(super) fn count_mini<O: Observer + ?Sized>(
        &mut self,
        found: &Found,
        outcome: &mut CensusOutcome,
        observer: &mut O,
    ) -> Option<u32> {
        let head = &found.head;
        let ends = Ends::of(&found.tuple);
        let state = State::from_kernel(head.old)
            .filter(|state| matches!(state, State::FinWait2 | State::TimeWait))?;
        let stamp = Stamp::of(state, head.sock, found.gauge.expires);
        let candidate = match self.minis.find(head.netns, &ends) {
            Some((slot, known)) if known == stamp && known != Stamp::NONE => return Some(slot),
            other => other.map(|(slot, _)| slot),
        };
        let mut timer = Timer::of(found);
        let candidate = candidate.filter(|&slot| self.is_of(slot, head.netns, &ends));
        if let Some(slot) = candidate.filter(|&slot| state == State::TimeWait && self.is_mini(slot, head)) {
            self.date(slot, found);
        }
        let slot = match candidate {
            Some(slot) if self.is_newer(slot, head.time_ns) => return Some(slot),
            Some(slot) if self.is_mini(slot, head) => slot,
            _ if self.departed.has(head) => return None,
            other => {
                if other.is_some() {
                    self.supersede(head.netns, &ends, head.time_ns, observer);
                }
                let since = match state {
                    State::TimeWait => since_time_wait(found, self.config.hz),
                    _ => since_fin_wait_2(found, self.config.hz),
                };
                if self.is_spent(state, &timer) {
                    return None;
                }
                let mini = self.take_up_mini(found, ends, state, since, observer)?;
                let slot = self.resume(mini, observer);
                *(if slot == mini { &mut outcome.adopted } else { &mut outcome.corrected }) += 1;
                slot
            }
        };
        if self.slab.get(slot)?.state() == State::FinWait2 && state == State::TimeWait {
            let since = since_time_wait(found, self.config.hz);
            self.step(slot, state, since, observer);
        }
        if state == State::FinWait2 {
            timer.set = orphan_timer_set(found, self.config.hz).unwrap_or(timer.jiffies);
        }
        self.arm(slot, timer);
        self.minis.stamp(head.netns, &ends, slot, stamp);
        Some(slot)
    }

    /// A list that was made by the time `ended` is the first that missed a mini-socket. Its timer may have fired since it was there, or
    /// something ended it early.
    pub(super) fn note_miss(&mut self, slot: u32, ended: u64) {
        let Some(connection) = self.slab.get(slot).filter(|connection| connection.due != 0) else { return };
        let entered = connection.entered();
        let seen = self.listed.seen(connection.netns).max(entered);
        let is_by_timer = self.fired(connection, ended).is_some_and(|at| {
            let near = NEAR_NS.max(at.saturating_sub(entered) / 4);
            // From TIME_WAIT only a reset or `SOCK_DESTROY` leads out early and unseen. In FIN_WAIT_2 a reset is as likely as the timer,
            // and TIME_WAIT may have come and gone.
            connection.state() == State::TimeWait
                || (seen.saturating_sub(LAG_NS)..seen.saturating_add(near)).contains(&at)
        });
        if let Some(connection) = self.slab.get_mut(slot) {
            connection.marks.put(Marks::UNTIMED, !is_by_timer);
        }
    }

    /// A mini-socket is gone, and nobody told of its end.
    pub(super) fn miss_mini<O: Observer + ?Sized>(
        &mut self,
        slot: u32,
        census: &Census<'_>,
        observer: &mut O,
    ) {
        let Some(connection) = self.slab.get(slot) else { return };
        // With its time up: that was its end. Otherwise something ended it early, at a time that nobody saw.
        if let Some(at) = self.fired(connection, census.begun) {
            return self.end_mini(slot, Since::Seen(at), true, Some(MiniEndCause::Expired), observer);
        }
        let is_with_its_namespace = census.gone.contains(&connection.netns);
        if self.config.mini_ends == MiniEndSource::Told && !is_with_its_namespace {
            // A hook should have told.
            self.totals.mismatched += 1;
        }
        let cause = is_with_its_namespace.then_some(MiniEndCause::NetnsGone);
        self.end_mini_unseen(slot, census.begun, cause, observer);
    }

    /// A full socket is gone and its end was lost. If a mini-socket with its tuple was found meanwhile, and taken up as a connection of
    /// its own, that is what became of it. Returns whether it is.
    pub(in crate::table) fn goes_on_in_mini<O: Observer + ?Sized>(
        &mut self,
        slot: u32,
        observer: &mut O,
    ) -> bool {
        let Some(connection) = self.slab.get(slot) else { return false };
        let (netns, ends, before) = (connection.netns, connection.ends, connection.state());
        let (cookie, entered) = (connection.cookie, connection.entered());
        let is_news = !connection.is_parked();
        if connection.phase != Phase::Full || before == State::Listen || connection.is_request() {
            return false;
        }
        let Some(found) = self.mini(netns, &ends) else { return false };
        let Some(mini) = self.slab.get(found) else { return false };
        let (state, since, address) = (mini.state(), mini.since(), mini.mini);
        let is_new = mini.stays().count() == 1 && mini.closed_at >= entered;
        if !is_new || differ(cookie, mini.cookie) || before != state && !before.may_lead_to(state) {
            return false;
        }
        let (closed_at, of_mini) = (mini.closed_at, mini.cookie);
        self.announce(slot, observer);
        self.take_back(found);
        let Some(connection) = self.slab.get_mut(slot) else { return false };
        connection.phase = Phase::Mini;
        connection.mini = address;
        connection.cookie = cookie.max(of_mini);
        connection.closed_at = closed_at;
        connection.end = Some(EndCause::Fin);
        connection.marks.set(Marks::GAP);
        connection.marks.clear(Marks::MISSED);
        self.minis.insert(netns, &ends, slot, Stamp::NONE);
        self.totals.mismatched += u64::from(is_news);
        if before != state {
            // Only what comes right before it ended when it began. The full socket of one in `TIME_WAIT` may have been gone before that.
            let latest = if state == State::TimeWait { since.latest() } else { closed_at };
            let since = match since {
                Since::Seen(at) if before == State::FinWait2 && at >= entered => since,
                _ => Since::Between { earliest: Some(entered), latest: latest.max(entered) },
            };
            self.step(slot, state, since, observer);
        }
        true
    }

    /// A hook told of a late segment for a mini-socket before any list had it: only that it is no younger than that was known.
    fn date(&mut self, slot: u32, found: &Found) {
        if let Some(connection) = self.slab.get_mut(slot)
            && connection.state() == State::TimeWait
            && matches!(connection.since(), Since::Between { earliest: None, .. })
            && let Some(at) = entered_time_wait(found)
        {
            connection.history.amend(at);
        }
    }

    /// Whether a mini-socket is about to end: its end may have been told already, by computation.
    fn is_spent(&self, state: State, timer: &Timer) -> bool {
        let hz = self.config.hz;
        let armed = timer.expires.saturating_sub(wheel::time_wait(hz));
        let fires = wheel::fires(armed, timer.expires, hz);
        let left = fires.saturating_sub(timer.jiffies).saturating_mul(wheel::tick_ns(hz));
        state == State::TimeWait && left < SPENT_NS
    }

    fn take_up_mini<O: Observer + ?Sized>(
        &mut self,
        found: &Found,
        ends: Ends,
        state: State,
        since: Since,
        observer: &mut O,
    ) -> Option<u32> {
        let head = &found.head;
        let opening = Opening {
            sock: 0,
            cookie: head.cookie,
            netns: head.netns,
            ends,
            state,
            since,
            role: None,
            phase: Phase::Mini,
        };
        let slot = self.open(&opening, observer);
        let connection = self.slab.get_mut(slot)?;
        connection.mini = head.sock;
        connection.closed_at = head.time_ns;
        connection.end = Some(EndCause::Fin);
        connection.marks.set(Marks::ORPHAN);
        connection.marks.put(Marks::REPORTED, !self.config.life_after_time_wait);
        self.minis.insert(head.netns, &ends, slot, Stamp::NONE);
        Some(slot)
    }
}
