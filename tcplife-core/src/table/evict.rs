//! Room for one more connection in a full table.
//!
//! What comes in: a full table. What goes out: a connection less, counted. What always holds: the cost does not grow
//! with the table; what is stuck is kept longest, for that is what the table is looked at for.

use crate::{
    connection::{Connection, MiniEndCause, Phase},
    observer::Observer,
    state::State,
    timeline::Since,
};

use super::Table;

/// Connections looked at for one that can be spared.
const LOOK_AT: u32 = 32;

/// How well a connection can be spared.
fn spare(connection: &Connection) -> u8 {
    match (connection.phase, connection.state()) {
        (Phase::Closed, _) => 5,
        (Phase::Mini, _) => 4,
        _ if connection.is_parked() => 4,
        (_, State::Listen) => 0,
        (_, State::CloseWait | State::FinWait2) => 1,
        (_, State::Established) => 2,
        _ => 3,
    }
}

impl Table {
    /// Makes room: a mini-socket whose timer fires next, or else the connection that can be spared best of some, one
    /// place after the other. Of equals it is the one that moved last, so a stuck one stays.
    pub(super) fn evict<O: Observer + ?Sized>(&mut self, observer: &mut O) {
        let Some(slot) = self.next_due().or_else(|| self.sparest()) else { return };
        if let Some(at) = self.overdue(slot, u64::MAX) {
            self.end_mini(slot, Since::Seen(at), true, Some(MiniEndCause::Expired), observer);
        }
        let Some(connection) = self.slab.get(slot) else { return };
        if connection.is_over() {
            // The life is known already, unless TIME_WAIT is a part of it.
            self.let_go(slot, observer);
        } else if connection.is_parked() {
            let (netns, ends) = (connection.netns, connection.ends);
            self.forgo(netns, &ends, observer);
        }
        if self.slab.get(slot).is_some() {
            self.remove(slot);
            self.totals.evicted += 1;
        }
    }

    fn next_due(&mut self) -> Option<u32> {
        loop {
            let (slot, due) = self.due.pop_one()?;
            if self.armed(slot, due).is_some() {
                return Some(slot);
            }
        }
    }

    fn sparest(&mut self) -> Option<u32> {
        let bound = self.slab.bound();
        let mut best: Option<(u8, u64, u32)> = None;
        let mut left = LOOK_AT;
        for _ in 0..bound {
            self.hand = if self.hand + 1 < bound { self.hand + 1 } else { 0 };
            let Some(connection) = self.slab.get(self.hand) else { continue };
            best = best.max(Some((spare(connection), connection.history.latest(), self.hand)));
            left -= 1;
            if left == 0 {
                break;
            }
        }
        best.map(|(_, _, slot)| slot)
    }
}
