//! `tcplife trace -o json`: a record for each change.

use std::io;

use tcplife_core::{
    observer::{Direction, RetransmitKind, Transition},
    state::State,
    table::CensusOutcome,
};

use super::{
    json,
    json_line::{Line, key},
    recent::Recent,
    stream::{Change, Ending, Format},
};
use crate::{
    clock::{Clock, Stamper},
    health::LossCause,
};

/// Records `transition`, `retransmit`, `reset`.
pub struct TraceJson {
    time: Stamper,
    recent: Recent,
}

impl TraceJson {
    /// With times of `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { time: Stamper::new(clock), recent: Recent::new() }
    }

    /// A record that begins with `head`, up to what is its own.
    fn begin<'a>(&mut self, change: &'a mut Change<'_>, head: &'static str, at: u64) -> Line<'a> {
        let mut line = Line::begin(change.out, head);
        line.name(key!("time"), self.time.rfc3339(at));
        line.number(key!("mono_ns"), at);
        line.connection_again(&mut self.recent, change.connection, change.owner);
        line
    }
}

impl Format for TraceJson {
    const TELLS_ALL: bool = true;
    const TRANSITIONS: bool = true;

    fn transition(&mut self, mut change: Change<'_>, transition: &Transition) {
        let cause = change.connection.cause();
        let mut line = self.begin(&mut change, "{\"type\":\"transition\"", transition.at);
        line.name(key!("from"), transition.from.lower());
        line.name(key!("to"), transition.to.lower());
        line.number_or_null(key!("elapsed_ns"), transition.elapsed);
        if transition.to == State::Closed {
            line.name_or_null(key!("cause"), cause);
        }
        line.end();
    }

    fn retransmit(&mut self, mut change: Change<'_>, kind: RetransmitKind, at: u64) {
        let state = change.connection.state_of_segment();
        let mut line = self.begin(&mut change, "{\"type\":\"retransmit\"", at);
        line.name(key!("state"), state.lower());
        line.name(key!("kind"), kind.name());
        line.end();
    }

    fn reset(&mut self, mut change: Change<'_>, direction: Direction, at: u64) {
        let state = change.connection.state_of_segment();
        let mut line = self.begin(&mut change, "{\"type\":\"reset\"", at);
        line.name(key!("state"), state.lower());
        line.name(key!("direction"), direction.name());
        line.end();
    }

    fn lost(&mut self, out: &mut Vec<u8>, at: u64, count: u64, cause: LossCause) {
        json::line(out, &json::Lost::new(self.time.rfc3339(at), count, cause));
    }

    fn resynced(&mut self, out: &mut Vec<u8>, at: u64, outcome: &CensusOutcome) {
        json::line(out, &json::Resync::new(self.time.rfc3339(at), outcome));
    }

    fn end(&mut self, ending: Ending<'_>) -> io::Result<()> {
        json::line(&mut ending.out.buffer, &json::Summary::of(ending.table, ending.health));
        Ok(())
    }
}
