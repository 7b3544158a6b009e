//! The list of states to choose from.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::Widget,
};
use tcplife_core::state::State;

use super::{cells, popup};
use crate::tui::{app::App, text, theme};

/// Draws the list with the cursor on state number `at`.
pub fn draw(app: &App, at: usize, buffer: &mut Buffer) {
    let theme = app.setup.theme;
    let screen = Rect::new(0, 0, app.size.width, app.size.height.saturating_sub(1));
    let height = cells::extent(State::COUNT + 2);
    let inner = popup("States to show", 34, height, screen, buffer);
    for (n, (state, place)) in State::ALL.into_iter().zip(inner.rows()).enumerate() {
        let shown = if app.list.shows(state) { "[x]" } else { "[ ]" };
        let count = text::count(app.frame.totals.live[state.index()]);
        let line = Line::from(vec![
            Span::raw(format!("{shown} ")),
            Span::styled(format!("{:<14}", state.upper()), theme.state(state)),
            Span::raw(format!("{count:>10} ")),
        ]);
        line.render(place, buffer);
        if n == at {
            buffer.set_style(place, theme::SELECTED);
        }
    }
}
