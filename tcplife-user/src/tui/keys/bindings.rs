//! The table of keys.

use ratatui::crossterm::event::KeyCode;

use super::{Action, Binding, Press, Scope, char, ctrl, key};
use crate::tui::app::Tab;

/// Every view.
const VIEWS: &[Scope] =
    &[Scope::Connections, Scope::Leaks, Scope::Histograms, Scope::TimeWait, Scope::Events];
/// Views with rows of connections.
const ROWS: &[Scope] = &[Scope::Connections, Scope::Leaks];
/// Whatever has lines to move in.
const LISTS: &[Scope] = &[
    Scope::Connections,
    Scope::Leaks,
    Scope::Histograms,
    Scope::TimeWait,
    Scope::Events,
    Scope::Picker,
    Scope::Help,
];
/// Those that may be longer than the screen.
const PAGES: &[Scope] =
    &[Scope::Connections, Scope::Leaks, Scope::Histograms, Scope::TimeWait, Scope::Events, Scope::Help];
/// Whatever can have the keys.
pub(super) const EVERYWHERE: &[Scope] = &[
    Scope::Connections,
    Scope::Leaks,
    Scope::Histograms,
    Scope::TimeWait,
    Scope::Events,
    Scope::Picker,
    Scope::Line,
    Scope::Help,
    Scope::Copied,
];

const fn bind(
    presses: &'static [Press],
    action: Action,
    scopes: &'static [Scope],
    shown: &'static str,
    hint: Option<(&'static str, &'static str)>,
    help: &'static str,
) -> Binding {
    Binding { presses, action, scopes, shown, hint, help }
}

/// Every key, in the order of the help; those with a hint, in the order of the bottom line.
pub const BINDINGS: &[Binding] = &[
    bind(&[char('q')], Action::Quit, VIEWS, "q", Some(("q", "quit")), "quit"),
    bind(&[char('?'), char('h')], Action::Help, VIEWS, "?, h", Some(("?", "help")), "this help"),
    bind(
        &[key(KeyCode::Enter)],
        Action::Open,
        &[Scope::Connections, Scope::Leaks],
        "Enter",
        Some(("Enter", "detail")),
        "detail of a row; what is in a group",
    ),
    bind(
        &[char('/')],
        Action::Filter,
        &[Scope::Connections, Scope::Events],
        "/",
        Some(("/", "filter")),
        "show only rows that have a text",
    ),
    bind(
        &[char('/')],
        Action::Filter,
        &[Scope::Leaks, Scope::Histograms, Scope::TimeWait],
        "/",
        None,
        "show connections that have a text",
    ),
    bind(
        &[char('f')],
        Action::States,
        &[Scope::Connections],
        "f",
        Some(("f", "states")),
        "choose the states to show",
    ),
    bind(
        &[char('s')],
        Action::Sort,
        &[Scope::Connections],
        "s",
        Some(("s", "sort")),
        "sort by the next column",
    ),
    bind(
        &[char('S'), char('r')],
        Action::Reverse,
        &[Scope::Connections],
        "S, r",
        None,
        "turn the order round",
    ),
    bind(
        &[char('a')],
        Action::Group,
        &[Scope::Connections],
        "a",
        Some(("a", "group")),
        "group by process, port or peer",
    ),
    bind(
        &[char('b')],
        Action::Group,
        &[Scope::Histograms],
        "b",
        Some(("b", "group")),
        "group by process, port, address, ..",
    ),
    bind(&[char('c')], Action::CopyRow, ROWS, "c", Some(("c", "copy")), "copy the row (OSC 52)"),
    bind(&[char('K')], Action::CopyKill, ROWS, "K", None, "copy an ss -K command that ends it"),
    bind(
        &[char(' '), char('p')],
        Action::Pause,
        VIEWS,
        "Space, p",
        Some(("Space", "pause")),
        "freeze the data, or let it go on",
    ),
    bind(
        &[key(KeyCode::Tab), key(KeyCode::Right)],
        Action::NextTab,
        VIEWS,
        "Tab, right",
        Some(("Tab", "view")),
        "next view",
    ),
    bind(
        &[key(KeyCode::BackTab), key(KeyCode::Left)],
        Action::PreviousTab,
        VIEWS,
        "Shift-Tab, left",
        None,
        "view before",
    ),
    bind(&[char('1')], Action::Tab(Tab::Connections), VIEWS, "1", None, "connections"),
    bind(&[char('2')], Action::Tab(Tab::Leaks), VIEWS, "2", None, "leaks"),
    bind(&[char('3')], Action::Tab(Tab::Histograms), VIEWS, "3", None, "histograms"),
    bind(&[char('4')], Action::Tab(Tab::TimeWait), VIEWS, "4", None, "local ports and TIME_WAIT"),
    bind(&[char('5')], Action::Tab(Tab::Events), VIEWS, "5", None, "events"),
    bind(
        &[key(KeyCode::Up), char('k')],
        Action::Up,
        LISTS,
        "up, k",
        None,
        "row up; line up in a full-screen detail",
    ),
    bind(&[key(KeyCode::Down), char('j')], Action::Down, LISTS, "down, j", None, "the same, down"),
    bind(
        &[key(KeyCode::PageUp), ctrl('b'), ctrl('u')],
        Action::PageUp,
        PAGES,
        "PgUp, Ctrl-B",
        None,
        "a screen up, in an open detail too",
    ),
    bind(
        &[key(KeyCode::PageDown), ctrl('f'), ctrl('d')],
        Action::PageDown,
        PAGES,
        "PgDn, Ctrl-F",
        None,
        "a screen down, in an open detail too",
    ),
    bind(&[key(KeyCode::Home), char('g')], Action::First, LISTS, "Home, g", None, "to the first row"),
    bind(&[key(KeyCode::End), char('G')], Action::Last, LISTS, "End, G", None, "to the last row"),
    bind(&[key(KeyCode::Esc)], Action::Back, VIEWS, "Esc", None, "close the detail, then drop filters"),
    bind(
        &[char(' ')],
        Action::Toggle,
        &[Scope::Picker],
        "Space",
        Some(("Space", "show or hide")),
        "show or hide the state",
    ),
    bind(
        &[key(KeyCode::Enter)],
        Action::Only,
        &[Scope::Picker],
        "Enter",
        Some(("Enter", "only this")),
        "show this state only",
    ),
    bind(&[char('a')], Action::All, &[Scope::Picker], "a", Some(("a", "all")), "show every state"),
    bind(
        &[key(KeyCode::Esc), char('f'), char('q')],
        Action::Back,
        &[Scope::Picker],
        "Esc, f",
        Some(("Esc", "done")),
        "back to the table",
    ),
    bind(
        &[key(KeyCode::Enter)],
        Action::Apply,
        &[Scope::Line],
        "Enter",
        Some(("Enter", "apply")),
        "keep the text",
    ),
    bind(&[key(KeyCode::Esc)], Action::Clear, &[Scope::Line], "Esc", Some(("Esc", "clear")), "drop the text"),
    bind(
        &[key(KeyCode::Backspace), ctrl('h')],
        Action::Erase,
        &[Scope::Line],
        "Backspace",
        None,
        "take the last character back",
    ),
    bind(
        &[key(KeyCode::Esc), char('?'), char('h'), char('q'), key(KeyCode::Enter)],
        Action::Back,
        &[Scope::Help],
        "Esc, ?, q",
        Some(("Esc", "close")),
        "close the help",
    ),
    // Any other key does the same.
    bind(
        &[key(KeyCode::Esc)],
        Action::Dismiss,
        &[Scope::Copied],
        "any key",
        Some(("any key", "close")),
        "close what was copied",
    ),
    bind(&[ctrl('c')], Action::Quit, EVERYWHERE, "Ctrl-C", None, "quit, from anywhere"),
    bind(&[ctrl('z')], Action::Stop, EVERYWHERE, "Ctrl-Z", None, "stop until the shell's fg"),
];
