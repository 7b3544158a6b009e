//! How things look, by what they mean.
//!
//! What comes in: whether colours are wanted. What goes out: styles. What always holds: only the terminal's own 16
//! colours are used, on its own background, and of those red and magenta alone, whose contrast is more than 3 on white
//! and on black: green, cyan and yellow fade on white, and blue on black. Whatever a colour says, a word, a mark or an
//! attribute says as well, so nothing is lost without colours.

use ratatui::style::{Color, Modifier, Style};
use tcplife_core::state::State;

/// Anything else, bars among it.
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

    /// A state's name. Calm where nothing has to be done; what waits for somebody's close stands out, and less so what
    /// waits for an acknowledgement of one.
    pub fn state(self, state: State) -> Style {
        match state {
            State::Established | State::SynSent | State::SynReceived => PLAIN,
            State::CloseWait | State::FinWait2 => self.colour(Color::Magenta),
            State::FinWait1 | State::Closing | State::LastAck => STRONG,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an xterm shows for a colour (XTerm-col.ad), each part of 255.
    fn shown(colour: Color) -> [u8; 3] {
        match colour {
            Color::Red => [205, 0, 0],
            Color::Green => [0, 205, 0],
            Color::Yellow => [205, 205, 0],
            Color::Blue => [0, 0, 238],
            Color::Magenta => [205, 0, 205],
            Color::Cyan => [0, 205, 205],
            Color::White => [255; 3],
            _ => [0; 3],
        }
    }

    /// The contrast of two colours, from 1 to 21 (WCAG 2.1, "contrast ratio" and "relative luminance").
    fn contrast(one: Color, other: Color) -> f64 {
        let linear = |part: u8| match f64::from(part) / 255.0 {
            part if part <= 0.03928 => part / 12.92,
            part => ((part + 0.055) / 1.055).powf(2.4),
        };
        let luminance = |colour| {
            let [red, green, blue] = shown(colour).map(linear);
            0.05 + 0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        let (one, other) = (luminance(one), luminance(other));
        one.max(other) / one.min(other)
    }

    #[test]
    fn every_colour_reads_on_light_and_on_dark() {
        let theme = Theme::Colours;
        let styles = State::ALL.map(|state| theme.state(state));
        for colour in styles.iter().chain(&[theme.alarm()]).filter_map(|style| style.fg) {
            for ground in [Color::White, Color::Black] {
                assert!(contrast(colour, ground) > 3.0, "{colour} on {ground}");
            }
        }
    }

    #[test]
    fn what_waits_for_a_close_stands_out() {
        let (theme, open) = (Theme::Colours, Theme::Colours.state(State::Established));
        for state in [State::CloseWait, State::FinWait2] {
            assert!(theme.state(state).fg.is_some() && theme.state(state) != open, "{state}");
        }
        for state in [State::FinWait1, State::Closing, State::LastAck] {
            assert!(theme.state(state).add_modifier.contains(Modifier::BOLD), "{state}");
        }
    }

    #[test]
    fn no_color_turns_every_colour_off() {
        assert_eq!(Theme::from_no_color(None), Theme::Colours);
        assert_eq!(Theme::from_no_color(Some("".as_ref())), Theme::Colours);
        let plain = Theme::from_no_color(Some("1".as_ref()));
        assert_eq!(plain, Theme::Plain);
        for style in State::ALL.map(|state| plain.state(state)).iter().chain(&[plain.alarm()]) {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
