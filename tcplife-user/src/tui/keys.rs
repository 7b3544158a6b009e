//! Every key, once: what it does, and what the help and the bottom line say of it.
//!
//! What comes in: a key press and what has the keys. What goes out: an [`Action`]. What always holds: a key that does
//! something is in the help, and no key means two things in one scope.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::Tab;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave.
    Quit,
    /// Show every key.
    Help,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// One screen up.
    PageUp,
    /// One screen down.
    PageDown,
    /// To the first row.
    First,
    /// To the last row.
    Last,
    /// Sort by the next column.
    Sort,
    /// Turn the order round.
    Reverse,
    /// Edit the text filter.
    Filter,
    /// Choose states.
    States,
    /// Freeze the data, or let it go on.
    Pause,
    /// Open the detail of the selected connection.
    Open,
    /// Close what was opened last.
    Back,
    /// The next tab.
    NextTab,
    /// The tab before.
    PreviousTab,
    /// A tab by its number.
    Tab(Tab),
    /// Put a state in or take it out.
    Toggle,
    /// Show this state only.
    Only,
    /// Show every state.
    All,
    /// Keep what was typed.
    Apply,
    /// Forget what was typed.
    Clear,
    /// Take the last character back.
    Erase,
}

/// What has the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The view of connections.
    Connections,
    /// The view of events.
    Events,
    /// The list of states.
    Picker,
    /// The text filter being typed.
    Line,
    /// The help.
    Help,
}

/// A key, as the terminal tells it; Shift is in the character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// The key.
    pub code: KeyCode,
    /// Whether with Ctrl.
    pub ctrl: bool,
}

impl From<KeyEvent> for Press {
    fn from(event: KeyEvent) -> Self {
        Self { code: event.code, ctrl: event.modifiers.contains(KeyModifiers::CONTROL) }
    }
}

const fn key(code: KeyCode) -> Press {
    Press { code, ctrl: false }
}

const fn char(c: char) -> Press {
    key(KeyCode::Char(c))
}

const fn ctrl(c: char) -> Press {
    Press { code: KeyCode::Char(c), ctrl: true }
}

/// A line of the help.
#[derive(Debug)]
pub struct Binding {
    /// The keys that do it.
    pub presses: &'static [Press],
    /// What they do.
    pub action: Action,
    /// Where.
    pub scopes: &'static [Scope],
    /// The keys in the help.
    pub shown: &'static str,
    /// The key and a word for the bottom line; `None` if it has no place there.
    pub hint: Option<(&'static str, &'static str)>,
    /// What it does, in the help.
    pub help: &'static str,
}

const VIEWS: &[Scope] = &[Scope::Connections, Scope::Events];
const EVERYWHERE: &[Scope] = &[Scope::Connections, Scope::Events, Scope::Picker, Scope::Line, Scope::Help];

/// Every key, in the order of the help; those with a hint, in the order of the bottom line.
pub const BINDINGS: &[Binding] = &[
    Binding {
        presses: &[char('q')],
        action: Action::Quit,
        scopes: VIEWS,
        shown: "q",
        hint: Some(("q", "quit")),
        help: "quit",
    },
    Binding {
        presses: &[char('?'), char('h')],
        action: Action::Help,
        scopes: VIEWS,
        shown: "?, h",
        hint: Some(("?", "help")),
        help: "this help",
    },
    Binding {
        presses: &[key(KeyCode::Enter)],
        action: Action::Open,
        scopes: &[Scope::Connections],
        shown: "Enter",
        hint: Some(("Enter", "detail")),
        help: "detail: the states it was in",
    },
    Binding {
        presses: &[char('/')],
        action: Action::Filter,
        scopes: &[Scope::Connections],
        shown: "/",
        hint: Some(("/", "filter")),
        help: "show only rows that have a text",
    },
    Binding {
        presses: &[char('f')],
        action: Action::States,
        scopes: &[Scope::Connections],
        shown: "f",
        hint: Some(("f", "states")),
        help: "choose the states to show",
    },
    Binding {
        presses: &[char('s')],
        action: Action::Sort,
        scopes: &[Scope::Connections],
        shown: "s",
        hint: Some(("s", "sort")),
        help: "sort by the next column",
    },
    Binding {
        presses: &[char('S'), char('r')],
        action: Action::Reverse,
        scopes: &[Scope::Connections],
        shown: "S, r",
        hint: Some(("S", "reverse")),
        help: "turn the order round",
    },
    Binding {
        presses: &[char(' '), char('p')],
        action: Action::Pause,
        scopes: VIEWS,
        shown: "Space, p",
        hint: Some(("Space", "pause")),
        help: "freeze the data, or let it go on",
    },
    Binding {
        presses: &[key(KeyCode::Tab), key(KeyCode::Right)],
        action: Action::NextTab,
        scopes: VIEWS,
        shown: "Tab, right",
        hint: Some(("Tab", "next view")),
        help: "next view",
    },
    Binding {
        presses: &[key(KeyCode::BackTab), key(KeyCode::Left)],
        action: Action::PreviousTab,
        scopes: VIEWS,
        shown: "Shift-Tab, left",
        hint: None,
        help: "view before",
    },
    Binding {
        presses: &[char('1')],
        action: Action::Tab(Tab::Connections),
        scopes: VIEWS,
        shown: "1",
        hint: None,
        help: "connections",
    },
    Binding {
        presses: &[char('2')],
        action: Action::Tab(Tab::Events),
        scopes: VIEWS,
        shown: "2",
        hint: None,
        help: "events",
    },
    Binding {
        presses: &[key(KeyCode::Up), char('k')],
        action: Action::Up,
        scopes: &[Scope::Connections, Scope::Events, Scope::Picker, Scope::Help],
        shown: "up, k",
        hint: None,
        help: "one row up",
    },
    Binding {
        presses: &[key(KeyCode::Down), char('j')],
        action: Action::Down,
        scopes: &[Scope::Connections, Scope::Events, Scope::Picker, Scope::Help],
        shown: "down, j",
        hint: None,
        help: "one row down",
    },
    Binding {
        presses: &[key(KeyCode::PageUp), ctrl('b'), ctrl('u')],
        action: Action::PageUp,
        scopes: &[Scope::Connections, Scope::Events, Scope::Help],
        shown: "PgUp, Ctrl-B",
        hint: None,
        help: "one screen up",
    },
    Binding {
        presses: &[key(KeyCode::PageDown), ctrl('f'), ctrl('d')],
        action: Action::PageDown,
        scopes: &[Scope::Connections, Scope::Events, Scope::Help],
        shown: "PgDn, Ctrl-F",
        hint: None,
        help: "one screen down",
    },
    Binding {
        presses: &[key(KeyCode::Home), char('g')],
        action: Action::First,
        scopes: &[Scope::Connections, Scope::Events, Scope::Picker, Scope::Help],
        shown: "Home, g",
        hint: None,
        help: "to the first row",
    },
    Binding {
        presses: &[key(KeyCode::End), char('G')],
        action: Action::Last,
        scopes: &[Scope::Connections, Scope::Events, Scope::Picker, Scope::Help],
        shown: "End, G",
        hint: None,
        help: "to the last row",
    },
    Binding {
        presses: &[key(KeyCode::Esc)],
        action: Action::Back,
        scopes: VIEWS,
        shown: "Esc",
        hint: None,
        help: "close the detail, then drop filters",
    },
    Binding {
        presses: &[char(' ')],
        action: Action::Toggle,
        scopes: &[Scope::Picker],
        shown: "Space",
        hint: Some(("Space", "show or hide")),
        help: "show or hide the state",
    },
    Binding {
        presses: &[key(KeyCode::Enter)],
        action: Action::Only,
        scopes: &[Scope::Picker],
        shown: "Enter",
        hint: Some(("Enter", "only this")),
        help: "show this state only",
    },
    Binding {
        presses: &[char('a')],
        action: Action::All,
        scopes: &[Scope::Picker],
        shown: "a",
        hint: Some(("a", "all")),
        help: "show every state",
    },
    Binding {
        presses: &[key(KeyCode::Esc), char('f'), char('q')],
        action: Action::Back,
        scopes: &[Scope::Picker],
        shown: "Esc, f",
        hint: Some(("Esc", "done")),
        help: "back to the table",
    },
    Binding {
        presses: &[key(KeyCode::Enter)],
        action: Action::Apply,
        scopes: &[Scope::Line],
        shown: "Enter",
        hint: Some(("Enter", "apply")),
        help: "keep the text",
    },
    Binding {
        presses: &[key(KeyCode::Esc)],
        action: Action::Clear,
        scopes: &[Scope::Line],
        shown: "Esc",
        hint: Some(("Esc", "clear")),
        help: "drop the text",
    },
    Binding {
        presses: &[key(KeyCode::Backspace), ctrl('h')],
        action: Action::Erase,
        scopes: &[Scope::Line],
        shown: "Backspace",
        hint: None,
        help: "take the last character back",
    },
    Binding {
        presses: &[key(KeyCode::Esc), char('?'), char('h'), char('q'), key(KeyCode::Enter)],
        action: Action::Back,
        scopes: &[Scope::Help],
        shown: "Esc, ?, q",
        hint: Some(("Esc", "close")),
        help: "close the help",
    },
    Binding {
        presses: &[ctrl('c')],
        action: Action::Quit,
        scopes: EVERYWHERE,
        shown: "Ctrl-C",
        hint: None,
        help: "quit, from anywhere",
    },
];

/// What `press` does in `scope`.
pub fn action(scope: Scope, press: Press) -> Option<Action> {
    of(scope).find(|binding| binding.presses.contains(&press)).map(|binding| binding.action)
}

/// The keys of a scope.
pub fn of(scope: Scope) -> impl Iterator<Item = &'static Binding> {
    BINDINGS.iter().filter(move |binding| binding.scopes.contains(&scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_scope() {
        for scope in EVERYWHERE.iter().copied() {
            let presses: Vec<Press> = of(scope).flat_map(|binding| binding.presses).copied().collect();
            for (n, press) in presses.iter().enumerate() {
                assert!(!presses[..n].contains(press), "{press:?} twice in {scope:?}");
            }
        }
    }

    #[test]
    fn every_scope_has_a_way_out_and_ctrl_c() {
        for scope in EVERYWHERE.iter().copied() {
            assert_eq!(action(scope, ctrl('c')), Some(Action::Quit), "{scope:?}");
        }
        for scope in &[Scope::Picker, Scope::Line, Scope::Help] {
            assert!(action(*scope, key(KeyCode::Esc)).is_some(), "{scope:?}");
        }
    }

    #[test]
    fn letters_are_text_while_a_line_is_typed() {
        for c in ' '..='~' {
            assert_eq!(action(Scope::Line, char(c)), None, "{c}");
        }
    }

    #[test]
    fn shift_is_in_the_character() {
        let shifted = KeyEvent::new(KeyCode::Char('G'), KeyModifiers::SHIFT);
        assert_eq!(action(Scope::Connections, shifted.into()), Some(Action::Last));
    }
}
