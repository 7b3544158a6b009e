//! Who holds a socket when the process that was found with it, or that called listen, no longer does.
//!
//! What comes in: each descriptor of a census. What goes out: owners that hold what they own. What always holds: who
//! connected or accepted stays the owner; so does who still holds the socket, whoever else does.

use tcplife_common::wire::Task;

use crate::{
    connection::ConnId,
    owner::{Process, Via},
    state::State,
};

use super::super::{Table, seen::Seen};

/// What a census finds about owners that are known as holders, or as listening.
pub(super) struct Heirs<'a> {
    /// Connections whose owner still holds them, or that have found another.
    settled: Seen,
    /// Other holders, in the order of the census, and of what: a full table gives places away meanwhile.
    others: Vec<(u32, ConnId, &'a Task)>,
}

impl<'a> Heirs<'a> {
    pub(super) fn new(places: u32) -> Self {
        Self { settled: Seen::new(places), others: Vec::new() }
    }

    /// A process holds the socket of a connection.
    pub(super) fn holds(&mut self, table: &Table, slot: u32, task: &'a Task) {
        let Some(connection) = table.slab.get(slot) else { return };
        if connection.via != Some(Via::Holder) && connection.state() != State::Listen {
            return;
        }
        let owner = table.owner(connection).map(|owner| owner.process.identity());
        if owner == Some((task.tgid, task.start_ns)) {
            self.settled.mark(slot);
        } else if owner.is_some() {
            self.others.push((slot, connection.id(), task));
        }
    }

    /// The first holder of each socket whose owner was not among its holders is the owner.
    pub(super) fn settle(mut self, table: &mut Table) {
        for (slot, id, task) in self.others {
            let is_there = table.slab.get(slot).is_some_and(|connection| connection.id() == id);
            if is_there && !self.settled.has(slot) {
                self.settled.mark(slot);
                table.change_owner(slot, &Process::from(task));
            }
        }
    }
}
