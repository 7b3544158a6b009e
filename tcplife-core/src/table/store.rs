//! The few steps that every change is made of: come in, move, be told, leave.
//!
//! What comes in: decisions of the other parts of the table. What goes out: connections changed, counted and told.
//! What always holds: counts and indexes agree with the connections after each step.

use crate::{
    connection::{ConnId, Connection, Ends, Marks, Phase, Role},
    history::History,
    observer::{Observer, Transition},
    owner::{Owner, Process, Via},
    state::State,
    timeline::Since,
};

use super::{Table, processes::Processes};

impl Processes {
    pub(super) fn owner(&self, connection: &Connection) -> Option<Owner> {
        let via = connection.via?;
        Some(Owner { process: self.get(connection.process)?, via })
    }
}

/// A connection about to come in.
pub(super) struct Opening {
    pub(super) sock: u64,
    pub(super) cookie: u64,
    pub(super) netns: u32,
    pub(super) ends: Ends,
    pub(super) state: State,
    pub(super) since: Since,
    pub(super) role: Option<Role>,
    pub(super) phase: Phase,
}

impl Table {
    pub(super) fn fresh_id(&mut self) -> ConnId {
        let id = ConnId(self.next_id);
        self.next_id += 1;
        id
    }

    /// A connection comes in. The address of its socket, if it has one, must not lead to another by now.
    pub(super) fn open<O: Observer + ?Sized>(&mut self, opening: &Opening, observer: &mut O) -> u32 {
        if self.slab.len() >= self.config.capacity.max(1) {
            self.evict(observer);
        }
        let &Opening { sock, cookie, netns, ends, state, since, role, phase } = opening;
        let mut connection = Connection::new(self.fresh_id(), netns, ends, History::new(state, since));
        connection.cookie = cookie;
        connection.role = role;
        connection.phase = phase;
        connection.note_fins();
        if sock != 0 {
            connection.sock = sock;
            connection.marks.set(Marks::BY_SOCK);
        }
        let listens = state == State::Listen;
        if listens {
            connection.marks.set(Marks::REPORTED);
        }
        let slot = self.slab.insert(connection);
        if sock != 0 {
            self.socks.insert(sock, slot);
        }
        if listens {
            self.listeners.insert(netns, ends.local_port, slot);
        }
        if state == State::SynReceived {
            if sock == 0 {
                self.requests.insert(netns, ends, slot);
            } else {
                self.embryos.insert(slot);
            }
        }
        self.totals.opened += 1;
        self.totals.listeners += u64::from(listens);
        self.totals.unattributed += u64::from(!listens);
        self.totals.live[state.index()] += 1;
        slot
    }

    /// A connection moves, untold. Returns the state that it left and when it entered that.
    pub(super) fn shift(&mut self, slot: u32, to: State, since: Since) -> Option<(State, Since)> {
        let connection = self.slab.get_mut(slot)?;
        let left = (connection.state(), connection.since());
        connection.enter(to, since);
        let (netns, ends) = (connection.netns, connection.ends);
        self.totals.live[to.index()] += 1;
        self.left(slot, left.0, netns, &ends);
        Some(left)
    }

    /// A connection left a state: it is not counted there, nor found by what only that state is found by.
    fn left(&mut self, slot: u32, state: State, netns: u32, ends: &Ends) {
        self.totals.live[state.index()] -= 1;
        match state {
            State::SynReceived => {
                self.embryos.remove(slot);
                self.requests.remove(netns, *ends, slot);
            }
            State::Listen => self.listeners.remove(netns, ends.local_port, slot),
            _ => {}
        }
    }

    /// A connection moves, and that is told.
    pub(super) fn step<O: Observer + ?Sized>(
        &mut self,
        slot: u32,
        to: State,
        since: Since,
        observer: &mut O,
    ) {
        let Some((from, entered)) = self.shift(slot, to, since) else { return };
        let Some(connection) = self.slab.get(slot) else { return };
        let at = connection.history.latest();
        let exact = connection.since().seen().and(entered.seen());
        let elapsed = exact.map(|entered| at.saturating_sub(entered));
        self.totals.moves += 1;
        let transition = Transition { from, to, at, elapsed };
        observer.transition(connection, self.processes.owner(connection), &transition);
    }

    /// Tells how a connection came in.
    pub(super) fn tell_opening<O: Observer + ?Sized>(&mut self, slot: u32, from: State, observer: &mut O) {
        let Some(connection) = self.slab.get(slot) else { return };
        self.totals.moves += 1;
        let (to, at) = (connection.state(), connection.history.latest());
        let transition = Transition { from, to, at, elapsed: None };
        observer.transition(connection, self.processes.owner(connection), &transition);
    }

    /// Tells how a server's connection came in, if that was held back for want of a tuple.
    pub(super) fn announce<O: Observer + ?Sized>(&mut self, slot: u32, observer: &mut O) {
        let Some(connection) = self.slab.get_mut(slot) else { return };
        if connection.marks.has(Marks::HELD) {
            connection.marks.clear(Marks::HELD);
            self.name_child(slot);
            self.tell_opening(slot, State::Listen, observer);
        }
    }

    /// A process is, or may be, the owner: the strongest evidence wins, and the first of equal strength
    /// (until it no longer holds the socket: `census/heirs.rs`).
    pub(super) fn offer(&mut self, slot: u32, process: &Process, via: Via) {
        if via == Via::Close && process.comm == self.config.onlooker {
            return;
        }
        let Some(connection) = self.slab.get_mut(slot) else { return };
        // Who called listen is the listener's owner, whoever closes it.
        let better = |known: Via| via < known && connection.state() != State::Listen;
        if process.pid == 0 || !connection.via.is_none_or(better) {
            if connection.via.is_some() {
                self.processes.rename(connection.process, process);
            }
            return;
        }
        let number = self.processes.take(process);
        match connection.via {
            Some(_) => self.processes.release(connection.process),
            // A listener was not counted.
            None if connection.state() == State::Listen => {}
            None => self.totals.unattributed -= 1,
        }
        connection.process = number;
        connection.via = Some(via);
    }

    /// The owner of a connection no longer holds it, and this process does.
    pub(super) fn change_owner(&mut self, slot: u32, process: &Process) {
        let Some(connection) = self.slab.get_mut(slot).filter(|connection| connection.via.is_some()) else {
            return;
        };
        let number = self.processes.take(process);
        self.processes.release(std::mem::replace(&mut connection.process, number));
        connection.via = Some(Via::Holder);
    }

    /// A connection was none of its own: it leaves as if it had never come in.
    pub(super) fn take_back(&mut self, slot: u32) {
        let Some(connection) = self.slab.get(slot) else { return };
        let (listens, owned) = (connection.state() == State::Listen, connection.via.is_some());
        self.remove(slot);
        self.totals.opened -= 1;
        self.totals.listeners -= u64::from(listens);
        self.totals.unattributed -= u64::from(!listens && !owned);
    }

    /// A connection leaves. The caller counts why.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(connection) = self.slab.remove(slot) else { return };
        self.left(slot, connection.state(), connection.netns, &connection.ends);
        if connection.marks.has(Marks::BY_SOCK) {
            self.socks.remove(&connection.sock);
            self.departed.note(connection.sock, connection.cookie);
        }
        if connection.is_parked() {
            self.parked.remove(&connection, slot);
        }
        if connection.phase == Phase::Mini {
            self.minis.remove(connection.netns, &connection.ends, slot);
            self.departed.note(connection.mini, connection.cookie);
        }
        if connection.via.is_some() {
            self.processes.release(connection.process);
        }
    }
}
