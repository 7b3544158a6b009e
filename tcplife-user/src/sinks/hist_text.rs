//! `tcplife hist`: a table of states, finished stays at the left and open ones at the right.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use tcplife_core::{
    histogram::{HIGHEST_NS, LOWEST_NS, Lengths, OpenAge},
    observer::Transition,
};

use super::{
    columns::{Columns, UNKNOWN, number, text},
    hist::Hist,
    hist_plot,
    stream::{Change, Ending, Format},
};
use crate::stays::{Row, SHOWN, Section, Which};

/// A table for people.
pub struct HistText {
    hist: Hist,
    plot: bool,
}

impl HistText {
    /// Of what `hist` will collect; with a plot of each state below the table.
    pub const fn new(hist: Hist, plot: bool) -> Self {
        Self { hist, plot }
    }
}

impl Format for HistText {
    const TRANSITIONS: bool = true;

    fn transition(&mut self, change: Change<'_>, transition: &Transition) {
        self.hist.transition(&change, transition);
    }

    fn tick(&mut self, now: u64) -> io::Result<()> {
        self.hist.tick(now)
    }

    fn end(&mut self, ending: Ending<'_>) -> io::Result<()> {
        for (n, section) in self.hist.report(&ending).iter().enumerate() {
            if n > 0 {
                writeln!(ending.out.buffer)?;
            }
            write_section(section, self.plot, &mut ending.out.buffer)?;
        }
        self.hist.end(ending.now)
    }
}

fn write_section(section: &Section, plot: bool, out: &mut Vec<u8>) -> io::Result<()> {
    match &section.which {
        Which::All => {}
        Which::One(group) => writeln!(out, "{}", group.text())?,
        Which::Other => writeln!(out, "other: all beyond the {SHOWN} largest groups")?,
    }
    write_table(&section.rows, out);
    section.rows.iter().try_for_each(|row| remarks(row, out))?;
    if plot {
        section.rows.iter().try_for_each(|row| hist_plot::write(row, out))?;
    }
    Ok(())
}

fn write_table(rows: &[Row], out: &mut Vec<u8>) {
    let mut columns = Columns::new([
        text("STATE", 12),
        number("COUNT", 8),
        number("MIN", 8),
        number("MEAN", 8),
        number("P50", 8),
        number("P90", 8),
        number("P99", 8),
        number("P99.9", 8),
        number("MAX", 8),
        text("|", 1),
        number("OPEN", 6),
        number("P50", 8),
        number("OLDEST", 8),
    ]);
    columns.header(out);
    for row in rows.iter().filter(|row| row.finished.count + row.open.count > 0) {
        let lengths = row.finished.lengths;
        let length = |of: fn(&Lengths) -> u64| known(lengths.as_ref().map(of));
        let ages = row.open.ages;
        columns.row(
            out,
            &[
                row.state.upper().into(),
                row.finished.count.to_string().into(),
                length(|l| l.min),
                length(|l| l.mean),
                length(|l| l.p50),
                length(|l| l.p90),
                length(|l| l.p99),
                length(|l| l.p999),
                length(|l| l.max),
                "|".into(),
                row.open.count.to_string().into(),
                ages.map_or(UNKNOWN, |ages| open(ages.p50).into()),
                ages.map_or(UNKNOWN, |ages| open(ages.oldest).into()),
            ],
        );
    }
}

fn known(ns: Option<u64>) -> Cow<'static, str> {
    ns.map_or(UNKNOWN, |ns| human(ns).into())
}

fn open(age: OpenAge) -> String {
    let bound = if age.is_bound { ">" } else { "" };
    format!("{bound}{}", human(age.ns))
}

/// What the numbers of a row leave out.
fn remarks(row: &Row, out: &mut Vec<u8>) -> io::Result<()> {
    let (state, finished) = (row.state, &row.finished);
    if finished.unknown_start > 0 {
        let count = finished.unknown_start;
        writeln!(out, "{state}: {count} more ended whose start was not seen; not included here")?;
    }
    if row.open.unknown_start > 0 {
        let count = row.open.unknown_start;
        writeln!(out, "{state}: {count} open whose start was not seen; their ages are lower bounds")?;
    }
    if finished.below > 0 {
        writeln!(
            out,
            "{state}: {} of the finished stays under {}, counted as that",
            finished.below,
            human(LOWEST_NS)
        )?;
    }
    if finished.above > 0 {
        writeln!(
            out,
            "{state}: {} of the finished stays over {}, counted as that",
            finished.above,
            human(HIGHEST_NS)
        )?;
    }
    Ok(())
}

/// A duration with three digits or so: `12us`, `4.56ms`, `1.23s`, `5m02s`, `3h07m`, `2d05h`.
pub fn human(ns: u64) -> String {
    const US: u64 = 1_000;
    const MS: u64 = 1_000 * US;
    const S: u64 = 1_000 * MS;
    let digits = |unit: u64, name: &str| {
        let (whole, hundredths) = (ns / unit, ns % unit * 100 / unit);
        match whole {
            0..10 => format!("{whole}.{hundredths:02}{name}"),
            10..100 => format!("{whole}.{}{name}", hundredths / 10),
            _ => format!("{whole}{name}"),
        }
    };
    let seconds = ns / S;
    match ns {
        0..US => format!("{ns}ns"),
        US..MS => digits(US, "us"),
        MS..S => digits(MS, "ms"),
        _ if seconds < 120 => digits(S, "s"),
        _ if seconds < 7_200 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ if seconds < 172_800 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_about_three_digits() {
        let cases = [
            (0, "0ns"),
            (999, "999ns"),
            (1_234, "1.23us"),
            (45_678, "45.6us"),
            (999_999, "999us"),
            (1_000_000, "1.00ms"),
            (60_500_000_000, "60.5s"),
            (119_999_999_999, "119s"),
            (302_000_000_000, "5m02s"),
            (11_220_000_000_000, "3h07m"),
            (190_800_000_000_000, "2d05h"),
        ];
        for (ns, expected) in cases {
            assert_eq!(human(ns), expected);
        }
    }
}
