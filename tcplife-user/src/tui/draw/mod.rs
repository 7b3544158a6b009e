//! Draws the state, panel by panel.
//!
//! What comes in: the state and the time. What goes out: cells of the terminal. What always holds: nothing is changed;
//! each panel is drawn within its rectangle of [`super::layout`] and knows no other; text from outside is escaped
//! before it gets here.

mod cells;
mod columns;
mod copied;
pub mod detail;
mod events;
mod footer;
mod groups;
mod header;
pub mod help;
mod leaks;
mod picker;
mod ports;
mod states;
mod stays;
pub mod table;
mod tabs;

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Clear, Widget},
};
use tcplife_core::owner::Process;

use super::{
    app::{App, Overlay, Tab},
    layout, theme,
};
use crate::escape;

/// Draws everything, at the time `now` (nanoseconds of `CLOCK_MONOTONIC`).
pub fn draw(app: &App, now: u64, frame: &mut Frame<'_>) {
    if frame.area().as_size() != app.size {
        // Resized just now: the event is on its way.
        return;
    }
    if !layout::is_large_enough(app) {
        return too_small(app, frame);
    }
    let (panels, buffer) = (layout::of(app), frame.buffer_mut());
    // The trace goes on in a pause: only the data stands still.
    header::draw(app, now, panels.header, buffer);
    let now = app.clock(now);
    states::draw_counts(app, panels.states, buffer);
    states::draw_moves(app, panels.moves, buffer);
    tabs::draw(app, panels.tabs, buffer);
    match app.tab {
        Tab::Connections => {
            if app.is_grouped() {
                groups::draw(app, now, panels.body, buffer);
            } else {
                table::draw(app, now, panels.body, buffer);
            }
            detail::draw(app, now, panels.detail, buffer);
        }
        Tab::Leaks => {
            leaks::draw(app, now, panels.body, buffer);
            detail::draw(app, now, panels.detail, buffer);
        }
        Tab::Histograms => {
            stays::draw(app, panels.body, buffer);
            stays::draw_plot(app, panels.detail, buffer);
        }
        Tab::TimeWait => {
            ports::draw(app, panels.body, buffer);
            ports::draw_settings(app, panels.detail, buffer);
        }
        Tab::Events => events::draw(app, panels.body, buffer),
    }
    footer::draw(app, panels.footer, buffer);
    match &app.overlay {
        Overlay::None | Overlay::Line(_) => {}
        Overlay::Help(top) => help::draw(app, *top, buffer),
        Overlay::Picker(at) => picker::draw(app, *at, buffer),
        Overlay::Copied(copied) => copied::draw(app, copied, buffer),
    }
    if let Some(cursor) = footer::cursor(app, panels.footer) {
        frame.set_cursor_position(cursor);
    }
}

fn too_small(app: &App, frame: &mut Frame<'_>) {
    let lines = [
        format!("tcplife needs {}x{}", layout::LEAST_WIDTH, layout::LEAST_HEIGHT),
        format!("this is {}x{}", app.size.width, app.size.height),
        "q quits".to_owned(),
    ];
    let area = frame.area();
    for (line, row) in lines.into_iter().zip(area.rows()) {
        Line::raw(line).centered().render(row, frame.buffer_mut());
    }
}

/// Groups of spans that belong together, as many from the first on as there is room for, a gap between them.
fn fill<'a>(groups: impl IntoIterator<Item = Vec<Span<'a>>>, gap: usize, width: usize) -> Line<'a> {
    let mut line = Line::default();
    let mut used = 0;
    for group in groups {
        let wide: usize = group.iter().map(Span::width).sum();
        let before = if used == 0 { 0 } else { gap };
        if used + before + wide > width {
            break;
        }
        line.push_span(Span::raw(" ".repeat(before)));
        line.extend(group);
        used += before + wide;
    }
    line
}

/// The same, with an ellipsis where there is more than room.
fn fill_marked(groups: Vec<Vec<Span<'_>>>, gap: usize, width: usize) -> Line<'_> {
    let all = fill(groups.clone(), gap, usize::MAX);
    if all.width() <= width {
        return all;
    }
    let mut line = fill(groups, gap, width.saturating_sub(2));
    line.push_span(Span::styled(" …", theme::QUIET));
    line
}

/// A label and its value.
fn labelled(label: &'static str, value: impl Into<String>) -> Vec<Span<'static>> {
    vec![Span::styled(label, theme::QUIET), Span::raw(" "), Span::raw(value.into())]
}

/// A box with a title in the middle of `area`, emptied, at most `width` by `height`. Returns the room inside.
fn popup(title: &str, width: u16, height: u16, area: Rect, buffer: &mut Buffer) -> Rect {
    let frame = area.centered(
        ratatui::layout::Constraint::Length(width.min(area.width)),
        ratatui::layout::Constraint::Length(height.min(area.height)),
    );
    let block = ratatui::widgets::Block::bordered()
        .title(Span::styled(format!(" {title} "), theme::STRONG))
        .padding(ratatui::widgets::Padding::horizontal(1));
    let inner = block.inner(frame);
    Clear.render(frame, buffer);
    block.render(frame, buffer);
    inner
}

/// A process's name, safe to print.
fn comm(process: &Process) -> String {
    escape::printable(process.comm_bytes()).into_owned()
}
