//! The last line: the keys that matter most now, or the text that is typed.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    text::{Line, Span},
    widgets::Widget,
};

use super::fill;
use crate::tui::{
    app::{App, Overlay, Tab},
    keys::{self, Action, Binding},
    text, theme,
};

/// What stands before the text that is typed.
const PROMPT: &str = "filter: ";
/// Columns of the text that are always in view.
const LEAST_TEXT: usize = 12;

/// Draws the footer.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let detail = app.list.pane.is_open() && app.tab == Tab::Connections;
    let hint = |binding: &Binding| match binding.action {
        Action::Open if detail => Some(("Esc", "close")),
        _ => binding.hint,
    };
    let hints = keys::of(app.scope()).filter_map(hint).map(|(key, word)| {
        vec![Span::styled(key, theme::STRONG), Span::styled(format!(" {word}"), theme::QUIET)]
    });
    match &app.overlay {
        Overlay::Line(typed) => {
            // What is wrong with the text takes the place of the keys.
            let right = match app.problem() {
                Some(problem) => {
                    let room = usize::from(area.width).saturating_sub(PROMPT.len() + LEAST_TEXT);
                    let words = text::cut(&format!("! {problem}"), room);
                    Line::styled(words, app.setup.theme.alarm())
                }
                None => fill(hints, 2, usize::from(area.width)),
            };
            let room = usize::from(area.width).saturating_sub(right.width() + PROMPT.len() + 2);
            right.right_aligned().render(area, buffer);
            let line = format!("{PROMPT}{}", tail(typed, room));
            Span::styled(line, theme::STRONG).render(area, buffer);
        }
        Overlay::None if app.notice.is_some() => {
            let notice = app.notice.as_deref().unwrap_or_default();
            Span::styled(text::cut(notice, usize::from(area.width)), theme::STRONG).render(area, buffer);
        }
        Overlay::None | Overlay::Help(_) | Overlay::Picker(_) => {
            fill(hints, 2, usize::from(area.width)).render(area, buffer);
        }
    }
}

/// Where the cursor is while a text is typed.
pub fn cursor(app: &App, area: Rect) -> Option<Position> {
    let Overlay::Line(typed) = &app.overlay else { return None };
    let after = PROMPT.len() + text::columns(typed);
    let x = area.x.saturating_add(u16::try_from(after).unwrap_or(u16::MAX));
    Some(Position::new(x.min(area.right().saturating_sub(1)), area.y))
}

/// As much of the end of the text as there is room for.
fn tail(typed: &str, room: usize) -> &str {
    let starts = typed.char_indices().map(|(at, _)| at).chain([typed.len()]);
    let fits = |at: &usize| typed.get(*at..).is_some_and(|rest| text::columns(rest) <= room);
    starts.into_iter().find(fits).and_then(|at| typed.get(at..)).unwrap_or_default()
}
