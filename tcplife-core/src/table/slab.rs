//! Where connections live: numbered places, reused.
//!
//! What comes in: connections. What goes out: their numbers, and references by number. What always holds: a
//! connection keeps its number until it is taken out; growing never moves what is there, so no record waits for a
//! copy of the table.

use crate::connection::Connection;

const CHUNK: usize = 1024;

/// Numbered places for connections.
#[derive(Debug, Default)]
pub(super) struct Slab {
    /// All but the last are full of places.
    chunks: Vec<Vec<Option<Connection>>>,
    free: Vec<u32>,
    len: usize,
}

const fn place(slot: u32) -> (usize, usize) {
    (slot as usize / CHUNK, slot as usize % CHUNK)
}

impl Slab {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// All numbers given so far are below this.
    pub(super) fn bound(&self) -> u32 {
        let places = match self.chunks.as_slice() {
            [] => 0,
            [full @ .., last] => full.len() * CHUNK + last.len(),
        };
        u32::try_from(places).unwrap_or(u32::MAX)
    }

    pub(super) fn insert(&mut self, connection: Connection) -> u32 {
        self.len += 1;
        if let Some(slot) = self.free.pop()
            && let Some(empty) = self.place_mut(slot)
        {
            *empty = Some(connection);
            return slot;
        }
        let slot = self.bound();
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(Some(connection)),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(Some(connection));
                self.chunks.push(chunk);
            }
        }
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Connection> {
        let connection = self.place_mut(slot)?.take()?;
        self.free.push(slot);
        self.len -= 1;
        Some(connection)
    }

    fn place_mut(&mut self, slot: u32) -> Option<&mut Option<Connection>> {
        let (chunk, n) = place(slot);
        self.chunks.get_mut(chunk)?.get_mut(n)
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&Connection> {
        let (chunk, n) = place(slot);
        self.chunks.get(chunk)?.get(n)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Connection> {
        self.place_mut(slot)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Connection)> {
        (0..).zip(self.chunks.iter().flatten()).filter_map(|(slot, place)| Some((slot, place.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connection::{ConnId, Ends},
        history::History,
        state::State,
        timeline::Since,
    };

    fn connection(id: u64) -> Connection {
        Connection::new(ConnId(id), 1, Ends::default(), History::new(State::Established, Since::Seen(1)))
    }

    #[test]
    fn numbers_are_kept_and_reused() {
        let mut slab = Slab::default();
        let slots: Vec<u32> = (0..3000).map(|id| slab.insert(connection(id))).collect();
        assert_eq!(slab.len(), 3000);
        assert_eq!(slab.bound(), 3000);
        for (&slot, id) in slots.iter().zip(0..) {
            assert_eq!(slab.get(slot).map(Connection::id), Some(ConnId(id)));
        }
        assert_eq!(slab.remove(1500).map(|c| c.id()), Some(ConnId(1500)));
        assert!(slab.remove(1500).is_none());
        assert!(slab.get(1500).is_none());
        assert_eq!(slab.iter().count(), 2999);
        assert_eq!(slab.insert(connection(9999)), 1500);
        assert_eq!(slab.bound(), 3000);
        assert!(slab.get(3000).is_none());
        assert!(slab.get(u32::MAX).is_none());
    }

    #[test]
    fn a_million_stay_small() {
        assert!(size_of::<Option<Connection>>() <= 200, "{}", size_of::<Option<Connection>>());
    }
}
