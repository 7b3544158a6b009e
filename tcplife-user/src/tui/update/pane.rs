//! Scrolling in the detail of a connection.

use tcplife_core::connection::ConnId;

use crate::tui::{
    app::{App, Tab},
    draw::detail,
    keys::Action,
    layout,
};

/// Whose detail is open, if one is.
pub(super) fn open(app: &App) -> Option<ConnId> {
    match app.tab {
        Tab::Connections if app.list.pane.is_open() => app.list.selected(),
        Tab::Leaks => app.leaks.pane.detail().map(|detail| detail.row.id),
        _ => None,
    }
}

/// Scrolls as a key asks; whether the key is one that scrolls. Where the detail leaves rows in view beside it, a step up or
/// down is one to another row.
pub(super) fn moved(app: &mut App, action: Action) -> bool {
    if open(app).is_none() {
        return false;
    }
    let panels = layout::of(app);
    let is_alone = panels.rows() == 0;
    if !is_alone && !matches!(action, Action::PageUp | Action::PageDown) {
        return false;
    }
    let top = action.destination(app.detail_top, detail::room(panels.detail).max(1));
    if let Some(top) = top {
        go(app, top);
    }
    top.is_some()
}

/// Scrolls by some lines.
pub(super) fn step(app: &mut App, action: Action, lines: usize) {
    let top = match action {
        Action::Up => app.detail_top.saturating_sub(lines),
        _ => app.detail_top.saturating_add(lines),
    };
    go(app, top);
}

fn go(app: &mut App, top: usize) {
    app.detail_top = top.min(detail::last_top(app));
}
