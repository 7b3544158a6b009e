//! Every key, once: what it does, and what the help and the bottom line say of it.
//!
//! What comes in: a key press and what has the keys. What goes out: an [`Action`]. What always holds: a key that does
//! something is in the help, and no key means two things in one scope.

mod bindings;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::Tab;
pub use bindings::BINDINGS;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave.
    Quit,
    /// Stop the process and give the shell the terminal.
    Stop,
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
    /// Group by the next kind.
    Group,
    /// Copy the row.
    CopyRow,
    /// Copy a command that ends the connection.
    CopyKill,
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
    /// Close what any key closes.
    Dismiss,
}

impl Action {
    /// The line that it moves to from the line `at`, a screen being `page` lines; it may lie behind the last one. `None` if
    /// it moves nothing.
    pub const fn destination(self, at: usize, page: usize) -> Option<usize> {
        match self {
            Self::Up => Some(at.saturating_sub(1)),
            Self::Down => Some(at.saturating_add(1)),
            Self::PageUp => Some(at.saturating_sub(page)),
            Self::PageDown => Some(at.saturating_add(page)),
            Self::First => Some(0),
            Self::Last => Some(usize::MAX),
            _ => None,
        }
    }
}

/// What has the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The view of connections.
    Connections,
    /// The view of leaks.
    Leaks,
    /// The view of histograms.
    Histograms,
    /// The view of local ports.
    TimeWait,
    /// The view of events.
    Events,
    /// The list of states.
    Picker,
    /// The text filter being typed.
    Line,
    /// The help.
    Help,
    /// What was copied, where the bottom line has no room for it.
    Copied,
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
        for scope in bindings::EVERYWHERE.iter().copied() {
            let presses: Vec<Press> = of(scope).flat_map(|binding| binding.presses).copied().collect();
            for (n, press) in presses.iter().enumerate() {
                assert!(!presses[..n].contains(press), "{press:?} twice in {scope:?}");
            }
        }
    }

    #[test]
    fn every_scope_has_a_way_out_and_ctrl_c_and_ctrl_z() {
        for scope in bindings::EVERYWHERE.iter().copied() {
            assert_eq!(action(scope, ctrl('c')), Some(Action::Quit), "{scope:?}");
            assert_eq!(action(scope, ctrl('z')), Some(Action::Stop), "{scope:?}");
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
