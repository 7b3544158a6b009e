//! What was expected of each case, what was reported, and how much of it is right.

use std::fmt;

use super::{
    case::{Kinds, Variant},
    scene::Played,
};

/// A case with or without its fault.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) variant: Variant,
    pub(crate) played: Played,
}

impl Row {
    fn is_right(&self) -> bool {
        match &self.played {
            Played::Reported { leaks, others, .. } => {
                let also = &self.variant.also;
                *leaks == self.variant.expected && also.as_ref().is_none_or(|also| also == others)
            }
            Played::NotRun(_) => true,
            Played::Failed(_) => false,
        }
    }

    const fn was_run(&self) -> bool {
        !matches!(self.played, Played::NotRun(_))
    }

    /// The leaks, and where the case says what is no leak, that too.
    fn shown(&self, leaks: &Kinds, others: Option<&Kinds>) -> String {
        match (&self.variant.also, others) {
            (Some(_), Some(others)) => format!("{leaks} (no leak: {others})"),
            _ => leaks.to_string(),
        }
    }

    fn cells(&self) -> [String; 3] {
        let expected = self.shown(&self.variant.expected, self.variant.also.as_ref());
        let reported = match &self.played {
            Played::Reported { leaks, others, .. } => self.shown(leaks, Some(others)),
            Played::NotRun(why) => format!("not run: {why}"),
            Played::Failed(why) => format!("FAILED: {why}"),
        };
        [self.name.clone(), expected, reported]
    }
}

/// All cases that were run.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    /// Cases that were not asked for.
    pub(crate) left_out: usize,
}

impl Table {
    pub(crate) fn is_right(&self) -> bool {
        self.rows.iter().all(Row::is_right)
    }

    /// Sockets that had to be reported as leaks, that were, and that were rightly.
    fn score(&self) -> (usize, usize, usize) {
        let (mut expected, mut reported, mut right) = (0, 0, 0);
        for row in self.rows.iter().filter(|row| row.was_run()) {
            expected += row.variant.expected.total();
            if let Played::Reported { leaks, .. } = &row.played {
                reported += leaks.total();
                right += leaks.common(&row.variant.expected);
            }
        }
        (expected, reported, right)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ["case", "expected", "reported"].map(str::to_owned);
        let cells: Vec<[String; 3]> =
            std::iter::once(titles).chain(self.rows.iter().map(Row::cells)).collect();
        let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (first, second) = (width(0), width(1));
        for [name, expected, reported] in &cells {
            writeln!(f, "{name:first$} | {expected:second$} | {reported}")?;
        }
        for row in self.rows.iter().filter(|row| !row.is_right()) {
            writeln!(f, "\nWRONG: {}", row.name)?;
            if let Played::Reported { suspects, .. } = &row.played {
                suspects.iter().try_for_each(|suspect| writeln!(f, "  {suspect}"))?;
            }
        }
        let (expected, reported, right) = self.score();
        writeln!(f, "\nprecision {} ({right} of {reported} reported sockets)", percent(right, reported))?;
        writeln!(f, "recall {} ({right} of {expected} leaked sockets)", percent(right, expected))?;
        let not_run = self.rows.iter().filter(|row| !row.was_run()).count();
        let wrong = self.rows.iter().filter(|row| !row.is_right()).count();
        let passed = self.rows.len() - wrong - not_run;
        let word = if wrong == 0 { "ok" } else { "FAILED" };
        let left_out = self.left_out;
        writeln!(
            f,
            "\ntest result: {word}. {passed} passed; {wrong} failed; {not_run} ignored; 0 measured; {left_out} filtered out"
        )
    }
}

/// In whole percent, rounded down; of nothing, all is right.
fn percent(part: usize, whole: usize) -> String {
    format!("{} %", (100 * part).checked_div(whole).unwrap_or(100))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn kinds(kind: &str, count: usize) -> Kinds {
        Kinds(BTreeMap::from([(kind.to_owned(), count)]))
    }

    fn row(played: Played) -> Row {
        let variant = Variant {
            steps: Vec::new(),
            optional: false,
            leak_after: "1s".to_owned(),
            expected: kinds("unclosed by server", 3),
            also: None,
        };
        Row { name: "case".to_owned(), variant, played }
    }

    fn reported(kind: &str, count: usize) -> Row {
        let (others, suspects) = (kinds("young by x", 1), vec!["evidence".to_owned()]);
        row(Played::Reported { leaks: kinds(kind, count), others, suspects })
    }

    fn shown(rows: Vec<Row>) -> (bool, String) {
        let table = Table { rows, left_out: 1 };
        (table.is_right(), table.to_string())
    }

    #[test]
    fn what_is_right_is_all_right() {
        let (right, text) = shown(vec![reported("unclosed by server", 3)]);
        assert!(right && text.contains("case | 3 unclosed by server | 3 unclosed by server\n"), "{text}");
        assert!(text.contains("precision 100 %") && text.contains("recall 100 %"), "{text}");
        assert!(
            text.ends_with("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out\n")
        );
    }

    #[test]
    fn a_wrong_accusation_and_a_missed_leak_count() {
        let (right, text) = shown(vec![reported("unclosed by server", 2), reported("unclosed by client", 3)]);
        assert!(!right && text.contains("WRONG: case\n  evidence"), "{text}");
        assert!(text.contains("precision 40 % (2 of 5") && text.contains("recall 33 % (2 of 6"), "{text}");
        let (right, text) = shown(vec![row(Played::Failed("no".to_owned()))]);
        assert!(!right && text.contains("recall 0 % (0 of 3") && text.contains("FAILED: no"), "{text}");
    }

    #[test]
    fn what_was_not_run_is_said() {
        let (right, text) = shown(vec![row(Played::NotRun("refused".to_owned()))]);
        assert!(right && text.contains("not run: refused") && text.contains("0 passed; 0 failed; 1 ignored"));
    }
}
