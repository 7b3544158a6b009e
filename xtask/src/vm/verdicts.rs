//! Reading what a virtual machine said of its tests: exactly one verdict for each, or it is a failure.

use std::collections::BTreeMap;

/// What a test came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It succeeded, within so many seconds.
    Passed(u64),
    /// It failed with this status.
    Failed(String),
    /// The machine said nothing of it.
    Missing,
    /// The machine said something of it more than once.
    Doubled,
    /// The machine said something of a test that it was not told to run.
    Unknown,
}

/// The verdict on each test that should have run, and on each that did.
pub(super) fn read<'a>(expected: &'a [String], said: &'a str) -> BTreeMap<&'a str, Verdict> {
    let mut found: BTreeMap<&str, Verdict> =
        expected.iter().map(|name| (name.as_str(), Verdict::Missing)).collect();
    for line in said.lines() {
        let Some(rest) = line.strip_prefix("@verdict ") else { continue };
        let mut words = rest.split(' ');
        let (Some(name), Some(status)) = (words.next(), words.next()) else { continue };
        let seconds = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let verdict = match found.get(name) {
            None => Verdict::Unknown,
            Some(Verdict::Missing) if status == "0" => Verdict::Passed(seconds),
            Some(Verdict::Missing) => Verdict::Failed(reason(status)),
            Some(_) => Verdict::Doubled,
        };
        found.insert(name, verdict);
    }
    found
}

/// What a status of a shell means.
fn reason(status: &str) -> String {
    match status {
        "101" => "failed".to_owned(),
        "137" => "was killed (out of time or of memory)".to_owned(),
        _ => format!("ended with status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_test_has_exactly_one_verdict() {
        let expected = ["a", "b", "c", "d", "e"].map(str::to_owned);
        let said = "noise\n@verdict a 0 3\nb: panicked\n@verdict b 101 1\n@verdict c 0 1\n@verdict c 0 1\n\
                    @verdict x 0 1\n@verdict e 137 300\n@end\n";
        let found = read(&expected, said);
        assert_eq!(found["a"], Verdict::Passed(3));
        assert_eq!(found["b"], Verdict::Failed("failed".to_owned()));
        assert_eq!(found["c"], Verdict::Doubled);
        assert_eq!(found["d"], Verdict::Missing);
        assert!(matches!(&found["e"], Verdict::Failed(reason) if reason.contains("out of time")));
        assert_eq!(found["x"], Verdict::Unknown);
    }
}
