//! Keys and new data in the views whose lines are all there: leaks, histograms, local ports, events.

use tcplife_core::view::{Row, row_of};

use super::list;
use crate::{
    stays::By,
    tui::{
        app::{App, Cursor, Overlay, Stream, Tab},
        keys::Action,
        lines::{self, LeakLine},
    },
};

/// Moves a cursor as a key asks; whether the key is one that moves.
fn moved(cursor: &mut Cursor, action: Action, lines: usize, page: usize) -> bool {
    let at = match action {
        Action::Up => cursor.at.saturating_sub(1),
        Action::Down => cursor.at.saturating_add(1),
        Action::PageUp => cursor.at.saturating_sub(page),
        Action::PageDown => cursor.at.saturating_add(page),
        Action::First => 0,
        Action::Last => usize::MAX,
        _ => return false,
    };
    cursor.go(at, lines, page);
    true
}

/// A key in the view of leaks.
pub(super) fn in_leaks(app: &mut App, action: Action) {
    let (lines, page) = (lines::count(app), app.visible_rows().max(1));
    if moved(&mut app.leaks.cursor, action, lines, page) {
        if app.leaks.open.is_some() {
            app.leaks.open = selected_leak(app).map(|row| row.id);
        }
        return;
    }
    match action {
        Action::Back if app.leaks.open.is_some() => app.leaks.open = None,
        Action::Back => app.leaks.unfolded.clear(),
        Action::CopyRow | Action::CopyKill => {
            let row = selected_leak(app);
            list::copy(app, row.as_ref(), action);
        }
        Action::Open => open_leak(app),
        _ => {}
    }
    follow(app);
}

/// Unfolds the group under the cursor or folds it; opens the timeline of the socket, or closes it.
fn open_leak(app: &mut App) {
    let frame = app.frame.clone();
    match lines::leaks(&frame.leaks, &app.leaks).get(app.leaks.cursor.at) {
        Some(LeakLine::Group(group)) => {
            let pid = lines::pid(group.process);
            if !app.leaks.unfolded.remove(&pid) {
                app.leaks.unfolded.insert(pid);
            }
        }
        Some(LeakLine::Socket(suspect)) => {
            let id = suspect.connection.id();
            app.leaks.open = if app.leaks.open == Some(id) { None } else { Some(id) };
        }
        None => {}
    }
}

/// The socket under the cursor.
fn selected_leak(app: &App) -> Option<Row> {
    match lines::leaks(&app.frame.leaks, &app.leaks).get(app.leaks.cursor.at)? {
        LeakLine::Group(_) => None,
        LeakLine::Socket(suspect) => {
            Some(row_of(&suspect.connection, suspect.owner, app.setup.leak_after, app.frame.now))
        }
    }
}

/// A key in the view of histograms.
pub(super) fn in_stays(app: &mut App, action: Action) {
    let (lines, page) = (lines::count(app), app.visible_rows().max(1));
    if moved(&mut app.stays.cursor, action, lines, page) {
        return;
    }
    match action {
        Action::Group => {
            app.stays.by = match app.stays.by {
                None => By::ALL.first().copied(),
                Some(by) => By::ALL.into_iter().skip_while(|&other| other != by).nth(1),
            };
            app.stays.cursor = Cursor::default();
        }
        Action::Back => app.stays.by = None,
        _ => {}
    }
}

/// A key in the view of local ports.
pub(super) fn in_ports(app: &mut App, action: Action) {
    let (lines, page) = (lines::count(app), app.visible_rows().max(1));
    moved(&mut app.ports, action, lines, page);
}

/// New data, or another size: the cursors stay where there are lines.
pub(super) fn follow(app: &mut App) {
    let (lines, page) = (lines::count(app), app.visible_rows().max(1));
    let cursor = match app.tab {
        Tab::Leaks => &mut app.leaks.cursor,
        Tab::Histograms => &mut app.stays.cursor,
        Tab::TimeWait => &mut app.ports,
        Tab::Connections | Tab::Events => return,
    };
    cursor.go(cursor.at, lines, page);
}

/// A key in the view of events.
pub(super) fn in_events(app: &mut App, action: Action) {
    let page = app.visible_rows().max(1);
    let top = stream_top(app);
    let top = match action {
        Action::Filter => {
            app.overlay = Overlay::Line(app.list.text.clone());
            return;
        }
        Action::Back if top == 0 && !app.list.text.is_empty() => {
            app.list.text.clear();
            return;
        }
        Action::Up => top.saturating_sub(1),
        Action::Down => top.saturating_add(1),
        Action::PageUp => top.saturating_sub(page),
        Action::PageDown => top.saturating_add(page),
        Action::First | Action::Back => 0,
        Action::Last => usize::MAX,
        _ => return,
    };
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
