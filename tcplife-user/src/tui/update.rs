//! What an event does to the screen's state.
//!
//! What comes in: the state and an [`Event`]. What goes out: the changed state and what has to happen next. What always
//! holds: no input, no output, no clock; the cursor stays on its connection wherever the row goes, and on its place
//! when the connection is gone.

use std::sync::Arc;

use ratatui::{
    crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind},
    layout::{Position, Size},
};
use tcplife_core::{
    filter::StateSet,
    state::State,
    view::{Detail, SortKey},
};

use super::{
    app::{App, Overlay, Pane, Stream, Tab, Target, connected_states, natural_direction},
    frame::{Flow, Frame},
    keys::{self, Action, Press},
    layout,
};

/// Longest text filter, in characters.
const LONGEST_TEXT: usize = 64;
/// Rows that one step of the wheel moves.
const WHEEL: usize = 3;

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse was used.
    Mouse(MouseEvent),
    /// The terminal has another size.
    Resize(Size),
    /// New data.
    Data(Arc<Frame>),
    /// A second is over: ages show another number.
    Tick,
}

/// What has to happen after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Wait,
    /// The screen is to be drawn again.
    Draw,
    /// The end.
    Quit,
}

/// Makes of the state what it is after the event.
pub fn update(app: &mut App, event: Event) -> Next {
    match event {
        Event::Key(key) => press(app, key),
        Event::Mouse(mouse) => click(app, mouse),
        Event::Resize(size) => {
            app.size = size;
            keep_in_view(app);
            Next::Draw
        }
        Event::Data(frame) => {
            app.frame = frame;
            follow(app);
            Next::Draw
        }
        Event::Tick if app.flow == Flow::Live => Next::Draw,
        Event::Tick => Next::Wait,
    }
}

fn press(app: &mut App, key: KeyEvent) -> Next {
    if key.is_release() {
        return Next::Wait;
    }
    let press = Press::from(key);
    match (keys::action(app.scope(), press), press, &mut app.overlay) {
        (Some(Action::Quit), ..) => Next::Quit,
        (Some(action), ..) => act(app, action),
        (None, Press { code: KeyCode::Char(c), ctrl: false }, Overlay::Line(text)) => {
            if text.chars().count() < LONGEST_TEXT && !c.is_control() {
                text.push(c);
                requeried(app);
            }
            Next::Draw
        }
        (None, ..) => Next::Wait,
    }
}

fn act(app: &mut App, action: Action) -> Next {
    match (&mut app.overlay, action) {
        (Overlay::Help(_), _) => in_help(app, action),
        (Overlay::Picker(_), _) => in_picker(app, action),
        (Overlay::Line(_), _) => in_line(app, action),
        (Overlay::None, _) => in_tab(app, action),
    }
    Next::Draw
}

fn in_help(app: &mut App, action: Action) {
    let Overlay::Help(top) = &mut app.overlay else { return };
    let page = usize::from(app.size.height / 2);
    match action {
        Action::Up => *top = top.saturating_sub(1),
        Action::Down => *top = top.saturating_add(1),
        Action::PageUp => *top = top.saturating_sub(page),
        Action::PageDown => *top = top.saturating_add(page),
        Action::First => *top = 0,
        Action::Last => *top = usize::MAX,
        _ => app.overlay = Overlay::None,
    }
    if let Overlay::Help(top) = &mut app.overlay {
        *top = (*top).min(super::draw::help::last_top(app.size, &app.frame.health));
    }
}

fn in_picker(app: &mut App, action: Action) {
    let Overlay::Picker(at) = &mut app.overlay else { return };
    let last = State::COUNT - 1;
    match action {
        Action::Up => *at = at.saturating_sub(1),
        Action::Down => *at = (*at + 1).min(last),
        Action::First => *at = 0,
        Action::Last => *at = last,
        Action::Toggle => {
            let mut states: StateSet =
                State::ALL.into_iter().filter(|&state| app.list.shows(state)).collect();
            states.toggle(State::ALL[*at]);
            app.list.states = states;
            requeried(app);
        }
        Action::Only => {
            app.list.states = std::iter::once(State::ALL[*at]).collect();
            app.overlay = Overlay::None;
            requeried(app);
        }
        Action::All => {
            app.list.states = StateSet::default();
            requeried(app);
        }
        _ => app.overlay = Overlay::None,
    }
}

fn in_line(app: &mut App, action: Action) {
    let Overlay::Line(text) = &mut app.overlay else { return };
    match action {
        Action::Apply => {
            app.list.text = std::mem::take(text);
            app.overlay = Overlay::None;
        }
        Action::Clear => {
            app.list.text.clear();
            app.overlay = Overlay::None;
            requeried(app);
        }
        Action::Erase => {
            text.pop();
            requeried(app);
        }
        _ => {}
    }
}

fn in_tab(app: &mut App, action: Action) {
    match action {
        Action::Help => app.overlay = Overlay::Help(0),
        Action::Pause => app.flow = if app.flow == Flow::Live { Flow::Paused } else { Flow::Live },
        Action::NextTab => app.tab = neighbour(app.tab, 1),
        Action::PreviousTab => app.tab = neighbour(app.tab, Tab::ALL.len() - 1),
        Action::Tab(tab) => app.tab = tab,
        _ => match app.tab {
            Tab::Connections => in_connections(app, action),
            Tab::Events => in_events(app, action),
        },
    }
}

fn neighbour(tab: Tab, steps: usize) -> Tab {
    let at = Tab::ALL.iter().position(|&other| other == tab).unwrap_or(0);
    Tab::ALL[(at + steps) % Tab::ALL.len()]
}

fn in_connections(app: &mut App, action: Action) {
    let page = app.visible_rows().max(1);
    let position = app.list.position;
    match action {
        Action::Up => go(app, position.saturating_sub(1)),
        Action::Down => go(app, position.saturating_add(1)),
        Action::PageUp => go(app, position.saturating_sub(page)),
        Action::PageDown => go(app, position.saturating_add(page)),
        Action::First => go(app, 0),
        Action::Last => go(app, usize::MAX),
        Action::Sort => {
            let at = SortKey::ALL.iter().position(|&key| key == app.list.sort).unwrap_or(0);
            app.list.sort = SortKey::ALL[(at + 1) % SortKey::ALL.len()];
            app.list.descending = natural_direction(app.list.sort);
            requeried(app);
        }
        Action::Reverse => {
            app.list.descending = !app.list.descending;
            requeried(app);
        }
        Action::Filter => app.overlay = Overlay::Line(app.list.text.clone()),
        Action::States => app.overlay = Overlay::Picker(State::CloseWait.index()),
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
    } else if !app.list.text.is_empty() {
        app.list.text.clear();
        requeried(app);
    } else if app.setup.filter.states.is_empty() && app.list.states != connected_states() {
        app.list.states = connected_states();
        requeried(app);
    }
}

fn in_events(app: &mut App, action: Action) {
    let (log, page) = (&app.frame.log, app.visible_rows().max(1));
    let top = stream_top(app);
    let top = match action {
        Action::Up => top.saturating_sub(1),
        Action::Down => top.saturating_add(1),
        Action::PageUp => top.saturating_sub(page),
        Action::PageDown => top.saturating_add(page),
        Action::First | Action::Back => 0,
        Action::Last => usize::MAX,
        _ => return,
    };
    let top = top.min(log.len().saturating_sub(page));
    app.stream = match log.get(top) {
        Some(event) if top > 0 => Stream::At(event.number),
        _ => Stream::Newest,
    };
}

/// The first event in view, counted from the newest. One that has been forgotten is the oldest still known.
pub fn stream_top(app: &App) -> usize {
    match app.stream {
        Stream::Newest => 0,
        Stream::At(number) => {
            let last = app.frame.log.len().saturating_sub(app.visible_rows());
            app.frame.log.partition_point(|event| event.number > number).min(last)
        }
    }
}

fn click(app: &mut App, mouse: MouseEvent) -> Next {
    let panels = layout::of(app);
    match (mouse.kind, &app.overlay) {
        (MouseEventKind::ScrollUp, _) => wheel(app, Action::Up),
        (MouseEventKind::ScrollDown, _) => wheel(app, Action::Down),
        (MouseEventKind::Down(MouseButton::Left), Overlay::None) => {
            let place = Position::new(mouse.column, mouse.row);
            let tab = layout::tabs(panels.tabs).iter().position(|tab| tab.contains(place));
            if let Some(tab) = tab {
                app.tab = Tab::ALL[tab];
            } else if let (Tab::Connections, Some(row)) = (app.tab, panels.row_at(mouse.column, mouse.row)) {
                let position = app.list.top + row;
                if app.row(position).is_none() {
                    return Next::Wait;
                }
                go(app, position);
            } else {
                return Next::Wait;
            }
            Next::Draw
        }
        _ => Next::Wait,
    }
}

fn wheel(app: &mut App, action: Action) -> Next {
    if matches!(app.overlay, Overlay::Line(_)) {
        return Next::Wait;
    }
    for _ in 0..WHEEL {
        act(app, action);
    }
    Next::Draw
}

/// Moves the cursor to a position, or as near as there are rows.
fn go(app: &mut App, position: usize) {
    let position = position.min(app.frame.page.matched.saturating_sub(1));
    app.list.position = position;
    app.list.target = match app.row(position) {
        Some(row) => Target::Connection(row.id),
        None => Target::Position,
    };
    if app.list.pane.is_open() {
        app.list.pane = detail_of(app);
    }
    keep_in_view(app);
}

/// Other rows or another order were asked for. A cursor at the top stays there; elsewhere it follows its connection.
fn requeried(app: &mut App) {
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
fn follow(app: &mut App) {
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
            refresh_pane(&mut app.list.pane, page.detail.as_ref());
        }
    }
    app.list.position = app.list.position.min(page.matched.saturating_sub(1));
    if app.list.target == Target::Position
        && is_asked_for(app)
        && let Some(row) = app.row(app.list.position)
    {
        app.list.target = Target::Connection(row.id);
    }
    keep_in_view(app);
}

/// Whether the newest data has the rows and the order that are wanted now; not if it was under way already.
fn is_asked_for(app: &App) -> bool {
    let (asked, list) = (&app.frame.request.query, &app.list);
    let order = asked.sort == list.sort && asked.descending == list.descending;
    order && asked.states == list.states && asked.text == app.text()
}

fn refresh_pane(pane: &mut Pane, newest: Option<&Detail>) {
    if let Some(detail) = newest
        && pane.is_open()
    {
        *pane = Pane::Live(Box::new(detail.clone()));
    } else if let Pane::Live(known) = pane {
        *pane = Pane::Gone(known.clone());
    }
}

/// Scrolls as little as needed for the cursor to be in view.
fn keep_in_view(app: &mut App) {
    let visible = app.visible_rows().max(1);
    let last_top = app.frame.page.matched.saturating_sub(visible);
    let list = &mut app.list;
    let lowest = list.position.saturating_sub(visible - 1);
    list.top = list.top.clamp(lowest, list.position).min(last_top);
}
