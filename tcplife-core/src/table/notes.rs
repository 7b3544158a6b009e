//! Retransmissions and resets.
//!
//! What comes in: [`wire::Note`] records. What goes out: the same, told with their connection. What always holds: a
//! note never moves a connection backwards or back to life; one that belongs to none is counted.

use tcplife_common::wire::{self, flag};

use crate::{
    connection::{Connection, Ends, Marks, MiniEndCause, Phase, Role},
    history::History,
    observer::{Direction, Observer, RetransmitKind},
    owner::{Owner, Via},
    state::{NEW_SYN_RECV, State},
    timeline::Since,
};

use super::{MiniEndSource, Table};

impl Table {
    pub(super) fn retransmitted<O: Observer + ?Sized>(&mut self, note: &wire::Note, observer: &mut O) {
        if note.head.has(flag::SYN_ACK) {
            return self.syn_ack(note, observer);
        }
        let Some(slot) = self.noted(note, observer) else { return };
        let Some(connection) = self.slab.get_mut(slot) else { return };
        if connection.phase == Phase::Full {
            connection.retransmits = connection.retransmits.saturating_add(1);
        }
        self.tell_retransmit(slot, RetransmitKind::Segment, note.head.time_ns, observer);
    }

    pub(super) fn reset<O: Observer + ?Sized>(&mut self, note: &wire::Note, observer: &mut O) {
        let Some(slot) = self.noted(note, observer) else { return };
        let Some(connection) = self.slab.get_mut(slot) else { return };
        let (direction, count) = if note.head.has(flag::SENT) {
            (Direction::Sent, &mut connection.resets_sent)
        } else {
            (Direction::Received, &mut connection.resets_received)
        };
        // In SYN_SENT it answers the peer's older connection, and this one goes on (tcp_rcv_synsent_state_process).
        let of_older =
            State::from_kernel(note.head.old) == Some(State::SynSent) && direction == Direction::Sent;
        if !of_older {
            *count = count.saturating_add(1);
        }
        let connection = &*connection;
        observer.reset(connection, self.processes.owner(connection), direction, note.head.time_ns);
        // A mini-socket that resets ends by it (tcp_v4_rcv, tcp_v6_rcv).
        let ends = connection.phase == Phase::Mini && direction == Direction::Sent;
        if ends && self.config.mini_ends != MiniEndSource::Told {
            self.end_mini(
                slot,
                Since::Seen(note.head.time_ns),
                false,
                Some(MiniEndCause::ResetSent),
                observer,
            );
        }
    }

    /// The connection that a note is about.
    fn noted<O: Observer + ?Sized>(&mut self, note: &wire::Note, observer: &mut O) -> Option<u32> {
        let head = &note.head;
        let ends = Ends::of(&note.tuple);
        let Some(state) = State::from_kernel(head.old) else {
            self.totals.invalid += 1;
            return None;
        };
        let slot = match state {
            State::TimeWait => self.mini(head.netns, &ends),
            _ if head.old == NEW_SYN_RECV => None,
            _ => self.find(head, &ends, observer).or_else(|| match state {
                State::Closed | State::Listen => None,
                _ => Some(self.adopt(head, &ends, state, observer)),
            }),
        };
        let Some(slot) = slot else {
            self.totals.unmatched_notes += 1;
            return None;
        };
        let connection = self.slab.get(slot)?;
        let known = connection.state();
        if connection.phase == Phase::Full && known != State::Listen {
            self.learn(slot, &ends, observer);
            // A note's state may be older than the move before it: it is read without the socket's lock. It is
            // never newer than the last move unless one was lost.
            if known.may_lead_to(state) {
                self.correct(slot, state, head.time_ns);
            }
        }
        Some(slot)
    }

    /// A SYN-ACK was sent again: of a request, which is no connection yet, or of a TCP Fast Open child.
    fn syn_ack<O: Observer + ?Sized>(&mut self, note: &wire::Note, observer: &mut O) {
        let (netns, ends, at) = (note.head.netns, Ends::of(&note.tuple), note.head.time_ns);
        if let Some(slot) = self.embryo(netns, &ends).or_else(|| self.requests.get(netns, &ends)) {
            if let Some(child) = self.slab.get_mut(slot) {
                child.retransmits = child.retransmits.saturating_add(1);
            }
            return self.tell_retransmit(slot, RetransmitKind::SynAck, at, observer);
        }
        let next = &mut self.next_id;
        let reserved = self.requests.sent_again(netns, ends, || {
            *next += 1;
            crate::connection::ConnId(*next - 1)
        });
        let since = Since::Between { earliest: None, latest: at };
        let mut request = Connection::new(reserved.id, netns, ends, History::new(State::SynReceived, since));
        request.role = Some(Role::Server);
        request.retransmits = reserved.retransmits;
        request.marks.set(Marks::ORPHAN);
        let owner = self.listening(netns, &ends).map(|process| Owner { process, via: Via::Listener });
        observer.retransmit(&request, owner, RetransmitKind::SynAck, at);
    }

    /// The server's connection with a tuple, if its handshake is not over.
    pub(super) fn embryo(&self, netns: u32, ends: &Ends) -> Option<u32> {
        self.embryos.iter().find(|&slot| {
            let child = self.slab.get(slot);
            child.is_some_and(|child| child.netns == netns && child.ends == *ends)
        })
    }

    fn tell_retransmit<O: Observer + ?Sized>(
        &self,
        slot: u32,
        kind: RetransmitKind,
        at: u64,
        observer: &mut O,
    ) {
        if let Some(connection) = self.slab.get(slot) {
            observer.retransmit(connection, self.processes.owner(connection), kind, at);
        }
    }
}
