//! The view of histograms: the numbers of each state, and the distribution of the one under the cursor.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Block, Borders, Widget},
};
use tcplife_core::histogram::{Bar, Lengths, OpenAge};

use super::{
    cells::{self, Alignment, put},
    fill, labelled,
};
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

/// A column, from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    State,
    Count,
    Min,
    P50,
    P90,
    P99,
    P999,
    Max,
    Open,
    Oldest,
}

/// The columns with their widths; those at the end give way first, but the open stays never do.
const COLUMNS: [(Column, usize); 10] = [
    (Column::State, 14),
    (Column::Count, 7),
    (Column::Open, 6),
    (Column::Oldest, 7),
    (Column::P50, 7),
    (Column::P99, 7),
    (Column::Max, 7),
    (Column::P90, 7),
    (Column::P999, 7),
    (Column::Min, 7),
];

impl Column {
    const fn head(self) -> &'static str {
        match self {
            Self::State => "  STATE",
            Self::Count => "COUNT",
            Self::Min => "MIN",
            Self::P50 => "P50",
            Self::P90 => "P90",
            Self::P99 => "P99",
            Self::P999 => "P99.9",
            Self::Max => "MAX",
            Self::Open => "OPEN",
            Self::Oldest => "OLDEST",
        }
    }

    fn text(self, row: &Row) -> String {
        let length = |of: fn(&Lengths) -> u64| {
            let lengths = row.finished.lengths.as_ref();
            lengths.map_or_else(|| "-".to_owned(), |lengths| text::precise(of(lengths)))
        };
        match self {
            Self::State => format!("  {}", row.state.upper()),
            Self::Count => text::short_count(row.finished.count),
            Self::Min => length(|lengths| lengths.min),
            Self::P50 => length(|lengths| lengths.p50),
            Self::P90 => length(|lengths| lengths.p90),
            Self::P99 => length(|lengths| lengths.p99),
            Self::P999 => length(|lengths| lengths.p999),
            Self::Max => length(|lengths| lengths.max),
            Self::Open if row.open.count == 0 => "-".to_owned(),
            Self::Open => text::short_count(row.open.count),
            Self::Oldest => row.open.ages.map_or_else(|| "-".to_owned(), |ages| at_least(ages.oldest)),
        }
    }
}

impl cells::Column for Column {
    fn alignment(self) -> Alignment {
        if self == Self::State { Alignment::Left } else { Alignment::Right }
    }
}

/// Draws the table.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let columns = cells::fitting(&COLUMNS, usize::from(area.width));
    let mut places = area.rows();
    let Some(head) = places.next() else { return };
    cells::write_heads(&columns, head, buffer, |column| column.head().to_owned());
    let lines = lines::stays(app.frame.stays());
    if lines.is_empty() && app.is_answered() {
        cells::write_nothing(["No stay has been seen yet."], area, buffer);
    }
    let first = app.stays.cursor.top;
    for (n, (line, place)) in lines.iter().skip(first).zip(places).enumerate() {
        match line {
            StayLine::Head(section) => Span::styled(name(section), theme::STRONG).render(place, buffer),
            StayLine::Row(row) => cells::write(&columns, place, buffer, |column, _| {
                (column.text(row), style(app.setup.theme, row, column))
            }),
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

fn style(theme: Theme, row: &Row, column: Column) -> Style {
    if column == Column::State { theme.state(row.state) } else { theme::PLAIN }
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
    draw_bars(&row.bars, plot, axis, buffer);
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
fn draw_bars(bars: &[Bar], plot: Rect, axis: Rect, buffer: &mut Buffer) {
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
        draw_bar(bar.finished, most, None, finished, buffer);
        // In the narrowest, alone it has the place of both.
        let place = if wide == 2 && bar.finished == 0 { finished } else { open };
        draw_bar(bar.open, most, Some(OPEN), place, buffer);
    }
    draw_axis(bars, wide, axis, buffer);
}

fn draw_bar(count: u64, most: u64, with: Option<&str>, place: Rect, buffer: &mut Buffer) {
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
            put(buffer, line, &symbol.repeat(usize::from(line.width)), Alignment::Left, theme::PLAIN);
        }
    }
}

fn draw_axis(bars: &[Bar], wide: u16, axis: Rect, buffer: &mut Buffer) {
    let mut free = axis.x;
    for (n, bar) in (0u16..).zip(bars) {
        let x = axis.x + n * wide;
        let label = step(bar.from);
        let width = cells::extent(text::columns(&label));
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
