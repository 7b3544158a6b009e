//! `tcplife leaks`: which process leaks which sockets, and why we say so.
//!
//! What comes in: suspects, confirmed against the kernel just now; with `-d` also those of the beginning. What goes out:
//! one report. What always holds: leaks only, in text also what is left of connections that are over, unless all suspects are asked for; the
//! process with the most leaks first, in text the processes that are alike.

mod alike;
mod commands;
mod json;
#[cfg(test)]
mod tests;
mod text;

use anyhow::Result;
use tcplife_core::{
    filter::Filter,
    owner::Process,
    suspect::{
        Facts, Faults, Suspect, Tally, Verdict,
        groups::{Baseline, Group, groups},
    },
};

use super::{
    notes::Notes,
    out::{Out, reader_may_go},
    select::Selector,
    stream::{Ending, Format, Stream},
};
use crate::{
    cli::TextOrJson,
    clock::{self, Clock},
    config::{Config, Suspects},
    engine::{self, Glance, Orphans},
    health::Health,
    process::ProcessFacts,
};

/// What a report is made of.
struct Report<'a> {
    /// When the suspects were confirmed, in nanoseconds of `CLOCK_MONOTONIC`.
    at: u64,
    /// What is to be told, oldest first.
    suspects: &'a [Suspect],
    /// Which of them are told.
    told: Suspects,
    /// Nanoseconds in a state after which it can be a leak.
    leak_after: u64,
    /// How many there were at first, and nanoseconds since.
    observed: Option<(&'a Baseline, u64)>,
    /// Orphans that are not among the suspects.
    orphans: &'a Tally,
    /// Not every socket was asked for.
    is_filtered: bool,
}

impl<'a> Report<'a> {
    /// Suspects by process, with what is known of each; without those that have nothing to tell.
    fn groups(&self, is_told: fn(Faults) -> bool) -> impl Iterator<Item = (Group<'a>, Option<ProcessFacts>)> {
        let mut groups = groups(self.suspects);
        groups.retain(|group| self.told == Suspects::All || is_told(group.faults()));
        let processes: Vec<Option<Process>> = groups.iter().map(|group| group.process).collect();
        groups.into_iter().zip(ProcessFacts::of_each(&processes))
    }

    fn shown(&self) -> impl Iterator<Item = &'a Suspect> {
        self.suspects.iter().filter(|suspect| self.told == Suspects::All || suspect.verdict.is_leak())
    }

    fn faults(&self) -> Faults {
        Faults::of(self.suspects)
    }

    /// How many there may be in their state for long enough, though not surely.
    fn undecided(&self) -> usize {
        self.suspects.iter().filter(|suspect| self.is_undecided(suspect)).count()
    }

    /// Whether it may have been in its state for long enough, though not surely: it would be a leak then.
    fn is_undecided(&self, suspect: &Suspect) -> bool {
        let Facts { state, age, .. } = suspect.facts;
        suspect.verdict == Verdict::Young
            && state.waits_for_close()
            && suspect.is_closable()
            && age.max.is_none_or(|max| max >= self.leak_after)
    }
}

/// How many there are of each verdict, with orphans that are only counted.
fn tally<'a>(orphans: &Tally, suspects: impl Iterator<Item = &'a Suspect>) -> Tally {
    let mut counts = *orphans;
    for suspect in suspects {
        counts[suspect.verdict as usize] += 1;
    }
    counts
}

/// Those verdicts that have been found.
fn with_any(tally: Tally) -> impl Iterator<Item = (Verdict, usize)> {
    Verdict::ALL.into_iter().zip(tally).filter(|&(_, count)| count > 0)
}

/// Suspects for a report at the end.
struct Collected {
    told: Suspects,
    leak_after: u64,
    /// The first look: when, and how many.
    first: Option<(u64, Baseline)>,
    /// The last one: when, and all.
    last: Option<(u64, Vec<Suspect>)>,
    /// Those in mini-sockets that are counted only, all without a process.
    orphans: Tally,
    is_filtered: bool,
}

impl Collected {
    fn new(config: &Config) -> Self {
        let leak_after = clock::as_ns(config.leak_after);
        let is_filtered = !config.filter.is_empty();
        let (first, last, orphans) = (None, None, Tally::default());
        Self { told: config.suspects, leak_after, first, last, orphans, is_filtered }
    }

    fn take(&mut self, at: u64, filter: &Filter, mut suspects: Vec<Suspect>) {
        suspects.retain(|suspect| suspect.is_wanted(filter));
        let before = self.last.replace((at, suspects));
        if let (None, Some((at, suspects))) = (&self.first, before) {
            self.first = Some((at, Baseline::of(&suspects)));
        }
    }

    fn report(&self) -> Report<'_> {
        let (at, suspects) = self.last.as_ref().map_or((0, &[][..]), |(at, suspects)| (*at, suspects));
        Report {
            at,
            suspects,
            told: self.told,
            leak_after: self.leak_after,
            observed: self.first.as_ref().map(|(begun, baseline)| (baseline, at.saturating_sub(*begun))),
            orphans: &self.orphans,
            is_filtered: self.is_filtered,
        }
    }
}

/// Reports leaks: at once, or after having observed for a while. Returns how many there are.
///
/// # Errors
/// The kernel's sockets cannot be listed, tracing is not possible here, or writing failed.
pub fn run(config: &Config, output: TextOrJson) -> Result<usize> {
    let collected = Collected::new(config);
    match output {
        TextOrJson::Text => {
            let of_nobody = config.filter.pids.is_empty() && config.filter.comms.is_empty();
            let counted = config.suspects == Suspects::Leaks && of_nobody;
            let orphans = if counted { Orphans::Counted } else { Orphans::Each };
            run_with(config, orphans, text::LeaksText(collected))
        }
        TextOrJson::Json => run_with(config, Orphans::Each, json::LeaksJson::new(collected, Clock::sample())),
    }
}

fn run_with(
    config: &Config,
    orphans: Orphans,
    mut format: impl Format + AsRef<Collected> + AsMut<Collected>,
) -> Result<usize> {
    let selector = Selector::new(config.filter.clone());
    if config.duration.is_some() {
        let mut stream = Stream::new(format, Out::stdout(config.duration), Notes::stderr(config), selector);
        engine::run(config, &mut stream)?;
        return Ok(stream.format().as_ref().report().faults().leaks);
    }
    let Glance { table, suspects, orphans, evidence, fallback } = engine::glance(config, orphans)?;
    let mut notes = Notes::stderr(config);
    notes.absent();
    if let Some(why) = fallback {
        notes.without_bpf(&why);
    }
    let health = Health { hooks: vec![evidence], ..Health::default() };
    notes.hooks(&health);
    notes.forgotten(&table);
    let now = clock::monotonic_ns();
    format.suspects(now, selector.filter(), suspects);
    format.as_mut().orphans = orphans;
    let mut out = Out::stdout(config.duration);
    let written =
        format.end(Ending { now, table: &table, health: &health, selector: &selector, out: &mut out });
    reader_may_go(written.and_then(|()| out.finish()))?;
    Ok(format.as_ref().report().faults().leaks)
}
