//! Aligned columns of text.
//!
//! What comes in: cells. What goes out: lines. What always holds: a column is as wide as its widest cell so far, so
//! that rows stay aligned once a long address has passed; lines have no trailing blanks.

use std::{borrow::Cow, iter::repeat_n};

use tcplife_core::{connection::Connection, owner::Owner};
use unicode_width::UnicodeWidthStr;

use crate::escape;

/// To which side a column's cells are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// For text.
    Left,
    /// For numbers.
    Right,
}

/// A column before anything was written.
pub struct Column {
    title: &'static str,
    align: Align,
    width: usize,
}

/// Of text, `width` wide at least.
pub const fn text(title: &'static str, width: usize) -> Column {
    Column { title, align: Align::Left, width }
}

/// Of numbers, `width` wide at least.
pub const fn number(title: &'static str, width: usize) -> Column {
    Column { title, align: Align::Right, width }
}

/// Cells of one line.
pub type Cells<'a, const N: usize> = [Cow<'a, str>; N];

/// A table of `N` columns that grows downwards.
pub struct Columns<const N: usize>([Column; N]);

impl<const N: usize> Columns<N> {
    /// The columns, from left to right.
    pub const fn new(columns: [Column; N]) -> Self {
        Self(columns)
    }

    /// Appends the titles.
    pub fn header(&mut self, out: &mut Vec<u8>) {
        let titles = self.0.each_ref().map(|column| Cow::Borrowed(column.title));
        self.row(out, &titles);
    }

    /// Appends a line. Cells have to be printable as they are; see [`escape`].
    pub fn row(&mut self, out: &mut Vec<u8>, cells: &Cells<'_, N>) {
        let begin = out.len();
        for (column, cell) in self.0.iter_mut().zip(cells) {
            let width = cell.width();
            column.width = column.width.max(width);
            let blanks = repeat_n(b' ', column.width - width);
            if out.len() > begin {
                out.push(b' ');
            }
            match column.align {
                Align::Left => {
                    out.extend_from_slice(cell.as_bytes());
                    out.extend(blanks);
                }
                Align::Right => {
                    out.extend(blanks);
                    out.extend_from_slice(cell.as_bytes());
                }
            }
        }
        let end = out[begin..].iter().rposition(|&byte| byte != b' ').map_or(begin, |last| begin + last + 1);
        out.truncate(end);
        out.push(b'\n');
    }
}

/// What is not known.
pub const UNKNOWN: Cow<'static, str> = Cow::Borrowed("-");

/// The cells PID, COMM and VIA.
pub fn owner_cells(owner: Option<&Owner>) -> Cells<'_, 3> {
    owner.map_or([UNKNOWN; 3], |owner| {
        [
            owner.process.pid.to_string().into(),
            escape::printable(owner.process.comm_bytes()),
            owner.via.name().into(),
        ]
    })
}

/// The cells LADDR, LPORT, RADDR and RPORT.
pub fn end_cells(connection: &Connection) -> Cells<'static, 4> {
    let (local, remote) = (connection.local(), connection.remote());
    [
        local.ip().to_string().into(),
        local.port().to_string().into(),
        remote.ip().to_string().into(),
        remote.port().to_string().into(),
    ]
}

/// Nanoseconds as milliseconds with microseconds behind the point.
pub fn milliseconds(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000_000, ns / 1_000 % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_grow() {
        let mut columns = Columns::new([number("PID", 5), text("COMM", 6), text("END", 0)]);
        let mut out = Vec::new();
        columns.header(&mut out);
        columns.row(&mut out, &["1".into(), "sh".into(), "fin".into()]);
        columns.row(&mut out, &["1234567".into(), "服务器服务".into(), "".into()]);
        columns.row(&mut out, &["2".into(), "a".into(), "b".into()]);
        let expected = "  PID COMM   END\n    1 sh     fin\n1234567 服务器服务\n      2 a          b\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn milliseconds_keep_microseconds() {
        assert_eq!(milliseconds(0), "0.000");
        assert_eq!(milliseconds(1_234_567), "1.234");
        assert_eq!(milliseconds(60_000_000_000), "60000.000");
    }
}
