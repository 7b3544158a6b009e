//! Connections in timewait mini-sockets.
//!
//! What comes in: hand-overs from full sockets, what hooks and dumps tell of mini-sockets, and timers that fired.
//! What goes out: `FIN_WAIT_2` to `TIME_WAIT`, and their ends. What always holds: one connection keeps one id through
//! both sockets; a re-armed `TIME_WAIT` does not begin anew; one that times out in `FIN_WAIT_2` never enters
//! `TIME_WAIT`; a new connection with the same tuple is another connection.

use tcplife_common::wire::{self, flag, touch};

use crate::{
    connection::{Connection, EndCause, Ends, Marks, MiniEndCause, Phase},
    observer::Observer,
    state::State,
    timeline::Since,
};

use super::{
    MiniEndSource, Table,
    index::Stamp,
    store::Opening,
    wheel::{self, Fired, Timer},
};

/// Whether both are known and differ.
pub(super) const fn differ(a: u64, b: u64) -> bool {
    a != 0 && b != 0 && a != b
}

/// How a connection ended whose other end never sent a FIN, by what ended its mini-socket.
const fn end_without_fin(cause: MiniEndCause) -> EndCause {
    match cause {
        MiniEndCause::Expired => EndCause::Timeout,
        MiniEndCause::ResetReceived => EndCause::ResetReceived,
        MiniEndCause::ResetSent => EndCause::ResetSent,
        MiniEndCause::Destroyed | MiniEndCause::NetnsGone | MiniEndCause::Reused => EndCause::Aborted,
    }
}

/// For how many ticks after its timer fired a mini-socket in a state waits for a dump: they are a second apart, unless there are
/// many. One in `FIN_WAIT_2` may have gone on to `TIME_WAIT`, and when that is over too, it is gone in any case.
const fn waits(state: State, hz: u32) -> u64 {
    match state {
        State::TimeWait => 2 * hz as u64,
        _ => wheel::whole_time_wait(hz),
    }
}

impl Table {
    /// A full socket became a mini-socket in the state `to`.
    pub(super) fn hand_over<O: Observer + ?Sized>(
        &mut self,
        slot: u32,
        to: State,
        record: &wire::End,
        observer: &mut O,
    ) {
        let Some(connection) = self.slab.get(slot) else { return };
        let (netns, ends, at) = (connection.netns, connection.ends, record.head.time_ns);
        let stamp = Stamp::of(to, record.mini.address, record.mini.expires);
        if !self.ignores_minis()
            && let Some(before) = self.minis.insert(netns, &ends, slot, stamp)
            && self.is_of(before, netns, &ends)
        {
            self.replace(before, at, observer);
        }
        let Some(connection) = self.slab.get_mut(slot) else { return };
        connection.phase = Phase::Mini;
        connection.mini = record.mini.address;
        if connection.state() != to {
            self.step(slot, to, Since::Seen(at), observer);
        }
        self.arm(slot, Timer::set(&record.mini, at));
        if to == State::FinWait2 {
            // The kernel makes such mini-sockets of orphans only (tcp_close, tcp_rcv_state_process).
            self.let_go(slot, observer);
        }
    }

    /// Notes when the mini-socket's timer fires, if nobody is going to tell.
    pub(super) fn arm(&mut self, slot: u32, timer: Timer) {
        let hz = self.config.hz;
        let Some(connection) = self.slab.get_mut(slot) else { return };
        let time_wait = wheel::time_wait(hz);
        let fires = match (connection.state(), self.config.mini_ends) {
            (_, MiniEndSource::Told | MiniEndSource::Ignored) => return,
            // The timer was set for the whole TIME_WAIT, whenever it is looked at.
            (State::TimeWait, _) => wheel::fires(timer.expires.saturating_sub(time_wait), timer.expires, hz),
            (_, MiniEndSource::Dumped) if connection.due != 0 => return,
            (_, MiniEndSource::Dumped) => wheel::fires(timer.set, timer.expires, hz),
            (_, MiniEndSource::Computed) => {
                // The peer's FIN, if it came in time, began TIME_WAIT unseen. After that it is gone in any case.
                let fires = wheel::fires(timer.set, timer.expires, hz);
                wheel::fires(fires, fires.saturating_add(time_wait), hz)
            }
        };
        connection.marks.clear(Marks::OVERDUE);
        if connection.due != wheel::short(fires) {
            connection.due = self.due.push(slot, timer, fires, hz);
        }
    }

    /// The connection that an entry of the timers is still good for.
    pub(super) fn armed(&self, slot: u32, due: u32) -> Option<&Connection> {
        self.slab.get(slot).filter(|connection| connection.phase == Phase::Mini && connection.due == due)
    }

    /// Timers fired.
    pub(super) fn expire<O: Observer + ?Sized>(&mut self, fired: &Fired, observer: &mut O) {
        for &slot in &fired.slots {
            let Some(connection) = self.armed(slot, fired.due) else { continue };
            let is_overdue = connection.marks.has(Marks::OVERDUE);
            match connection.state() {
                state if self.config.mini_ends == MiniEndSource::Dumped && !is_overdue => {
                    self.wait_for_dump(slot, state, fired);
                }
                State::TimeWait if connection.marks.has(Marks::UNTIMED) => {
                    self.end_mini_unseen(slot, fired.at, None, observer);
                }
                State::TimeWait => {
                    let at = self.overdue(slot, fired.at).unwrap_or(fired.at);
                    self.end_mini(slot, Since::Seen(at), true, Some(MiniEndCause::Expired), observer);
                }
                _ => self.lapse(slot, fired.at, observer),
            }
        }
    }

    /// The next dump tells whether a mini-socket in `FIN_WAIT_2` went on to `TIME_WAIT`, and whether the timer of one in `TIME_WAIT`
    /// was set again meanwhile. No dump shows those of a network namespace that cannot be entered.
    fn wait_for_dump(&mut self, slot: u32, state: State, fired: &Fired) {
        let hz = self.config.hz;
        if let Some(connection) = self.slab.get_mut(slot) {
            connection.marks.set(Marks::OVERDUE);
            connection.due = self.due.push_overdue(slot, fired, waits(state, hz), hz);
        }
    }

    /// When the timer of a mini-socket in `TIME_WAIT` fired, if it did by the time `by` and no dump has told of it since.
    pub(super) fn overdue(&self, slot: u32, by: u64) -> Option<u64> {
        let is_overdue = |connection: &&Connection| {
            connection.state() == State::TimeWait && connection.marks.has(Marks::OVERDUE)
        };
        self.fired(self.slab.get(slot).filter(is_overdue)?, by)
    }

    /// When the timer of a mini-socket fired, nanoseconds, if it may have by the time `by`.
    pub(super) fn fired(&self, connection: &Connection, by: u64) -> Option<u64> {
        let hz = self.config.hz;
        let due = match connection.due {
            0 => return None,
            _ if connection.marks.has(Marks::UNTIMED) => return None,
            due if connection.marks.has(Marks::OVERDUE) => {
                wheel::before_overdue(due, waits(connection.state(), hz))
            }
            due => due,
        };
        self.due.fired(due, by, hz)
    }

    /// A connection is in its mini-socket no more.
    fn leave_mini(&mut self, slot: u32) -> Option<&mut Connection> {
        let connection = self.slab.get_mut(slot)?;
        self.minis.remove(connection.netns, &connection.ends, slot);
        self.departed.note(connection.mini, connection.cookie);
        connection.phase = Phase::Closed;
        Some(connection)
    }

    /// A mini-socket ended, for a reason that may not be known.
    pub(super) fn end_mini<O: Observer + ?Sized>(
        &mut self,
        slot: u32,
        since: Since,
        computed: bool,
        cause: Option<MiniEndCause>,
        observer: &mut O,
    ) {
        let Some(connection) = self.leave_mini(slot) else { return };
        connection.mini_end = cause;
        // That its namespace is gone says no more than that it is: it may have gone on to TIME_WAIT unseen.
        let is_guess = computed && cause == Some(MiniEndCause::NetnsGone);
        if connection.state() == State::FinWait2 {
            let known = cause.filter(|_| !is_guess);
            connection.end = Some(known.map_or(EndCause::Unknown, end_without_fin));
        }
        connection.marks.put(Marks::COMPUTED, computed);
        self.step(slot, State::Closed, since, observer);
        self.conclude(slot, observer);
    }

    /// A mini-socket ended by the time `by`, nobody saw when.
    pub(super) fn end_mini_unseen<O: Observer + ?Sized>(
        &mut self,
        slot: u32,
        by: u64,
        cause: Option<MiniEndCause>,
        observer: &mut O,
    ) {
        let Some(connection) = self.slab.get_mut(slot) else { return };
        connection.marks.set(Marks::GAP);
        let since = Since::Between { earliest: Some(connection.entered()), latest: by };
        self.end_mini(slot, since, true, cause, observer);
    }

    /// A mini-socket in `FIN_WAIT_2` is gone by the time `by`, by way of `TIME_WAIT` or not: that was not seen, so no move is
    /// told. Its life is, if that waited for the end.
    fn lapse<O: Observer + ?Sized>(&mut self, slot: u32, by: u64, observer: &mut O) {
        let Some(connection) = self.leave_mini(slot) else { return };
        connection.end = Some(EndCause::Unknown);
        connection.marks.set(Marks::GAP);
        let since = Since::Between { earliest: Some(connection.entered()), latest: by };
        self.shift(slot, State::Closed, since);
        self.totals.lapsed += 1;
        self.conclude(slot, observer);
    }

    /// The mini-socket with a tuple, unless it is another one than what is asked for.
    pub(super) fn mini(&self, netns: u32, ends: &Ends) -> Option<u32> {
        self.minis.get(netns, ends).filter(|&slot| self.is_of(slot, netns, ends))
    }

    pub(super) fn is_of(&self, slot: u32, netns: u32, ends: &Ends) -> bool {
        self.slab.get(slot).is_some_and(|connection| connection.netns == netns && connection.ends == *ends)
    }

    /// A tuple has a new user: the mini-socket that had it ended at the time `at` or before, unseen.
    pub(super) fn supersede<O: Observer + ?Sized>(
        &mut self,
        netns: u32,
        ends: &Ends,
        at: u64,
        observer: &mut O,
    ) {
        if let Some(slot) = self.mini(netns, ends) {
            self.replace(slot, at, observer);
        }
    }

    /// A mini-socket has given way at the time `at` or before, unseen: to who has its tuple now, if its time was not up before.
    fn replace<O: Observer + ?Sized>(&mut self, slot: u32, at: u64, observer: &mut O) {
        match (self.slab.get(slot).map(Connection::state), self.overdue(slot, at)) {
            // A mini-socket gives way in TIME_WAIT (tcp_timewait_state_process), which this one reached unseen, or a reset had ended it.
            (Some(State::FinWait2), _) => self.end_mini_unseen(slot, at, None, observer),
            (_, Some(fired)) => {
                self.end_mini(slot, Since::Seen(fired), true, Some(MiniEndCause::Expired), observer);
            }
            (_, None) => self.end_mini(slot, Since::Seen(at), true, Some(MiniEndCause::Reused), observer),
        }
    }

    /// A mini-socket's timer was set again. In `TIME_WAIT` that is how it got there, or a late segment of the peer's
    /// that makes it last longer. One that is not known comes in as one that existed before the trace.
    pub(super) fn mini_armed<O: Observer + ?Sized>(&mut self, note: &wire::MiniNote, observer: &mut O) {
        let at = note.head.time_ns;
        let Some(state @ (State::FinWait2 | State::TimeWait)) = State::from_kernel(note.head.new) else {
            self.totals.invalid += 1;
            return;
        };
        let Some(slot) = self.noted_mini(note, state, observer) else { return };
        let Some(connection) = self.slab.get(slot) else { return };
        match (connection.state(), state) {
            (State::FinWait2, State::TimeWait) => self.step(slot, state, Since::Seen(at), observer),
            // A mini-socket never goes back.
            (State::TimeWait, State::FinWait2) => return,
            _ => {}
        }
        self.arm(slot, Timer::set(&note.mini, at));
    }

    /// A mini-socket ended: by its timer, a reset, a new connection with its tuple, or with its namespace.
    pub(super) fn mini_gone<O: Observer + ?Sized>(&mut self, note: &wire::MiniNote, observer: &mut O) {
        if let Some(slot) = self.mini(note.head.netns, &Ends::of(&note.tuple))
            && self.is_mini(slot, &note.head)
        {
            let at = note.head.time_ns;
            let in_time_wait = State::from_kernel(note.head.new) == Some(State::TimeWait);
            if in_time_wait
                && let Some(connection) = self.slab.get_mut(slot)
                && connection.state() == State::FinWait2
            {
                // How it got there was not told.
                connection.marks.set(Marks::GAP);
                let since = Since::Between { earliest: Some(connection.entered()), latest: at };
                self.step(slot, State::TimeWait, since, observer);
            }
            let cause = self.cause_of(note);
            self.end_mini(slot, Since::Seen(at), false, cause, observer);
        }
    }

    /// What ended a mini-socket. Its time is up when the timer wheel fires, which is later than what it was set to; what it
    /// met before it was up, if it met something, is why it ended.
    fn cause_of(&self, note: &wire::MiniNote) -> Option<MiniEndCause> {
        let hz = self.config.hz;
        let set = note.mini.expires.saturating_sub(wheel::time_wait(hz));
        let fires = wheel::fires(set, note.mini.expires, hz);
        let in_time_wait = State::from_kernel(note.head.new) == Some(State::TimeWait);
        let is_early = note.head.has(flag::EARLY);
        match note.mini.touch {
            _ if in_time_wait && note.mini.jiffies >= fires => Some(MiniEndCause::Expired),
            _ if !in_time_wait && !is_early => Some(MiniEndCause::Expired),
            touch::RESET_IN => Some(MiniEndCause::ResetReceived),
            touch::RESET_OUT => Some(MiniEndCause::ResetSent),
            touch::REUSE => Some(MiniEndCause::Reused),
            touch::DESTROY => Some(MiniEndCause::Destroyed),
            touch::NETNS => Some(MiniEndCause::NetnsGone),
            _ => (!is_early).then_some(MiniEndCause::Expired),
        }
    }

    /// Whether a record about a mini-socket with a connection's tuple is about that connection's.
    pub(super) fn is_mini(&self, slot: u32, head: &wire::Head) -> bool {
        self.slab.get(slot).is_some_and(|connection| {
            !differ(connection.mini, head.sock) && !differ(connection.cookie, head.cookie)
        })
    }

    /// The connection of a mini-socket, known or taken up now.
    fn noted_mini<O: Observer + ?Sized>(
        &mut self,
        note: &wire::MiniNote,
        state: State,
        observer: &mut O,
    ) -> Option<u32> {
        let (netns, ends, at) = (note.head.netns, Ends::of(&note.tuple), note.head.time_ns);
        if let Some(slot) = self.mini(netns, &ends) {
            if self.is_mini(slot, &note.head) {
                return Some(slot);
            }
            self.totals.mismatched += 1;
            self.supersede(netns, &ends, at, observer);
        }
        let opening = Opening {
            sock: 0,
            cookie: note.head.cookie,
            netns,
            ends,
            state,
            since: Since::Between { earliest: None, latest: at },
            role: None,
            phase: Phase::Mini,
        };
        let slot = self.open(&opening, observer);
        let connection = self.slab.get_mut(slot)?;
        connection.mini = note.head.sock;
        connection.closed_at = at;
        connection.end = Some(EndCause::Fin);
        connection.marks.set(Marks::ORPHAN);
        // Without `TIME_WAIT` its life was over before.
        connection.marks.put(Marks::REPORTED, !self.config.life_after_time_wait);
        self.minis.insert(netns, &ends, slot, Stamp::NONE);
        Some(self.resume(slot, observer))
    }
}
