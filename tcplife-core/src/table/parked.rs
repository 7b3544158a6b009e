//! Connections whose full socket is gone and whose end was lost: a list of sockets tells whether they go on in mini-sockets.
//!
//! What comes in: connections whose socket's address has another user by now. What goes out: the same connections, in mini-sockets
//! that are noticed, or closed once a list of all sockets has none of theirs, or somebody else needs their ends or their room. What
//! always holds: each of them is lost once, and without lists none is kept here.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::Table;
use crate::{
    connection::{Connection, Ends, Marks, Phase},
    observer::Observer,
    state::State,
};

/// By network namespace and tuple: which one, and when its full socket was gone, at the latest.
#[derive(Debug, Default)]
pub(super) struct Parked(HashMap<(u32, Ends), (u32, u64), RandomState>);

impl Parked {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn remove(&mut self, connection: &Connection, slot: u32) {
        let key = (connection.netns, connection.ends);
        if self.0.get(&key).is_some_and(|held| held.0 == slot) {
            self.0.remove(&key);
        }
    }
}

impl Table {
    /// The full socket of a connection is gone at the time `now`. Returns whether it may go on, and waits to be found.
    pub(super) fn park<O: Observer + ?Sized>(&mut self, slot: u32, now: u64, observer: &mut O) -> bool {
        let may_go_on = |connection: &Connection| {
            connection.phase == Phase::Full
                && connection.state() != State::Listen
                && connection.state().may_lead_to(State::TimeWait)
                && connection.ends.is_whole()
                && !connection.is_request()
        };
        let is_asked = self.is_listed && !self.ignores_minis();
        if !is_asked || !self.slab.get(slot).is_some_and(may_go_on) {
            return false;
        }
        self.announce(slot, observer);
        let Some(connection) = self.slab.get_mut(slot) else { return false };
        connection.marks.set(Marks::GAP);
        connection.marks.clear(Marks::BY_SOCK);
        let gone_at = now.max(connection.entered());
        let key = (connection.netns, connection.ends);
        self.socks.remove(&connection.sock);
        self.departed.note(connection.sock, connection.cookie);
        // A handshake with these ends is another's from now on.
        self.embryos.remove(slot);
        self.totals.mismatched += 1;
        if let Some((before, at)) = self.parked.0.insert(key, (slot, gone_at)) {
            self.give_up(before, at, observer);
        }
        true
    }

    /// A mini-socket was taken up. Returns whose it is: a connection's that was parked, or its own.
    pub(super) fn resume<O: Observer + ?Sized>(&mut self, mini: u32, observer: &mut O) -> u32 {
        let Some(connection) = self.slab.get_mut(mini) else { return mini };
        let key = (connection.netns, connection.ends);
        let Some(&(slot, gone_at)) = self.parked.0.get(&key) else { return mini };
        connection.closed_at = connection.closed_at.min(gone_at);
        if self.goes_on_in_mini(slot, observer) {
            self.parked.0.remove(&key);
            self.let_go(slot, observer);
            return slot;
        }
        mini
    }

    /// A list of all sockets that was begun then has no more of those that were parked before. Returns how many they were.
    pub(super) fn settle<O: Observer + ?Sized>(&mut self, begun: u64, observer: &mut O) -> u64 {
        let is_over = |_: &(u32, Ends), held: &mut (u32, u64)| held.1 < begun;
        let mut over: Vec<(u32, u64)> = self.parked.0.extract_if(is_over).map(|(_, held)| held).collect();
        over.sort_unstable_by_key(|&(slot, at)| (at, slot));
        for &(slot, at) in &over {
            self.give_up(slot, at, observer);
        }
        over.len() as u64
    }

    /// What waits to be found and has these ends cannot be: a full socket has them by now, or there is no room to wait in.
    pub(super) fn forgo<O: Observer + ?Sized>(&mut self, netns: u32, ends: &Ends, observer: &mut O) {
        if self.parked.len() > 0
            && let Some((slot, at)) = self.parked.0.remove(&(netns, *ends))
        {
            self.give_up(slot, at, observer);
        }
    }

    fn give_up<O: Observer + ?Sized>(&mut self, slot: u32, at: u64, observer: &mut O) {
        self.shut(slot, at, observer);
        self.let_go(slot, observer);
    }
}
