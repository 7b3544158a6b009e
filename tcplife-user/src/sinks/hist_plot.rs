//! `tcplife hist --plot`: bars on a logarithmic axis, finished stays and open ones on the same.

use std::io::{self, Write};

use super::hist_text::human;
use crate::stays::Row;

/// Columns of the longest bar.
const WIDTH: u64 = 50;

/// Appends the plot of a state that has any stay.
pub fn write(row: &Row, out: &mut Vec<u8>) -> io::Result<()> {
    let Some(most) = row.bars.iter().map(|bar| bar.finished.max(bar.open)).max() else { return Ok(()) };
    writeln!(out, "\n{} (# finished, o open)", row.state)?;
    let columns = |count: u64| usize::try_from((count * WIDTH).div_ceil(most)).unwrap_or(0);
    for bar in &row.bars {
        let from = human(bar.from);
        writeln!(out, "{from:>8} {:>8} |{}", bar.finished, "#".repeat(columns(bar.finished)))?;
        if bar.open > 0 {
            writeln!(out, "{:>8} {:>8} |{}", "", bar.open, "o".repeat(columns(bar.open)))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tcplife_core::{
        histogram::{Bar, Finished, Open},
        state::State,
    };

    use super::*;

    #[test]
    fn the_longest_bar_is_full_and_something_is_never_nothing() {
        let bars = vec![
            Bar { from: 1_000_000, finished: 1000, open: 0 },
            Bar { from: 2_000_000, finished: 0, open: 0 },
            Bar { from: 5_000_000, finished: 1, open: 500 },
        ];
        let row = Row { state: State::CloseWait, finished: Finished::default(), open: Open::default(), bars };
        let mut out = Vec::new();
        write(&row, &mut out).unwrap();
        let expected = format!(
            "\nCLOSE_WAIT (# finished, o open)\n  1.00ms     1000 |{}\n  2.00ms        0 |\n  5.00ms        1 |#\n              500 |{}\n",
            "#".repeat(50),
            "o".repeat(25)
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
