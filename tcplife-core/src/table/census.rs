//! What the kernel has at one moment, against what the events told.
//!
//! What comes in: dumps of the kernel's sockets. What goes out: sockets that were there before the trace, taken up with
//! the ages that the kernel's own clocks allow; states corrected; connections ended that are gone. What always holds: an
//! event that is newer than the dump's look at a socket wins; a connection is ended only after two dumps in a row
//! missed it, since a dump can pass by a socket that moves in the kernel's tables meanwhile.

mod heirs;
mod mini;
mod request;

use tcplife_common::wire::{Found, Head, flag};

use crate::{
    connection::{Connection, Ends, Marks, Phase, Role},
    observer::Observer,
    owner::{Process, Via},
    state::{NEW_SYN_RECV, State},
    timeline::Since,
};

use self::heirs::Heirs;
pub(super) use self::mini::Listed;
use super::{MiniEndSource, Table, gauge::since_gauge, moves::is_stranger, seen::Seen, store::Opening};

/// Storing a new state takes less than this after it was told, nanoseconds: a task can lose the processor in between.
const STORING_NS: u64 = 1_000_000_000;

/// Which sockets a dump looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    Everything,
    /// Mini-sockets.
    MiniSockets,
    /// Some: none is missed that is not among them.
    Some,
}

/// One look at the kernel's sockets.
#[derive(Clone, Copy, Debug)]
pub struct Census<'a> {
    /// When it began, in nanoseconds of `CLOCK_MONOTONIC`.
    pub begun: u64,
    /// When all had been looked at.
    pub ended: u64,
    /// What was looked for.
    pub scope: Scope,
    /// Inodes of the network namespaces that were looked at, in ascending order.
    pub netns: &'a [u32],
    /// Which of these are known to be gone, with all that was in them.
    pub gone: &'a [u32],
    /// Which of these could not be entered, and show no sign of being there. That is how one looks that is gone, and one that only
    /// something else than a TCP socket keeps: what ends by a timer is left to that.
    pub doubtful: &'a [u32],
    /// What was found, in pieces, each socket at least once, one that is held once for each descriptor.
    pub found: &'a [Vec<Found>],
}

impl<'a> Census<'a> {
    /// A look at some sockets, begun at a time, that misses none.
    pub const fn of_some(begun: u64, found: &'a [Vec<Found>]) -> Self {
        Self { begun, ended: begun, scope: Scope::Some, netns: &[], gone: &[], doubtful: &[], found }
    }
}

/// What a census came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CensusOutcome {
    /// Connections taken up.
    pub adopted: u64,
    /// Connections whose state was corrected.
    pub corrected: u64,
    /// Connections ended because they are gone.
    pub ended: u64,
    /// Connections not found for the first time: another census has to tell.
    pub missing: u64,
}

impl Table {
    /// Mends the table by what the kernel has, of which what is not wanted counts as not found. Records that were made before the census
    /// began must have been applied.
    pub fn take_census<O: Observer + ?Sized>(
        &mut self,
        census: &Census<'_>,
        is_wanted: impl Fn(&Found) -> bool,
        observer: &mut O,
    ) -> CensusOutcome {
        if census.scope != Scope::Some {
            self.release_all(observer);
        }
        let mut outcome = CensusOutcome::default();
        let mut seen = Seen::new(self.slab.bound());
        let mut heirs = Heirs::new(self.slab.bound());
        let turns: &[u8] = if census.scope == Scope::MiniSockets { &[1] } else { &[0, 1, 2] };
        let all = census.found.iter().flatten();
        let in_order = turns.iter().flat_map(|&now| all.clone().filter(move |found| turn(found) == now));
        for found in in_order.filter(|found| is_wanted(found)) {
            let slot = match found.head.new {
                _ if found.head.has(flag::MINI) && self.ignores_minis() => None,
                _ if found.head.has(flag::MINI) => self.count_mini(found, &mut outcome, observer),
                NEW_SYN_RECV => self.count_request(found, &mut outcome, observer),
                _ => self.count_full(found, &mut heirs, &mut outcome, observer),
            };
            // Of one in a mini-socket the application may hold the closed full socket, which says nothing about the other.
            let other = !found.head.has(flag::MINI) && !self.ignores_minis();
            if let Some(slot) = slot
                && !(other && self.slab.get(slot).is_some_and(Connection::in_mini_socket))
            {
                seen.mark(slot);
            }
        }
        heirs.settle(self);
        if census.scope != Scope::Some {
            // One that is there is looked at only if it may have been missed before.
            let all = std::mem::replace(&mut self.missed_some, false);
            for slot in 0..self.slab.bound() {
                if all || !seen.has(slot) {
                    self.miss(slot, &seen, census, &mut outcome, observer);
                }
            }
            self.missed_some = outcome.missing > 0;
            self.listed.note(census);
        }
        if census.scope == Scope::Everything {
            self.is_listed = true;
            outcome.ended += self.settle(census.begun, observer);
            outcome.missing += self.parked.len() as u64;
        }
        self.departed.forget();
        outcome
    }

    /// A full socket was found. Returns its connection.
    fn count_full<'a, O: Observer + ?Sized>(
        &mut self,
        found: &'a Found,
        heirs: &mut Heirs<'a>,
        outcome: &mut CensusOutcome,
        observer: &mut O,
    ) -> Option<u32> {
        let head = &found.head;
        let ends = Ends::of(&found.tuple);
        let state = State::from_kernel(head.old).filter(|&state| state != State::TimeWait)?;
        let known = self.socks.get(&head.sock).copied();
        let slot = match known {
            Some(slot) if self.is_newer(slot, head.time_ns) || self.is_ahead(slot, found, &ends, state) => {
                if self.slab.get(slot).is_some_and(|connection| !is_another(connection, head, &ends)) {
                    self.note_holder(slot, found, heirs);
                }
                return Some(slot);
            }
            Some(slot) if self.fits(slot, found, &ends, state) => {
                self.compare(slot, found, &ends, state, outcome, observer)?
            }
            None if self.departed.has(head) => return None,
            known => {
                if let Some(slot) = known {
                    self.lose(slot, head.time_ns, observer);
                }
                if state == State::Closed && !self.has_ended(found, &ends) {
                    return None;
                }
                let comes_of_one = !matches!(state, State::Listen | State::SynReceived | State::Closed);
                let request = self.requests.get(head.netns, &ends).filter(|_| comes_of_one);
                if let Some(request) = request {
                    self.promote(request, found, state, outcome, observer)?
                } else {
                    outcome.adopted += 1;
                    self.take_up(found, ends, state, observer)?
                }
            }
        };
        self.note_holder(slot, found, heirs);
        Some(slot)
    }

    /// Whoever holds the socket of a connection may own it.
    fn note_holder<'a>(&mut self, slot: u32, found: &'a Found, heirs: &mut Heirs<'a>) {
        if found.head.has(flag::HELD) {
            self.offer(slot, &Process::from(&found.task), Via::Holder);
            heirs.holds(self, slot, &found.task);
        }
    }

    /// Whether a closed socket is what a process still has of a connection that is over, and that is to be taken up. One that never
    /// was a connection, or is to be another, has no remote end; and where a mini-socket has both ends, it may not be over. None takes the
    /// place of one that lives.
    fn has_ended(&self, found: &Found, ends: &Ends) -> bool {
        let is_left = found.head.has(flag::HELD) && found.tuple.remote_port != 0;
        let has_room = self.slab.len() < self.config.capacity;
        self.config.takes_up_ended && is_left && has_room && self.mini(found.head.netns, ends).is_none()
    }

    /// Whether something happened to the connection after the dump looked at it.
    fn is_newer(&self, slot: u32, looked_at: u64) -> bool {
        self.slab.get(slot).is_some_and(|connection| connection.entered() > looked_at)
    }

    /// Whether the connection is further than what was found. The state-change tracepoint comes before the new state
    /// is stored (`inet_sk_set_state`), so a dump can see the old one after the event.
    fn is_ahead(&self, slot: u32, found: &Found, ends: &Ends, state: State) -> bool {
        let Some(connection) = self.slab.get(slot) else { return false };
        let leads = match (connection.phase, state) {
            (Phase::Full, State::Listen) => false,
            // It was closed before it began, and is again if its end was lost.
            (Phase::Full, State::Closed) => {
                State::Closed.may_precede(connection.state())
                    && found.head.time_ns.saturating_sub(connection.entered()) < STORING_NS
            }
            (Phase::Full, _) => state.may_lead_to(connection.state()),
            (Phase::Mini | Phase::Closed, _) => state != State::Closed,
        };
        leads && !is_another(connection, &found.head, ends)
    }

    /// Whether what was found can be the connection, perhaps some lost moves later.
    fn fits(&self, slot: u32, found: &Found, ends: &Ends, state: State) -> bool {
        let Some(connection) = self.slab.get(slot) else { return false };
        let before = connection.state();
        let leads = match connection.phase {
            Phase::Full if state == State::Closed => true,
            Phase::Full => before == state || before != State::Listen && before.may_lead_to(state),
            // The application still holds the closed socket.
            Phase::Mini | Phase::Closed => state == State::Closed,
        };
        leads && !is_another(connection, &found.head, ends)
    }

    /// The socket of a known connection was found. Returns the connection, unless it turned out to be over.
    fn compare<O: Observer + ?Sized>(
        &mut self,
        slot: u32,
        found: &Found,
        ends: &Ends,
        state: State,
        outcome: &mut CensusOutcome,
        observer: &mut O,
    ) -> Option<u32> {
        let head = &found.head;
        let connection = self.slab.get_mut(slot)?;
        if connection.cookie == 0 {
            connection.cookie = head.cookie;
        }
        if connection.phase != Phase::Full {
            return Some(slot);
        }
        if state == State::Closed {
            outcome.corrected += 1;
            if connection.state() == State::Listen {
                self.lose(slot, head.time_ns, observer);
                return None;
            }
            if !self.goes_on_in_mini(slot, observer) {
                self.close_unseen(slot, head.time_ns, observer);
            }
            return Some(slot);
        }
        connection.marks.put(Marks::ORPHAN, head.has(flag::ORPHAN));
        let before = connection.state();
        let earliest = connection.entered();
        self.learn(slot, ends, observer);
        if before != state {
            outcome.corrected += 1;
            self.totals.mismatched += 1;
            self.slab.get_mut(slot)?.marks.set(Marks::GAP);
            let since = Since::Between { earliest: Some(earliest), latest: head.time_ns };
            self.step(slot, state, since, observer);
        }
        Some(slot)
    }

    /// A socket that no event told of.
    fn take_up<O: Observer + ?Sized>(
        &mut self,
        found: &Found,
        ends: Ends,
        state: State,
        observer: &mut O,
    ) -> Option<u32> {
        let head = &found.head;
        let opening = Opening {
            sock: head.sock,
            cookie: head.cookie,
            netns: head.netns,
            ends,
            state,
            since: since_gauge(state, &found.gauge, head.time_ns, self.config.hz),
            role: (state == State::SynSent).then_some(Role::Client),
            phase: if state == State::Closed { Phase::Closed } else { Phase::Full },
        };
        let slot = self.open(&opening, observer);
        let connection = self.slab.get_mut(slot)?;
        connection.marks.put(Marks::ORPHAN, head.has(flag::ORPHAN));
        if state == State::Closed {
            connection.marks.set(Marks::REPORTED);
        }
        // Who holds it is known better than who listens.
        if !head.has(flag::HELD) {
            self.offer_only_listener(slot);
        }
        Some(slot)
    }

    /// A place of the table, after all that was found is counted: was its connection missed?
    fn miss<O: Observer + ?Sized>(
        &mut self,
        slot: u32,
        seen: &Seen,
        census: &Census<'_>,
        outcome: &mut CensusOutcome,
        observer: &mut O,
    ) {
        let (ignores_minis, mini_ends) = (self.ignores_minis(), self.config.mini_ends);
        let Some(connection) = self.slab.get_mut(slot) else { return };
        if connection.is_parked() {
            return;
        }
        if seen.has(slot) || !looked_for(connection, census, mini_ends) {
            connection.marks.clear(Marks::MISSED);
            connection.marks.clear(Marks::UNTIMED);
            return;
        }
        let was_missed = connection.marks.has(Marks::MISSED);
        if !was_missed && connection.state() == State::TimeWait && connection.marks.has(Marks::OVERDUE) {
            // Its timer had said so, if it was before the list was begun; of one that fired since then the next list tells.
            if self.overdue(slot, census.begun).is_some() {
                self.miss_mini(slot, census, observer);
            }
            return;
        }
        if !was_missed {
            connection.marks.set(Marks::MISSED);
            outcome.missing += 1;
            return self.note_miss(slot, census.ended);
        }
        outcome.ended += 1;
        match connection.phase {
            Phase::Mini if ignores_minis => self.let_go(slot, observer),
            Phase::Mini => self.miss_mini(slot, census, observer),
            Phase::Full if connection.is_request() => self.drop_request(slot, census.begun, observer),
            Phase::Full if connection.state() == State::Listen => {
                let since = Since::Between { earliest: None, latest: census.begun };
                self.totals.mismatched += 1;
                self.step(slot, State::Closed, since, observer);
                self.leave(slot);
            }
            Phase::Full | Phase::Closed => {
                if !self.goes_on_in_mini(slot, observer) {
                    self.close_unseen(slot, census.begun, observer);
                }
                self.let_go(slot, observer);
            }
        }
    }
}

/// When what was found is counted. Listeners first: their children are attributed to them. Closed sockets last: their connections may
/// go on in mini-sockets.
fn turn(found: &Found) -> u8 {
    match State::from_kernel(found.head.old) {
        Some(State::Listen) => 0,
        Some(State::Closed) => 2,
        _ => 1,
    }
}

/// Whether a socket that was found at a connection's address is not its socket: by what records go by, and a socket never loses
/// its cookie. One whose events were all lost has none yet, be it at the address and with the ports of one before.
fn is_another(connection: &Connection, head: &Head, ends: &Ends) -> bool {
    connection.cookie != 0 && head.cookie == 0 || is_stranger(connection, head, ends)
}

/// Whether the census would have found the connection if it were still there.
fn looked_for(connection: &Connection, census: &Census<'_>, mini_ends: MiniEndSource) -> bool {
    let by_timer = connection.phase == Phase::Mini && mini_ends == MiniEndSource::Dumped;
    if by_timer && census.doubtful.contains(&connection.netns) {
        return false;
    }
    let in_scope = match census.scope {
        Scope::Everything => true,
        Scope::MiniSockets => connection.phase == Phase::Mini,
        Scope::Some => false,
    };
    in_scope && connection.entered() < census.begun && census.netns.binary_search(&connection.netns).is_ok()
}
