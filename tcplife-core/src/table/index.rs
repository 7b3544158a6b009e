//! Ways to find a connection other than by its number.
//!
//! What comes in: numbers of connections with their keys. What goes out: candidates. What always holds: a candidate
//! is checked against the connection itself by the caller, so a collision costs a miss, never a mix-up; but for a mini-socket
//! that has not changed, which is told by a keyed hash of its tuple (64 bits) and a mix of its address and timer (31 bits).

use std::{collections::HashMap, hash::BuildHasher};

use foldhash::fast::RandomState;

use crate::{connection::Ends, state::State};

/// Mini-sockets by network namespace and tuple. Keyed by the hash alone: the tuple is in the connection.
#[derive(Debug, Default)]
pub(super) struct Minis {
    state: RandomState,
    slots: HashMap<u64, Entry, RandomState>,
    /// How many there are in each network namespace that has some.
    netns: HashMap<u32, usize, RandomState>,
    /// How many there are with each local port; empty until there is one. Each connection that is established is asked for, and
    /// a server that does not close first has none on its port: that is known without a look into a large map.
    on_port: Vec<u32>,
}

/// Where a connection in a mini-socket is.
#[derive(Clone, Copy, Debug)]
struct Entry {
    slot: u32,
    stamp: Stamp,
}

/// What tells a mini-socket in `TIME_WAIT` as it is from how it was, and from others: its address and its timer, mixed. A list
/// of a hundred thousand that have not changed is gone through without a look at any connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(u32);

impl Stamp {
    /// Of a mini-socket that may change in other ways, or is not known well enough.
    pub(super) const NONE: Self = Self(0);

    /// Of one in a state.
    pub(super) const fn of(state: State, address: u64, expires: u64) -> Self {
        if !matches!(state, State::TimeWait) {
            return Self::NONE;
        }
        // Fibonacci hashing: the upper bits of the product.
        let mixed = (address ^ expires.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Self(mixed as u32 | 1)
    }
}

/// Local ports.
const PORTS: usize = 1 << 16;

impl Minis {
    fn key(&self, netns: u32, ends: &Ends) -> u64 {
        self.state.hash_one((netns, ends))
    }

    /// The candidate for a tuple, and its stamp. If that is the one of the mini-socket in question, it is not only a candidate.
    pub(super) fn find(&self, netns: u32, ends: &Ends) -> Option<(u32, Stamp)> {
        if self.on_port.get(usize::from(ends.local_port)).is_none_or(|&count| count == 0) {
            return None;
        }
        self.slots.get(&self.key(netns, ends)).map(|entry| (entry.slot, entry.stamp))
    }

    /// The candidate for a tuple.
    pub(super) fn get(&self, netns: u32, ends: &Ends) -> Option<u32> {
        self.find(netns, ends).map(|(slot, _)| slot)
    }

    /// The mini-socket of a connection is as the stamp says.
    pub(super) fn stamp(&mut self, netns: u32, ends: &Ends, slot: u32, stamp: Stamp) {
        let key = self.key(netns, ends);
        if let Some(entry) = self.slots.get_mut(&key).filter(|entry| entry.slot == slot) {
            entry.stamp = stamp;
        }
    }

    /// Puts a connection in. Returns the candidate for its tuple so far, to which nothing leads any more.
    pub(super) fn insert(&mut self, netns: u32, ends: &Ends, slot: u32, stamp: Stamp) -> Option<u32> {
        let before = self.slots.insert(self.key(netns, ends), Entry { slot, stamp });
        if before.is_none() {
            *self.netns.entry(netns).or_default() += 1;
            self.on_port.resize(PORTS, 0);
            if let Some(count) = self.on_port.get_mut(usize::from(ends.local_port)) {
                *count += 1;
            }
        }
        before.map(|entry| entry.slot)
    }

    /// The network namespaces that have some.
    pub(super) fn netns(&self) -> impl Iterator<Item = u32> + '_ {
        self.netns.keys().copied()
    }

    /// Takes out the connection `slot`, unless the key leads to another one by now.
    pub(super) fn remove(&mut self, netns: u32, ends: &Ends, slot: u32) {
        let key = self.key(netns, ends);
        if self.slots.get(&key).is_some_and(|entry| entry.slot == slot) {
            self.slots.remove(&key);
            if let Some(count) = self.on_port.get_mut(usize::from(ends.local_port)) {
                *count = count.saturating_sub(1);
            }
            if let Some(count) = self.netns.get_mut(&netns) {
                *count -= 1;
                if *count == 0 {
                    self.netns.remove(&netns);
                }
            }
        }
    }
}

/// Listeners by network namespace and local port.
#[derive(Debug, Default)]
pub(super) struct Listeners(HashMap<(u32, u16), Vec<u32>, RandomState>);

impl Listeners {
    pub(super) fn insert(&mut self, netns: u32, port: u16, slot: u32) {
        self.0.entry((netns, port)).or_default().push(slot);
    }

    pub(super) fn remove(&mut self, netns: u32, port: u16, slot: u32) {
        if let Some(slots) = self.0.get_mut(&(netns, port)) {
            slots.retain(|&other| other != slot);
            if slots.is_empty() {
                self.0.remove(&(netns, port));
            }
        }
    }

    pub(super) fn on(&self, netns: u32, port: u16) -> &[u32] {
        self.0.get(&(netns, port)).map_or(&[], Vec::as_slice)
    }
}

/// Server connections whose handshake is not over: few at a time, except with TCP Fast Open.
#[derive(Debug, Default)]
pub(super) struct Embryos(Vec<u32>);

impl Embryos {
    pub(super) fn insert(&mut self, slot: u32) {
        self.0.push(slot);
    }

    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(n) = self.0.iter().rposition(|&other| other == slot) {
            self.0.swap_remove(n);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
impl Minis {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn on_ports(&self) -> usize {
        self.on_port.iter().map(|&count| count as usize).sum()
    }
}

#[cfg(test)]
impl Listeners {
    pub(super) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}
