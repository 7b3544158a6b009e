//! A cursor in a list of lines that are all there.

/// A list of lines that are all there, each with what it is about: where the cursor is, and the first line in view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor<K> {
    /// What is selected; `None` for whatever is in the first line.
    pub on: Option<K>,
    /// The line where it is, or was last.
    pub at: usize,
    /// The first line in view.
    pub top: usize,
}

impl<K> Default for Cursor<K> {
    fn default() -> Self {
        Self { on: None, at: 0, top: 0 }
    }
}

impl<K: Copy + PartialEq> Cursor<K> {
    /// Moves to a line, or as near as there are lines, and scrolls as little as needed. Without lines, which may be on their way,
    /// it stays where it is.
    pub fn go(&mut self, at: usize, lines: &[K], visible: usize) {
        let Some(last) = lines.len().checked_sub(1) else { return };
        let visible = visible.max(1);
        self.at = at.min(last);
        self.on = Some(lines[self.at]);
        let lowest = (self.at + 1).saturating_sub(visible);
        self.top = self.top.clamp(lowest, self.at).min(lines.len().saturating_sub(visible));
    }

    /// Finds its place in new lines: what is selected stays selected wherever its line goes, and what comes in its place
    /// once it is gone.
    pub fn follow(&mut self, lines: &[K], visible: usize) {
        let on = lines.iter().position(|&line| Some(line) == self.on);
        self.go(on.unwrap_or(self.at), lines, visible);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_selected_stays_selected_wherever_its_line_goes() {
        let mut cursor = Cursor::default();
        cursor.follow(&['a', 'b', 'c'], 2);
        assert_eq!((cursor.on, cursor.at), (Some('a'), 0));
        cursor.go(1, &['a', 'b', 'c'], 2);
        cursor.follow(&['x', 'y', 'a', 'b'], 2);
        assert_eq!((cursor.on, cursor.at, cursor.top), (Some('b'), 3, 2));
        cursor.follow(&['b', 'c'], 2);
        assert_eq!((cursor.on, cursor.at, cursor.top), (Some('b'), 0, 0));
    }

    #[test]
    fn what_comes_in_the_place_of_one_that_is_gone_is_selected() {
        let mut cursor = Cursor::default();
        cursor.go(1, &['a', 'b', 'c'], 5);
        cursor.follow(&['a', 'c'], 5);
        assert_eq!((cursor.on, cursor.at), (Some('c'), 1));
        cursor.follow(&['a'], 5);
        assert_eq!((cursor.on, cursor.at), (Some('a'), 0));
    }

    #[test]
    fn lines_that_are_on_their_way_move_nothing() {
        let mut cursor = Cursor::default();
        cursor.go(2, &['a', 'b', 'c'], 5);
        let before = cursor;
        cursor.go(0, &[], 5);
        cursor.follow(&[], 5);
        assert_eq!(cursor, before);
    }
}
