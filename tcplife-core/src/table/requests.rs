//! Handshakes that have a request socket only: their ids wait for the connection.
//!
//! What comes in: tuples of requests whose SYN-ACK was sent again, and of those that a census found. What goes out: the id
//! reserved for the connection that the request becomes, if it does, or the place of the request in the table. What
//! always holds: reservations are bounded, and the oldest is dropped first.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::connection::{ConnId, Ends};

/// Reservations held at most.
pub(super) const ROOM: usize = 4096;

/// An id that waits for its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserved {
    pub(super) id: ConnId,
    /// SYN-ACKs sent again.
    pub(super) retransmits: u32,
}

type Key = (u32, Ends);

/// Reserved ids by network namespace and tuple.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// A ring: the next reservation takes the place of the oldest.
    ring: Vec<Option<Key>>,
    next: usize,
    held: HashMap<Key, (usize, Reserved), RandomState>,
    /// Numbers of requests that are in the table.
    slots: HashMap<Key, u32, RandomState>,
}

impl Requests {
    /// One more SYN-ACK for a request; `fresh` makes the id of a new one.
    pub(super) fn sent_again(&mut self, netns: u32, ends: Ends, fresh: impl FnOnce() -> ConnId) -> Reserved {
        let key = (netns, ends);
        if let Some((_, reserved)) = self.held.get_mut(&key) {
            reserved.retransmits += 1;
            return *reserved;
        }
        let place = self.next;
        self.next = (place + 1) % ROOM;
        match self.ring.get_mut(place) {
            Some(oldest) => {
                if let Some(old) = oldest.replace(key) {
                    self.held.remove(&old);
                }
            }
            None => self.ring.push(Some(key)),
        }
        let reserved = Reserved { id: fresh(), retransmits: 1 };
        self.held.insert(key, (place, reserved));
        reserved
    }

    /// A request is in the table.
    pub(super) fn insert(&mut self, netns: u32, ends: Ends, slot: u32) {
        self.slots.insert((netns, ends), slot);
    }

    /// The number of the request with a tuple, if it is in the table.
    pub(super) fn get(&self, netns: u32, ends: &Ends) -> Option<u32> {
        if self.slots.is_empty() { None } else { self.slots.get(&(netns, *ends)).copied() }
    }

    /// What was a request, if it was one, is none any more.
    pub(super) fn remove(&mut self, netns: u32, ends: Ends, slot: u32) {
        if self.get(netns, &ends) == Some(slot) {
            self.slots.remove(&(netns, ends));
        }
    }

    /// The connection came: its reservation, if there is one.
    pub(super) fn take(&mut self, netns: u32, ends: Ends) -> Option<Reserved> {
        if self.held.is_empty() {
            return None;
        }
        let (place, reserved) = self.held.remove(&(netns, ends))?;
        if let Some(taken) = self.ring.get_mut(place) {
            *taken = None;
        }
        Some(reserved)
    }
}

#[cfg(test)]
impl Requests {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(n: usize) -> Ends {
        Ends { remote_port: u16::try_from(n).unwrap(), local_port: 80, ..Ends::default() }
    }

    #[test]
    fn a_reservation_is_taken_once() {
        let mut requests = Requests::default();
        assert_eq!(requests.sent_again(1, ends(1), || ConnId(7)).retransmits, 1);
        assert_eq!(requests.sent_again(1, ends(1), || ConnId(8)), Reserved { id: ConnId(7), retransmits: 2 });
        assert_eq!(requests.take(2, ends(1)), None);
        assert_eq!(requests.take(1, ends(1)), Some(Reserved { id: ConnId(7), retransmits: 2 }));
        assert_eq!(requests.take(1, ends(1)), None);
    }

    #[test]
    fn the_oldest_is_dropped() {
        let mut requests = Requests::default();
        for n in 0..=ROOM {
            requests.sent_again(1, ends(n), || ConnId(n as u64));
        }
        assert_eq!(requests.take(1, ends(0)), None);
        assert!(requests.take(1, ends(1)).is_some());
        assert!(requests.take(1, ends(ROOM)).is_some());
        for n in 0..3 * ROOM {
            requests.sent_again(2, ends(n), || ConnId(n as u64));
        }
        assert_eq!(requests.ring.len(), ROOM);
        assert_eq!(requests.held.len(), ROOM);
    }
}
