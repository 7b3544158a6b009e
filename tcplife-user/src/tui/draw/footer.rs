//! The last line: the keys that matter most now, or the text that is typed.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    text::{Line, Span},
    widgets::Widget,
};

use super::{cells, fill};
use crate::tui::{
    app::{App, Overlay, Tab},
    keys::{self, Action, Binding},
    text, theme,
};

/// What stands before the text that is typed.
const PROMPT: &str = "filter: ";
/// Columns of the text that are in view whatever is wrong with it.
const LEAST_TEXT: usize = 12;
/// Columns of the cursor after the text, and of what keeps it apart from what stands at the right.
const CURSOR: usize = 1;
const GAP: usize = 1;

/// Draws the footer.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width);
    match &app.overlay {
        Overlay::Line(text) => {
            let typed = typed(app, text, width);
            typed.right.right_aligned().render(area, buffer);
            Span::styled(format!("{PROMPT}{}", typed.shown), theme::STRONG).render(area, buffer);
        }
        Overlay::None if app.notice.is_some() => {
            let notice = app.notice.as_deref().unwrap_or_default();
            Span::styled(text::cut(notice, width), theme::STRONG).render(area, buffer);
        }
        Overlay::None | Overlay::Help(_) | Overlay::Picker(_) | Overlay::Copied(_) => {
            hints(app, width).render(area, buffer);
        }
    }
}

/// Where the cursor is while a text is typed.
pub fn cursor(app: &App, area: Rect) -> Option<Position> {
    let Overlay::Line(text) = &app.overlay else { return None };
    let column = typed(app, text, usize::from(area.width)).cursor;
    let x = area.x.saturating_add(cells::extent(column));
    Some(Position::new(x.min(area.right().saturating_sub(1)), area.y))
}

/// The keys that matter most now, as many as there is room for.
fn hints(app: &App, width: usize) -> Line<'static> {
    let detail = app.list.pane.is_open() && app.tab == Tab::Connections;
    let hint = |binding: &Binding| match binding.action {
        Action::Open if detail => Some(("Esc", "close")),
        _ => binding.hint,
    };
    let hints = keys::of(app.scope()).filter_map(hint).map(|(key, word)| {
        vec![Span::styled(key, theme::STRONG), Span::styled(format!(" {word}"), theme::QUIET)]
    });
    fill(hints, 2, width)
}

/// The line that is typed, as it is shown.
struct Typed {
    /// The text, or its end where there is no room for all of it.
    shown: String,
    /// The column of the cursor, counted from the prompt's first.
    cursor: usize,
    /// What stands at the right.
    right: Line<'static>,
}

/// Parts `width` columns among the text, the cursor after it, and what stands at the right.
fn typed(app: &App, text: &str, width: usize) -> Typed {
    let room = width.saturating_sub(PROMPT.len() + CURSOR);
    let right = match app.notice.clone().or_else(|| app.problem()) {
        // What is wrong with the text takes the place of the keys, and of some of the text.
        Some(wrong) => {
            let least = text::columns(text).min(LEAST_TEXT);
            let words = text::cut(&format!("! {wrong}"), room.saturating_sub(least + GAP));
            Line::styled(words, app.setup.theme.alarm())
        }
        None => hints(app, room.saturating_sub(text::columns(text) + GAP)),
    };
    let taken = match right.width() {
        0 => 0,
        wide => wide + GAP,
    };
    let shown = tail(text, room.saturating_sub(taken));
    let cursor = PROMPT.len() + text::columns(&shown);
    Typed { shown, cursor, right }
}

/// The last `width` columns of `text`; where something is missing, the first column is an ellipsis.
fn tail(text: &str, width: usize) -> String {
    if text::columns(text) <= width {
        return text.to_owned();
    }
    let Some(room) = width.checked_sub(1) else { return String::new() };
    let mut rests = text.char_indices().filter_map(|(at, _)| text.get(at..));
    format!("…{}", rests.find(|rest| text::columns(rest) <= room).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_text_is_shown_behind_an_ellipsis() {
        for (width, shown) in
            [(6, "服务ab"), (5, "…务ab"), (4, "…ab"), (3, "…ab"), (2, "…b"), (1, "…"), (0, "")]
        {
            assert_eq!(tail("服务ab", width), shown, "{width}");
        }
    }
}
