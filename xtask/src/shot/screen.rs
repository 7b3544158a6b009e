//! What a terminal shows: text with attributes becomes cells.
//!
//! What comes in: lines of text with the escape sequences that tmux writes. What goes out: for each cell its text and
//! how it looks. What always holds: a cell has exactly one place in the grid, and a wide character two.

use std::num::NonZeroU16;

use anyhow::{Context, Result};

use super::palette::{self, Rgb};

/// A screen full of cells.
pub(super) struct Screen(vt100::Parser);

/// One character on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// The character with what combines with it; a space when there is nothing.
    pub(super) text: String,
    /// Places in the grid: 1, or 2.
    pub(super) width: u16,
    /// How it looks.
    pub(super) look: Look,
}

/// How a cell looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Of the text and its underline.
    pub(super) ink: Rgb,
    /// Behind it; `None` where the terminal's own shows.
    pub(super) paper: Option<Rgb>,
    pub(super) weight: Weight,
    pub(super) is_underlined: bool,
}

/// How strong the letters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Normal,
    Bold,
}

impl Screen {
    /// Reads what tmux captured.
    pub(super) fn read(captured: &str, columns: u16, lines: u16) -> Result<Self> {
        let [lines, columns] = [lines, columns].map(NonZeroU16::new);
        let lines = lines.context("a screen without lines")?;
        let columns = columns.context("a screen without columns")?;
        let mut parser = vt100::Parser::new(lines, columns, 0);
        // tmux ends each line with a newline; after the last one the screen would move up.
        parser.process(captured.trim_end_matches('\n').replace('\n', "\r\n").as_bytes());
        Ok(Self(parser))
    }

    /// Columns and lines.
    pub(super) fn size(&self) -> (u16, u16) {
        let (lines, columns) = self.0.screen().size();
        (columns.get(), lines.get())
    }

    /// The lines as plain text.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.screen().rows(0, self.size().0)
    }

    /// All of it as plain text.
    pub(super) fn text(&self) -> String {
        self.lines().collect::<Vec<_>>().join("\n")
    }

    /// Is this text somewhere on it?
    pub(super) fn has(&self, text: &str) -> bool {
        self.lines().any(|line| line.contains(text))
    }

    /// Is this line shown in reverse, as what is selected is?
    pub(super) fn is_reversed(&self, line: usize) -> bool {
        let cell = u16::try_from(line).ok().and_then(|line| self.0.screen().cell(line, 0));
        cell.is_some_and(vt100::Cell::inverse)
    }

    /// The cells of a line with their columns, from the left.
    pub(super) fn cells(&self, line: u16) -> impl Iterator<Item = (u16, Cell)> {
        let columns = 0..self.size().0;
        columns.filter_map(move |column| {
            let cell = self.0.screen().cell(line, column)?;
            (!cell.is_wide_continuation()).then(|| (column, Cell::from(cell)))
        })
    }
}

impl From<&vt100::Cell> for Cell {
    fn from(cell: &vt100::Cell) -> Self {
        let text = if cell.has_contents() { cell.contents() } else { " " };
        Self { text: text.to_owned(), width: if cell.is_wide() { 2 } else { 1 }, look: look(cell) }
    }
}

fn look(cell: &vt100::Cell) -> Look {
    let mut ink = palette::colour(cell.fgcolor()).unwrap_or(palette::INK);
    let mut paper = palette::colour(cell.bgcolor());
    if cell.inverse() {
        (ink, paper) = (paper.unwrap_or(palette::PAPER), Some(ink));
    }
    if cell.dim() {
        ink = ink.towards(paper.unwrap_or(palette::PAPER));
    }
    let weight = if cell.bold() { Weight::Bold } else { Weight::Normal };
    Look { ink, paper, weight, is_underlined: cell.underline() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(captured: &str) -> Vec<(u16, Cell)> {
        Screen::read(captured, 10, 2).unwrap().cells(0).collect()
    }

    fn first_look(captured: &str) -> Look {
        cells(captured)[0].1.look
    }

    #[test]
    fn plain_text_has_the_terminals_own_colours() {
        let cells = cells("ab\n\n");
        assert_eq!(cells.len(), 10);
        assert_eq!((cells[1].0, cells[1].1.text.as_str()), (1, "b"));
        assert_eq!(cells[9].1.text, " ");
        let look = Look { ink: palette::INK, paper: None, weight: Weight::Normal, is_underlined: false };
        assert_eq!(cells[0].1.look, look);
    }

    #[test]
    fn a_full_last_line_moves_nothing_up() {
        let screen = Screen::read("first     \n0123456789\n", 10, 2).unwrap();
        assert_eq!(screen.text().trim_end(), "first     \n0123456789");
    }

    #[test]
    fn attributes_are_read_until_they_are_reset() {
        let cells = cells("\x1b[1;4;31ma\x1b[0mb");
        assert_eq!(cells[0].1.look.weight, Weight::Bold);
        assert!(cells[0].1.look.is_underlined);
        assert_eq!(Some(cells[0].1.look.ink), palette::colour(vt100::Color::Idx(1)));
        assert_eq!(cells[1].1.look.weight, Weight::Normal);
        assert_eq!(cells[1].1.look.ink, palette::INK);
    }

    #[test]
    fn reverse_swaps_the_colours_and_dim_goes_towards_the_background() {
        let reversed = first_look("\x1b[7ma");
        assert_eq!((reversed.ink, reversed.paper), (palette::PAPER, Some(palette::INK)));
        let dim = first_look("\x1b[2ma");
        assert_eq!(dim.ink, palette::INK.towards(palette::PAPER));
        let both = first_look("\x1b[2;7;32ma");
        let green = palette::colour(vt100::Color::Idx(2)).unwrap();
        assert_eq!((both.ink, both.paper), (palette::PAPER.towards(green), Some(green)));
    }

    #[test]
    fn the_selected_line_is_known_by_its_first_cell() {
        let screen = Screen::read("one\n\x1b[7mtwo\x1b[0m\n", 10, 2).unwrap();
        assert!(!screen.is_reversed(0));
        assert!(screen.is_reversed(1));
        assert!(!screen.is_reversed(9));
    }

    #[test]
    fn a_wide_character_has_two_places() {
        let cells = cells("a服b");
        let places: Vec<_> = cells.iter().take(3).map(|(column, cell)| (*column, cell.width)).collect();
        assert_eq!(places, [(0, 1), (1, 2), (3, 1)]);
    }
}
