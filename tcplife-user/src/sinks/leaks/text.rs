//! `tcplife leaks` for people: a block for each process, and a line for each that is like it.

use std::{
    fmt::{self, Write},
    io,
    net::SocketAddr,
};

use tcplife_core::{
    filter::Filter,
    owner::Process,
    suspect::{
        Faults, Suspect, Tally, Verdict,
        groups::{Counted, Group, ages},
    },
};

use super::{
    Collected, Report,
    alike::{Accused, alike},
    commands, tally, with_any,
};
use crate::{
    advice::{
        self,
        words::{count, duration},
    },
    clock::as_ns,
    config::Suspects,
    escape,
    process::ProcessFacts,
    sink::Confirm,
    sinks::stream::{Ending, Format},
};

/// Descriptors, ports and peers that are named; of more, how many.
const NAMED: usize = 8;
/// Processes that have a line below one that they are like; of more, how many.
const LIKE_IT: usize = 20;

/// The report as text.
pub struct LeaksText(pub Collected);

impl AsRef<Collected> for LeaksText {
    fn as_ref(&self) -> &Collected {
        &self.0
    }
}

impl AsMut<Collected> for LeaksText {
    fn as_mut(&mut self) -> &mut Collected {
        &mut self.0
    }
}

impl Format for LeaksText {
    const CONFIRM: Confirm = Confirm::AtBothEnds;

    fn suspects(&mut self, at: u64, filter: &Filter, suspects: Vec<Suspect>) {
        self.0.take(at, filter, suspects);
    }

    fn end(&mut self, ending: Ending<'_>) -> io::Result<()> {
        let text = text(&self.0.report(), ending.out.columns);
        ending.out.buffer.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Text with paragraphs.
struct Paper {
    text: String,
    /// Columns of a line, unless a word or a command is longer.
    columns: usize,
}

impl Write for Paper {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text.write_str(text)
    }
}

impl Paper {
    /// A labelled paragraph.
    fn line(&mut self, label: &str, what: &str) {
        let first = format!("    {label:<8} ");
        // No character is wider than its bytes are many, and most lines are short.
        if first.len() + what.len() <= self.columns {
            _ = writeln!(self, "{}", [&first, what].concat().trim_end());
            return;
        }
        let rest = " ".repeat(first.len());
        let options = textwrap::Options::new(self.columns).initial_indent(&first).subsequent_indent(&rest);
        for wrapped in textwrap::wrap(what, options) {
            self.text.push_str(&wrapped);
            self.text.push('\n');
        }
    }
}

fn text(report: &Report<'_>, columns: usize) -> String {
    let mut paper = Paper { text: String::new(), columns };
    let text = &mut paper;
    // Processes, not sockets.
    let mut owners = Faults::default();
    // A verdict is explained once: there may be hundreds of workers with the same fault.
    let mut explained = [false; Verdict::ALL.len()];
    let each = report.groups(Faults::any);
    let blocks =
        if report.told == Suspects::All { each.map(|accused| vec![accused]).collect() } else { alike(each) };
    for accused in &blocks {
        let [first, others @ ..] = &accused[..] else { continue };
        block(text, report, first, &mut explained);
        like_it(text, report, others);
        _ = writeln!(text);
        for (group, _) in accused {
            let faults = group.faults();
            owners.leaks += usize::from(faults.leaks > 0);
            owners.ended += usize::from(faults.ended > 0);
        }
    }
    totals(text, report, owners);
    paper.text
}

fn totals(text: &mut Paper, report: &Report<'_>, owners: Faults) {
    let (Faults { leaks, ended }, after) = (report.faults(), duration(report.leak_after));
    let undecided = report.undecided();
    let of = |owners| count(owners as u64, "owner");
    if leaks > 0 {
        _ = writeln!(text, "{} in {}", count(leaks as u64, "leaked socket"), of(owners.leaks));
    }
    if ended > 0 {
        let (what, owners) = (count(ended as u64, "socket"), of(owners.ended));
        _ = writeln!(
            text,
            "{what} not closed after the connection ended, in {owners}; ss does not list them"
        );
    }
    if leaks == 0 {
        let selected = if report.is_filtered { "selected " } else { "" };
        let surely = if undecided > 0 { "surely " } else { "" };
        _ = writeln!(
            text,
            "no leaks: none of the {selected}sockets that have {surely}been in CLOSE_WAIT or FIN_WAIT_2 for {after} or longer is one"
        );
    }
    if undecided > 0 {
        _ = writeln!(
            text,
            "not known: {undecided} may have been there for {after} or longer, but a later segment (the FIN, or an answer to \
             keepalive) hides it; -d of {after} or more tells{}",
            if report.told == Suspects::All { "" } else { " (--all shows them)" }
        );
    }
    if report.told == Suspects::Leaks {
        let other = |suspect: &&Suspect| !suspect.verdict.is_fault() && !report.is_undecided(suspect);
        let others = tally(report.orphans, report.suspects.iter().filter(other));
        if with_any(others).next().is_some() {
            _ = writeln!(text, "not leaks: {} (--all shows them)", verdicts(others));
        }
    }
}

/// How many there are of each verdict, for people.
fn verdicts(tally: Tally) -> String {
    let counts: Vec<String> =
        with_any(tally).map(|(verdict, count)| format!("{count} {}", verdict.name())).collect();
    counts.join(", ")
}

/// Who, how many of each verdict, and how fast they become more.
fn heading(report: &Report<'_>, group: &Group<'_>) -> String {
    let name = group.process.as_ref().map_or_else(|| "no process".to_owned(), named);
    let orphans = if group.process.is_none() { *report.orphans } else { Tally::default() };
    let counts = verdicts(tally(&orphans, group.suspects.iter().copied()));
    let growth = report.observed.map(|(baseline, elapsed)| baseline.growth(group, elapsed));
    let growth = growth.map(|growth| format!("; {growth:+.1} sockets a minute"));
    format!("{name}: {counts}{}", growth.unwrap_or_default())
}

fn block(
    text: &mut Paper,
    report: &Report<'_>,
    (group, facts): &Accused<'_>,
    explained: &mut [bool; Verdict::ALL.len()],
) {
    _ = writeln!(text, "{}", heading(report, group));
    about_process(text, group, facts.as_ref());
    let ports = group.local_ports();
    if !ports.is_empty() {
        text.line("ports", &format!("local {}", list(&ports, u16::to_string)));
        text.line("peers", &list(&group.peers(), |peer| shown(*peer)));
    }
    // One that has ended has none, and in this /proc its pid may be another's.
    if let (Some(process), Some(facts)) = (&group.process, facts) {
        text.line("threads", &commands::stacks(process.pid, &facts.program));
    }
    for (verdict, suspects) in group.by_verdict() {
        if report.told == Suspects::All || verdict.is_fault() {
            let again = std::mem::replace(&mut explained[verdict as usize], true);
            about_verdict(text, group, verdict, &suspects, again);
        }
    }
}

/// A line for each of those that are like the one above.
fn like_it(text: &mut Paper, report: &Report<'_>, others: &[Accused<'_>]) {
    if others.is_empty() {
        return;
    }
    let counts = |those: &[Accused<'_>]| {
        let suspects = those.iter().flat_map(|(group, _)| group.suspects.iter().copied());
        verdicts(tally(&Tally::default(), suspects))
    };
    let (told, counted) = others.split_at(others.len().min(LIKE_IT));
    _ = writeln!(text, "  {} more like it: {}", others.len(), counts(others));
    for (group, facts) in told {
        let faults: Vec<&Suspect> = group.faulty().collect();
        let fds = descriptors(group, facts.as_ref()).map(|fds| format!("; fds: {fds}"));
        _ = writeln!(
            text,
            "    {}; {}{}",
            heading(report, group),
            waited(&faults).unwrap_or_default(),
            fds.unwrap_or_default()
        );
    }
    if !counted.is_empty() {
        _ = writeln!(text, "    and {} more: {} (--all shows each)", counted.len(), counts(counted));
    }
}

fn about_process(text: &mut Paper, group: &Group<'_>, facts: Option<&ProcessFacts>) {
    if group.process.is_none() {
        return;
    }
    let Some(facts) = facts else {
        text.line("process", "has ended, or has another pid in this /proc");
        about_descriptors(text, group, None);
        return;
    };
    let words: Vec<_> = facts.command.iter().map(|word| escape::printable(word)).collect();
    if !words.is_empty() {
        text.line("command", &words.join(" "));
    }
    let mut runs = Vec::new();
    runs.extend(facts.user.as_ref().map(|user| format!("as {}", escape::printable(user.as_bytes()))));
    runs.extend(facts.running.map(|running| format!("for {}", duration(as_ns(running)))));
    runs.extend(facts.unit.as_ref().map(|unit| format!("in {}", escape::printable(unit.as_bytes()))));
    runs.extend(facts.container.as_ref().map(|id| format!("in container {id}")));
    if facts.is_stopped {
        runs.push("but stopped by a signal: it does nothing".to_owned());
    }
    text.line("runs", &runs.join(", "));
    about_descriptors(text, group, Some(facts));
    let others = group.others();
    if !others.is_empty() {
        text.line("shared", &format!("also held by {}", list(&others, named)));
    }
}

fn about_descriptors(text: &mut Paper, group: &Group<'_>, facts: Option<&ProcessFacts>) {
    if let Some(fds) = descriptors(group, facts) {
        text.line("fds", &fds);
    }
}

/// How many descriptors it uses, and which of them are those of the suspects.
fn descriptors(group: &Group<'_>, facts: Option<&ProcessFacts>) -> Option<String> {
    let mut parts = Vec::new();
    let limit = facts.and_then(|facts| facts.descriptor_limit);
    parts.extend(facts.and_then(|facts| facts.descriptors).map(|used| match limit {
        Some(limit) if used as u64 >= limit => {
            format!("{used} of {limit} in use: accept, socket and open fail (EMFILE)")
        }
        Some(limit) => format!("{used} of {limit} in use"),
        None => format!("{used} in use"),
    }));
    let fds = group.fds(Suspect::is_closable);
    parts.extend((!fds.is_empty()).then(|| format!("these: {}", numbers(fds))));
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// How long suspects in order have been in their state.
fn waited(suspects: &[&Suspect]) -> Option<String> {
    let (oldest, median) = ages(suspects)?;
    Some(if suspects.len() == 1 {
        format!("at least {}", duration(oldest))
    } else {
        format!("oldest at least {}, median {}", duration(oldest), duration(median))
    })
}

fn about_verdict(
    text: &mut Paper,
    group: &Group<'_>,
    verdict: Verdict,
    suspects: &[&Suspect],
    explained: bool,
) {
    let waited = waited(suspects).unwrap_or_default();
    _ = writeln!(text, "  {}: {}, {waited}", verdict.name(), suspects.len());
    let advice = advice::of(verdict);
    text.line("means", if explained { "as above" } else { advice.means });
    if let Some(suspect) = suspects.first() {
        text.line("oldest", &format!("{}: {}", ends(suspect), advice::reason(suspect)));
    }
    if verdict == Verdict::EndedUnclosed && group.suspects.iter().any(|other| other.verdict != verdict) {
        text.line("fds", &numbers(group.fds(|suspect| suspect.verdict == verdict)));
    }
    if !explained {
        text.line("look at", advice.look_at);
    }
    if verdict.is_leak() {
        for command in commands::next(group, suspects) {
            _ = writeln!(text, "    {:<8} {command}", "next");
        }
        if explained {
            return;
        }
        let keepalive = suspects.iter().filter(|suspect| suspect.keepalive).count();
        let having = if advice.no_help.contains("SO_KEEPALIVE") {
            format!(" ({keepalive} of {} have it)", suspects.len())
        } else {
            String::new()
        };
        text.line("no help", &format!("{}{having}", advice.no_help));
    }
}

fn ends(suspect: &Suspect) -> String {
    format!("{} > {}", suspect.connection.local(), suspect.connection.remote())
}

fn named(process: &Process) -> String {
    format!("{}[{}]", escape::printable(process.comm_bytes()), process.pid)
}

fn shown(peer: SocketAddr) -> String {
    if peer.port() == 0 { peer.ip().to_string() } else { peer.to_string() }
}

/// Descriptors.
fn numbers(fds: Vec<u32>) -> String {
    list(&fds.into_iter().map(|fd| (fd, 1)).collect(), u32::to_string)
}

/// The first ones, with how often if more than once, and how many more there are.
fn list<T>(items: &Counted<T>, show: impl Fn(&T) -> String) -> String {
    let more = items.len().saturating_sub(NAMED);
    let mut named: Vec<String> = items
        .iter()
        .take(NAMED)
        .map(|(item, n)| if *n == 1 { show(item) } else { format!("{} ({n})", show(item)) })
        .collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whether it is short or not.
        #[test]
        fn a_line_is_wrapped_as_the_library_does(what in "[a-zé漢 ]{1,120}", columns in 40..100_usize) {
            let mut paper = Paper { text: String::new(), columns };
            paper.line("label", &what);
            let rest = " ".repeat(13);
            let options = textwrap::Options::new(columns).initial_indent("    label    ").subsequent_indent(&rest);
            let wrapped = textwrap::wrap(&what, options);
            let text = paper.text;
            prop_assert!(text.lines().map(str::trim_end).eq(wrapped.iter().map(|line| line.trim_end())), "{text}");
        }
    }
}
