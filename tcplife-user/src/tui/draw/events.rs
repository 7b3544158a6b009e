//! The view of events, newest first.

use std::net::SocketAddr;

use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use tcplife_core::state::State;

use super::{
    cells::{self, Alignment},
    comm,
};
use crate::{
    clock::Stamper,
    tui::{
        app::App,
        log::{Logged, What},
        text,
        theme::{self, Theme},
        update,
    },
};

/// Columns of a moment with milliseconds.
const WIDE_TIME: usize = 12;
/// `reset received SYN_RECEIVED`
const EVENT: usize = 27;

/// A column, from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Time,
    Event,
    After,
    Pid,
    Comm,
    Local,
    Remote,
}

impl Column {
    const fn head(self) -> &'static str {
        match self {
            Self::Time => "TIME UTC",
            Self::Event => "EVENT",
            Self::After => "AFTER",
            Self::Pid => "PID",
            Self::Comm => "COMM",
            Self::Local => "LOCAL",
            Self::Remote => "REMOTE",
        }
    }
}

impl cells::Column for Column {
    fn alignment(self) -> Alignment {
        match self {
            Self::After | Self::Pid => Alignment::Right,
            _ => Alignment::Left,
        }
    }
}

/// Longest IPv4 address with its port.
const V4_WIDTH: usize = 21;

/// Columns by the width of the screen, from left to right.
fn columns(width: usize, events: &[Logged]) -> Vec<(Column, usize)> {
    let mut columns = vec![(Column::Time, 8), (Column::Event, EVENT), (Column::After, 6)];
    if width >= 100 {
        columns[0].1 = WIDE_TIME;
        columns.push((Column::Pid, 7));
    }
    columns.push((Column::Comm, if width >= 120 { 15 } else { 10 }));
    let used: usize = columns.iter().map(|(_, width)| width + 1).sum();
    let left = width.saturating_sub(used);
    let longest = |end: fn(&Logged) -> SocketAddr| {
        events.iter().map(|event| text::address(end(event)).len()).fold(V4_WIDTH, usize::max)
    };
    match left {
        0..15 => {
            // No room for an address: the name takes it.
            if let Some((_, comm)) = columns.last_mut() {
                *comm += left;
            }
        }
        15..43 => columns.push((Column::Remote, left)),
        _ => {
            let half = (left - 1) / 2;
            let local = longest(|event| event.whose.local).min(half);
            columns.extend([(Column::Local, local), (Column::Remote, left - 1 - local)]);
        }
    }
    columns
}

/// Draws the events in view.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = app.setup.theme;
    let mut lines = area.rows();
    let Some(head) = lines.next() else { return };
    let first = update::stream_top(app);
    let last = first.saturating_add(usize::from(area.height)).min(app.frame.log().len());
    let events = app.frame.log().get(first..last).unwrap_or_default();
    let columns = columns(usize::from(area.width), events);
    cells::write_heads(&columns, head, buffer, |column| column.head().to_owned());
    if events.is_empty() && app.is_answered() {
        cells::write_nothing(["Nothing has happened yet."], area, buffer);
    }
    let mut stamper = Stamper::new(app.setup.clock.clone());
    for (line, event) in lines.zip(events) {
        cells::write(&columns, line, buffer, |column, width| {
            (cell(column, event, &mut stamper, width), style(theme, column, event))
        });
    }
}

fn cell(column: Column, event: &Logged, stamper: &mut Stamper, width: usize) -> String {
    let process = event.whose.owner.map(|owner| owner.process);
    match column {
        Column::Time => {
            stamper.time_of_day(event.at).get(..width.min(WIDE_TIME)).unwrap_or_default().to_owned()
        }
        Column::Event => what(&event.what),
        Column::After => match event.what {
            What::Move { elapsed: Some(elapsed), .. } => text::precise(elapsed),
            What::Move { .. } => "?".to_owned(),
            What::Retransmit(..) | What::Reset(..) => String::new(),
        },
        Column::Pid => process.map_or_else(|| "-".to_owned(), |process| process.pid.to_string()),
        Column::Comm => process.map_or_else(|| "?".to_owned(), |process| comm(&process)),
        Column::Local => text::fit_address(event.whose.local, width),
        Column::Remote => text::fit_address(event.whose.remote, width),
    }
}

fn what(what: &What) -> String {
    match what {
        What::Move { from, to, .. } => format!("{from} → {to}"),
        What::Retransmit(state, _) => format!("retransmit {state}"),
        What::Reset(state, direction) => format!("reset {} {state}", direction.name()),
    }
}

fn style(theme: Theme, column: Column, event: &Logged) -> Style {
    match (column, event.what) {
        (Column::Event, What::Move { to: State::Closed, .. }) => Style::new(),
        (Column::Event, What::Move { to, .. }) => theme.state(to),
        (Column::Event, What::Retransmit(..) | What::Reset(..)) => theme.alarm(),
        (Column::Time | Column::After, _) => theme::QUIET,
        _ => Style::new(),
    }
}
