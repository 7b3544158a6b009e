//! How wide text for people is.

use rustix::{stdio::stdout, termios::tcgetwinsize};

/// Columns of a line at most: longer ones are hard to read, on a wider terminal too.
pub const WIDEST: usize = 100;
/// Columns that labels leave some room in.
const NARROWEST: usize = 40;

/// Columns of a line on standard output, unless a word or a command is longer.
pub fn columns() -> usize {
    let columns = tcgetwinsize(stdout()).map_or(0, |size| usize::from(size.ws_col));
    // Of no terminal, or of one that does not know.
    if columns == 0 { WIDEST } else { columns.clamp(NARROWEST, WIDEST) }
}
