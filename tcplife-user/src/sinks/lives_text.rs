//! `tcplife lives`: one aligned line for each finished connection.

use std::{borrow::Cow, fmt::Write};

use tcplife_core::{observer::Life, state::State};

use super::{
    columns::{Columns, UNKNOWN, end_cells, milliseconds, number, owner_cells, text},
    stream::{Change, Format},
};

/// Text for people, after bcc's `tcplife`.
pub struct LivesText(Columns<13>);

impl LivesText {
    /// With empty columns.
    pub const fn new() -> Self {
        Self(Columns::new([
            number("PID", 7),
            text("COMM", 15),
            text("VIA", 8),
            text("LADDR", 15),
            number("LPORT", 5),
            text("RADDR", 15),
            number("RPORT", 5),
            number("TX_KB", 8),
            number("RX_KB", 8),
            number("MS", 10),
            text("END", 14),
            text("FIRST_CLOSE", 11),
            text("STATES(MS)", 0),
        ]))
    }
}

impl Format for LivesText {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.0.header(out);
    }

    fn life(&mut self, change: Change<'_>, life: &Life) {
        let [pid, comm, via] = owner_cells(change.owner.as_ref());
        let [laddr, lport, raddr, rport] = end_cells(change.connection);
        let cells = [
            pid,
            comm,
            via,
            laddr,
            lport,
            raddr,
            rport,
            kilobytes(life.bytes_sent),
            kilobytes(life.bytes_received),
            life.duration.map_or(UNKNOWN, |ns| milliseconds(ns).into()),
            life.end.name().into(),
            life.first_close.name().into(),
            states(life).into(),
        ];
        self.0.row(change.out, &cells);
    }
}

/// In units of 1024, with one digit behind the point.
fn kilobytes(bytes: Option<u64>) -> Cow<'static, str> {
    bytes.map_or(UNKNOWN, |bytes| format!("{}.{}", bytes / 1024, bytes % 1024 * 10 / 1024).into())
}

/// `ESTABLISHED=1.234 FIN_WAIT_1=0.056`, in the protocol's order.
fn states(life: &Life) -> String {
    let mut out = String::new();
    for (state, spent) in State::ALL.into_iter().zip(life.spent) {
        let Some(ns) = spent else { continue };
        let gap = if out.is_empty() { "" } else { " " };
        let written = write!(out, "{gap}{}={}", state.upper(), milliseconds(ns));
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kilobytes_are_1024_bytes() {
        assert_eq!(
            [0, 103, 1023, 1024, 1536, 1 << 30].map(|bytes| kilobytes(Some(bytes))),
            ["0.0", "0.1", "0.9", "1.0", "1.5", "1048576.0"]
        );
    }
}
