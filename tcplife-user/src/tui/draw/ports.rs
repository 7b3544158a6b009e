//! The view of local ports: for each source address and destination how many are in use, by whom, and for how long
//! they will do.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Block, Borders, Widget},
};
use tcplife_core::{
    ports::{Exhaustion, Place, Usage},
    state::State,
};

use super::{
    cells::{self, Alignment},
    comm,
};
use crate::{
    facts::{FACTS, Reading},
    tui::{
        app::App,
        frame::Ports,
        text,
        theme::{self, Theme},
    },
};

/// Settings that decide about ports and TIME_WAIT, the most telling first.
const SETTINGS: [&str; 7] = [
    "ip_local_port_range",
    "tcp_max_tw_buckets",
    "tcp_tw_reuse",
    "TIME_WAIT",
    "tcp_timestamps",
    "tcp_fin_timeout",
    "tcp_rfc1337",
];

/// A column, from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Place,
    Ports,
    Used,
    TimeWait,
    Established,
    Other,
    ClosedHere,
    New,
    EndsIn,
    MostBy,
}

/// Least columns for the two ends.
const PLACE: usize = 22;
/// The columns with their widths; those at the end give way first.
const COLUMNS: [(Column, usize); 10] = [
    (Column::Place, PLACE),
    (Column::Ports, 6),
    (Column::Used, 5),
    (Column::TimeWait, 9),
    (Column::EndsIn, 7),
    (Column::New, 5),
    (Column::MostBy, 18),
    (Column::Established, 6),
    (Column::Other, 6),
    (Column::ClosedHere, 11),
];

impl Column {
    const fn head(self) -> &'static str {
        match self {
            Self::Place => "FROM → TO",
            Self::Ports => "PORTS",
            Self::Used => "USED",
            Self::TimeWait => "TIME_WAIT",
            Self::Established => "ESTAB",
            Self::Other => "OTHER",
            Self::ClosedHere => "CLOSED HERE",
            Self::New => "NEW/s",
            Self::EndsIn => "ENDS IN",
            Self::MostBy => "MOST BY",
        }
    }
}

impl cells::Column for Column {
    fn alignment(self) -> Alignment {
        if matches!(self, Self::Place | Self::MostBy) { Alignment::Left } else { Alignment::Right }
    }
}

/// The columns, the first with as much room as the listed rows need, if there is so much.
fn columns(app: &App, width: usize) -> Vec<(Column, usize)> {
    let mut columns = cells::fitting(&COLUMNS, width);
    let left = (width + 1).saturating_sub(columns.iter().map(|(_, wide)| wide + 1).sum());
    let rows = app.frame.ports().map(|ports| &*ports.usages.rows).unwrap_or_default();
    let spans = spans(rows);
    let shown = rows.iter().skip(app.ports.top).take(app.visible_rows());
    let widest = shown.map(|usage| text::columns(&whole_place(usage, spans))).max().unwrap_or(0);
    if let Some((Column::Place, wide)) = columns.first_mut() {
        *wide = widest.clamp(PLACE, PLACE + left);
    }
    columns
}

/// Whether they are of several namespaces.
fn spans(rows: &[Usage]) -> bool {
    rows.windows(2).any(|pair| pair[0].netns != pair[1].netns)
}

/// Draws the places in view.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let columns = columns(app, usize::from(area.width));
    let mut lines = area.rows();
    let Some(head) = lines.next() else { return };
    cells::write_heads(&columns, head, buffer, |column| column.head().to_owned());
    let Some(ports) = app.frame.ports() else { return };
    if ports.usages.rows.is_empty() {
        cells::write_nothing(["No wanted connection holds a local port."], area, buffer);
    }
    let spans = spans(&ports.usages.rows);
    let first = app.ports.top;
    for (n, (usage, line)) in ports.usages.rows.iter().skip(first).zip(lines).enumerate() {
        let supply = supply(app.frame.reading(usage.netns), usage.place);
        cells::write(&columns, line, buffer, |column, width| {
            cell(app.setup.theme, column, usage, (spans, supply), width)
        });
        if first + n == app.ports.at {
            buffer.set_style(line, theme::SELECTED);
        }
    }
}

/// Where the ports of a place come from.
#[derive(Clone, Copy)]
struct Supply {
    /// How many there are.
    ports: usize,
    /// How long TIME_WAIT keeps one, nanoseconds.
    kept_for: u64,
}

/// What a place has, if its ports are ours and the settings are known.
fn supply(reading: Option<&Reading>, place: Place) -> Option<Supply> {
    let Place::To { source, destination } = place else { return None };
    let ports = reading?.local_ports()?;
    Some(Supply { ports, kept_for: reading?.time_wait_keeps(source, destination.ip()) })
}

/// Both ends and the namespace.
fn whole_place(usage: &Usage, with_netns: bool) -> String {
    let ends = match usage.place {
        Place::To { source, destination } => format!("{source} → {}", text::address(destination)),
        Place::At(local) => format!("at {}", text::address(local)),
    };
    if with_netns { format!("{ends} in {}", usage.netns) } else { ends }
}

/// As much of it as there is room for: what is told of the selected row gives way first.
fn place(usage: &Usage, with_netns: bool, width: usize) -> String {
    let whole = whole_place(usage, with_netns);
    if text::columns(&whole) <= width {
        return whole;
    }
    let ends = whole_place(usage, false);
    if text::columns(&ends) <= width {
        return ends;
    }
    match usage.place {
        Place::To { destination, .. } => {
            format!("→ {}", text::fit_address(destination, width.saturating_sub(2)))
        }
        Place::At(local) => format!("at {}", text::fit_address(local, width.saturating_sub(3))),
    }
}

fn cell(
    theme: Theme,
    column: Column,
    usage: &Usage,
    (spans, supply): (bool, Option<Supply>),
    width: usize,
) -> (String, Style) {
    let of = |state: State| usage.by_state[state.index()];
    let count = |number: usize| text::short_count(number as u64);
    let known = of(State::TimeWait) + of(State::Established);
    let words = match column {
        Column::Place => place(usage, spans, width),
        Column::Ports => count(usage.total),
        Column::Used => match supply {
            Some(supply) if supply.ports > 0 => return used(theme, usage, supply),
            _ => "-".to_owned(),
        },
        Column::TimeWait => count(of(State::TimeWait)),
        Column::Established => count(of(State::Established)),
        Column::Other => count(usage.total.saturating_sub(known)),
        Column::ClosedHere => count(usage.closed_here),
        Column::New => count(usage.per_second()),
        Column::EndsIn => match supply.map(|supply| usage.exhaustion(supply.ports, supply.kept_for)) {
            None => "-".to_owned(),
            Some(Exhaustion::Never) => "never".to_owned(),
            Some(Exhaustion::In(ns)) => return (text::duration(ns), theme.alarm()),
            Some(Exhaustion::Now) => return ("NOW".to_owned(), theme.alarm()),
        },
        Column::MostBy => usage.creator.map_or_else(
            || "-".to_owned(),
            |(process, _)| {
                let more =
                    if usage.creators > 1 { format!(" +{}", usage.creators - 1) } else { String::new() };
                let pid = format!("[{}]{more}", process.pid);
                format!("{}{pid}", text::cut(&comm(&process), width.saturating_sub(pid.len())))
            },
        ),
    };
    (words, theme::PLAIN)
}

/// The share of the range, alarming from three quarters on that a new connection cannot have.
fn used(theme: Theme, usage: &Usage, Supply { ports, kept_for }: Supply) -> (String, Style) {
    let percent = |of: usize| of.saturating_mul(100) / ports;
    let words = match percent(usage.total) {
        0 if usage.total > 0 => "<1%".to_owned(),
        percent => format!("{percent}%"),
    };
    let is_alarming = percent(usage.held(kept_for)) >= 75;
    (
        if is_alarming { format!("!{words}") } else { words },
        if is_alarming { theme.alarm() } else { theme::PLAIN },
    )
}

/// From this width on, the settings have a title in full words.
const WIDE: u16 = 100;

/// Draws the settings that decide, of the namespace of the row under the cursor.
pub fn draw_settings(app: &App, area: Rect, buffer: &mut Buffer) {
    let Some(ports) = app.frame.ports() else { return };
    let selected = ports.usages.rows.get(app.ports.at);
    let netns = selected.map(|usage| usage.netns).or(app.setup.netns);
    let reading = netns.and_then(|netns| app.frame.reading(netns));
    let block = Block::new()
        .borders(Borders::TOP)
        .title(Line::styled(title(netns, reading, ports, area.width >= WIDE), theme::STRONG));
    let room = block.inner(area);
    block.render(area, buffer);
    let mut lines = Vec::new();
    let columns = columns(app, usize::from(area.width));
    let place_width = columns.first().map_or(0, |&(_, width)| width);
    if let Some(usage @ Usage { place: Place::To { source, .. }, .. }) = selected
        && text::columns(&whole_place(usage, false)) > place_width
    {
        lines.push(Line::raw(format!("  from {source}")));
    }
    for name in SETTINGS {
        let Some(fact) = FACTS.iter().find(|fact| fact.name == name) else { continue };
        let Some(setting) = reading.and_then(|reading| fact.setting(reading)) else { continue };
        let value = setting.value.map(|value| format!(" = {value}")).unwrap_or_default();
        let style = if setting.now.matters { app.setup.theme.alarm() } else { theme::STRONG };
        let mark = if setting.now.matters { "!" } else { " " };
        let mut line = Line::from(vec![
            Span::styled(format!("{mark} {name}{value}"), style),
            Span::raw(format!(": {}. ", setting.now.says)),
        ]);
        let left = usize::from(room.width).saturating_sub(line.width());
        line.push_span(Span::styled(text::cut_words(fact.does, left), theme::QUIET));
        lines.push(line);
    }
    for (line, place) in lines.into_iter().zip(room.rows()) {
        line.render(place, buffer);
    }
}

fn title(netns: Option<u32>, reading: Option<&Reading>, ports: &Ports, is_wide: bool) -> String {
    let netns = netns.map(|netns| format!(" {netns}")).unwrap_or_default();
    let read = if reading.is_some() { "" } else { ", not read yet" };
    let early = text::count(ports.ended_early);
    let others = text::count(ports.usages.others as u64);
    let more = match (ports.usages.others, is_wide) {
        (0, _) => String::new(),
        (_, true) => format!(", {others} more places not listed"),
        (_, false) => format!(", +{others} places"),
    };
    if is_wide {
        format!(
            " Namespace{netns}{read}; TIME_WAIT ended early in all, as by reuse or a reset: {early}{more} "
        )
    } else {
        format!(" netns{netns}{read}; all early TIME_WAIT ends: {early}{more} ")
    }
}
