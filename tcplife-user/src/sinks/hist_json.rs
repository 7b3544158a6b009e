//! `tcplife hist -o json`: a record for each state, of all or of each group.

use std::io;

use serde::{Serialize, Serializer, ser::SerializeMap};
use tcplife_core::{histogram::Lengths, observer::Transition, table::CensusOutcome};

use super::{
    hist::Hist,
    json,
    stream::{Change, Ending, Format},
};
use crate::{
    clock::{Clock, Stamper},
    health::LossCause,
    stays::{Row, Which},
};

/// Records `histogram`.
pub struct HistJson {
    hist: Hist,
    stamper: Stamper,
}

impl HistJson {
    /// Of what `hist` will collect, with times of `clock`.
    pub fn new(hist: Hist, clock: Clock) -> Self {
        Self { hist, stamper: Stamper::new(clock) }
    }
}

impl Format for HistJson {
    const TELLS_ALL: bool = true;
    const TRANSITIONS: bool = true;

    fn transition(&mut self, change: Change<'_>, transition: &Transition) {
        self.hist.transition(&change, transition);
    }

    fn lost(&mut self, out: &mut Vec<u8>, at: u64, count: u64, cause: LossCause) {
        json::line(out, &json::Lost::new(self.stamper.rfc3339(at), count, cause));
    }

    fn resynced(&mut self, out: &mut Vec<u8>, at: u64, outcome: &CensusOutcome) {
        json::line(out, &json::Resync::new(self.stamper.rfc3339(at), outcome));
    }

    fn tick(&mut self, now: u64) -> io::Result<()> {
        self.hist.tick(now)
    }

    fn end(&mut self, ending: Ending<'_>) -> io::Result<()> {
        for section in self.hist.report(&ending) {
            // A state without a stay is told of all, where its absence says something, and not of each group.
            let rows = section.rows.iter().filter(|row| section.which == Which::All || row.has_any());
            rows.for_each(|row| json::line(&mut ending.out.buffer, &Record::of(section.which, row)));
        }
        json::line(&mut ending.out.buffer, &json::Summary::of(ending.table, ending.health));
        self.hist.end(ending.now)
    }
}

/// Whose stays they are.
struct Group(Which);

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Which::All => serializer.serialize_map(Some(0))?.end(),
            Which::One(group) => group.serialize(serializer),
            Which::Other => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("other", &true)?;
                map.end()
            }
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "histogram")]
struct Record {
    state: &'static str,
    group: Group,
    count: u64,
    min_ns: Option<u64>,
    mean_ns: Option<u64>,
    p50_ns: Option<u64>,
    p90_ns: Option<u64>,
    p99_ns: Option<u64>,
    p999_ns: Option<u64>,
    max_ns: Option<u64>,
    open: Open,
    /// Stays that ended whose start was not seen; not in `count`.
    unknown_start: u64,
    /// Of `count`, stays outside of the range of the percentiles.
    clamped: u64,
}

#[derive(Serialize)]
struct Open {
    count: u64,
    p50_ns: Option<u64>,
    /// `p50_ns` may be more.
    p50_is_bound: bool,
    oldest_ns: Option<u64>,
    /// `oldest_ns` may be more.
    oldest_is_bound: bool,
    /// Of `count`, stays whose start was not seen: their ages are lower bounds.
    unknown_start: u64,
}

impl Record {
    fn of(which: Which, row: &Row) -> Self {
        let finished = &row.finished;
        let length = |of: fn(&Lengths) -> u64| finished.lengths.as_ref().map(of);
        let (p50, oldest) = row.open.ages.map(|ages| (ages.p50, ages.oldest)).unzip();
        Self {
            state: row.state.lower(),
            group: Group(which),
            count: finished.count,
            min_ns: length(|l| l.min),
            mean_ns: length(|l| l.mean),
            p50_ns: length(|l| l.p50),
            p90_ns: length(|l| l.p90),
            p99_ns: length(|l| l.p99),
            p999_ns: length(|l| l.p999),
            max_ns: length(|l| l.max),
            open: Open {
                count: row.open.count,
                p50_ns: p50.map(|age| age.ns),
                p50_is_bound: p50.is_some_and(|age| age.is_bound),
                oldest_ns: oldest.map(|age| age.ns),
                oldest_is_bound: oldest.is_some_and(|age| age.is_bound),
                unknown_start: row.open.unknown_start,
            },
            unknown_start: finished.unknown_start,
            clamped: finished.below + finished.above,
        }
    }
}
