//! Keys and new data in the view of connections.

use std::sync::Arc;

use tcplife_core::{
    state::State,
    view::{GroupBy, Row, SortKey},
};

use crate::{
    netns,
    tui::{
        app::{App, Overlay, Tab, Target, first_states, natural_direction},
        copy,
        keys::Action,
        lines::LeakKey,
        pane::Pane,
        text,
    },
};

/// A key in the view of connections.
pub(super) fn in_connections(app: &mut App, action: Action) {
    let page = app.visible_rows().max(1);
    if let Some(position) = action.destination(app.list.position, page) {
        return go(app, position);
    }
    match action {
        Action::Sort | Action::Reverse if app.list.group.is_some() => {
            // It would change the order of rows that are not in view.
            app.notice = Some("groups are in order of suspects, then of connections".to_owned());
        }
        Action::Sort => {
            let at = SortKey::ALL.iter().position(|&key| key == app.list.sort).unwrap_or(0);
            app.list.sort = SortKey::ALL[(at + 1) % SortKey::ALL.len()];
            app.list.descending = natural_direction(app.list.sort);
            reordered(app);
        }
        Action::Reverse => {
            app.list.descending = !app.list.descending;
            reordered(app);
        }
        Action::States => app.overlay = Overlay::Picker(State::CloseWait.index()),
        Action::Group => {
            app.list.group = match app.list.group {
                None => GroupBy::ALL.first().copied(),
                Some(by) => GroupBy::ALL.into_iter().skip_while(|&other| other != by).nth(1),
            };
            restart(app);
        }
        Action::CopyRow | Action::CopyKill => {
            let position = app.list.position;
            let row = app.row(position).cloned();
            copy(app, row.as_ref(), action);
        }
        Action::Open if app.is_grouped() => unfold(app),
        Action::Open if app.list.pane.is_open() => back(app),
        Action::Open if app.list.selected().is_some() => {
            app.list.pane = detail_of(app);
            keep_in_view(app);
        }
        Action::Back => back(app),
        _ => {}
    }
}

/// Closes what was opened last: the detail, then the filters.
fn back(app: &mut App) {
    if app.list.pane.is_open() {
        app.list.pane = Pane::Closed;
        follow(app);
    } else if app.list.group.is_some() {
        app.list.group = None;
        restart(app);
    } else if !app.list.text.is_empty() {
        app.list.text.clear();
        requeried(app);
    } else if app.list.states != first_states(&app.setup.filter) {
        app.list.states = first_states(&app.setup.filter);
        requeried(app);
    }
}

/// Moves the cursor to a position, or as near as there are rows.
pub(super) fn go(app: &mut App, position: usize) {
    let position = position.min(app.rows().saturating_sub(1));
    app.list.position = position;
    app.list.target = target_at(app, position);
    if app.list.pane.is_open() {
        app.list.pane = detail_of(app);
    }
    keep_in_view(app);
}

/// What there is at a position, as far as it is known.
fn target_at(app: &App, position: usize) -> Target {
    if app.is_grouped() {
        let group = app.frame.page.groups.get(position);
        return group.map_or(Target::Position, |group| Target::Group(group.key));
    }
    app.row(position).map_or(Target::Position, |row| Target::Connection(row.id))
}

/// Shows the connections of the group under the cursor.
fn unfold(app: &mut App) {
    let Some(group) = app.frame.page.groups.get(app.list.position) else { return };
    let text = format!("{} {}", app.list.text, group.key.term());
    text.trim().clone_into(&mut app.list.text);
    app.list.group = None;
    restart(app);
}

/// Other lines are on their way: the cursor will be at the top of them.
fn restart(app: &mut App) {
    app.list.pane = Pane::Closed;
    app.list.target = Target::Position;
    app.list.position = 0;
    app.list.top = 0;
}

/// Copies a row, or the command that ends its connection.
pub(super) fn copy(app: &mut App, row: Option<&Row>, action: Action) {
    let Some(row) = row else {
        let is_group = match app.tab {
            Tab::Leaks => matches!(app.leaks.cursor.on, Some(LeakKey::Group(_))),
            _ => app.is_grouped() && app.rows() > 0,
        };
        if is_group {
            app.notice = Some("a group: choose one of its rows, Enter shows them".to_owned());
        }
        return;
    };
    let text = match action {
        Action::CopyKill => {
            let process = row.owner.map(|owner| owner.process.pid);
            netns::inside(app.setup.netns, row.netns, process)
                .ok_or_else(|| format!("no way into its network namespace {} is known", row.netns))
                .and_then(|inside| copy::kill(row, &inside).map_err(str::to_owned))
        }
        _ => Ok(copy::row(row, app.clock(app.frame.now))),
    };
    match &text {
        Ok(text) => show_copied(app, text),
        Err(why_not) => app.notice = Some(why_not.clone()),
    }
    app.clipboard = text.ok();
}

/// Shows all of what was copied: a terminal that copies nothing does not say so, and it can be typed then.
fn show_copied(app: &mut App, copied: &str) {
    let notice = format!("copied: {copied}");
    if text::columns(&notice) <= usize::from(app.size.width) {
        app.notice = Some(notice);
    } else {
        app.overlay = Overlay::Copied(copied.to_owned());
    }
}

/// Another order was asked for. The heading that would show it may have no room.
fn reordered(app: &mut App) {
    let arrow = if app.list.descending { "▼" } else { "▲" };
    app.notice = Some(format!("sorted by {} {arrow}", app.list.sort.name()));
    requeried(app);
}

/// Other rows or another order were asked for. A cursor at the top stays there; elsewhere it follows its connection.
pub(super) fn requeried(app: &mut App) {
    if app.list.position == 0 {
        app.list.target = Target::Position;
    }
}

/// The detail of the selected connection, as far as the newest data has it; what was open stays until then.
fn detail_of(app: &mut App) -> Pane {
    let selected = app.list.selected();
    match &app.frame.page.detail {
        Some(detail) if Some(detail.row.id) == selected => Pane::Live(Box::new(detail.clone())),
        _ if app.list.pane.is_open() => std::mem::take(&mut app.list.pane),
        _ => Pane::Waiting,
    }
}

/// Finds the cursor's place in new data.
pub(super) fn follow(app: &mut App) {
    let frame = Arc::clone(&app.frame);
    let (page, asked) = (&frame.page, &frame.request.query);
    if let Target::Connection(id) = app.list.target {
        let loaded = page.rows.iter().position(|row| row.id == id).map(|row| asked.offset + row);
        let is_answer = asked.selected == Some(id);
        match loaded.or(page.selected.filter(|_| is_answer)) {
            Some(position) => app.list.position = position,
            None if is_answer && !app.list.pane.is_open() => app.list.target = Target::Position,
            // An answer that was under way when the cursor moved, or a connection whose detail is being read.
            None => {}
        }
        if is_answer {
            app.list.pane.refresh(page.detail.clone(), frame.now);
        }
    }
    if let Target::Group(key) = app.list.target
        && let Some(position) = page.groups.iter().position(|group| group.key == key)
    {
        app.list.position = position;
    }
    app.list.position = app.list.position.min(app.rows().saturating_sub(1));
    if app.list.target == Target::Position && is_asked_for(app) {
        app.list.target = target_at(app, app.list.position);
    }
    keep_in_view(app);
}

/// Whether the newest data has the rows and the order that are wanted now; not if it was under way already.
fn is_asked_for(app: &App) -> bool {
    let (asked, list) = (&app.frame.request.query, &app.list);
    let order = asked.sort == list.sort && asked.descending == list.descending;
    order && asked.group == list.group && asked.states == list.states && asked.text == app.text()
}

/// Scrolls as little as needed for the cursor to be in view.
pub(super) fn keep_in_view(app: &mut App) {
    let visible = app.visible_rows().max(1);
    let last_top = app.rows().saturating_sub(visible);
    let list = &mut app.list;
    let lowest = list.position.saturating_sub(visible - 1);
    list.top = list.top.clamp(lowest, list.position).min(last_top);
}
