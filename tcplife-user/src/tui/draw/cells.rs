//! Tables: columns beside each other, and what each of them has in a line.
//!
//! What comes in: columns with their widths, from left to right, and a line. What goes out: cells. What always holds: there is a
//! blank between two columns; nothing is written outside of the line.

use ratatui::{buffer::Buffer, layout::Rect, style::Style, text::Line, widgets::Widget};

use crate::tui::{text, theme};

/// To which end of its column something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignment {
    Left,
    Right,
}

/// A column of a table; columns are ordered from left to right.
pub trait Column: Copy + Ord {
    /// Numbers are read from their right end.
    fn alignment(self) -> Alignment;
}

/// The columns that have room in `width`, from left to right: those at the end of `columns` give way first.
pub fn fitting<C: Column>(columns: &[(C, usize)], width: usize) -> Vec<(C, usize)> {
    let mut left = width + 1;
    let mut chosen: Vec<(C, usize)> = Vec::with_capacity(columns.len());
    for &(column, wide) in columns {
        if left > wide {
            left -= wide + 1;
            chosen.push((column, wide));
        }
    }
    chosen.sort_unstable();
    chosen
}

/// A number of columns or lines, as the terminal counts them.
pub fn extent(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// Each column with its place in a line.
pub fn places<C: Copy>(columns: &[(C, usize)], line: Rect) -> impl Iterator<Item = (C, Rect)> {
    let mut x = line.x;
    columns.iter().map(move |&(column, width)| {
        let width = extent(width);
        let place = Rect { x, width, ..line }.intersection(line);
        x = x.saturating_add(width).saturating_add(1);
        (column, place)
    })
}

/// Writes what each column has in a line, and of how many columns of the terminal at most.
pub fn write<C: Column>(
    columns: &[(C, usize)],
    line: Rect,
    buffer: &mut Buffer,
    mut cell: impl FnMut(C, usize) -> (String, Style),
) {
    for (column, place) in places(columns, line) {
        let (words, style) = cell(column, usize::from(place.width));
        put(buffer, place, &words, column.alignment(), style);
    }
}

/// Writes the heads of columns.
pub fn write_heads<C: Column>(
    columns: &[(C, usize)],
    line: Rect,
    buffer: &mut Buffer,
    head: impl Fn(C) -> String,
) {
    buffer.set_style(line, theme::HEAD);
    write(columns, line, buffer, |column, _| (head(column), theme::HEAD));
}

/// Writes text at a place of a line, cut to its width.
pub fn put(buffer: &mut Buffer, place: Rect, content: &str, alignment: Alignment, style: Style) {
    let content = text::cut(content, usize::from(place.width));
    let wide = extent(text::columns(&content));
    let indent = match alignment {
        Alignment::Left => 0,
        Alignment::Right => place.width.saturating_sub(wide),
    };
    buffer.set_stringn(place.x + indent, place.y, content, usize::from(place.width), style);
}

/// Writes, in the middle of a table, why it has no lines.
pub fn write_nothing<'a>(why: impl IntoIterator<Item = &'a str>, area: Rect, buffer: &mut Buffer) {
    for (words, y) in why.into_iter().zip(area.y + area.height / 2..) {
        let place = Rect { y, height: 1, ..area }.intersection(area);
        Line::styled(words, theme::QUIET).centered().render(place, buffer);
    }
}
