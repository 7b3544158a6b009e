//! The view of histograms: the numbers of each state, and the distribution of the one under the cursor.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Borders, Widget},
};
use tcplife_core::histogram::{Bar, Lengths, OpenAge};

use super::{Alignment, fill, fitting, labelled, put};
use crate::{
    stays::{Row, Section, Which},
    tui::{
        app::App,
        lines::{self, StayLine},
        text,
        theme::{self, Theme},
    },
};

const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// What open stays are drawn with.
const OPEN: &str = "░";

/// The columns; those at the end give way first, but the open stays never do.
const COLUMNS: [(&str, usize); 9] = [
    ("COUNT", 7),
    ("OPEN", 6),
    ("OLDEST", 7),
    ("P50", 7),
    ("P99", 7),
    ("MAX", 7),
    ("P90", 7),
    ("P99.9", 7),
    ("MIN", 7),
];
/// From left to right.
const ORDER: [&str; 9] = ["COUNT", "MIN", "P50", "P90", "P99", "P99.9", "MAX", "OPEN", "OLDEST"];
/// Columns of a state's name.
const NAME: usize = 14;

fn columns(width: usize) -> Vec<(&'static str, usize)> {
    fitting(&COLUMNS, &ORDER, width.saturating_sub(NAME)).1
}

/// Draws the table.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let columns = columns(usize::from(area.width));
    let mut places = area.rows();
    let Some(head) = places.next() else { return };
    buffer.set_style(head, theme::HEAD);
    put(buffer, head, "  STATE", Alignment::Left, theme::HEAD);
    for ((name, _), place) in columns.iter().zip(cells(&columns, head)) {
        put(buffer, place, name, Alignment::Right, theme::HEAD);
    }
    let lines = lines::stays(app.frame.stays());
    if lines.is_empty() {
        let middle = Rect { y: area.y + area.height / 2, height: 1, ..area }.intersection(area);
        Line::styled("No stay has been seen yet.", theme::QUIET).centered().render(middle, buffer);
    }
    let first = app.stays.cursor.top;
    for (n, (line, place)) in lines.iter().skip(first).zip(places).enumerate() {
        match line {
            StayLine::Head(section) => Span::styled(name(section), theme::STRONG).render(place, buffer),
            StayLine::Row(row) => draw_row(app.setup.theme, row, &columns, place, buffer),
        }
        if first + n == app.stays.cursor.at {
            buffer.set_style(place, theme::SELECTED);
        }
    }
}

fn name(section: &Section) -> String {
    match section.which {
        Which::All => "all connections".to_owned(),
        Which::One(group) => group.text().into_owned(),
        Which::Other => "other: all smaller groups".to_owned(),
    }
}

fn cells(columns: &[(&str, usize)], line: Rect) -> impl Iterator<Item = Rect> {
    let mut x = line.x.saturating_add(u16::try_from(NAME).unwrap_or(u16::MAX));
    columns.iter().map(move |&(_, width)| {
        let width = u16::try_from(width).unwrap_or(u16::MAX);
        let place = Rect { x: x.saturating_add(1), width, ..line }.intersection(line);
        x = x.saturating_add(width).saturating_add(1);
        place
    })
}

fn draw_row(theme: Theme, row: &Row, columns: &[(&str, usize)], line: Rect, buffer: &mut Buffer) {
    put(buffer, line, &format!("  {}", row.state.upper()), Alignment::Left, theme.state(row.state));
    let length = |of: fn(&Lengths) -> u64| {
        row.finished.lengths.as_ref().map_or_else(|| "-".to_owned(), |lengths| text::precise(of(lengths)))
    };
    for (&(name, _), place) in columns.iter().zip(cells(columns, line)) {
        let words = match name {
            "COUNT" => text::short_count(row.finished.count),
            "MIN" => length(|lengths| lengths.min),
            "P50" => length(|lengths| lengths.p50),
            "P90" => length(|lengths| lengths.p90),
            "P99" => length(|lengths| lengths.p99),
            "P99.9" => length(|lengths| lengths.p999),
            "MAX" => length(|lengths| lengths.max),
            "OPEN" if row.open.count == 0 => "-".to_owned(),
            "OPEN" => text::short_count(row.open.count),
            _ => row.open.ages.map_or_else(|| "-".to_owned(), |ages| at_least(ages.oldest)),
        };
        put(buffer, place, &words, Alignment::Right, theme::PLAIN);
    }
}

/// Draws the distribution of the state under the cursor: finished and open stays on one logarithmic axis.
pub fn draw_plot(app: &App, area: Rect, buffer: &mut Buffer) {
    if area.height < 5 {
        return;
    }
    let lines = lines::stays(app.frame.stays());
    let Some(row) = lines::selected_stay(&lines, app.stays.cursor.at) else { return };
    let block =
        Block::new().borders(Borders::TOP).title(Line::styled(format!(" {} ", row.state), theme::STRONG));
    let room = block.inner(area);
    block.render(area, buffer);
    let [legend, plot, axis] = ratatui::layout::Layout::vertical([
        ratatui::layout::Constraint::Length(1),
        ratatui::layout::Constraint::Min(1),
        ratatui::layout::Constraint::Length(1),
    ])
    .areas(room);
    draw_legend(row, legend, buffer);
    draw_bars(app.setup.theme, &row.bars, plot, axis, buffer);
}

fn at_least(age: OpenAge) -> String {
    let bound = if age.is_bound { ">" } else { "" };
    format!("{bound}{}", text::precise(age.ns))
}

fn draw_legend(row: &Row, line: Rect, buffer: &mut Buffer) {
    let finished = &row.finished;
    let mut groups = vec![
        vec![Span::raw("█"), Span::styled(" ended ", theme::QUIET), Span::raw(text::count(finished.count))],
        vec![Span::raw(OPEN), Span::styled(" open ", theme::QUIET), Span::raw(text::count(row.open.count))],
    ];
    if let Some(ages) = row.open.ages {
        groups.push(labelled("oldest open", at_least(ages.oldest)));
        groups.push(labelled("median open", at_least(ages.p50)));
    }
    if let Some(lengths) = finished.lengths {
        groups.push(labelled("mean", text::precise(lengths.mean)));
    }
    if finished.unknown_start > 0 {
        groups.push(labelled("begun before the trace", text::count(finished.unknown_start)));
    }
    if finished.below + finished.above > 0 {
        groups.push(labelled("clamped", text::count(finished.below + finished.above)));
    }
    fill(groups, 3, usize::from(line.width)).render(line, buffer);
}

/// Two bars for each step of the axis, and where each step begins.
fn draw_bars(theme: Theme, bars: &[Bar], plot: Rect, axis: Rect, buffer: &mut Buffer) {
    let (Some(most), Ok(count)) =
        (bars.iter().map(|bar| bar.finished.max(bar.open)).max(), u16::try_from(bars.len()))
    else {
        return;
    };
    // Each step has a blank, then the finished stays, then the open ones.
    let wide = (plot.width / count.max(1)).clamp(2, 9);
    let half = (wide - 1).div_ceil(2).max(1);
    for (n, bar) in (0u16..).zip(bars) {
        let x = plot.x + n * wide;
        let finished = Rect { x, width: half, ..plot }.intersection(plot);
        let open =
            Rect { x: x + half, width: (wide - 1).saturating_sub(half).max(1), ..plot }.intersection(plot);
        if bar.finished > 0 || wide > 2 {
            draw_bar(theme, bar.finished, most, None, finished, buffer);
        }
        if bar.open > 0 {
            let place =
                if wide > 2 || bar.finished == 0 { if wide > 2 { open } else { finished } } else { open };
            draw_bar(theme, bar.open, most, Some(OPEN), place, buffer);
        }
    }
    draw_axis(bars, wide, axis, buffer);
}

fn draw_bar(theme: Theme, count: u64, most: u64, with: Option<&str>, place: Rect, buffer: &mut Buffer) {
    if count == 0 {
        return;
    }
    let eighths = (u128::from(count) * u128::from(place.height) * 8 / u128::from(most.max(1))).max(1);
    let eighths = usize::try_from(eighths).unwrap_or(usize::MAX);
    for (n, line) in place.rows().rev().enumerate() {
        let left = eighths.saturating_sub(n * 8).min(8);
        let symbol = match with {
            Some(symbol) if left > 0 => symbol,
            Some(_) => continue,
            None => EIGHTHS[left],
        };
        if left > 0 {
            put(buffer, line, &symbol.repeat(usize::from(line.width)), Alignment::Left, theme.bar());
        }
    }
}

fn draw_axis(bars: &[Bar], wide: u16, axis: Rect, buffer: &mut Buffer) {
    let mut free = axis.x;
    for (n, bar) in (0u16..).zip(bars) {
        let x = axis.x + n * wide;
        let label = step(bar.from);
        let width = u16::try_from(text::columns(&label)).unwrap_or(u16::MAX);
        if x >= free && x.saturating_add(width) <= axis.right() {
            put(buffer, Rect { x, width, ..axis }, &label, Alignment::Left, theme::QUIET);
            free = x.saturating_add(width + 1);
        }
    }
}

/// Where a step begins, in few columns: `20µs`, `5ms`, `100s`, `1h23m`.
fn step(ns: u64) -> String {
    match ns {
        0..1_000_000 => format!("{}µs", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{}ms", ns / 1_000_000),
        1_000_000_000..600_000_000_000 => format!("{}s", ns / 1_000_000_000),
        _ => text::duration(ns),
    }
}
