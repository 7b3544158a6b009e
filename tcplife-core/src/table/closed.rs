//! Ends of full sockets, and lives.
//!
//! What comes in: [`wire::End`] and [`wire::Handle`] records of sockets let go of, and from the other parts of the table that a mini-socket
//! ended. What goes out: CLOSED or the hand-over to a mini-socket, and each life once. What always holds: a life is
//! told when the full socket is closed and the application has let go of it, or after `TIME_WAIT` if so configured; a
//! connection leaves the table when it is CLOSED, or in a mini-socket that nobody asks about, and its life was told.

use tcplife_common::wire::{self, flag};

use crate::{
    connection::{Connection, EndCause, Ends, Marks, Phase},
    observer::{Life, Observer},
    owner::Via,
    state::State,
    timeline::Since,
};

use super::{Table, moves::process};

/// Errors in `sk_err` (include/uapi/asm-generic/errno.h).
const EPIPE: u16 = 32;
const ECONNABORTED: u16 = 103;
const ECONNRESET: u16 = 104;
const ETIMEDOUT: u16 = 110;
const ECONNREFUSED: u16 = 111;

/// Whether a socket that ended in `FIN_WAIT_2`, without a mini-socket for want of room (`tcp_time_wait`), has received the peer's FIN.
const fn has_fin(record: &wire::End, old: State) -> bool {
    matches!(old, State::FinWait2) && !record.head.has(flag::MINI) && record.head.has(flag::FIN_IN)
}

/// How a full socket ended that was in the state `old`.
fn how(connection: &Connection, record: &wire::End, old: State) -> EndCause {
    let by_task = record.head.has(flag::BY_TASK);
    let err = match record.tuple.err {
        // Left over from an earlier connection of the same socket (connect(AF_UNSPEC) keeps sk_err).
        EPIPE | ECONNRESET if by_task && connection.resets_received == 0 => 0,
        0 | EPIPE | ECONNABORTED | ECONNRESET | ETIMEDOUT => record.tuple.err,
        err if old == State::SynSent => err,
        // What an ICMP message said. Where the kernel gives up waiting it tells that in place of ETIMEDOUT (tcp_write_err). Where
        // IP_RECVERR is set it stays in sk_err until somebody asks for it (tcp_v4_err) and ends nothing: then a connection that was
        // closed ends as it would without. Which of the two it was shows if nothing was sent again; else it is more often the first.
        _ if connection.resets_sent > 0 => 0,
        _ if record.stats.retransmits == 0
            && matches!(old, State::LastAck | State::Closing | State::FinWait2) =>
        {
            0
        }
        _ => ETIMEDOUT,
    };
    if record.head.has(flag::MINI) {
        return EndCause::Fin;
    }
    match (err, old) {
        (ECONNREFUSED, State::SynSent) => EndCause::Refused,
        (ETIMEDOUT, _) => EndCause::Timeout,
        (EPIPE | ECONNRESET, _) => EndCause::ResetReceived,
        // Out of memory for orphans, or of orphans, the kernel sends one before (tcp_out_of_resources).
        (0, State::FinWait2 | State::LastAck | State::Closing) if connection.resets_sent > 0 => {
            EndCause::ResetSent
        }
        (0, State::LastAck | State::Closing) => EndCause::Fin,
        (0, State::FinWait2) if has_fin(record, old) => EndCause::Fin,
        (0, State::SynReceived | State::Established | State::CloseWait | State::FinWait1) => {
            EndCause::ResetSent
        }
        // ECONNABORTED is SOCK_DESTROY (tcp_abort); without an error the application gave up a connect, or there was no room for an
        // orphan's mini-socket (tcp_time_wait).
        _ => EndCause::Aborted,
    }
}

impl Table {
    pub(super) fn ended<O: Observer + ?Sized>(&mut self, record: &wire::End, observer: &mut O) {
        let head = &record.head;
        let ends = Ends::of(&record.tuple);
        let old = match (State::from_kernel(head.old), State::from_kernel(head.new)) {
            (Some(old), Some(State::Closed)) if old != State::TimeWait => old,
            _ => return self.totals.invalid += 1,
        };
        let orphan = head.has(flag::ORPHAN);
        if old == State::Closed {
            if let Some(slot) = self.find(head, &ends, observer) {
                self.closed_again(slot, record, orphan, observer);
            }
            return;
        }
        let Some(slot) = self.known(head, &ends, old, observer) else { return };
        // SOCK_DESTROY is anybody's: the task is no owner.
        if record.tuple.err != ECONNABORTED
            && let Some(process) = process(head, &record.task)
        {
            self.offer(slot, &process, Via::Close);
        }
        if old == State::Listen {
            self.step(slot, State::Closed, Since::Seen(head.time_ns), observer);
            self.leave(slot);
            return;
        }
        let Some(connection) = self.slab.get_mut(slot) else { return };
        settle_accounts(connection, record, old);
        connection.marks.put(Marks::ORPHAN, orphan);
        match State::from_kernel(u8::try_from(record.mini.substate).unwrap_or(0)) {
            Some(state @ (State::FinWait2 | State::TimeWait)) if head.has(flag::MINI) => {
                self.hand_over(slot, state, record, observer);
            }
            _ => {
                connection.phase = Phase::Closed;
                self.step(slot, State::Closed, Since::Seen(head.time_ns), observer);
            }
        }
        if orphan {
            self.let_go(slot, observer);
        }
    }

    /// CLOSE to CLOSE: nothing ends, but the application may show itself, or be seen to have let go.
    fn closed_again<O: Observer + ?Sized>(
        &mut self,
        slot: u32,
        record: &wire::End,
        orphan: bool,
        observer: &mut O,
    ) {
        let Some(connection) = self.slab.get(slot) else { return };
        if connection.phase == Phase::Full {
            // Its own way to CLOSE was lost.
            return self.lose(slot, record.head.time_ns, observer);
        }
        if record.tuple.err != ECONNABORTED
            && let Some(process) = process(&record.head, &record.task)
        {
            self.offer(slot, &process, Via::Close);
        }
        if orphan {
            self.let_go(slot, observer);
        }
    }

    pub(super) fn gone<O: Observer + ?Sized>(&mut self, record: &wire::Handle, observer: &mut O) {
        let head = &record.head;
        let Some(slot) = self.find(head, &Ends::default(), observer) else {
            return self.departed.note(head.sock, head.cookie);
        };
        if let Some(process) = process(head, &record.task) {
            self.offer(slot, &process, Via::Close);
        }
        // A socket is destroyed in CLOSE only: any other state means that its way there was lost.
        self.lose(slot, head.time_ns, observer);
    }

    /// The application has let go of a connection whose full socket is closed.
    pub(super) fn let_go<O: Observer + ?Sized>(&mut self, slot: u32, observer: &mut O) {
        let Some(connection) = self.slab.get_mut(slot) else { return };
        if connection.marks.has(Marks::BY_SOCK) {
            connection.marks.clear(Marks::BY_SOCK);
            self.socks.remove(&connection.sock);
            self.departed.note(connection.sock, connection.cookie);
        }
        connection.marks.set(Marks::ORPHAN);
        self.conclude(slot, observer);
    }

    /// Tells the life if it is over, and takes the connection out if nothing is left of it.
    pub(super) fn conclude<O: Observer + ?Sized>(&mut self, slot: u32, observer: &mut O) {
        let Some(connection) = self.slab.get_mut(slot) else { return };
        if connection.marks.has(Marks::BY_SOCK) {
            return;
        }
        let over = match connection.phase {
            Phase::Full => false,
            Phase::Mini => !self.config.life_after_time_wait,
            Phase::Closed => true,
        };
        if over && !connection.marks.has(Marks::REPORTED) {
            self.tell_life(slot, observer);
        }
        let ignored = self.ignores_minis();
        let gone = |phase| phase == Phase::Closed || phase == Phase::Mini && ignored;
        if self.slab.get(slot).is_some_and(|connection| gone(connection.phase)) {
            self.leave(slot);
        }
    }

    pub(super) fn tell_life<O: Observer + ?Sized>(&mut self, slot: u32, observer: &mut O) {
        let Some(connection) = self.slab.get_mut(slot) else { return };
        connection.marks.set(Marks::REPORTED);
        self.totals.lives += 1;
        let life = life(connection, self.config.life_after_time_wait);
        let connection = &*connection;
        observer.life(connection, self.processes.owner(connection), &life);
    }

    /// A connection is over and leaves.
    pub(super) fn leave(&mut self, slot: u32) {
        self.remove(slot);
        self.totals.closed += 1;
    }
}

/// Takes over what the full socket had done, which is final.
fn settle_accounts(connection: &mut Connection, record: &wire::End, old: State) {
    connection.end = Some(how(connection, record, old));
    connection.closed_at = record.head.time_ns.max(connection.history.latest());
    // A FIN takes a sequence number, and tcp_rcv_nxt_update counts it as a byte received.
    let time_wait = record.head.has(flag::MINI)
        && State::from_kernel(u8::try_from(record.mini.substate).unwrap_or(0)) == Some(State::TimeWait);
    let fin = u64::from(time_wait || connection.marks.has(Marks::FIN_IN) || has_fin(record, old));
    connection.bytes_sent = record.stats.bytes_sent;
    connection.bytes_received = record.stats.bytes_received.saturating_sub(fin);
    connection.retransmits = record.stats.retransmits;
    connection.srtt_us = record.stats.srtt_us;
    connection.marks.set(Marks::COUNTED);
}

fn life(connection: &Connection, after_time_wait: bool) -> Life {
    let past_mini = after_time_wait && connection.phase == Phase::Closed;
    let closed = if past_mini { connection.history.latest() } else { connection.closed_at };
    let opened = connection.opened();
    let end = connection.end.unwrap_or(EndCause::Unknown);
    // How a mini-socket ended may not have been seen.
    let told = connection.marks.has(Marks::COUNTED) && (!past_mini || connection.since().seen().is_some());
    Life {
        opened,
        closed,
        duration: opened.filter(|_| told).map(|opened| closed.saturating_sub(opened)),
        spent: connection.history.spent(closed, past_mini),
        first_close: connection.first_close,
        end,
        bytes_sent: connection.bytes_sent(),
        bytes_received: connection.bytes_received(),
        retransmits: connection.retransmits,
        complete: connection.complete(),
    }
}
