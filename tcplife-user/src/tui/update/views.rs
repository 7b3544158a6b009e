//! Keys and new data in the views whose lines are all there: leaks, histograms, local ports, events.

use tcplife_core::{
    connection::ConnId,
    view::{Detail, detail_of},
};

use super::list;
use crate::{
    stays::By,
    tui::{
        app::{App, StaysTab, Stream, Tab},
        cursor::Cursor,
        keys::Action,
        lines::{self, LeakKey},
        pane::Pane,
    },
};

/// Moves a cursor as a key asks; whether the key is one that moves.
fn moved<K: Copy + PartialEq>(cursor: &mut Cursor<K>, action: Action, lines: &[K], page: usize) -> bool {
    let at = action.destination(cursor.at, page);
    if let Some(at) = at {
        cursor.go(at, lines, page);
    }
    at.is_some()
}

/// A key in the view of leaks.
pub(super) fn in_leaks(app: &mut App, action: Action) {
    let (lines, page) = (lines::leak_keys(app), app.visible_rows().max(1));
    if moved(&mut app.leaks.cursor, action, &lines, page) {
        if app.leaks.pane.is_open() {
            app.leaks.pane = selected_leak(app).map_or(Pane::Closed, |id| leak_pane(app, id));
        }
        return;
    }
    match action {
        Action::Back if app.leaks.pane.is_open() => app.leaks.pane = Pane::Closed,
        Action::Back => app.leaks.unfolded.clear(),
        Action::CopyRow | Action::CopyKill => copy_leak(app, action),
        Action::Open => open_leak(app),
        _ => {}
    }
    follow(app);
}

/// Unfolds the group under the cursor or folds it; opens the timeline of the socket, or closes it.
fn open_leak(app: &mut App) {
    match app.leaks.cursor.on {
        Some(LeakKey::Group(pid)) if app.leaks.unfolded.remove(&pid) => {}
        Some(LeakKey::Group(pid)) => drop(app.leaks.unfolded.insert(pid)),
        Some(LeakKey::Socket(_)) if app.leaks.pane.is_open() => app.leaks.pane = Pane::Closed,
        Some(LeakKey::Socket(id)) => app.leaks.pane = leak_pane(app, id),
        None => {}
    }
}

/// Copies what the pane shows, or else what is under the cursor: never another socket's row than the one that is read.
fn copy_leak(app: &mut App, action: Action) {
    if let (Pane::Gone(..), Action::CopyKill) = (&app.leaks.pane, action) {
        app.notice = Some("it is closed already: nothing to end".to_owned());
        return;
    }
    let shown = app.leaks.pane.detail().map(|detail| detail.row.clone());
    let row = shown.or_else(|| leak_detail(app, selected_leak(app)?).map(|detail| detail.row));
    list::copy(app, row.as_ref(), action);
}

/// The socket under the cursor.
const fn selected_leak(app: &App) -> Option<ConnId> {
    match app.leaks.cursor.on {
        Some(LeakKey::Socket(id)) => Some(id),
        Some(LeakKey::Group(_)) | None => None,
    }
}

/// A suspect's timeline as it is now, and was at its end; before that is known, as of the moment at which the kernel was asked.
fn leak_detail(app: &App, id: ConnId) -> Option<Detail> {
    let (detail, leaks) = (&app.frame.page.detail, &app.frame.leaks);
    if let Some(detail) = detail.as_ref().filter(|detail| detail.row.id == id) {
        return Some(detail.clone());
    }
    let suspect = leaks.of(id)?;
    Some(detail_of(&suspect.connection, suspect.owner, app.setup.leak_after, leaks.at))
}

fn leak_pane(app: &App, id: ConnId) -> Pane {
    leak_detail(app, id).map_or(Pane::Closed, |detail| Pane::Live(Box::new(detail)))
}

/// A key in the view of histograms.
pub(super) fn in_stays(app: &mut App, action: Action) {
    let (lines, page) = (lines::stay_keys(app), app.visible_rows().max(1));
    if moved(&mut app.stays.cursor, action, &lines, page) {
        return;
    }
    let by = match action {
        Action::Group => match app.stays.by {
            None => By::ALL.first().copied(),
            Some(by) => By::ALL.into_iter().skip_while(|&other| other != by).nth(1),
        },
        Action::Back => None,
        _ => return,
    };
    app.stays = StaysTab { by, ..StaysTab::default() };
}

/// A key in the view of local ports.
pub(super) fn in_ports(app: &mut App, action: Action) {
    let (lines, page) = (lines::port_keys(app), app.visible_rows().max(1));
    moved(&mut app.ports, action, &lines, page);
}

/// New data, or another size: the cursors stay on what they are on.
pub(super) fn follow(app: &mut App) {
    // Leaks are told whatever view is open.
    if app.tab != Tab::Leaks && !app.is_answered() {
        return;
    }
    let page = app.visible_rows().max(1);
    match app.tab {
        Tab::Leaks => follow_leaks(app, page),
        Tab::Histograms => {
            let lines = lines::stay_keys(app);
            app.stays.cursor.follow(&lines, page);
        }
        Tab::TimeWait => {
            let lines = lines::port_keys(app);
            app.ports.follow(&lines, page);
        }
        Tab::Connections | Tab::Events => {}
    }
}

fn follow_leaks(app: &mut App, page: usize) {
    let lines = lines::leak_keys(app);
    let Some(id) = app.leaks.pane.detail().map(|detail| detail.row.id) else {
        return app.leaks.cursor.follow(&lines, page);
    };
    let newest = leak_detail(app, id);
    app.leaks.pane.refresh(newest, app.frame.now);
    // While one that is gone is being read, the cursor does not go to another.
    if lines.contains(&LeakKey::Socket(id)) {
        app.leaks.cursor.follow(&lines, page);
    } else {
        let cursor = &mut app.leaks.cursor;
        cursor.top = cursor.top.min(lines.len().saturating_sub(page));
    }
}

/// Selects a line of a view, counted from the first in view; whether there is one.
pub(super) fn pick(app: &mut App, row: usize) -> bool {
    fn go<K: Copy + PartialEq>(cursor: &mut Cursor<K>, row: usize, lines: &[K], page: usize) -> bool {
        let at = cursor.top + row;
        if at < lines.len() {
            cursor.go(at, lines, page);
        }
        at < lines.len()
    }
    let page = app.visible_rows().max(1);
    match app.tab {
        Tab::Leaks => {
            let lines = lines::leak_keys(app);
            let is_there = go(&mut app.leaks.cursor, row, &lines, page);
            if is_there && app.leaks.pane.is_open() {
                app.leaks.pane = selected_leak(app).map_or(Pane::Closed, |id| leak_pane(app, id));
            }
            is_there
        }
        Tab::Histograms => {
            let lines = lines::stay_keys(app);
            go(&mut app.stays.cursor, row, &lines, page)
        }
        Tab::TimeWait => {
            let lines = lines::port_keys(app);
            go(&mut app.ports, row, &lines, page)
        }
        Tab::Connections | Tab::Events => false,
    }
}

/// A key in the view of events.
pub(super) fn in_events(app: &mut App, action: Action) {
    let page = app.visible_rows().max(1);
    let top = stream_top(app);
    let top = match action {
        Action::Back if top == 0 && !app.list.text.is_empty() => {
            app.list.text.clear();
            return;
        }
        Action::Back => Some(0),
        _ => action.destination(top, page),
    };
    let Some(top) = top else { return };
    let top = top.min(app.frame.log().len().saturating_sub(page));
    app.stream = match app.frame.log().get(top) {
        Some(event) if top > 0 => Stream::At(event.number),
        _ => Stream::Newest,
    };
}

/// The first event in view, counted from the newest. One that has been forgotten is the oldest still known.
pub fn stream_top(app: &App) -> usize {
    match app.stream {
        Stream::Newest => 0,
        Stream::At(number) => {
            let last = app.frame.log().len().saturating_sub(app.visible_rows());
            app.frame.log().partition_point(|event| event.number > number).min(last)
        }
    }
}
