//! `tcplife lives -o csv`: a row for each finished connection. The columns are the fields of the JSON record, laid flat;
//! an empty cell is null.

use tcplife_core::{
    connection::Role,
    observer::Life,
    owner::{Owner, Via},
    state::State,
};

use super::{
    json,
    stream::{Change, Format},
};
use crate::{
    clock::{Clock, Stamper},
    escape,
};

/// States that a life can be in, each a column `<state>_ns`: all but LISTEN and CLOSED.
fn states() -> impl Iterator<Item = State> {
    State::ALL.into_iter().filter(|state| !matches!(state, State::Listen | State::Closed))
}

/// Columns before those of the states.
const BEFORE: [&str; 14] = [
    "id",
    "netns",
    "family",
    "local_addr",
    "local_port",
    "remote_addr",
    "remote_port",
    "role",
    "pid",
    "comm",
    "via",
    "opened",
    "closed",
    "duration_ns",
];
/// Columns behind those of the states.
const BEHIND: [&str; 6] = ["first_close", "end", "bytes_sent", "bytes_received", "retransmits", "complete"];

/// Comma-separated values, RFC 4180.
pub struct LivesCsv {
    stamper: Stamper,
    /// One row's cells.
    row: csv::StringRecord,
}

impl LivesCsv {
    /// With times of `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { stamper: Stamper::new(clock), row: csv::StringRecord::new() }
    }

    fn number(&mut self, number: Option<u64>) {
        match number {
            Some(number) => self.row.push_field(&number.to_string()),
            None => self.row.push_field(""),
        }
    }

    fn time(&mut self, at: Option<u64>) {
        let text = at.map_or("", |at| self.stamper.rfc3339(at));
        self.row.push_field(text);
    }

    fn connection(&mut self, change: &Change<'_>) {
        let connection = change.connection;
        let (local, remote) = (connection.local(), connection.remote());
        self.number(Some(connection.id().0));
        self.number(Some(connection.netns().into()));
        self.row.push_field(json::family(connection));
        self.row.push_field(&local.ip().to_string());
        self.number(Some(local.port().into()));
        self.row.push_field(&remote.ip().to_string());
        self.number(Some(remote.port().into()));
        self.row.push_field(connection.role().map_or("", Role::name));
        self.owner(change.owner.as_ref());
    }

    fn owner(&mut self, owner: Option<&Owner>) {
        self.number(owner.map(|owner| owner.process.pid.into()));
        self.row.push_field(
            &owner.map(|owner| escape::printable(owner.process.comm_bytes())).unwrap_or_default(),
        );
        self.row.push_field(owner.map(|owner| owner.via).map_or("", Via::name));
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        let mut writer = csv::WriterBuilder::new().buffer_capacity(1024).from_writer(out);
        let written = writer.write_record(&self.row).is_ok() && writer.flush().is_ok();
        debug_assert!(written, "writing to a Vec cannot fail");
        self.row.clear();
    }
}

impl Format for LivesCsv {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.row.extend(BEFORE);
        for state in states() {
            self.row.push_field(&format!("{}_ns", state.lower()));
        }
        self.row.extend(BEHIND);
        self.write(out);
    }

    fn life(&mut self, change: Change<'_>, life: &Life) {
        self.connection(&change);
        self.time(life.opened);
        self.time(Some(life.closed));
        self.number(life.duration);
        for state in states() {
            self.number(life.spent[state.index()]);
        }
        self.row.push_field(life.first_close.name());
        self.row.push_field(life.end.name());
        self.number(life.bytes_sent);
        self.number(life.bytes_received);
        self.number(Some(life.retransmits.into()));
        self.row.push_field(if life.complete { "true" } else { "false" });
        self.write(change.out);
    }
}
