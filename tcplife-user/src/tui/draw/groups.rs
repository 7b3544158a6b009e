//! The table of connections, grouped.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use tcplife_core::{
    owner::comm_bytes,
    state::State,
    timeline::Age,
    view::{GroupBy, GroupKey, GroupRow},
};

use super::cells::{self, Alignment};
use crate::{
    escape,
    tui::{
        app::App,
        text,
        theme::{self, Theme},
    },
};

/// States that have a column, the most telling first.
const STATES: [(State, &str); 8] = [
    (State::CloseWait, "CLOSE_WAIT"),
    (State::FinWait2, "FIN_WAIT_2"),
    (State::TimeWait, "TIME_WAIT"),
    (State::Established, "ESTAB"),
    (State::SynSent, "SYN_SENT"),
    (State::LastAck, "LAST_ACK"),
    (State::FinWait1, "FIN_WAIT_1"),
    (State::Listen, "LISTEN"),
];
/// A column, from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Name,
    Count,
    Suspicious,
    Oldest,
    /// Of [`STATES`], by its place there.
    State(usize),
}

impl Column {
    fn head(self, by: GroupBy) -> String {
        match self {
            Self::Name => format!("  {}", by.name().to_uppercase()),
            Self::Count => "CONNS".to_owned(),
            Self::Suspicious => "SUSPECT".to_owned(),
            Self::Oldest => "OLDEST".to_owned(),
            Self::State(nth) => STATES[nth].1.to_owned(),
        }
    }

    fn text(self, group: &GroupRow, now: u64) -> String {
        let count = |number: usize| match number {
            0 => "-".to_owned(),
            number => text::short_count(number as u64),
        };
        match self {
            Self::Name => format!("{} {}", if group.suspicious > 0 { '!' } else { ' ' }, name(&group.key)),
            Self::Count => count(group.count),
            Self::Suspicious => count(group.suspicious),
            Self::Oldest => {
                let Age { min, max } = group.oldest.age(now);
                let bound = if max == Some(min) { "" } else { ">" };
                format!("{bound}{}", text::duration(min))
            }
            Self::State(nth) => count(group.by_state[STATES[nth].0.index()]),
        }
    }
}

impl cells::Column for Column {
    fn alignment(self) -> Alignment {
        if self == Self::Name { Alignment::Left } else { Alignment::Right }
    }
}

/// Those that have room; states at the end give way first.
fn columns(width: usize) -> Vec<(Column, usize)> {
    let mut all = vec![(Column::Name, 26), (Column::Count, 7), (Column::Suspicious, 7), (Column::Oldest, 7)];
    all.extend(STATES.iter().enumerate().map(|(nth, (_, name))| (Column::State(nth), name.len())));
    cells::fitting(&all, width)
}

/// Draws the groups in view.
pub fn draw(app: &App, now: u64, area: Rect, buffer: &mut Buffer) {
    let mut lines = area.rows();
    let Some(head) = lines.next() else { return };
    let by = app.frame.request.query.group.unwrap_or(GroupBy::Process);
    let columns = columns(usize::from(area.width));
    cells::write_heads(&columns, head, buffer, |column| column.head(by));
    let first = app.list.top;
    for (n, (group, line)) in app.frame.page.groups.iter().skip(first).zip(lines).enumerate() {
        cells::write(&columns, line, buffer, |column, _| {
            (column.text(group, now), style(app.setup.theme, group, column))
        });
        if group.suspicious > 0 {
            buffer.set_style(Rect { width: 1, ..line }, app.setup.theme.alarm());
        }
        if first + n == app.list.position {
            buffer.set_style(line, theme::SELECTED);
        }
    }
}

fn name(key: &GroupKey) -> String {
    match key {
        GroupKey::Process(Some((pid, comm))) => {
            format!("{pid} {}", escape::printable(comm_bytes(comm)))
        }
        GroupKey::Process(None) => "owner not known".to_owned(),
        GroupKey::Port(port) => port.to_string(),
        GroupKey::Peer(address) => address.to_string(),
    }
}

fn style(theme: Theme, group: &GroupRow, column: Column) -> Style {
    if column == Column::Suspicious && group.suspicious > 0 { theme.alarm() } else { theme::PLAIN }
}
