//! `tcplife trace`: one aligned line for each change.

use tcplife_core::observer::{Direction, RetransmitKind, Transition};

use super::{
    columns::{Columns, UNKNOWN, end_cells, milliseconds, number, owner_cells, text},
    stream::{Change, Format},
};
use crate::clock::{Clock, Stamper};

/// Text for people, after bcc's `tcpstates`.
pub struct TraceText {
    stamper: Stamper,
    columns: Columns<12>,
}

impl TraceText {
    /// With times of `clock`.
    pub fn new(clock: Clock) -> Self {
        let columns = Columns::new([
            text("TIME(UTC)", 12),
            number("PID", 7),
            text("COMM", 15),
            text("VIA", 8),
            text("LADDR", 15),
            number("LPORT", 5),
            text("RADDR", 15),
            number("RPORT", 5),
            text("FROM", 12),
            text("->", 2),
            text("TO", 14),
            number("MS", 10),
        ]);
        Self { stamper: Stamper::new(clock), columns }
    }

    fn line(&mut self, change: &mut Change<'_>, at: u64, what: [&str; 4]) {
        let [pid, comm, via] = owner_cells(change.owner.as_ref());
        let [laddr, lport, raddr, rport] = end_cells(change.connection);
        let [from, arrow, to, ms] = what.map(Into::into);
        let time = self.stamper.time_of_day(at).into();
        let cells = [time, pid, comm, via, laddr, lport, raddr, rport, from, arrow, to, ms];
        self.columns.row(change.out, &cells);
    }

    /// Something that is not a change of state.
    fn event(&mut self, mut change: Change<'_>, at: u64, what: &str) {
        let state = change.connection.state_of_segment().upper();
        self.line(&mut change, at, [state, "--", what, &UNKNOWN]);
    }
}

impl Format for TraceText {
    const TRANSITIONS: bool = true;

    fn begin(&mut self, out: &mut Vec<u8>) {
        self.columns.header(out);
    }

    fn transition(&mut self, mut change: Change<'_>, transition: &Transition) {
        let elapsed = transition.elapsed.map_or(UNKNOWN, |ns| milliseconds(ns).into());
        let what = [transition.from.upper(), "->", transition.to.upper(), &elapsed];
        self.line(&mut change, transition.at, what);
    }

    fn retransmit(&mut self, change: Change<'_>, kind: RetransmitKind, at: u64) {
        let what = match kind {
            RetransmitKind::Segment => "retransmit",
            RetransmitKind::SynAck => "retransmit_syn_ack",
        };
        self.event(change, at, what);
    }

    fn reset(&mut self, change: Change<'_>, direction: Direction, at: u64) {
        let what = match direction {
            Direction::Sent => "reset_sent",
            Direction::Received => "reset_received",
        };
        self.event(change, at, what);
    }
}
