//! What is said on standard error: the ready line, losses, and what was counted.
//!
//! What comes in: facts. What goes out: one line for each, which begins with `tcplife: `. What always holds: the ready line is told
//! once, losses always; `--quiet` silences the rest. Nobody listening is not an error.

use std::io::{self, Write};

use tcplife_core::{
    connection::{Connection, Phase},
    filter::Filter,
    table::{CensusOutcome, Table},
};

use super::select::Selector;
use crate::{
    advice::words,
    config::{Config, Minis, absent},
    escape::one_line,
    health::{Health, LossCause},
};

/// The notes of one run.
pub struct Notes {
    writer: Box<dyn Write>,
    quiet: bool,
    ready: String,
    capacity: usize,
    minis: Minis,
    /// What is selected, until it was told which of that is absent: it may come.
    selected: Filter,
    /// Which hooks are off was told.
    hooks_told: bool,
    /// How many network namespaces were told to be gone.
    gone_told: usize,
    /// That the sockets cannot be listed was told.
    unlisted_told: bool,
}

impl Notes {
    /// On standard error.
    pub fn stderr(config: &Config) -> Self {
        Self::to(Box::new(io::stderr()), config)
    }

    /// On any writer.
    pub fn to(writer: Box<dyn Write>, config: &Config) -> Self {
        let ready = match config.duration {
            Some(duration) => {
                format!("tracing TCP connections for {}", humantime::format_duration(duration))
            }
            None => "tracing TCP connections; Ctrl-C ends".to_owned(),
        };
        Self {
            writer,
            quiet: config.quiet,
            ready,
            capacity: config.max_connections,
            minis: config.minis,
            selected: config.filter.clone(),
            hooks_told: false,
            gone_told: 0,
            unlisted_told: false,
        }
    }

    fn say(&mut self, what: &str) {
        // In one write, so that lines of several programs do not mix. Nobody may listen there; the trace goes on.
        let _ = self.writer.write_all(format!("tcplife: {}\n", one_line(what)).as_bytes());
    }

    fn note(&mut self, what: &str) {
        if !self.quiet {
            self.say(what);
        }
    }

    /// All hooks are attached.
    pub fn ready(&mut self) {
        let ready = std::mem::take(&mut self.ready);
        if !ready.is_empty() {
            self.say(&ready);
        }
        self.absent();
    }

    /// Which processes, names and network namespaces were selected and are not there, once.
    pub fn absent(&mut self) {
        let selected = std::mem::take(&mut self.selected);
        if self.quiet {
            // Looking for names and namespaces takes a look at every process.
            return;
        }
        for absent in absent(&selected) {
            self.note(&absent);
        }
    }

    /// Which hooks are off and what others do not tell, once.
    pub fn hooks(&mut self, health: &Health) {
        if std::mem::replace(&mut self.hooks_told, true) {
            return;
        }
        let off: Vec<_> = health
            .hooks
            .iter()
            .filter(|hook| hook.mechanism.is_none() && hook.needed)
            .map(|hook| hook.kind.name())
            .collect();
        if !off.is_empty() {
            self.note(&format!(
                "hooks that are not available here: {}; tcplife doctor says why, and what is not known without them",
                off.join(", ")
            ));
        }
        for limit in health.hooks.iter().flat_map(|hook| &hook.limits) {
            self.note(limit);
        }
    }

    /// Which of the selected network namespaces are gone, each once; and that the sockets cannot be listed, when that begins.
    pub fn changes(&mut self, health: &Health) {
        let was_told = std::mem::replace(&mut self.unlisted_told, health.unlisted.why().is_some());
        if let Some(why) = health.unlisted.why().filter(|_| !was_told) {
            self.note(&format!(
                "the kernel's sockets could not be listed ({why}): ends that no event tells may be missing"
            ));
        }
        let told = std::mem::replace(&mut self.gone_told, health.gone.len());
        for inode in health.gone.iter().skip(told) {
            self.note(&format!(
                "--netns {inode}: that network namespace is gone; nothing more comes from it, and what may come is of a new one that got \
                 its number"
            ));
        }
    }

    /// A look at the host was taken without BPF.
    pub fn without_bpf(&mut self, why: &str) {
        self.note(&format!(
            "sock_diag and /proc are read instead of BPF iterators, without descriptors of connections that are over: {why}"
        ));
    }

    /// Events were lost.
    pub fn lost(&mut self, count: u64, cause: LossCause) {
        let events = words::count(count, "event");
        self.say(&format!("{events} lost ({}): {}", cause.name(), cause.explain()));
    }

    /// The table was compared with the kernel's sockets.
    pub fn resynced(&mut self, outcome: &CensusOutcome) {
        let CensusOutcome { adopted, corrected, ended, .. } = outcome;
        self.note(&format!(
            "resynced: {} taken up, {corrected} corrected, {ended} found to have ended",
            words::count(*adopted, "connection")
        ));
    }

    /// What was counted.
    pub fn summary(&mut self, table: &Table, health: &Health) {
        let unattributed = table.totals().unattributed;
        self.note(&format!(
            "{} events, {} lost, {} connections, {unattributed} unattributed",
            health.events,
            health.lost.total(),
            table.totals().connections(),
        ));
        self.forgotten(table);
    }

    /// How many selected connections are over for their applications and not told yet, if a life lasts longer than that.
    pub fn unfinished(&mut self, table: &Table, selector: &Selector) {
        let waits = |connection: &&Connection| {
            connection.phase() == Phase::Mini && selector.wants_life(connection, table.owner(connection))
        };
        let count = if self.minis == Minis::OfLife { table.iter().filter(waits).count() } else { 0 };
        if count > 0 {
            self.note(&format!(
                "not printed, because still in TIME_WAIT or FIN_WAIT_2, which --time-wait waits for: {}",
                words::count(count as u64, "connection")
            ));
        }
    }

    /// How many connections the table had no room for, if there were any.
    pub fn forgotten(&mut self, table: &Table) {
        let evicted = table.totals().evicted;
        if evicted > 0 {
            self.say(&format!(
                "{} forgotten: the table holds {}; see --max-connections",
                words::count(evicted, "connection"),
                self.capacity
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tcplife_core::{filter::Filter, table};

    use super::*;
    use crate::{
        health::{Hook, HookKind, List, Losses},
        sinks::out::tests::Shared,
    };

    fn told(config: &Config, tell: impl FnOnce(&mut Notes)) -> String {
        let shared = Shared::default();
        tell(&mut Notes::to(Box::new(shared.clone()), config));
        shared.text()
    }

    /// With a process and a network namespace that there are not: no process has a pid above `PID_MAX_LIMIT`, and inodes are large
    /// numbers.
    fn config(quiet: bool) -> Config {
        let filter =
            Filter { pids: vec![std::process::id(), (1 << 22) + 1], netns: vec![7], ..Filter::default() };
        Config { filter, quiet, ..Config::default() }
    }

    fn all(notes: &mut Notes) {
        let health = Health {
            hooks: vec![
                Hook::on(HookKind::State, "tp_btf/x".into()),
                Hook::off(HookKind::Retransmit, "the kernel has no such tracepoint".into()),
                Hook::off(HookKind::Accept, "not permitted".into()),
                Hook::unneeded(HookKind::TimeWaitEnd, "nobody asks"),
                Hook {
                    limits: vec!["not all is listed", "nor seen"],
                    ..Hook::on(HookKind::Dump, "iter/tcp".into())
                },
            ],
            events: 12,
            lost: Losses::default().with(LossCause::RingFull, 3),
            ..Health::default()
        };
        let table = Table::new(table::Config::default());
        notes.ready();
        notes.ready();
        notes.hooks(&health);
        notes.hooks(&health);
        notes.changes(&health);
        notes.changes(&Health { gone: vec![5], ..Health::default() });
        notes.changes(&Health { gone: vec![5, 6], ..Health::default() });
        notes.lost(3, LossCause::RingFull);
        notes.resynced(&CensusOutcome { adopted: 1, corrected: 2, ended: 0, missing: 5 });
        notes.summary(&table, &health);
    }

    #[test]
    fn each_thing_is_told_once() {
        let expected = "\
tcplife: tracing TCP connections; Ctrl-C ends
tcplife: --pid 4194305: there is no such process now; `ps -eo pid,comm` lists them
tcplife: --netns 7: not found among the network namespaces that tcplife may look into; as root, `lsns -t net` lists them all
tcplife: hooks that are not available here: retransmit, accept; tcplife doctor says why, and what is not known without them
tcplife: not all is listed
tcplife: nor seen
tcplife: --netns 5: that network namespace is gone; nothing more comes from it, and what may come is of a new one that got its number
tcplife: --netns 6: that network namespace is gone; nothing more comes from it, and what may come is of a new one that got its number
tcplife: 3 events lost (ring_full): the agent did not keep up; a larger --ring-size helps with bursts, filters with the rest
tcplife: resynced: 1 connection taken up, 2 corrected, 0 found to have ended
tcplife: 12 events, 3 lost, 0 connections, 0 unattributed
";
        assert_eq!(told(&config(false), all), expected);
    }

    #[test]
    fn that_sockets_cannot_be_listed_is_told_when_it_begins() {
        let health = |why: Option<&str>| {
            let mut health = Health::default();
            if let Some(why) = why {
                health.unlisted.note(List::Suspects, why.to_owned());
            }
            health
        };
        let text = told(&config(false), |notes| {
            for why in [None, Some("first"), Some("still"), None, None, Some("again")] {
                notes.changes(&health(why));
            }
        });
        let whys: Vec<&str> = text.split(['(', ')']).skip(1).step_by(2).collect();
        assert_eq!(whys, ["first", "again"], "{text}");
    }

    #[test]
    fn quiet_leaves_the_ready_line_and_the_losses() {
        let text = told(&config(true), all);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.starts_with("tcplife: tracing"));
        assert!(text.contains("3 events lost"));
    }

    #[test]
    fn a_note_is_one_line() {
        let why = "no\nVerifier output: stack depth 0\n\nprocessed 2 insns\n: Too many open files";
        let expected = "tcplife: sock_diag and /proc are read instead of BPF iterators, without descriptors of connections that are over: no; Verifier output: stack depth 0; \
                        processed 2 insns; : Too many open files\n";
        assert_eq!(told(&config(false), |notes| notes.without_bpf(why)), expected);
    }

    #[test]
    fn the_ready_line_says_how_long() {
        let config = Config { duration: Some(Duration::from_millis(1500)), ..Config::default() };
        assert_eq!(told(&config, Notes::ready), "tcplife: tracing TCP connections for 1s 500ms\n");
    }
}
