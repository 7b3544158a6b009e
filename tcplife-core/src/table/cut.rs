//! Resets that this end sends after its application has closed, for data that nobody is going to read.
//!
//! What comes in: records that may be about one. What goes out: the same records, in another order. What always holds: nothing is held
//! back for longer than [`HELD_NS`] of the records' time, nor beyond a list of sockets or the end.
//!
//! The kernel ends the socket first and sends the reset then. Data that comes in FIN_WAIT_1 or FIN_WAIT_2 after `close` ends it by
//! `tcp_reset`, as if a reset had been received; with the ACK of the FIN, by `tcp_done`, as if all were in order
//! (`tcp_rcv_state_process`). Only the reset that follows tells.

use tcplife_common::wire::{Record, flag};

use super::Table;
use crate::{observer::Observer, state::State};

/// The reset follows at once, on the same CPU.
const HELD_NS: u64 = 10_000_000;

/// What is held back of a socket.
#[derive(Debug)]
pub(super) struct Cut {
    sock: u64,
    /// After this time it is what it seems to be.
    until: u64,
    /// A reset received, an end, or both.
    records: Vec<Record>,
}

/// Whether a record may be about a reset that was not sent yet.
fn is_doubtful(record: &Record) -> bool {
    let head = record.head();
    let is_closing = matches!(State::from_kernel(head.old), Some(State::FinWait1 | State::FinWait2));
    match record {
        Record::Reset(_) => is_closing && !head.has(flag::SENT),
        Record::End(end) => {
            State::from_kernel(head.old) == Some(State::FinWait2)
                && end.tuple.err == 0
                && !head.has(flag::MINI)
        }
        _ => false,
    }
}

impl Table {
    /// Whether a record was held back, or applied with others that were.
    pub(super) fn holds_back<O: Observer + ?Sized>(&mut self, record: &Record, observer: &mut O) -> bool {
        let head = record.head();
        if let Some(n) = self.cuts.iter().position(|cut| cut.sock == head.sock) {
            match record {
                Record::End(_)
                    if self.cuts[n].records.iter().all(|held| matches!(held, Record::Reset(_))) =>
                {
                    self.cuts[n].records.push(*record);
                    return true;
                }
                Record::Reset(_) if head.has(flag::SENT) => {
                    let cut = self.cuts.remove(n);
                    self.cut(cut, record, observer);
                    return true;
                }
                _ => {
                    let cut = self.cuts.remove(n);
                    self.release(cut, observer);
                }
            }
        }
        let is_held = is_doubtful(record);
        if is_held {
            let until = head.time_ns.saturating_add(HELD_NS);
            self.cuts.push(Cut { sock: head.sock, until, records: vec![*record] });
        }
        is_held
    }

    /// It was this end that sent a reset.
    fn cut<O: Observer + ?Sized>(&mut self, cut: Cut, sent: &Record, observer: &mut O) {
        // The reset first: how it ended is told with its end.
        self.take(sent, observer);
        for mut record in cut.records {
            if let Record::End(end) = &mut record {
                end.tuple.err = 0;
                self.take(&record, observer);
            }
        }
    }

    fn release<O: Observer + ?Sized>(&mut self, cut: Cut, observer: &mut O) {
        for record in cut.records {
            self.take(&record, observer);
        }
    }

    /// Applies what was held back until `now` or before; what ends by itself until then comes first.
    pub(super) fn release_until<O: Observer + ?Sized>(&mut self, now: u64, observer: &mut O) {
        while self.cuts.first().is_some_and(|cut| cut.until <= now) {
            let cut = self.cuts.remove(0);
            self.expire_until(cut.until, observer);
            self.release(cut, observer);
        }
    }

    /// Applies everything that was held back.
    pub(super) fn release_all<O: Observer + ?Sized>(&mut self, observer: &mut O) {
        for cut in std::mem::take(&mut self.cuts) {
            self.release(cut, observer);
        }
    }

    /// Forgets what was held back of a socket.
    pub(super) fn forget_cut(&mut self, sock: u64) {
        self.cuts.retain(|cut| cut.sock != sock);
    }
}
