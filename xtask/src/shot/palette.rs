//! The colours of the picture's terminal: dark, soft, and each of them readable on the background.

use std::fmt;

/// A colour: red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rgb(pub(super) u8, pub(super) u8, pub(super) u8);

/// Text without a colour of its own.
pub(super) const INK: Rgb = Rgb(0xd5, 0xdc, 0xe5);
/// The background.
pub(super) const PAPER: Rgb = Rgb(0x0f, 0x14, 0x1c);
/// The line around the picture.
pub(super) const FRAME: Rgb = Rgb(0x30, 0x38, 0x44);

/// The 16 colours that have names.
const NAMED: [Rgb; 16] = [
    Rgb(0x2b, 0x33, 0x40),
    Rgb(0xff, 0x7b, 0x72),
    Rgb(0x7e, 0xd9, 0x8b),
    Rgb(0xe3, 0xb3, 0x41),
    Rgb(0x79, 0xb8, 0xff),
    Rgb(0xd2, 0xa8, 0xff),
    Rgb(0x56, 0xcf, 0xd8),
    Rgb(0xd5, 0xdc, 0xe5),
    Rgb(0x7d, 0x88, 0x96),
    Rgb(0xff, 0xa1, 0x98),
    Rgb(0xa5, 0xee, 0xae),
    Rgb(0xf2, 0xcc, 0x60),
    Rgb(0xa5, 0xd1, 0xff),
    Rgb(0xe2, 0xc5, 0xff),
    Rgb(0x8d, 0xe4, 0xeb),
    Rgb(0xff, 0xff, 0xff),
];
/// The steps of the colour cube that xterm has at 16.
const CUBE: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// What a terminal's colour looks like; `None` for its default.
pub(super) fn colour(colour: vt100::Color) -> Option<Rgb> {
    match colour {
        vt100::Color::Default => None,
        vt100::Color::Rgb(red, green, blue) => Some(Rgb(red, green, blue)),
        vt100::Color::Idx(index) => Some(indexed(index)),
    }
}

/// One of xterm's 256 colours: 16 with names, a cube of 6 by 6 by 6, 24 greys.
fn indexed(index: u8) -> Rgb {
    match index {
        0..16 => NAMED[usize::from(index)],
        16..232 => {
            let place = usize::from(index - 16);
            Rgb(CUBE[place / 36], CUBE[place / 6 % 6], CUBE[place % 6])
        }
        232.. => {
            let grey = 8 + 10 * (index - 232);
            Rgb(grey, grey, grey)
        }
    }
}

impl Rgb {
    /// Two fifths of the way towards another colour: how dim text looks.
    pub(super) fn towards(self, other: Self) -> Self {
        let mixed = |from: u8, to: u8| {
            let sum = u16::from(from) * 3 + u16::from(to) * 2;
            u8::try_from(sum / 5).unwrap_or(u8::MAX)
        };
        Self(mixed(self.0, other.0), mixed(self.1, other.1), mixed(self.2, other.2))
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_256_colours_are_xterms() {
        for (index, expected) in [
            (1, NAMED[1]),
            (15, NAMED[15]),
            (16, Rgb(0, 0, 0)),
            (21, Rgb(0, 0, 255)),
            (110, Rgb(135, 175, 215)),
            (231, Rgb(255, 255, 255)),
            (232, Rgb(8, 8, 8)),
            (255, Rgb(238, 238, 238)),
        ] {
            assert_eq!(colour(vt100::Color::Idx(index)), Some(expected), "{index}");
        }
        assert_eq!(colour(vt100::Color::Default), None);
        assert_eq!(colour(vt100::Color::Rgb(1, 2, 3)), Some(Rgb(1, 2, 3)));
    }

    #[test]
    fn a_colour_is_written_as_in_css() {
        assert_eq!(Rgb(255, 0, 10).to_string(), "#ff000a");
        assert_eq!(Rgb(100, 0, 50).towards(Rgb(0, 100, 50)), Rgb(60, 40, 50));
    }

    /// The contrast of two colours, as WCAG 2 defines it.
    fn contrast(one: Rgb, other: Rgb) -> f64 {
        let luminance = |Rgb(red, green, blue): Rgb| {
            let linear = |part: u8| {
                let part = f64::from(part) / 255.0;
                if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
        };
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        if one > other { one / other } else { other / one }
    }

    #[test]
    fn text_can_be_read() {
        // 4.5 is what WCAG 2 asks of text.
        assert!(contrast(INK.towards(PAPER), PAPER) > 4.5);
        for named in &NAMED[1..] {
            assert!(contrast(*named, PAPER) > 4.5, "{named}");
        }
    }
}
