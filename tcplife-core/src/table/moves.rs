//! Changes of state of full sockets.
//!
//! What comes in: [`wire::Move`] records, and for every record the question which connection it is about. What goes
//! out: connections opened, moved, or corrected after lost events. What always holds: a move is told once; a stay
//! whose entry was not seen has no length; what was lost is counted and never made up.

use tcplife_common::wire::{self, Head, flag};

use crate::{
    connection::{Connection, EndCause, Ends, Marks, Phase, Role},
    observer::Observer,
    owner::{Process, Via},
    state::State,
    timeline::Since,
};

use super::{Handshakes, MiniEndSource, Table, store::Opening};

/// The process of a record, if the move is its own.
pub(super) fn process(head: &Head, task: &wire::Task) -> Option<Process> {
    let own = head.has(flag::BY_TASK) && task.tgid != 0;
    own.then(|| Process::from(task))
}

/// The process, if it is known that both are the same.
fn if_same(one: Option<Process>, other: Option<Process>) -> Option<Process> {
    one.filter(|one| other.is_some_and(|other| other.pid == one.pid))
}

/// Entry at an unknown time, before `now` and after `earliest`.
const fn unseen(earliest: Option<u64>, now: u64) -> Since {
    Since::Between { earliest, latest: now }
}

/// Whether a record cannot be about this connection.
pub(super) fn is_stranger(connection: &Connection, head: &Head, ends: &Ends) -> bool {
    // Up to 6.12 the listener's cookie is in the child at first.
    let cookie = if head.has(flag::TUPLE_PENDING) { 0 } else { head.cookie };
    let other_cookie = cookie != 0 && connection.cookie != 0 && cookie != connection.cookie;
    other_cookie || connection.netns != head.netns || connection.ends.contradicts(ends)
}

impl Table {
    pub(super) fn moved<O: Observer + ?Sized>(&mut self, record: &wire::Move, observer: &mut O) {
        let head = &record.head;
        let states = State::from_kernel(head.old).zip(State::from_kernel(head.new));
        let Some((old, new)) = states else { return self.totals.invalid += 1 };
        let opens = old == State::Closed || (old, new) == (State::Listen, State::SynReceived);
        match (old, new) {
            // TIME_WAIT is a mini-socket's, and CLOSE comes with a record of its own (`wire::End`).
            (State::TimeWait, _) | (_, State::TimeWait | State::Closed) => self.totals.invalid += 1,
            // Only a closed socket can begin to listen, and a listener does nothing but close.
            (State::Listen, _) | (_, State::Listen) if !opens && old != new => self.totals.invalid += 1,
            _ if opens => self.begin(record, old, new, observer),
            _ => self.follow(record, old, new, observer),
        }
    }

    /// A new connection begins: out of CLOSED, or a listener's child.
    fn begin<O: Observer + ?Sized>(&mut self, record: &wire::Move, old: State, new: State, observer: &mut O) {
        let head = &record.head;
        if let Some(&slot) = self.socks.get(&head.sock) {
            self.lose(slot, head.time_ns, observer);
        }
        let child = old == State::Listen;
        let pending = head.has(flag::TUPLE_PENDING);
        // What the tracepoint shows of a child's SYN_RECEIVED is not the handshake: that was a request socket's.
        let since = if child { unseen(None, head.time_ns) } else { Since::Seen(head.time_ns) };
        let role = match new {
            State::SynReceived if child => Some(Role::Server),
            State::SynSent => Some(Role::Client),
            _ => None,
        };
        let slot = self.open(
            &Opening {
                sock: head.sock,
                cookie: if pending { 0 } else { head.cookie },
                netns: head.netns,
                ends: Ends::of(&record.tuple),
                state: new,
                since,
                role,
                phase: Phase::Full,
            },
            observer,
        );
        let Some(connection) = self.slab.get_mut(slot) else { return };
        connection.marks.set(Marks::OPENING);
        connection.marks.put(Marks::ORPHAN, head.has(flag::ORPHAN));
        let nameless = pending || !connection.ends.is_whole();
        if child && (nameless || self.config.handshakes == Handshakes::Told) {
            connection.marks.set(Marks::HELD);
            return;
        }
        self.name_child(slot);
        if let Some(process) = process(head, &record.task) {
            match new {
                State::SynSent => self.offer(slot, &process, Via::Connect),
                State::Listen => self.offer(slot, &process, Via::Listener),
                _ => {}
            }
        }
        self.tell_opening(slot, old, observer);
    }

    /// A connection goes on.
    fn follow<O: Observer + ?Sized>(
        &mut self,
        record: &wire::Move,
        old: State,
        new: State,
        observer: &mut O,
    ) {
        let head = &record.head;
        let Some(slot) = self.known(head, &Ends::of(&record.tuple), old, observer) else { return };
        if let Some(connection) = self.slab.get_mut(slot) {
            connection.marks.put(Marks::ORPHAN, head.has(flag::ORPHAN));
        }
        // A FIN is sent by close, shutdown or exit: all are the application's. So is FIN_WAIT_2 to itself: close.
        let closes = match new {
            State::FinWait1 | State::LastAck => true,
            State::FinWait2 => old == new,
            _ => false,
        };
        if closes && let Some(process) = process(head, &record.task) {
            self.offer(slot, &process, Via::Close);
        }
        if matches!(old, State::SynSent | State::SynReceived) && old != new {
            self.reuses(slot, observer);
        }
        if old != new {
            self.step(slot, new, Since::Seen(head.time_ns), observer);
        }
    }

    /// A request became a full socket: now both the tuple and the handshake's begin are known.
    pub(super) fn born<O: Observer + ?Sized>(&mut self, record: &wire::Born, observer: &mut O) {
        let ends = Ends::of(&record.tuple);
        let Some(slot) = self.find(&record.head, &ends, observer) else { return };
        if let Some(connection) = self.slab.get_mut(slot)
            && record.begun_ns != 0
            && connection.role == Some(Role::Server)
            && connection.state() == State::SynReceived
        {
            connection.history.amend(record.begun_ns);
        }
        self.learn(slot, &ends, observer);
    }

    /// An application has a handle on the connection.
    pub(super) fn accepted<O: Observer + ?Sized>(&mut self, record: &wire::Handle, observer: &mut O) {
        let Some(slot) = self.find(&record.head, &Ends::default(), observer) else { return };
        if let Some(connection) = self.slab.get_mut(slot)
            && connection.phase == Phase::Full
        {
            connection.marks.clear(Marks::ORPHAN);
        }
        if let Some(process) = process(&record.head, &record.task) {
            self.offer(slot, &process, Via::Accept);
        }
    }

    /// The connection on the record's socket, whatever it is in; `None` if the record is about another one.
    pub(super) fn find<O: Observer + ?Sized>(
        &mut self,
        head: &Head,
        ends: &Ends,
        observer: &mut O,
    ) -> Option<u32> {
        let slot = *self.socks.get(&head.sock)?;
        let connection = self.slab.get_mut(slot)?;
        if is_stranger(connection, head, ends) {
            self.lose(slot, head.time_ns, observer);
            return None;
        }
        if connection.cookie == 0 {
            connection.cookie = head.cookie;
        }
        Some(slot)
    }

    /// The connection that a record is about, in the state `old` before it: known, corrected, or taken up now.
    pub(super) fn known<O: Observer + ?Sized>(
        &mut self,
        head: &Head,
        ends: &Ends,
        old: State,
        observer: &mut O,
    ) -> Option<u32> {
        if let Some(slot) = self.find(head, ends, observer) {
            let connection = self.slab.get(slot)?;
            let state = connection.state();
            let alive = connection.phase == Phase::Full;
            if alive && (state == old || state.may_lead_to(old) && state != State::Listen) {
                self.learn(slot, ends, observer);
                if state != old {
                    self.correct(slot, old, head.time_ns);
                }
                return Some(slot);
            }
            self.lose(slot, head.time_ns, observer);
        }
        Some(self.adopt(head, ends, old, observer))
    }

    /// A connection whose opening was not seen.
    pub(super) fn adopt<O: Observer + ?Sized>(
        &mut self,
        head: &Head,
        ends: &Ends,
        state: State,
        observer: &mut O,
    ) -> u32 {
        let opening = Opening {
            sock: head.sock,
            cookie: head.cookie,
            netns: head.netns,
            ends: *ends,
            state,
            since: unseen(None, head.time_ns),
            role: (state == State::SynSent).then_some(Role::Client),
            phase: Phase::Full,
        };
        let slot = self.open(&opening, observer);
        if state != State::Listen {
            self.inherit(slot);
        }
        self.offer_only_listener(slot);
        self.reuses(slot, observer);
        slot
    }

    /// A record brings a tuple, perhaps with more in it than before.
    pub(super) fn learn<O: Observer + ?Sized>(&mut self, slot: u32, ends: &Ends, observer: &mut O) {
        let Some(connection) = self.slab.get_mut(slot) else { return };
        if connection.state() == State::Listen {
            // Its children have its tuple, not it theirs. One that was not bound gets its port after it listens (`inet_csk_listen_start`).
            let (netns, port) = (connection.netns, ends.local_port);
            if connection.ends.local_port == 0 && port != 0 {
                connection.ends.local_port = port;
                self.listeners.remove(netns, 0, slot);
                self.listeners.insert(netns, port, slot);
            }
            return;
        }
        // A mini-socket is found by its tuple.
        if connection.is_over() {
            return;
        }
        connection.ends.learn(ends);
        self.announce(slot, observer);
    }

    /// An event was lost: the connection is in `state` by now.
    pub(super) fn correct(&mut self, slot: u32, state: State, now: u64) {
        self.totals.mismatched += 1;
        let Some(connection) = self.slab.get_mut(slot) else { return };
        connection.marks.set(Marks::GAP);
        let earliest = connection.history.latest();
        self.shift(slot, state, unseen(Some(earliest), now));
    }

    /// The socket at a connection's address is not its socket any more.
    pub(super) fn lose<O: Observer + ?Sized>(&mut self, slot: u32, now: u64, observer: &mut O) {
        if !self.goes_on_in_mini(slot, observer) {
            if self.park(slot, now, observer) {
                return;
            }
            self.close_unseen(slot, now, observer);
        }
        self.let_go(slot, observer);
    }

    /// A full socket is closed, and its way there was not seen.
    pub(super) fn close_unseen<O: Observer + ?Sized>(&mut self, slot: u32, now: u64, observer: &mut O) {
        if self.slab.get(slot).is_some_and(|connection| connection.phase == Phase::Full) {
            self.totals.mismatched += 1;
            self.shut(slot, now, observer);
        }
    }

    /// A full socket was closed unseen, at the time `now` at the latest.
    pub(super) fn shut<O: Observer + ?Sized>(&mut self, slot: u32, now: u64, observer: &mut O) {
        self.announce(slot, observer);
        let Some(connection) = self.slab.get_mut(slot) else { return };
        connection.marks.set(Marks::GAP);
        connection.end = Some(EndCause::Unknown);
        connection.phase = Phase::Closed;
        let earliest = connection.history.latest();
        connection.closed_at = now.max(earliest);
        self.step(slot, State::Closed, unseen(Some(earliest), now), observer);
    }

    /// A server's connection has its tuple: it takes over what is known of its request and its listener.
    pub(super) fn name_child(&mut self, slot: u32) {
        let Some(connection) = self.slab.get_mut(slot) else { return };
        if connection.role != Some(Role::Server) {
            return;
        }
        let (netns, ends) = (connection.netns, connection.ends);
        self.departed.note_born(netns, &ends);
        self.inherit(slot);
        self.offer_listener(slot);
    }

    /// Who listens where a connection just came in may be its owner.
    pub(super) fn offer_listener(&mut self, slot: u32) {
        self.offer_who_listens(slot, Self::listening);
    }

    /// The same for a connection that came in at a time that is not known.
    pub(super) fn offer_only_listener(&mut self, slot: u32) {
        self.offer_who_listens(slot, Self::listening_alone);
    }

    fn offer_who_listens(&mut self, slot: u32, who: impl Fn(&Self, u32, &Ends) -> Option<Process>) {
        let comes_in = |c: &&Connection| c.state() != State::Listen && c.role != Some(Role::Client);
        let Some(connection) = self.slab.get(slot).filter(comes_in) else { return };
        if let Some(process) = who(self, connection.netns, &connection.ends) {
            self.offer(slot, &process, Via::Listener);
        }
    }

    /// The process that listens where a connection comes in now: the closest match of its local address. `None` if
    /// several processes share the port (`SO_REUSEPORT`): which of them it went to is not known.
    pub(super) fn listening(&self, netns: u32, ends: &Ends) -> Option<Process> {
        let mut best: Option<(u8, Option<Process>)> = None;
        for (rank, process) in self.listeners_for(netns, ends) {
            match best {
                Some((known, _)) if known > rank => {}
                Some((known, other)) if known == rank => best = Some((rank, if_same(other, process))),
                _ => best = Some((rank, process)),
            }
        }
        best?.1
    }

    /// The process that listens where a connection came in, if there is no other, however closely its address matches. One that
    /// began to listen since then has nothing to do with it, and the table does not know in whose accept queue it is.
    fn listening_alone(&self, netns: u32, ends: &Ends) -> Option<Process> {
        let mut processes = self.listeners_for(netns, ends).map(|(_, process)| process);
        let first = processes.next()?;
        processes.fold(first, if_same)
    }

    /// Every listener that a connection may have come to: how closely its address matches, and its process if that is known.
    fn listeners_for(&self, netns: u32, ends: &Ends) -> impl Iterator<Item = (u8, Option<Process>)> {
        self.listeners.on(netns, ends.local_port).iter().filter_map(|&slot| {
            let listener = self.slab.get(slot)?;
            let rank = ends.match_of_listener(&listener.ends.local)?;
            Some((rank, self.processes.owner(listener).map(|owner| owner.process)))
        })
    }

    /// A connection is established or nearly so: a mini-socket with the same tuple is gone, for the kernel lets a
    /// full socket have a mini-socket's tuple only after killing it (`tcp_twsk_unique`, `tcp_timewait_state_process`).
    /// That was when the connection began, not now.
    fn reuses<O: Observer + ?Sized>(&mut self, slot: u32, observer: &mut O) {
        let Some(connection) = self.slab.get(slot) else { return };
        let (netns, ends, at) = (connection.netns, connection.ends, connection.history.first());
        self.forgo(netns, &ends, observer);
        if self.config.mini_ends != MiniEndSource::Told {
            self.supersede(netns, &ends, at, observer);
        }
    }
}
