//! Resets that this end sends after its application has closed, for data that nobody is going to read.
//!
//! What comes in: records that may be about one. What goes out: the same records, in another order. What always holds: nothing is held
//! back for longer than [`HELD_NS`] of the records' time, nor beyond a list of all sockets or the end.
//!
//! The kernel ends the socket first and sends the reset then. Data that comes in FIN_WAIT_1 or FIN_WAIT_2 after `close` ends it by
//! `tcp_reset`, as if a reset had been received; with the ACK of the FIN, by `tcp_done`, as if all were in order
//! (`tcp_rcv_state_process`). Only the reset that follows tells. A connection that waits to be accepted while its listener is closed ends
//! before its reset as well (`inet_csk_listen_stop`, `tcp_disconnect`), and nobody has it any more when that comes; so does one in LAST_ACK or
//! CLOSING that is closed with SO_LINGER 0 while it has data that was never sent.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use tcplife_common::wire::{self, Record, flag};

use super::Table;
use crate::{observer::Observer, state::State};

/// The reset follows at once, on the same CPU.
const HELD_NS: u64 = 10_000_000;

/// What is held back, by the address of the socket.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    of: HashMap<u64, Cut, RandomState>,
    /// Until when, and of which socket; the first is due first. What is not held any more is passed over.
    due: VecDeque<(u64, u64)>,
}

/// What is held back of a socket.
#[derive(Debug)]
struct Cut {
    /// After this time it is what it seems to be.
    until: u64,
    /// A reset that seems to have been received.
    received: Option<wire::Note>,
    /// The end after it, or one that seems to be in order.
    end: Option<wire::End>,
}

impl Cuts {
    fn hold(&mut self, sock: u64, cut: Cut) {
        self.due.push_back((cut.until, sock));
        self.of.insert(sock, cut);
    }

    /// The first that is due at the time `now` or before.
    fn pop(&mut self, now: u64) -> Option<Cut> {
        while let Some(&(until, sock)) = self.due.front().filter(|(until, _)| *until <= now) {
            self.due.pop_front();
            if self.of.get(&sock).is_some_and(|cut| cut.until == until) {
                return self.of.remove(&sock);
            }
        }
        None
    }
}

/// Whether a reset may follow an end from the state `old`, which then is what made it.
const fn may_be_cut(end: &wire::End, old: State) -> bool {
    let in_order = end.tuple.err == 0 && !end.head.has(flag::MINI);
    in_order
        && match old {
            State::FinWait2 => true,
            State::SynReceived | State::Established | State::CloseWait | State::FinWait1 => {
                end.head.has(flag::ORPHAN)
            }
            // SO_LINGER with no time, and data that was never sent (tcp_disconnect).
            State::LastAck | State::Closing => end.head.has(flag::BY_TASK) && !end.head.has(flag::ORPHAN),
            _ => false,
        }
}

impl Table {
    /// Whether a record was held back, or applied with others that were.
    pub(super) fn holds_back<O: Observer + ?Sized>(&mut self, record: &Record, observer: &mut O) -> bool {
        let head = record.head();
        if !self.cuts.of.is_empty() {
            if let (Record::End(end), Some(cut)) = (record, self.cuts.of.get_mut(&head.sock))
                && cut.end.is_none()
            {
                cut.end = Some(*end);
                return true;
            }
            if let Some(cut) = self.cuts.of.remove(&head.sock) {
                match record {
                    Record::Reset(sent) if head.has(flag::SENT) => {
                        self.cut(&cut, sent, observer);
                        return true;
                    }
                    _ => self.release(&cut, observer),
                }
            }
        }
        let until = head.time_ns.saturating_add(HELD_NS);
        let cut = match (record, State::from_kernel(head.old)) {
            (Record::Reset(note), Some(State::FinWait1 | State::FinWait2)) if !head.has(flag::SENT) => {
                Cut { until, received: Some(*note), end: None }
            }
            (Record::End(end), Some(old)) if may_be_cut(end, old) => {
                Cut { until, received: None, end: Some(*end) }
            }
            _ => return false,
        };
        // What nobody knows is taken up by its record.
        let is_known = self.socks.contains_key(&head.sock);
        if is_known {
            self.cuts.hold(head.sock, cut);
        }
        is_known
    }

    /// It was this end that sent a reset. That first: how it ended is told with its end.
    fn cut<O: Observer + ?Sized>(&mut self, cut: &Cut, sent: &wire::Note, observer: &mut O) {
        self.reset(sent, observer);
        if let Some(mut end) = cut.end {
            end.tuple.err = 0;
            self.ended(&end, observer);
        }
    }

    fn release<O: Observer + ?Sized>(&mut self, cut: &Cut, observer: &mut O) {
        // It may have been evicted meanwhile.
        let is_known = |table: &Self, head: &wire::Head| table.socks.contains_key(&head.sock);
        if let Some(note) = cut.received.filter(|note| is_known(self, &note.head)) {
            self.reset(&note, observer);
        }
        if let Some(end) = cut.end.filter(|end| is_known(self, &end.head)) {
            self.ended(&end, observer);
        }
    }

    /// Applies what was held back until `now` or before; what ends by itself until then comes first.
    pub(super) fn release_until<O: Observer + ?Sized>(&mut self, now: u64, observer: &mut O) {
        while let Some(cut) = self.cuts.pop(now) {
            self.expire_until(cut.until, observer);
            self.release(&cut, observer);
        }
    }

    /// Applies everything that was held back.
    pub(super) fn release_all<O: Observer + ?Sized>(&mut self, observer: &mut O) {
        while let Some(cut) = self.cuts.pop(u64::MAX) {
            self.release(&cut, observer);
        }
    }

    /// Applies what was held back of a socket.
    pub(super) fn release_of<O: Observer + ?Sized>(&mut self, sock: u64, observer: &mut O) {
        if let Some(cut) = self.cuts.of.remove(&sock) {
            self.release(&cut, observer);
        }
    }
}
