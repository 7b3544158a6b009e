//! Where each panel is.
//!
//! What comes in: the size of the terminal and what is open. What goes out: rectangles, the same for drawing as for
//! the mouse and for moving by a screen. What always holds: panels do not overlap and are within the terminal.

use ratatui::layout::{Constraint, Layout, Position, Rect};

use super::app::{App, Tab};

/// The smallest terminal that makes sense.
pub const LEAST_WIDTH: u16 = 60;
/// See [`LEAST_WIDTH`].
pub const LEAST_HEIGHT: u16 = 15;
/// Lines of the detail pane: rule, 3 of facts, head, 7 stays, counts.
const DETAIL_HEIGHT: u16 = 13;
/// Lines of the table that stay in view next to the detail pane, its head included.
const TABLE_BESIDE_DETAIL: u16 = 5;

/// The panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panels {
    /// Program, host, health.
    pub header: Rect,
    /// Counts per state.
    pub states: Rect,
    /// Moves per second.
    pub moves: Rect,
    /// Tabs, and what is selected.
    pub tabs: Rect,
    /// The view, with its column heads.
    pub body: Rect,
    /// The detail pane; empty when it is closed.
    pub detail: Rect,
    /// Keys, or the line that is typed.
    pub footer: Rect,
}

/// Whether the terminal has room for the panels.
pub const fn is_large_enough(app: &App) -> bool {
    app.size.width >= LEAST_WIDTH && app.size.height >= LEAST_HEIGHT
}

/// The panels for what is open now.
pub fn of(app: &App) -> Panels {
    let screen = Rect::new(0, 0, app.size.width, app.size.height);
    let line = Constraint::Length(1);
    let [header, states, moves, tabs, rest, footer] =
        Layout::vertical([line, line, line, line, Constraint::Min(0), line]).areas(screen);
    let shows_detail = app.tab == Tab::Connections && app.list.pane.is_open();
    let detail_height = match rest.height.checked_sub(DETAIL_HEIGHT) {
        _ if !shows_detail => 0,
        Some(table) if table >= TABLE_BESIDE_DETAIL => DETAIL_HEIGHT,
        Some(_) | None => rest.height,
    };
    let [body, detail] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(detail_height)]).areas(rest);
    Panels { header, states, moves, tabs, body, detail, footer }
}

impl Panels {
    /// Rows of the view, without its column heads.
    pub fn rows(&self) -> usize {
        usize::from(self.body.height.saturating_sub(1))
    }

    /// The row of the view at a place on the screen, counted from the first in view.
    pub fn row_at(&self, column: u16, line: u16) -> Option<usize> {
        let is_inside = self.body.contains(Position::new(column, line));
        let row = line.checked_sub(self.body.y.saturating_add(1))?;
        is_inside.then_some(usize::from(row))
    }
}

/// The places of the tabs' names, in the order of [`Tab::ALL`].
pub fn tabs(line: Rect) -> [Rect; Tab::ALL.len()] {
    let mut x = line.x;
    Tab::ALL.map(|tab| {
        // " 1 Connections "
        let width = u16::try_from(tab.name().len() + 4).unwrap_or(u16::MAX);
        let place = Rect { x, width, ..line }.intersection(line);
        x = x.saturating_add(width);
        place
    })
}
