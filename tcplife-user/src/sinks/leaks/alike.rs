//! Processes that show the same fault, such as the workers of one server: one of them is told of in full.
//!
//! What comes in: processes with something to fix, each with what /proc has on it. What goes out: those that are alike together. What
//! always holds: whatever of a block is not about one process alone holds for all that are alike.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use tcplife_core::suspect::{Faults, Suspect, Verdict, groups::Group};

use super::commands;
use crate::process::ProcessFacts;

/// Who has to close some suspects, with what /proc has on it.
pub type Accused<'a> = (Group<'a>, Option<ProcessFacts>);

/// What those have in common that are alike.
#[derive(PartialEq, Eq, Hash)]
struct Fault {
    /// Each of its words without digits: workers have numbers, and may be told their port.
    command: Vec<Vec<u8>>,
    user: Option<String>,
    unit: Option<String>,
    container: Option<String>,
    is_stopped: bool,
    /// Verdicts, network namespaces and ports of what is to be fixed.
    faults: BTreeSet<(Verdict, u32, (&'static str, u16))>,
}

impl Fault {
    /// Of one that is still there and has a command line.
    fn of((group, facts): &Accused<'_>) -> Option<Self> {
        let facts = facts.as_ref().filter(|facts| !facts.command.is_empty())?;
        let told = |suspect: &Suspect| (suspect.verdict, suspect.connection.netns(), commands::port(suspect));
        Some(Self {
            command: facts.command.iter().map(|word| without_digits(word)).collect(),
            user: facts.user.clone(),
            unit: facts.unit.clone(),
            container: facts.container.clone(),
            is_stopped: facts.is_stopped,
            faults: group.faulty().map(told).collect(),
        })
    }
}

fn without_digits(word: &[u8]) -> Vec<u8> {
    word.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect()
}

/// Those that are alike together, in the order that they come in; first those who leak the most in all.
pub fn alike<'a>(each: impl Iterator<Item = Accused<'a>>) -> Vec<Vec<Accused<'a>>> {
    let mut faults: HashMap<Fault, usize> = HashMap::new();
    let mut alike: Vec<Vec<Accused<'a>>> = Vec::new();
    for accused in each {
        let next = alike.len();
        let place = Fault::of(&accused).map_or(next, |fault| *faults.entry(fault).or_insert(next));
        match alike.get_mut(place) {
            Some(others) => others.push(accused),
            None => alike.push(vec![accused]),
        }
    }
    let of_all = |those: &Vec<Accused<'_>>| {
        Faults::of(those.iter().flat_map(|(group, _)| group.suspects.iter().copied()))
    };
    alike.sort_by_cached_key(|those| Reverse(of_all(those)));
    alike
}
