//! Which columns the table of connections has, and how wide they are.
//!
//! What comes in: the rows in view and the width there is. What goes out: columns from left to right with their
//! widths. What always holds: states, ages and pids are never cut; what is less telling gives way first; columns, and
//! a space between each two, are never wider than the table.

use tcplife_core::{
    owner::Owner,
    state::State,
    view::{Row, SortKey},
};

use super::{
    cells::{self, Alignment},
    comm,
};
use crate::tui::text;

/// A column, from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// `!` for what is stuck, `o` for an orphan, `t` for a timewait mini-socket.
    Mark,
    /// The state's name.
    State,
    /// How long it has been in it.
    Age,
    /// The owner's process.
    Pid,
    /// The owner's name.
    Comm,
    /// How the owner is known.
    Via,
    /// Local end.
    Local,
    /// Remote end.
    Remote,
    /// Namespace.
    Netns,
    /// Segments sent again.
    Retransmits,
    /// The mark, in words.
    Note,
}

/// What has to be there, the most telling first; each is left out if not even its least width has room.
const FIRST: [Column; 7] =
    [Column::Mark, Column::State, Column::Age, Column::Remote, Column::Comm, Column::Pid, Column::Local];

/// What is there if all before it has the width it would like.
const THEN: [Column; 4] = [Column::Via, Column::Netns, Column::Retransmits, Column::Note];

/// Longest IPv4 address with its port.
const V4_WIDTH: usize = 21;

impl Column {
    /// The head of the column.
    pub const fn head(self) -> &'static str {
        match self {
            Self::Mark => "",
            Self::State => "STATE",
            Self::Age => "AGE",
            Self::Pid => "PID",
            Self::Comm => "COMM",
            Self::Via => "VIA",
            Self::Local => "LOCAL",
            Self::Remote => "REMOTE",
            Self::Netns => "NETNS",
            Self::Retransmits => "RETR",
            Self::Note => "NOTE",
        }
    }

    /// What sorting by the column is called.
    pub const fn sort_key(self) -> SortKey {
        match self {
            Self::State => SortKey::State,
            Self::Age => SortKey::Age,
            Self::Comm => SortKey::Owner,
            Self::Local => SortKey::Local,
            Self::Remote => SortKey::Remote,
            Self::Netns => SortKey::Netns,
            Self::Retransmits => SortKey::Retransmits,
            Self::Pid => SortKey::Pid,
            Self::Via => SortKey::Via,
            Self::Mark | Self::Note => SortKey::Suspicion,
        }
    }

    /// What the column says of a row, in at most `width` columns of the terminal if it is an address.
    pub fn text(self, row: &Row, now: u64, width: usize) -> String {
        let process = row.owner.map(|owner| owner.process);
        match self {
            Self::Mark => mark(row).letter().to_owned(),
            Self::State => row.state.upper().to_owned(),
            Self::Age => text::age(row.since.age(now)),
            Self::Pid => process.map_or_else(|| "-".to_owned(), |process| process.pid.to_string()),
            Self::Comm => process.map_or_else(|| nobody(row).to_owned(), |process| comm(&process)),
            Self::Via => row.owner.map_or("-", |Owner { via, .. }| via.name()).to_owned(),
            Self::Local => text::fit_address(row.local, width),
            Self::Remote => text::fit_address(row.remote, width),
            Self::Netns => row.netns.to_string(),
            Self::Retransmits if row.retransmits == 0 => "-".to_owned(),
            Self::Retransmits => text::short_count(row.retransmits.into()),
            Self::Note => mark(row).words().to_owned(),
        }
    }
}

impl cells::Column for Column {
    fn alignment(self) -> Alignment {
        match self {
            Self::Age | Self::Pid | Self::Netns | Self::Retransmits => Alignment::Right,
            _ => Alignment::Left,
        }
    }
}

/// What is special about a row; what needs someone to act goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Nothing.
    None,
    /// In `CLOSE_WAIT` for longer than `--leak-after`.
    Suspect,
    /// A timewait mini-socket.
    Mini,
    /// No application has a handle.
    Orphan,
}

impl Mark {
    /// The mark of each row.
    pub const fn letter(self) -> &'static str {
        match self {
            Self::None => " ",
            Self::Suspect => "!",
            Self::Mini => "t",
            Self::Orphan => "o",
        }
    }

    /// The mark in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Suspect => "suspect",
            Self::Mini => "mini-socket",
            Self::Orphan => "orphan",
        }
    }
}

/// The mark of a row.
pub const fn mark(row: &Row) -> Mark {
    if row.suspicious {
        Mark::Suspect
    } else if row.in_mini_socket {
        Mark::Mini
    } else if row.orphan && !matches!(row.state, State::Closed) {
        Mark::Orphan
    } else {
        Mark::None
    }
}

/// What stands for the name of an owner that is not known.
const fn nobody(row: &Row) -> &'static str {
    if row.orphan { "(none)" } else { "?" }
}

/// A column's least and best width.
#[derive(Clone, Copy, Debug)]
struct Want {
    least: usize,
    best: usize,
}

impl Want {
    const fn exactly(width: usize) -> Self {
        Self { least: width, best: width }
    }
}

fn want(column: Column, rows: &[&Row], now: u64) -> Want {
    let longest = |least: usize| {
        rows.iter().map(|row| text::columns(&column.text(row, now, usize::MAX))).fold(least, usize::max)
    };
    match column {
        Column::Mark => Want::exactly(1),
        Column::State => Want::exactly("SYN_RECEIVED".len()),
        // Wide enough for the ages to come, so that columns stay where they are.
        Column::Age => Want::exactly(longest("59m59s".len())),
        Column::Pid => Want::exactly(longest("99999".len())),
        Column::Comm => Want { least: 7, best: longest(15).min(24) },
        Column::Via => Want::exactly("listener".len()),
        Column::Local => address(13, longest(V4_WIDTH)),
        Column::Remote => address(15, longest(V4_WIDTH)),
        Column::Netns => Want::exactly(longest("4026531840".len())),
        Column::Retransmits => Want::exactly("9,999".len()),
        Column::Note => Want::exactly(Mark::Mini.words().len()),
    }
}

/// In steps, so that columns do not move with every row.
fn address(least: usize, longest: usize) -> Want {
    let best = if longest <= V4_WIDTH { V4_WIDTH } else { longest.next_multiple_of(8).min(47) };
    Want { least, best }
}

/// The columns for these rows.
pub fn choose(rows: &[&Row], now: u64, width: usize) -> Vec<(Column, usize)> {
    let mut chosen: Vec<(Column, Want)> = Vec::with_capacity(FIRST.len() + THEN.len());
    let room = |chosen: &[(Column, Want)], of: fn(&Want) -> usize| {
        width.checked_sub(chosen.iter().map(|(_, want)| of(want) + 1).sum())
    };
    for column in FIRST {
        let want = want(column, rows, now);
        if room(&chosen, |want| want.least).is_some_and(|room| want.least <= room) {
            chosen.push((column, want));
        }
    }
    for column in THEN {
        let want = want(column, rows, now);
        let is_useful = column != Column::Netns || spans_namespaces(rows);
        if is_useful && room(&chosen, |want| want.best).is_some_and(|room| want.best <= room) {
            chosen.push((column, want));
        }
    }
    chosen.sort_by_key(|&(column, _)| column);
    widen(&chosen, width)
}

fn spans_namespaces(rows: &[&Row]) -> bool {
    rows.windows(2).any(|pair| pair[0].netns != pair[1].netns)
}

/// Gives what room is left to the columns that lack the most; a missing letter of a name counts as many of an address.
fn widen(chosen: &[(Column, Want)], width: usize) -> Vec<(Column, usize)> {
    let mut widths: Vec<(Column, usize)> =
        chosen.iter().map(|&(column, want)| (column, want.least)).collect();
    let used = widths.iter().map(|(_, width)| width + 1).sum::<usize>().saturating_sub(1);
    for _ in used..width {
        let lacking = chosen.iter().zip(&mut widths).max_by_key(|((column, want), (_, width))| {
            let weight = if *column == Column::Comm { 5 } else { 1 };
            (want.best - *width) * weight
        });
        match lacking {
            Some(((_, want), (_, width))) if want.best > *width => *width += 1,
            _ => break,
        }
    }
    widths
}
