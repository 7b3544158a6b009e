//! What an event does to the screen's state.
//!
//! What comes in: the state and an [`Event`]. What goes out: the changed state and what has to happen next. What always
//! holds: no input, no output, no clock; the cursor stays on its connection wherever the row goes, and on its place
//! when the connection is gone.

mod list;
mod mouse;
mod pane;
mod views;

use std::sync::Arc;

use ratatui::{
    crossterm::event::{KeyCode, KeyEvent, MouseEvent},
    layout::Size,
};
use tcplife_core::{filter::StateSet, state::State};

use super::{
    app::{App, Overlay, Tab},
    frame::{Flow, Frame},
    keys::{self, Action, Press},
};
use crate::escape;
use list::{in_connections, keep_in_view, requeried};
pub use views::stream_top;
use views::{in_events, in_leaks, in_ports, in_stays};

/// Longest text filter, in characters.
const LONGEST_TEXT: usize = 256;

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// A text was pasted.
    Paste(String),
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
    /// The process is to stop, and the shell to have the terminal.
    Stop,
    /// The end.
    Quit,
}

/// Makes of the state what it is after the event.
pub fn update(app: &mut App, event: Event) -> Next {
    let open = pane::open(app);
    let next = happened(app, event);
    if pane::open(app) != open {
        app.detail_top = 0;
    }
    next
}

fn happened(app: &mut App, event: Event) -> Next {
    match event {
        Event::Key(key) => press(app, key),
        Event::Paste(text) => paste(app, &text),
        Event::Mouse(mouse) => mouse::click(app, mouse),
        Event::Resize(size) => {
            app.size = size;
            keep_in_view(app);
            Next::Draw
        }
        Event::Data(frame) => {
            app.frame = frame;
            list::follow(app);
            views::follow(app);
            Next::Draw
        }
        Event::Tick => Next::Draw,
    }
}

fn press(app: &mut App, key: KeyEvent) -> Next {
    if key.is_release() {
        return Next::Wait;
    }
    let press = Press::from(key);
    app.notice = None;
    match (keys::action(app.scope(), press), press, &mut app.overlay) {
        (Some(Action::Quit), ..) => Next::Quit,
        (Some(Action::Stop), ..) => Next::Stop,
        (Some(action), ..) => act(app, action),
        (None, Press { code: KeyCode::Char(c), ctrl: false }, Overlay::Line(_)) => write(app, [c]),
        (None, _, Overlay::Copied(_)) => act(app, Action::Dismiss),
        (None, ..) => Next::Wait,
    }
}

/// A pasted text is only ever text: what would be a key does nothing where no line is typed, and ends no line.
fn paste(app: &mut App, text: &str) -> Next {
    write(app, text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }))
}

/// Appends what can be shown to the line that is typed.
fn write(app: &mut App, characters: impl IntoIterator<Item = char>) -> Next {
    let Overlay::Line(text) = &mut app.overlay else { return Next::Wait };
    let room = LONGEST_TEXT.saturating_sub(text.chars().count());
    let mut shown = characters.into_iter().filter(|&c| escape::is_printable(c));
    text.extend(shown.by_ref().take(room));
    app.notice = shown.next().map(|_| format!("full: {LONGEST_TEXT} characters at most"));
    requeried(app);
    Next::Draw
}

fn act(app: &mut App, action: Action) -> Next {
    match (&mut app.overlay, action) {
        (Overlay::Help(_), _) => in_help(app, action),
        (Overlay::Picker(_), _) => in_picker(app, action),
        (Overlay::Line(_), _) => in_line(app, action),
        (Overlay::Copied(_), Action::Dismiss) => app.overlay = Overlay::None,
        // The wheel.
        (Overlay::Copied(_), _) => {}
        (Overlay::None, _) => in_tab(app, action),
    }
    Next::Draw
}

fn in_help(app: &mut App, action: Action) {
    let Overlay::Help(top) = &mut app.overlay else { return };
    match action.destination(*top, usize::from(app.size.height / 2)) {
        Some(to) => *top = to.min(super::draw::help::last_top(app.size, &app.frame.health)),
        None => app.overlay = Overlay::None,
    }
}

fn in_picker(app: &mut App, action: Action) {
    let Overlay::Picker(at) = &mut app.overlay else { return };
    if let Some(to) = action.destination(*at, State::COUNT) {
        *at = to.min(State::COUNT - 1);
        return;
    }
    match action {
        Action::Toggle => {
            let mut states: StateSet =
                State::ALL.into_iter().filter(|&state| app.list.shows(state)).collect();
            states.toggle(State::ALL[*at]);
            if states.is_empty() {
                // Which would stand for all.
                app.notice = Some("one state at least".to_owned());
                return;
            }
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
        Action::NextTab => open(app, neighbour(app.tab, 1)),
        Action::PreviousTab => open(app, neighbour(app.tab, Tab::ALL.len() - 1)),
        Action::Tab(tab) => open(app, tab),
        Action::Filter => {
            // The other views have no rows that it selects.
            if !matches!(app.tab, Tab::Connections | Tab::Events) {
                open(app, Tab::Connections);
            }
            app.overlay = Overlay::Line(app.list.text.clone());
        }
        _ if pane::moved(app, action) => {}
        _ => match app.tab {
            Tab::Connections => in_connections(app, action),
            Tab::Leaks => in_leaks(app, action),
            Tab::Histograms => in_stays(app, action),
            Tab::TimeWait => in_ports(app, action),
            Tab::Events => in_events(app, action),
        },
    }
}

/// Opens a view. What it shows may have changed since it was open last.
fn open(app: &mut App, tab: Tab) {
    app.tab = tab;
    views::follow(app);
}

fn neighbour(tab: Tab, steps: usize) -> Tab {
    let at = Tab::ALL.iter().position(|&other| other == tab).unwrap_or(0);
    Tab::ALL[(at + steps) % Tab::ALL.len()]
}
