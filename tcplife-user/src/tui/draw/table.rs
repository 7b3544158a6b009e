//! The table of connections.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use tcplife_core::view::{Row, SortKey};

use super::{
    cells,
    columns::{self, Column, Mark},
};
use crate::tui::{
    app::App,
    layout, text,
    theme::{self, Theme},
};

/// The rows in view, with their positions.
fn rows(app: &App, height: u16) -> Vec<(usize, &Row)> {
    let first = app.list.top;
    (first..first.saturating_add(usize::from(height).saturating_sub(1)))
        .filter_map(|position| app.row(position).map(|row| (position, row)))
        .collect()
}

/// The columns for the rows in view.
fn columns_for(rows: &[(usize, &Row)], now: u64, width: u16) -> Vec<(Column, usize)> {
    let shown: Vec<&Row> = rows.iter().map(|&(_, row)| row).collect();
    columns::choose(&shown, now, usize::from(width))
}

/// What sorting by the column at `x` is called, if rows can be sorted by it.
pub fn sort_key_at(app: &App, x: usize) -> Option<SortKey> {
    let body = layout::of(app).body;
    if app.is_grouped() {
        return None;
    }
    let columns = columns_for(&rows(app, body.height), app.frame.now, body.width);
    let is_there = |place: &Rect| (usize::from(place.x)..=usize::from(place.right())).contains(&x);
    cells::places(&columns, body).find(|(_, place)| is_there(place)).map(|(column, _)| column.sort_key())
}

/// Draws the rows in view, with ages as of `now`.
pub fn draw(app: &App, now: u64, area: Rect, buffer: &mut Buffer) {
    let mut lines = area.rows();
    let Some(head) = lines.next() else { return };
    let rows = rows(app, area.height);
    let columns = columns_for(&rows, now, area.width);
    draw_head(app, &columns, head, buffer);
    if app.frame.page.matched == 0 {
        let cut = |absent: &String| text::cut(absent, usize::from(area.width));
        let absent: Vec<String> = app.setup.absent.iter().map(cut).collect();
        let why = absent.iter().map(String::as_str).chain([why_nothing(app)]);
        return cells::write_nothing(why, area, buffer);
    }
    for (line, &(position, row)) in lines.zip(&rows) {
        cells::write(&columns, line, buffer, |column, width| {
            (column.text(row, now, width), style(app.setup.theme, row, column))
        });
        let is_selected = match app.list.selected() {
            Some(id) => id == row.id,
            None => position == app.list.position,
        };
        if is_selected {
            buffer.set_style(line, theme::SELECTED);
        }
    }
}

fn draw_head(app: &App, columns: &[(Column, usize)], line: Rect, buffer: &mut Buffer) {
    buffer.set_style(line, theme::HEAD);
    cells::write(columns, line, buffer, |column, _| {
        let is_sorted = column.sort_key() == app.list.sort;
        let arrow = match (is_sorted, app.list.descending) {
            (false, _) => "",
            (true, true) => "▼",
            (true, false) => "▲",
        };
        let style = if is_sorted { theme::SORTED_HEAD } else { theme::HEAD };
        (format!("{}{arrow}", column.head()), style)
    });
}

fn style(theme: Theme, row: &Row, column: Column) -> Style {
    match (column, columns::mark(row)) {
        (Column::Mark | Column::State | Column::Age | Column::Note, Mark::Suspect) => theme.alarm(),
        (Column::State, _) => theme.state(row.state),
        (Column::Via | Column::Netns | Column::Mark | Column::Note, _) => theme::QUIET,
        (Column::Comm | Column::Pid, _) if row.owner.is_none() => theme::QUIET,
        _ => Style::new(),
    }
}

/// Why there are no rows.
fn why_nothing(app: &App) -> &'static str {
    let page = &app.frame.page;
    match (page.total, page.by_state.iter().sum()) {
        (0, _) => "No connection at the moment.",
        (_, 0usize) => "No connection passes the filters of the command line.",
        _ => "No connection passes the filters. Esc drops them.",
    }
}
