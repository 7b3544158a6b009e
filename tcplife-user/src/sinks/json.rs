//! The JSON records that every stream shares: losses, the summary.
//!
//! What always holds: one object a line, `type` first; text
//! from outside can be printed on a terminal, since what is not printable is written as a JSON escape.

use std::{borrow::Cow, io};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};
use tcplife_core::{
    connection::Connection,
    owner::Process,
    table::{CensusOutcome, Table},
};

use crate::{
    escape,
    health::{Health, Hook, LossCause, Losses},
};

/// Appends `record` and a line feed.
pub fn line(out: &mut Vec<u8>, record: &impl Serialize) {
    let begin = out.len();
    value(out, record);
    if out.len() > begin {
        out.push(b'\n');
    }
}

/// Appends `value`; nothing if JSON cannot express it.
pub fn value(out: &mut Vec<u8>, value: &impl Serialize) {
    let begin = out.len();
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, Printable));
    if let Err(error) = written {
        // Ours are numbers, text and lists.
        debug_assert!(false, "{error}");
        out.truncate(begin);
    }
}

/// Compact, with characters that a terminal must not see as escapes; the value is the same.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        // The ASCII controls below are escaped already; this leaves the one above.
        if text.is_ascii() && !text.as_bytes().contains(&0x7f) {
            return writer.write_all(text.as_bytes());
        }
        let mut units = [0; 2];
        for c in text.chars() {
            if escape::is_printable(c) {
                writer.write_all(c.encode_utf8(&mut [0; 4]).as_bytes())?;
            } else {
                for unit in c.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        CompactFormatter.write_char_escape(writer, escape)
    }
}

/// A process that is named beside a connection.
#[derive(Serialize)]
pub struct ProcessFields<'a> {
    pid: u32,
    comm: Cow<'a, str>,
}

impl<'a> From<&'a Process> for ProcessFields<'a> {
    fn from(process: &'a Process) -> Self {
        Self { pid: process.pid, comm: process.comm_text() }
    }
}

/// `ipv4` or `ipv6`; a mapped address is IPv4.
pub fn family(connection: &Connection) -> &'static str {
    if connection.is_ipv4() { "ipv4" } else { "ipv6" }
}

/// Events were lost.
#[derive(Serialize)]
#[serde(tag = "type", rename = "lost")]
pub struct Lost<'a> {
    time: &'a str,
    count: u64,
    cause: &'static str,
}

impl<'a> Lost<'a> {
    /// Noticed at `time`.
    pub const fn new(time: &'a str, count: u64, cause: LossCause) -> Self {
        Self { time, count, cause: cause.name() }
    }
}

/// After losses, the table was compared with the kernel's sockets and is whole again.
#[derive(Serialize)]
#[serde(tag = "type", rename = "resync")]
pub struct Resync<'a> {
    time: &'a str,
    adopted: u64,
    corrected: u64,
    ended: u64,
}

impl<'a> Resync<'a> {
    /// At `time`, with what it came to.
    pub const fn new(time: &'a str, outcome: &CensusOutcome) -> Self {
        let CensusOutcome { adopted, corrected, ended, .. } = *outcome;
        Self { time, adopted, corrected, ended }
    }
}

/// What was counted; the last record of every stream.
#[derive(Serialize)]
#[serde(tag = "type", rename = "summary")]
pub struct Summary<'a> {
    events: u64,
    lost: u64,
    connections: u64,
    unattributed: u64,
    hooks: Hooks<'a>,
    hits: u64,
    filtered: u64,
    lost_by_cause: Causes,
    resyncs: u64,
    evicted: u64,
}

impl<'a> Summary<'a> {
    /// Of a run.
    pub fn of(table: &Table, health: &'a Health) -> Self {
        let totals = table.totals();
        Self {
            events: health.events,
            lost: health.lost.total(),
            connections: totals.connections(),
            unattributed: totals.unattributed,
            hooks: Hooks(&health.hooks),
            hits: health.hits,
            filtered: health.filtered,
            lost_by_cause: Causes(health.lost),
            resyncs: health.resyncs,
            evicted: totals.evicted,
        }
    }
}

struct Hooks<'a>(&'a [Hook]);

impl Serialize for Hooks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for hook in self.0 {
            match &hook.mechanism {
                Some(mechanism) => map.serialize_entry(hook.kind.name(), mechanism)?,
                None => map.serialize_entry(hook.kind.name(), &format_args!("off: {}", hook.why_off))?,
            }
        }
        map.end()
    }
}

struct Causes(Losses);

impl Serialize for Causes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(cause, count)| (cause.name(), count)))
    }
}
