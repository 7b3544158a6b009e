//! `tcplife lives -o json`: a record for each finished connection.

use std::io;

use tcplife_core::{observer::Life, state::State, table::CensusOutcome};

use super::{
    json,
    json_line::{Line, key},
    stream::{Change, Ending, Format},
};
use crate::{
    clock::{Clock, Stamper},
    health::LossCause,
};

/// Records `life`.
pub struct LivesJson {
    opened: Stamper,
    closed: Stamper,
}

impl LivesJson {
    /// With times of `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { opened: Stamper::new(clock.clone()), closed: Stamper::new(clock) }
    }
}

impl Format for LivesJson {
    const TELLS_ALL: bool = true;

    fn life(&mut self, change: Change<'_>, life: &Life) {
        let mut record = Line::begin(change.out, "{\"type\":\"life\"");
        record.connection(change.connection, change.owner);
        record.name_or_null(key!("opened"), life.opened.map(|at| self.opened.rfc3339(at)));
        record.name(key!("closed"), self.closed.rfc3339(life.closed));
        record.number_or_null(key!("duration_ns"), life.duration);
        let spent = State::ALL.into_iter().zip(life.spent);
        record.numbers(key!("states"), spent.filter_map(|(state, ns)| Some((state.lower(), ns?))));
        record.name(key!("first_close"), life.first_close.name());
        record.name(key!("end"), life.end.name());
        record.number_or_null(key!("bytes_sent"), life.bytes_sent);
        record.number_or_null(key!("bytes_received"), life.bytes_received);
        record.number(key!("retransmits"), life.retransmits);
        record.flag(key!("complete"), life.complete);
        record.end();
    }

    fn lost(&mut self, out: &mut Vec<u8>, at: u64, count: u64, cause: LossCause) {
        json::line(out, &json::Lost::new(self.closed.rfc3339(at), count, cause));
    }

    fn resynced(&mut self, out: &mut Vec<u8>, at: u64, outcome: &CensusOutcome) {
        json::line(out, &json::Resync::new(self.closed.rfc3339(at), outcome));
    }

    fn end(&mut self, ending: Ending<'_>) -> io::Result<()> {
        json::line(&mut ending.out.buffer, &json::Summary::of(ending.table, ending.health));
        Ok(())
    }
}
