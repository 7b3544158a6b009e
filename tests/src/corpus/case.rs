//! A case of the corpus, read from its file; `tests/corpus/README.md` describes the form.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

/// What happens in a case, one thing after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A second network namespace, `@far`.
    Far,
    /// A kernel parameter.
    Sysctl(String, String),
    /// A program that ends before the next step.
    Run(Vec<String>),
    /// A program that stays.
    Start { name: String, far: bool, command: Vec<String> },
    /// Wait until a program has printed this line.
    Says(String, String),
    /// Wait until something listens on a port.
    Listens(u16),
    /// Wait until a program has ended well.
    Exits(String),
    /// Wait until so many sockets are in a state.
    Sockets(String, usize),
    /// Wait until all sockets have been in their states for longer than `--leak-after`.
    Settled,
    /// Give a program a line to read.
    Tell(String, String),
    /// End a program as `kill -9` does.
    Kill(String),
    /// `leaks` observes what follows.
    Observe,
}

/// How many sockets there are of each kind, such as `unclosed by server`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(pub(crate) BTreeMap<String, usize>);

impl Kinds {
    pub(crate) fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// How many are in both.
    pub(crate) fn common(&self, other: &Self) -> usize {
        self.0.iter().map(|(kind, n)| *n.min(other.0.get(kind).unwrap_or(&0))).sum()
    }

    fn add(&mut self, words: &str) -> Result<()> {
        if words != "nothing" {
            let (count, kind) = words.split_once(' ').context("expected COUNT VERDICT ..")?;
            self.0.insert(kind.to_owned(), count.parse()?);
        }
        Ok(())
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self.0.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        f.write_str(if kinds.is_empty() { "nothing" } else { "" })?;
        f.write_str(&kinds.join("; "))
    }
}

/// A program with the fault, or its twin without it.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) steps: Vec<Step>,
    /// The machine may refuse what it needs.
    pub(crate) optional: bool,
    pub(crate) leak_after: String,
    /// The leaks that have to be reported.
    pub(crate) expected: Kinds,
    /// All that has to be reported as no leak, if the case says so.
    pub(crate) also: Option<Kinds>,
}

/// A case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The faulty program, if the case is not only about what is no leak; and the twin.
    pub(crate) variants: Vec<(&'static str, Variant)>,
}

/// Every case, in the order of their names.
pub(crate) fn all(folder: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).context("a name that is no text")?;
        let text = fs::read_to_string(&path)?;
        cases.push(parse(name, &text).with_context(|| format!("the case {name}"))?);
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

fn parse(name: &str, text: &str) -> Result<Case> {
    ensure!(text.starts_with("# "), "it does not say what it is about");
    let mut variants = Vec::new();
    for variant in ["faulty", "twin"] {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let lines = lines.filter_map(|line| match line.split_once(": ") {
            Some((word @ ("faulty" | "twin"), rest)) => (word == variant).then_some(rest),
            _ => Some(line),
        });
        let mut reading = Reading::default();
        for line in lines {
            reading.read(&line.replace("$variant", variant)).with_context(|| line.to_owned())?;
        }
        if let Some(variant_read) = reading.done() {
            variants.push((variant, variant_read));
        }
    }
    ensure!(variants.last().is_some_and(|(word, _)| *word == "twin"), "nothing is expected of the twin");
    // A descriptor that is left of a connection is a fault, and none of the leaks: then the twin has none of these either.
    let others = |variant: &Variant| variant.also.as_ref().map(Kinds::total);
    let is_of_others =
        variants.iter().any(|(word, variant)| *word == "faulty" && variant.expected.total() == 0);
    let fits = |word: &str, variant: &Variant| match (word, variant.expected.total()) {
        ("twin", leaks) => leaks == 0 && (!is_of_others || others(variant) == Some(0)),
        (_, leaks) => leaks > 0 || others(variant) > Some(0),
    };
    ensure!(
        variants.iter().all(|(word, variant)| fits(word, variant)),
        "twins do not leak, and the faulty do"
    );
    Ok(Case { name: name.to_owned(), variants })
}

/// A variant while its lines are read.
#[derive(Default)]
struct Reading {
    steps: Vec<Step>,
    optional: bool,
    at_once: bool,
    leak_after: Option<String>,
    expected: Option<Kinds>,
    also: Option<Kinds>,
}

impl Reading {
    fn read(&mut self, line: &str) -> Result<()> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "optional" => self.optional = true,
            "at" if rest == "once" => self.at_once = true,
            "leak-after" => self.leak_after = Some(rest.to_owned()),
            "expect" => self.expected.get_or_insert_default().add(rest)?,
            "also" => self.also.get_or_insert_default().add(rest)?,
            _ => self.steps.push(step(verb, rest)?),
        }
        Ok(())
    }

    /// The whole, if anything is expected of it.
    fn done(mut self) -> Option<Variant> {
        if !self.at_once {
            self.steps.push(Step::Settled);
        }
        Some(Variant {
            steps: self.steps,
            optional: self.optional,
            leak_after: self.leak_after.unwrap_or_else(|| "1s".to_owned()),
            expected: self.expected?,
            also: self.also,
        })
    }
}

fn step(verb: &str, rest: &str) -> Result<Step> {
    let words = || rest.split(' ').map(str::to_owned).collect();
    let two = || rest.split_once(' ').context("expected two words");
    let name = || rest.to_owned();
    Ok(match verb {
        "far" => Step::Far,
        "sysctl" => two().map(|(key, value)| Step::Sysctl(key.to_owned(), value.to_owned()))?,
        "run" => Step::Run(words()),
        "start" => {
            let (name, command) = two()?;
            let far = name.ends_with("@far");
            let name = name.trim_end_matches("@far").to_owned();
            Step::Start { name, far, command: command.split(' ').map(str::to_owned).collect() }
        }
        "says" => two().map(|(name, text)| Step::Says(name.to_owned(), text.to_owned()))?,
        "listens" => Step::Listens(rest.parse()?),
        "exits" => Step::Exits(name()),
        "sockets" => {
            let (state, count) = two()?;
            Step::Sockets(state.to_owned(), count.parse()?)
        }
        "settled" => Step::Settled,
        "tell" => two().map(|(name, text)| Step::Tell(name.to_owned(), text.to_owned()))?,
        "kill" => Step::Kill(name()),
        "observe" => Step::Observe,
        _ => bail!("no such step"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A.\nstart a@far b $variant\nfaulty: kill a\nat once\nfaulty: expect 2 x by a\ntwin: expect nothing\n";

    #[test]
    fn a_line_is_for_both_or_for_one() {
        let case = parse("name", TEXT).unwrap();
        let [(_, faulty), (_, twin)] = case.variants.as_slice() else { panic!("not two variants") };
        let start = |word: &str| Step::Start {
            name: "a".to_owned(),
            far: true,
            command: vec!["b".to_owned(), word.to_owned()],
        };
        assert_eq!(faulty.steps, [start("faulty"), Step::Kill("a".to_owned())]);
        assert_eq!(twin.steps, [start("twin")]);
        assert_eq!(
            (faulty.expected.to_string(), twin.expected.to_string()),
            ("2 x by a".into(), "nothing".into())
        );
        assert_eq!(
            parse("name", &TEXT.replace("at once\n", "")).unwrap().variants[1].1.steps[1],
            Step::Settled
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in
            ["expect nothing\n", "# A.\nexpect 2 x\n", "# A.\nfaulty: expect 2 x\n", "# A.\nexpect\n"]
        {
            assert!(parse("name", wrong).is_err(), "{wrong}");
        }
        assert!(parse("name", &TEXT.replace("kill", "fly")).is_err());
    }

    #[test]
    fn kinds_have_so_many_in_common() {
        let kinds =
            |text: &[(&str, usize)]| Kinds(text.iter().map(|(kind, n)| ((*kind).to_owned(), *n)).collect());
        let (a, b) = (kinds(&[("x", 3), ("y", 1)]), kinds(&[("x", 2), ("z", 5)]));
        assert_eq!((a.common(&b), a.total(), b.total()), (2, 4, 7));
    }
}
