//! `tcplife lives -o json`: a record for each finished connection.

use std::io;

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeStruct},
};
use tcplife_core::{connection::Connection, observer::Life, owner::Owner, state::State, table::Verdict};

use super::{
    json::{self, CONNECTION_FIELDS},
    stream::{Change, Ending, Format},
};
use crate::clock::{Clock, Stamper};

/// Records `life`.
pub struct LivesJson {
    opened: Stamper,
    closed: Stamper,
}

impl LivesJson {
    /// With times of `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { opened: Stamper::new(clock), closed: Stamper::new(clock) }
    }
}

impl Format for LivesJson {
    const TELLS_ALL: bool = true;

    fn life(&mut self, change: Change<'_>, life: &Life) {
        let record = Record {
            connection: change.connection,
            owner: change.owner,
            opened: life.opened.map(|at| self.opened.rfc3339(at)),
            closed: self.closed.rfc3339(life.closed),
            life,
        };
        json::line(change.out, &record);
    }

    fn lost(&mut self, out: &mut Vec<u8>, at: u64, count: u64, cause: &'static str) {
        json::line(out, &json::Lost { time: self.closed.rfc3339(at), count, cause });
    }

    fn resynced(&mut self, out: &mut Vec<u8>, at: u64, verdict: &Verdict) {
        json::line(out, &json::Resync::new(self.closed.rfc3339(at), verdict));
    }

    fn end(&mut self, ending: Ending<'_>) -> io::Result<()> {
        json::line(ending.out, &json::Summary::of(ending.table, ending.health));
        Ok(())
    }
}

struct Record<'a> {
    connection: &'a Connection,
    owner: Option<Owner>,
    opened: Option<&'a str>,
    closed: &'a str,
    life: &'a Life,
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let life = self.life;
        let mut fields = serializer.serialize_struct("Life", CONNECTION_FIELDS + 11)?;
        fields.serialize_field("type", "life")?;
        json::connection(&mut fields, self.connection, self.owner)?;
        fields.serialize_field("opened", &self.opened)?;
        fields.serialize_field("closed", self.closed)?;
        fields.serialize_field("duration_ns", &life.duration)?;
        fields.serialize_field("states", &States(&life.spent))?;
        fields.serialize_field("first_close", life.first_close.name())?;
        fields.serialize_field("end", life.end.name())?;
        fields.serialize_field("bytes_sent", &life.bytes_sent)?;
        fields.serialize_field("bytes_received", &life.bytes_received)?;
        fields.serialize_field("retransmits", &life.retransmits)?;
        fields.serialize_field("complete", &life.complete)?;
        fields.end()
    }
}

struct States<'a>(&'a [Option<u64>; State::COUNT]);

impl Serialize for States<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (state, spent) in State::ALL.into_iter().zip(self.0) {
            if let Some(ns) = spent {
                map.serialize_entry(state.lower(), ns)?;
            }
        }
        map.end()
    }
}
