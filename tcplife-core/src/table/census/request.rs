//! Requests that a dump found: handshakes of passive opens, which have no full socket yet.
//!
//! What comes in: requests, and the connections that they become. What goes out: one connection for both, with one id. What
//! always holds: a request has no life to tell; one that is gone without having become a connection was given up.

use tcplife_common::wire::{Found, flag};

use super::super::{Table, store::Opening};
use super::CensusOutcome;
use crate::{
    connection::{Ends, Marks, Phase, Role},
    observer::Observer,
    state::State,
    timeline::Since,
};

impl Table {
    /// A request was found. Returns its connection, unless there is a full socket by now.
    pub(super) fn count_request<O: Observer + ?Sized>(
        &mut self,
        found: &Found,
        outcome: &mut CensusOutcome,
        observer: &mut O,
    ) -> Option<u32> {
        let (netns, ends) = (found.head.netns, Ends::of(&found.tuple));
        let since = match found.gauge.stamp_ns {
            0 => Since::Between { earliest: None, latest: found.head.time_ns },
            sent => Since::Seen(sent.min(found.head.time_ns)),
        };
        if let Some(slot) = self.requests.get(netns, &ends) {
            let connection = self.slab.get_mut(slot)?;
            if connection.since() == since || since.seen().is_none() {
                connection.retransmits = connection.retransmits.max(found.stats.retransmits);
                return Some(slot);
            }
            // The client tried again with the same port.
            self.drop_request(slot, found.head.time_ns, observer);
        }
        if self.departed.was_born(netns, &ends) || self.embryo(netns, &ends).is_some() {
            return None;
        }
        outcome.adopted += 1;
        let reserved = self.requests.take(netns, ends);
        let opening = Opening {
            sock: 0,
            cookie: 0,
            netns,
            ends,
            state: State::SynReceived,
            since,
            role: Some(Role::Server),
            phase: Phase::Full,
        };
        let slot = self.open(&opening, observer);
        let connection = self.slab.get_mut(slot)?;
        connection.retransmits = found.stats.retransmits;
        if let Some(reserved) = reserved {
            connection.id = reserved.id;
        }
        connection.marks.set(Marks::ORPHAN);
        connection.marks.set(Marks::REPORTED);
        self.offer_listener(slot);
        Some(slot)
    }

    /// A request is gone, and no connection came of it.
    pub(super) fn drop_request<O: Observer + ?Sized>(&mut self, slot: u32, now: u64, observer: &mut O) {
        let Some(connection) = self.slab.get_mut(slot) else { return };
        connection.phase = Phase::Closed;
        let since = Since::Between { earliest: Some(connection.entered()), latest: now };
        self.step(slot, State::Closed, since, observer);
        self.leave(slot);
    }

    /// The full socket of a request was found: the events of its making were lost.
    pub(super) fn promote<O: Observer + ?Sized>(
        &mut self,
        slot: u32,
        found: &Found,
        state: State,
        outcome: &mut CensusOutcome,
        observer: &mut O,
    ) -> Option<u32> {
        let head = &found.head;
        outcome.corrected += 1;
        self.totals.mismatched += 1;
        let connection = self.slab.get_mut(slot)?;
        connection.sock = head.sock;
        connection.cookie = head.cookie;
        connection.marks.set(Marks::BY_SOCK);
        connection.marks.set(Marks::GAP);
        connection.marks.clear(Marks::REPORTED);
        connection.marks.put(Marks::ORPHAN, head.has(flag::ORPHAN));
        let earliest = connection.entered();
        self.socks.insert(head.sock, slot);
        let since = Since::Between { earliest: Some(earliest), latest: head.time_ns };
        self.step(slot, state, since, observer);
        Some(slot)
    }

    /// A connection has its tuple: it takes over what is known of its request, which is no connection of its own any more.
    pub(in crate::table) fn inherit(&mut self, slot: u32) {
        let Some(connection) = self.slab.get(slot) else { return };
        let (netns, ends) = (connection.netns, connection.ends);
        if let Some(request) = self.requests.get(netns, &ends) {
            self.absorb(slot, request);
        } else if let Some(reserved) = self.requests.take(netns, ends)
            && let Some(connection) = self.slab.get_mut(slot)
        {
            connection.id = reserved.id;
            connection.retransmits += reserved.retransmits;
        }
    }

    fn absorb(&mut self, slot: u32, request: u32) {
        let Some(from) = self.slab.get(request) else { return };
        let (id, retransmits, since) = (from.id, from.retransmits, from.since());
        self.take_back(request);
        let Some(connection) = self.slab.get_mut(slot) else { return };
        connection.id = id;
        connection.role = Some(Role::Server);
        connection.retransmits += retransmits;
        if connection.state() == State::SynReceived
            && let Some(begun) = since.seen()
        {
            connection.history.amend(begun);
        }
    }
}
