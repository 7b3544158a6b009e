//! `tcplife trace -o json`: a record for each change.

use std::io;

use serde::{Serialize, Serializer, ser::SerializeStruct};
use tcplife_core::{
    connection::Connection,
    observer::{Direction, RetransmitKind, Transition},
    owner::Owner,
    table::Verdict,
};

use super::{
    json::{self, CONNECTION_FIELDS},
    stream::{Change, Ending, Format},
};
use crate::clock::{Clock, Stamper};

/// Records `transition`, `retransmit`, `reset`.
pub struct TraceJson(Stamper);

impl TraceJson {
    /// With times of `clock`.
    pub fn new(clock: Clock) -> Self {
        Self(Stamper::new(clock))
    }

    fn line(&mut self, change: &mut Change<'_>, at: u64, what: What<'_>) {
        let time = self.0.rfc3339(at);
        let Change { connection, owner, out } = change;
        json::line(out, &Record { time, at, connection, owner: *owner, what });
    }
}

impl Format for TraceJson {
    const TELLS_ALL: bool = true;

    fn transition(&mut self, mut change: Change<'_>, transition: &Transition) {
        self.line(&mut change, transition.at, What::Transition(transition));
    }

    fn retransmit(&mut self, mut change: Change<'_>, kind: RetransmitKind, at: u64) {
        self.line(&mut change, at, What::Retransmit(kind));
    }

    fn reset(&mut self, mut change: Change<'_>, direction: Direction, at: u64) {
        self.line(&mut change, at, What::Reset(direction));
    }

    fn lost(&mut self, out: &mut Vec<u8>, at: u64, count: u64, cause: &'static str) {
        json::line(out, &json::Lost { time: self.0.rfc3339(at), count, cause });
    }

    fn resynced(&mut self, out: &mut Vec<u8>, at: u64, verdict: &Verdict) {
        json::line(out, &json::Resync::new(self.0.rfc3339(at), verdict));
    }

    fn end(&mut self, ending: Ending<'_>) -> io::Result<()> {
        json::line(ending.out, &json::Summary::of(ending.table, ending.health));
        Ok(())
    }
}

enum What<'a> {
    Transition(&'a Transition),
    Retransmit(RetransmitKind),
    Reset(Direction),
}

struct Record<'a> {
    time: &'a str,
    at: u64,
    connection: &'a Connection,
    owner: Option<Owner>,
    what: What<'a>,
}

impl Record<'_> {
    const fn name(&self) -> &'static str {
        match self.what {
            What::Transition(_) => "transition",
            What::Retransmit(_) => "retransmit",
            What::Reset(_) => "reset",
        }
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Record", CONNECTION_FIELDS + 6)?;
        fields.serialize_field("type", self.name())?;
        fields.serialize_field("time", self.time)?;
        fields.serialize_field("mono_ns", &self.at)?;
        json::connection(&mut fields, self.connection, self.owner)?;
        match &self.what {
            What::Transition(transition) => {
                fields.serialize_field("from", transition.from.lower())?;
                fields.serialize_field("to", transition.to.lower())?;
                fields.serialize_field("elapsed_ns", &transition.elapsed)?;
            }
            What::Retransmit(kind) => {
                fields.serialize_field("state", self.connection.state().lower())?;
                fields.serialize_field("kind", kind.name())?;
            }
            What::Reset(direction) => {
                fields.serialize_field("state", self.connection.state().lower())?;
                fields.serialize_field("direction", direction.name())?;
            }
        }
        fields.end()
    }
}
