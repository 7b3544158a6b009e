//! How things look, by what they mean.
//!
//! What comes in: whether colours are wanted. What goes out: styles. What always holds: only the terminal's own 16
//! colours are used, on its own background, and of those the ones that read on light and on dark; whatever a colour
//! says, a word, a mark or an attribute says as well, so nothing is lost without colours.

use ratatui::style::{Color, Modifier, Style};
use tcplife_core::state::State;

/// Anything else.
pub const PLAIN: Style = Style::new();
/// Labels, units, and what repeats.
pub const QUIET: Style = Style::new().add_modifier(Modifier::DIM);
/// The name of the program, of a key, of what is open.
pub const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
/// Column heads.
pub const HEAD: Style = Style::new().add_modifier(Modifier::UNDERLINED);
/// The head of the column that rows are sorted by.
pub const SORTED_HEAD: Style = HEAD.add_modifier(Modifier::BOLD);
/// The selected row, the open tab.
pub const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Whether colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// The terminal's 16 colours.
    #[default]
    Colours,
    /// Attributes only (`NO_COLOR`, no-color.org).
    Plain,
}

impl Theme {
    /// What the value of `NO_COLOR` asks for: anything but nothing turns colours off.
    pub fn from_no_color(value: Option<&std::ffi::OsStr>) -> Self {
        if value.is_some_and(|value| !value.is_empty()) { Self::Plain } else { Self::Colours }
    }

    fn colour(self, colour: Color) -> Style {
        match self {
            Self::Colours => Style::new().fg(colour),
            Self::Plain => Style::new(),
        }
    }

    /// A state's name. Calm where nothing has to be done; the middle of closing stands out.
    pub fn state(self, state: State) -> Style {
        match state {
            State::Established => self.colour(Color::Green),
            State::SynSent | State::SynReceived => self.colour(Color::Cyan),
            State::CloseWait | State::FinWait2 => self.colour(Color::Magenta),
            State::FinWait1 | State::Closing | State::LastAck => self.colour(Color::Blue),
            State::Listen | State::TimeWait | State::Closed => QUIET,
        }
    }

    /// Something is wrong: always next to a word or a mark.
    pub fn alarm(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Something is wrong that must be seen from across the room.
    pub fn alarm_box(self) -> Style {
        self.alarm().add_modifier(Modifier::REVERSED)
    }

    /// Bars and sparklines.
    pub fn bar(self) -> Style {
        self.colour(Color::Cyan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_turns_every_colour_off() {
        assert_eq!(Theme::from_no_color(None), Theme::Colours);
        assert_eq!(Theme::from_no_color(Some("".as_ref())), Theme::Colours);
        let plain = Theme::from_no_color(Some("1".as_ref()));
        assert_eq!(plain, Theme::Plain);
        for style in State::ALL.map(|state| plain.state(state)).iter().chain(&[plain.alarm(), plain.bar()]) {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
