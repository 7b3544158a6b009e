//! The mouse.

use ratatui::{
    crossterm::event::{MouseButton, MouseEvent, MouseEventKind},
    layout::Position,
};

use super::{Next, act, list, list::requeried, pane, views};
use crate::tui::{
    app::{App, Overlay, Tab, natural_direction},
    draw::table,
    keys::Action,
    layout,
};

/// Rows that one step of the wheel moves.
const WHEEL: usize = 3;

/// A click or a step of the wheel.
pub(super) fn click(app: &mut App, mouse: MouseEvent) -> Next {
    let panels = layout::of(app);
    match (mouse.kind, &app.overlay) {
        (MouseEventKind::ScrollUp, _) => wheel(app, mouse, Action::Up),
        (MouseEventKind::ScrollDown, _) => wheel(app, mouse, Action::Down),
        (MouseEventKind::Down(MouseButton::Left), Overlay::None) => {
            let place = Position::new(mouse.column, mouse.row);
            let tab = layout::tabs(panels.tabs).iter().position(|tab| tab.contains(place));
            if let Some(tab) = tab {
                super::open(app, Tab::ALL[tab]);
            } else if let Some(row) = panels.row_at(mouse.column, mouse.row) {
                return pick(app, row);
            } else if app.tab == Tab::Connections && panels.body.contains(place) {
                return sort_at(app, usize::from(mouse.column));
            } else {
                return Next::Wait;
            }
            Next::Draw
        }
        _ => Next::Wait,
    }
}

fn wheel(app: &mut App, mouse: MouseEvent, action: Action) -> Next {
    if matches!(app.overlay, Overlay::Line(_)) {
        return Next::Wait;
    }
    let is_over_detail = layout::of(app).detail.contains(Position::new(mouse.column, mouse.row));
    if app.overlay == Overlay::None && pane::open(app).is_some() && is_over_detail {
        pane::step(app, action, WHEEL);
        return Next::Draw;
    }
    for _ in 0..WHEEL {
        act(app, action);
    }
    Next::Draw
}

/// Selects the row of a view, counted from the first in view.
fn pick(app: &mut App, row: usize) -> Next {
    if app.tab != Tab::Connections {
        return if views::pick(app, row) { Next::Draw } else { Next::Wait };
    }
    let position = app.list.top + row;
    if position >= app.rows() || (!app.is_grouped() && app.row(position).is_none()) {
        return Next::Wait;
    }
    list::go(app, position);
    Next::Draw
}

/// Sorts by the column whose head is there; a second time turns the order round.
fn sort_at(app: &mut App, x: usize) -> Next {
    let Some(key) = table::sort_key_at(app, x) else { return Next::Wait };
    if app.list.sort == key {
        app.list.descending = !app.list.descending;
    } else {
        app.list.sort = key;
        app.list.descending = natural_direction(key);
    }
    requeried(app);
    Next::Draw
}
