//! What was copied, where the bottom line has no room for it.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Text},
    widgets::Widget,
};
use textwrap::{Options, WordSplitter};

use super::{cells, popup};
use crate::tui::app::App;

/// Columns of the box at most.
const WIDEST: u16 = 120;
/// Columns of the box that are not its text: its sides, and a blank next to each.
const SIDES: u16 = 4;
/// Lines of the box that are not its text.
const FRAME: u16 = 2;

/// Draws all of it. Lines end at blanks only, so that it can be typed as it is read.
pub fn draw(app: &App, copied: &str, buffer: &mut Buffer) {
    let screen = Rect::new(0, 0, app.size.width, app.size.height.saturating_sub(1));
    let width = screen.width.min(WIDEST);
    let options =
        Options::new(usize::from(width.saturating_sub(SIDES))).word_splitter(WordSplitter::NoHyphenation);
    let lines: Text<'_> = textwrap::wrap(copied, options).into_iter().map(Line::raw).collect();
    let height = cells::extent(lines.height()).saturating_add(FRAME);
    lines.render(popup("asked the terminal to copy", width, height, screen, buffer), buffer);
}
