//! A screen as an SVG picture.
//!
//! What comes in: cells. What goes out: a picture that needs no font of its own. What always holds: each word begins at
//! its column and is as wide as its cells, whatever font is found; bars and rules are shapes, so that they join.

use std::fmt::{self, Display, Write as _};

use super::{
    palette::{FRAME, INK, PAPER, Rgb},
    screen::{Cell, Screen, Weight},
};

/// Units of the picture in a pixel: whole numbers then do for an eighth of a cell.
const SCALE: u32 = 10;
/// Of the letters; the width of a cell is 0.6 of it, as in nearly every monospaced font.
const FONT_SIZE: u32 = 160;
const CELL_WIDTH: u32 = 96;
const CELL_HEIGHT: u32 = 208;
/// From a cell's top to the line that letters stand on.
const BASELINE: u32 = 152;
const UNDERLINE: u32 = 184;
const THIN: u32 = 10;
const MARGIN: u32 = 200;
const FONTS: &str = "ui-monospace, SFMono-Regular, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace";

/// The picture of a screen; the title says what is seen to those who can't.
pub(super) fn picture(screen: &Screen, title: &str) -> Result<String, fmt::Error> {
    let (columns, lines) = screen.size();
    let width = u32::from(columns) * CELL_WIDTH + 2 * MARGIN;
    let height = u32::from(lines) * CELL_HEIGHT + 2 * MARGIN;
    let mut svg = String::new();
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="{}" viewBox="0 0 {width} {height}" role="img">"#,
        width / SCALE,
        height / SCALE,
    )?;
    writeln!(svg, "<title>{}</title>", Escaped(title))?;
    let inner = (width - THIN, height - THIN);
    let edge = THIN / 2;
    writeln!(
        svg,
        r#"<rect x="{edge}" y="{edge}" width="{}" height="{}" rx="100" fill="{PAPER}" stroke="{FRAME}" stroke-width="{THIN}"/>"#,
        inner.0, inner.1,
    )?;
    writeln!(svg, r#"<g font-family="{FONTS}" font-size="{FONT_SIZE}" fill="{INK}">"#)?;
    for line in 0..lines {
        let cells: Vec<_> = screen.cells(line).collect();
        let top = MARGIN + u32::from(line) * CELL_HEIGHT;
        for shape in shapes(&cells, top) {
            writeln!(svg, "{shape}")?;
        }
        for word in words(&cells, top) {
            writeln!(svg, "{word}")?;
        }
    }
    writeln!(svg, "</g>\n</svg>")?;
    Ok(svg)
}

/// The left edge of a column.
fn left(column: u16) -> u32 {
    MARGIN + u32::from(column) * CELL_WIDTH
}

/// A filled rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    fill: Rgb,
}

impl Shape {
    /// All of a cell.
    fn of(column: u16, cell: &Cell, top: u32, fill: Rgb) -> Self {
        let width = u32::from(cell.width) * CELL_WIDTH;
        Self { x: left(column), y: top, width, height: CELL_HEIGHT, fill }
    }

    /// Takes up the next shape when the two make one.
    fn joins(&mut self, next: &Self) -> bool {
        let is_one = self.x + self.width == next.x
            && (self.y, self.height, self.fill) == (next.y, next.height, next.fill);
        if is_one {
            self.width += next.width;
        }
        is_one
    }
}

impl Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { x, y, width, height, fill } = self;
        write!(f, r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{fill}"/>"#)
    }
}

/// All of a line that is no text: backgrounds first, then underlines, then bars and rules.
fn shapes(cells: &[(u16, Cell)], top: u32) -> Vec<Shape> {
    let papers = cells
        .iter()
        .filter_map(|(column, cell)| cell.look.paper.map(|paper| Shape::of(*column, cell, top, paper)));
    let underlines = cells.iter().filter(|(_, cell)| cell.look.is_underlined).map(|(column, cell)| Shape {
        y: top + UNDERLINE,
        height: THIN,
        ..Shape::of(*column, cell, top, cell.look.ink)
    });
    let drawings = cells.iter().filter_map(|(column, cell)| drawing(*column, cell, top));
    let mut joined: Vec<Shape> = Vec::new();
    for shape in papers.chain(underlines).chain(drawings) {
        if !joined.last_mut().is_some_and(|last| last.joins(&shape)) {
            joined.push(shape);
        }
    }
    joined
}

/// The character as a shape, if it is a bar (U+2581 to U+258F) or a rule.
fn drawing(column: u16, cell: &Cell, top: u32) -> Option<Shape> {
    let mut characters = cell.text.chars();
    let (character, None) = (characters.next()?, characters.next()) else { return None };
    let code = u32::from(character);
    let whole = Shape::of(column, cell, top, cell.look.ink);
    match character {
        '\u{2581}'..='\u{2588}' => {
            let height = (code - 0x2580) * CELL_HEIGHT / 8;
            Some(Shape { y: top + CELL_HEIGHT - height, height, ..whole })
        }
        '\u{2589}'..='\u{258f}' => Some(Shape { width: (0x2590 - code) * CELL_WIDTH / 8, ..whole }),
        '─' => Some(Shape { y: top + (CELL_HEIGHT - THIN) / 2, height: THIN, ..whole }),
        _ => None,
    }
}

/// Letters that follow each other and look alike.
struct Word {
    x: u32,
    y: u32,
    /// In cells.
    width: u16,
    fill: Rgb,
    weight: Weight,
    text: String,
}

impl Word {
    /// Takes up the next cell when it goes on where this ends.
    fn takes(&mut self, column: u16, cell: &Cell) -> bool {
        let end = self.x + u32::from(self.width) * CELL_WIDTH;
        // A font that has wide characters only in another's width must not move the letters beside them.
        let is_one = end == left(column)
            && (self.fill, self.weight) == (cell.look.ink, cell.look.weight)
            && cell.width == 1
            && self.width == u16::try_from(self.text.chars().count()).unwrap_or(u16::MAX);
        if is_one {
            self.width += cell.width;
            self.text.push_str(&cell.text);
        }
        is_one
    }
}

impl Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"<text x="{}" y="{}""#, self.x, self.y)?;
        if self.width > 1 {
            write!(f, r#" textLength="{}""#, u32::from(self.width) * CELL_WIDTH)?;
        }
        if self.fill != INK {
            write!(f, r#" fill="{}""#, self.fill)?;
        }
        if self.weight == Weight::Bold {
            f.write_str(r#" font-weight="bold""#)?;
        }
        write!(f, ">{}</text>", Escaped(&self.text))
    }
}

/// The words of a line.
fn words(cells: &[(u16, Cell)], top: u32) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (column, cell) in cells {
        if cell.text.trim().is_empty() || drawing(*column, cell, top).is_some() {
            continue;
        }
        if words.last_mut().is_some_and(|word| word.takes(*column, cell)) {
            continue;
        }
        words.push(Word {
            x: left(*column),
            y: top + BASELINE,
            width: cell.width,
            fill: cell.look.ink,
            weight: cell.look.weight,
            text: cell.text.clone(),
        });
    }
    words
}

/// Text as XML has it; what XML can't have is shown as a replacement character.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\t' | '\n' => f.write_char(character)?,
                _ if character.is_control() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
