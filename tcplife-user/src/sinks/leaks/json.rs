//! `tcplife leaks -o json`: a record `suspect` for each socket, `leaker` for each process, `summary`.

use std::{borrow::Cow, io};

use serde::{Serialize, Serializer};
use tcplife_core::{
    filter::Filter,
    suspect::{Facts, Faults, Peer, Suspect, Tally, groups::Group},
    table::CensusOutcome,
};

use super::{Collected, Report, tally, with_any};
use crate::{
    advice,
    clock::{Clock, Stamper, as_ns},
    health::LossCause,
    process::ProcessFacts,
    sink::Confirm,
    sinks::{
        json::{self, ProcessFields},
        json_line::{Line, key},
        stream::{Ending, Format},
    },
};

/// The report as records.
pub struct LeaksJson {
    collected: Collected,
    stamper: Stamper,
}

impl LeaksJson {
    /// With times of `clock`.
    pub fn new(collected: Collected, clock: Clock) -> Self {
        Self { collected, stamper: Stamper::new(clock) }
    }
}

impl AsRef<Collected> for LeaksJson {
    fn as_ref(&self) -> &Collected {
        &self.collected
    }
}

impl AsMut<Collected> for LeaksJson {
    fn as_mut(&mut self) -> &mut Collected {
        &mut self.collected
    }
}

impl Format for LeaksJson {
    const TELLS_ALL: bool = true;
    const CONFIRM: Confirm = Confirm::AtBothEnds;

    fn suspects(&mut self, at: u64, filter: &Filter, suspects: Vec<Suspect>) {
        self.collected.take(at, filter, suspects);
    }

    fn lost(&mut self, out: &mut Vec<u8>, at: u64, count: u64, cause: LossCause) {
        json::line(out, &json::Lost::new(self.stamper.rfc3339(at), count, cause));
    }

    fn resynced(&mut self, out: &mut Vec<u8>, at: u64, outcome: &CensusOutcome) {
        json::line(out, &json::Resync::new(self.stamper.rfc3339(at), outcome));
    }

    fn end(&mut self, ending: Ending<'_>) -> io::Result<()> {
        let report = self.collected.report();
        let time = self.stamper.rfc3339(report.at);
        for suspect in report.shown() {
            suspect_record(&mut ending.out.buffer, time, suspect);
            ending.out.relieve();
        }
        for (group, facts) in report.groups(|faults| faults.leaks > 0) {
            json::line(&mut ending.out.buffer, &Leaker::of(&report, &group, facts));
        }
        let run = json::Summary::of(ending.table, ending.health);
        json::line(&mut ending.out.buffer, &Summary::of(run, &report));
        Ok(())
    }
}

fn suspect_record(out: &mut Vec<u8>, time: &str, suspect: &Suspect) {
    let Facts { state, age, recv_queue, send_queue, .. } = suspect.facts;
    let mut line = Line::begin(out, "{\"type\":\"suspect\"");
    line.name(key!("time"), time);
    line.connection(&suspect.connection, suspect.owner);
    line.name(key!("state"), state.lower());
    line.number(",\"age_ns\":{\"min\":", age.min);
    line.number_or_null(key!("max"), age.max);
    line.close();
    line.name(key!("verdict"), suspect.verdict.name());
    line.flag(key!("leak"), suspect.verdict.is_leak());
    line.number(key!("recv_queue"), recv_queue);
    line.number(key!("send_queue"), send_queue);
    line.holders(key!("holders"), &suspect.holders);
    let listener = suspect.listener.as_ref();
    line.process(key!("listener"), listener.map(|listener| &listener.process), |line| {
        line.number_or_null(key!("queue"), listener.map(|listener| listener.queue));
        line.number_or_null(key!("limit"), listener.map(|listener| listener.limit));
        line.number_or_null(key!("processes"), listener.map(|listener| listener.processes));
    });
    let peer = match &suspect.peer {
        Peer::Here(process) => process.as_ref(),
        Peer::Gone | Peer::Unknown => None,
    };
    line.process(key!("peer_owner"), peer, |_| {});
    line.flag(key!("peer_gone"), suspect.peer == Peer::Gone);
    line.flag(key!("keepalive"), suspect.keepalive);
    line.text(key!("reason"), &advice::reason(suspect));
    line.end();
}

/// What was counted, and what is not shown.
#[derive(Serialize)]
struct Summary<'a> {
    #[serde(flatten)]
    run: json::Summary<'a>,
    verdicts: Verdicts,
    undecided: usize,
}

impl<'a> Summary<'a> {
    fn of(run: json::Summary<'a>, report: &Report<'_>) -> Self {
        Self {
            run,
            verdicts: Verdicts(tally(report.orphans, report.suspects.iter())),
            undecided: report.undecided(),
        }
    }
}

struct Verdicts(Tally);

impl Serialize for Verdicts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(with_any(self.0).map(|(verdict, count)| (verdict.name(), count)))
    }
}

/// One process's leaks together.
#[derive(Serialize)]
#[serde(tag = "type", rename = "leaker")]
struct Leaker<'a> {
    process: Option<ProcessFields<'a>>,
    command: Option<String>,
    user: Option<String>,
    running_ns: Option<u64>,
    unit: Option<String>,
    container: Option<String>,
    descriptors: Option<usize>,
    descriptor_limit: Option<u64>,
    sockets: usize,
    leaks: usize,
    ended_unclosed: usize,
    growth_per_minute: Option<f64>,
}

impl<'a> Leaker<'a> {
    fn of(report: &Report<'_>, group: &'a Group<'_>, facts: Option<ProcessFacts>) -> Self {
        let process = group.process.as_ref();
        let Faults { leaks, ended } = group.faults();
        let facts = facts.unwrap_or_default();
        let words = facts.command.iter().map(|word| String::from_utf8_lossy(word));
        let command = words.collect::<Vec<Cow<'_, str>>>().join(" ");
        Self {
            process: process.map(ProcessFields::from),
            command: (!command.is_empty()).then_some(command),
            user: facts.user,
            running_ns: facts.running.map(as_ns),
            unit: facts.unit,
            container: facts.container,
            descriptors: facts.descriptors,
            descriptor_limit: facts.descriptor_limit,
            sockets: group.suspects.len(),
            leaks,
            ended_unclosed: ended,
            growth_per_minute: report.observed.map(|(baseline, elapsed)| baseline.growth(group, elapsed)),
        }
    }
}
