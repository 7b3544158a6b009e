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
/// Lines of the detail pane: rule, 3 of facts, head, 4 stays, counts, and what can be done.
const DETAIL_HEIGHT: u16 = 22;
/// Lines of a plot: rule, legend, bars, axis.
const PLOT_HEIGHT: u16 = 16;
/// Lines of the settings that decide about ports: rule and one each.
const SETTINGS_HEIGHT: u16 = 8;
/// From this width on, tabs have their whole names.
const WIDE: u16 = 110;
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
    let detail_height = detail_height(app, rest.height);
    let [body, detail] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(detail_height)]).areas(rest);
    Panels { header, states, moves, tabs, body, detail, footer }
}

/// Lines of what lies below the view.
fn detail_height(app: &App, room: u16) -> u16 {
    let pane = match room.checked_sub(DETAIL_HEIGHT) {
        Some(table) if table >= TABLE_BESIDE_DETAIL => DETAIL_HEIGHT,
        Some(_) | None => room,
    };
    match app.tab {
        Tab::Connections if app.list.pane.is_open() => pane,
        Tab::Leaks if app.leaks.pane.is_open() => pane,
        Tab::Histograms => PLOT_HEIGHT.min(room / 2),
        Tab::TimeWait => SETTINGS_HEIGHT.min(room / 2),
        Tab::Connections | Tab::Leaks | Tab::Events => 0,
    }
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

/// The name of a tab, as long as there is room for.
pub const fn tab_name(tab: Tab, line: Rect) -> &'static str {
    if line.width >= WIDE { tab.name() } else { tab.short_name() }
}

/// The places of the tabs' names, in the order of [`Tab::ALL`].
pub fn tabs(line: Rect) -> [Rect; Tab::ALL.len()] {
    let mut x = line.x;
    Tab::ALL.map(|tab| {
        // " 1 Connections "
        let width = u16::try_from(tab_name(tab, line).len() + 4).unwrap_or(u16::MAX);
        let place = Rect { x, width, ..line }.intersection(line);
        x = x.saturating_add(width);
        place
    })
}
