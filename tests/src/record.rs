//! The NDJSON that tcplife prints, as data. Reading it checks the form: the type first, known names, whole numbers.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{
    actor::Ends,
    suspect::{Leaker, Suspect},
};

/// Identifies a connection for a whole run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// As a number.
    Number(u64),
    /// As a text.
    Text(String),
}

/// Whose a connection is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Owner {
    /// Process id.
    pub pid: u32,
    /// Process name.
    pub comm: String,
    /// How tcplife knows: `connect`, `accept`, `listener`, `holder` or `close`.
    pub via: String,
}

/// What every record about a connection tells of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Connection {
    /// Which one.
    pub id: Id,
    /// Inode of its network namespace.
    pub netns: u64,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// This end's address.
    pub local_addr: IpAddr,
    /// This end's port.
    pub local_port: u16,
    /// The other end's address.
    pub remote_addr: IpAddr,
    /// The other end's port.
    pub remote_port: u16,
    /// `client`, `server` or not known.
    pub role: Option<String>,
    /// Whose it is, if known.
    pub owner: Option<Owner>,
}

impl Connection {
    /// Both ends.
    pub const fn ends(&self) -> Ends {
        Ends {
            local: SocketAddr::new(self.local_addr, self.local_port),
            remote: SocketAddr::new(self.remote_addr, self.remote_port),
        }
    }

    /// Whether it is between `ends`; an IPv4-mapped address is the IPv4 address.
    pub fn is_between(&self, ends: Ends) -> bool {
        self.ends() == ends.plain()
    }
}

/// A change of state.
#[derive(Clone, Debug, Deserialize)]
pub struct Transition {
    /// Wall-clock time.
    pub time: String,
    /// Time in nanoseconds of `CLOCK_MONOTONIC`.
    pub mono_ns: u64,
    /// Which connection.
    #[serde(flatten)]
    pub connection: Connection,
    /// The state it left.
    pub from: String,
    /// The state it entered.
    pub to: String,
    /// Time in `from`, in nanoseconds, if its begin was seen.
    pub elapsed_ns: Option<u64>,
    /// Why it is closed, if it is and that is known.
    pub cause: Option<String>,
}

/// A segment was sent again.
#[derive(Clone, Debug, Deserialize)]
pub struct Retransmit {
    /// Wall-clock time.
    pub time: String,
    /// Which connection.
    #[serde(flatten)]
    pub connection: Connection,
    /// The state it is in.
    pub state: String,
    /// `segment` or `syn_ack`.
    pub kind: String,
}

/// A reset.
#[derive(Clone, Debug, Deserialize)]
pub struct Reset {
    /// Wall-clock time.
    pub time: String,
    /// Which connection.
    #[serde(flatten)]
    pub connection: Connection,
    /// The state it is in.
    pub state: String,
    /// `sent` or `received`.
    pub direction: String,
}

/// A finished connection.
#[derive(Clone, Debug, Deserialize)]
pub struct Life {
    /// Which connection.
    #[serde(flatten)]
    pub connection: Connection,
    /// Wall-clock time, if seen.
    pub opened: Option<String>,
    /// Wall-clock time.
    pub closed: String,
    /// How long it lasted, in nanoseconds, if its begin was seen.
    pub duration_ns: Option<u64>,
    /// Nanoseconds in each state that it was in; none where it is not known.
    pub states: BTreeMap<String, Option<u64>>,
    /// `local`, `remote`, `both` or `none`.
    pub first_close: String,
    /// `fin`, `reset_sent`, `reset_received`, `timeout`, `refused` or `aborted`.
    pub end: String,
    /// Payload sent, in bytes, if known.
    pub bytes_sent: Option<u64>,
    /// Payload received, in bytes, if known.
    pub bytes_received: Option<u64>,
    /// Segments sent again.
    pub retransmits: u64,
    /// Whether the whole of it was seen.
    pub complete: bool,
}

/// Events that the kernel side could not deliver.
#[derive(Clone, Debug, Deserialize)]
pub struct Lost {
    /// Wall-clock time.
    pub time: String,
    /// How many.
    pub count: u64,
    /// Why.
    pub cause: String,
}

/// After losses, the table is whole again.
#[derive(Clone, Debug, Deserialize)]
pub struct Resync {
    /// Wall-clock time.
    pub time: String,
    /// Connections taken up.
    pub adopted: u64,
    /// Connections whose state was corrected.
    pub corrected: u64,
    /// Connections found to have ended.
    pub ended: u64,
}

/// What was lost, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct LostByCause {
    /// Hits whose record found no room in the ring buffer.
    pub ring_full: u64,
    /// Hits of a hook whose program was running already on that CPU: the program does not know of them.
    pub recursion: u64,
    /// Records that made no sense to the agent.
    pub malformed: u64,
    /// Events that nobody saw missing until a later one, or the kernel's list of sockets, did not fit.
    pub mismatch: u64,
}

/// The last record.
#[derive(Clone, Debug, Deserialize)]
pub struct Summary {
    /// Events that reached the model.
    pub events: u64,
    /// Events that did not.
    pub lost: u64,
    /// Hits of the hooks.
    pub hits: u64,
    /// Hits that the kernel side's filters left out.
    pub filtered: u64,
    /// Events that did not, by cause.
    pub lost_by_cause: LostByCause,
    /// Connections seen.
    pub connections: u64,
    /// Connections without an owner.
    pub unattributed: u64,
    /// Which mechanism tells what.
    pub hooks: BTreeMap<String, serde_json::Value>,
}

impl Summary {
    /// Whether each hit of a hook ended in exactly one way, and each loss has one cause.
    pub const fn is_balanced(&self) -> bool {
        let LostByCause { ring_full, recursion, malformed, mismatch } = self.lost_by_cause;
        self.hits == self.events + malformed + self.filtered + ring_full
            && self.lost == ring_full + recursion + malformed + mismatch
    }
}

/// How many events these tell to be lost.
pub fn losses(records: &[Record]) -> u64 {
    let lost = records.iter().filter_map(|record| match record {
        Record::Lost(lost) => Some(lost.count),
        _ => None,
    });
    lost.sum()
}

/// One line of output.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// See [`Transition`].
    Transition(Transition),
    /// See [`Retransmit`].
    Retransmit(Retransmit),
    /// See [`Reset`].
    Reset(Reset),
    /// See [`Life`].
    Life(Life),
    /// See [`Lost`].
    Lost(Lost),
    /// See [`Resync`].
    Resync(Resync),
    /// See [`Suspect`].
    Suspect(Box<Suspect>),
    /// See [`Leaker`].
    Leaker(Leaker),
    /// See [`Summary`].
    Summary(Summary),
}

impl Record {
    /// Whether it tells of no connection, but that programs missed something on the host, or that nothing had to be mended
    /// after it.
    #[must_use]
    pub fn is_of_misses(&self) -> bool {
        match self {
            Self::Lost(lost) => lost.cause == "recursion",
            Self::Resync(resync) => resync.adopted + resync.corrected + resync.ended == 0,
            _ => false,
        }
    }

    /// Reads one line.
    ///
    /// # Errors
    ///
    /// It is not a record as it should be.
    pub fn parse(line: &str) -> Result<Self> {
        ensure!(line.starts_with(r#"{"type":""#), "the type is not first: {line}");
        let record: Self = serde_json::from_str(line).with_context(|| line.to_owned())?;
        record.check().with_context(|| line.to_owned())?;
        Ok(record)
    }

    /// The connection that it is about.
    pub fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Transition(Transition { connection, .. })
            | Self::Retransmit(Retransmit { connection, .. })
            | Self::Reset(Reset { connection, .. })
            | Self::Life(Life { connection, .. }) => Some(connection),
            Self::Suspect(suspect) => Some(&suspect.connection),
            Self::Lost(_) | Self::Resync(_) | Self::Leaker(_) | Self::Summary(_) => None,
        }
    }

    /// What no type says: address and family agree, times are times.
    fn check(&self) -> Result<()> {
        if let Some(c) = self.connection() {
            let family = if c.remote_addr.is_ipv4() { "ipv4" } else { "ipv6" };
            ensure!(c.family == family, "the family is not that of the remote address");
            ensure!(c.local_addr.is_ipv4() == c.remote_addr.is_ipv4(), "the ends' families differ");
            ensure!(c.role.as_deref().is_none_or(|r| ["client", "server"].contains(&r)), "unknown role");
        }
        match self {
            Self::Transition(t) => {
                ensure!(t.cause.is_none() || t.to == "closed", "a cause, but it is not closed");
                check_time(&t.time)
            }
            Self::Retransmit(r) => check_time(&r.time),
            Self::Reset(r) => check_time(&r.time),
            Self::Lost(l) => check_time(&l.time),
            Self::Resync(r) => check_time(&r.time),
            Self::Life(l) => {
                l.opened.as_deref().map_or(Ok(()), check_time)?;
                check_time(&l.closed)
            }
            Self::Suspect(s) => check_time(&s.time).and_then(|()| s.check()),
            Self::Leaker(_) | Self::Summary(_) => Ok(()),
        }
    }
}

/// In a line, for the reader of a failed test.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(about) = self.connection() {
            let Ends { local, remote } = about.ends();
            let owner = about.owner.as_ref().map(|o| (o.pid, &o.comm, &o.via));
            write!(f, "{:?} {local} {remote} {owner:?}: ", about.id)?;
        }
        match self {
            Self::Transition(t) => {
                write!(f, "{} -> {} at {} after {:?}", t.from, t.to, t.mono_ns, t.elapsed_ns)?;
                t.cause.as_ref().map_or(Ok(()), |cause| write!(f, " ({cause})"))
            }
            Self::Retransmit(r) => write!(f, "retransmit {} in {}", r.kind, r.state),
            Self::Reset(r) => write!(f, "reset {} in {}", r.direction, r.state),
            Self::Life(l) => write!(f, "life, first {}, end {}", l.first_close, l.end),
            Self::Suspect(s) => write!(f, "{} {}: {}", s.state, s.verdict, s.reason),
            Self::Lost(_) | Self::Resync(_) | Self::Leaker(_) | Self::Summary(_) => write!(f, "{self:?}"),
        }
    }
}

/// RFC 3339, UTC, with nanoseconds.
fn check_time(time: &str) -> Result<()> {
    let form = "dddd-dd-ddTdd:dd:dd.dddddddddZ";
    let fits = |(c, f): (char, char)| if f == 'd' { c.is_ascii_digit() } else { c == f };
    ensure!(time.len() == form.len() && time.chars().zip(form.chars()).all(fits), "{time} is not a time");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"type":"transition","time":"2026-01-02T03:04:05.123456789Z","mono_ns":7,"id":1,"netns":2,
        "family":"ipv4","local_addr":"127.0.0.1","local_port":1,"remote_addr":"127.0.0.2","remote_port":2,
        "role":null,"owner":{"pid":1,"comm":"a","via":"connect"},"from":"closed","to":"listen","elapsed_ns":null}"#;

    #[test]
    fn a_transition_is_read() {
        let Record::Transition(t) = Record::parse(LINE).unwrap() else { panic!("not a transition") };
        assert_eq!((t.mono_ns, t.elapsed_ns, t.connection.id.clone()), (7, None, Id::Number(1)));
        assert_eq!(t.connection.ends().remote, "127.0.0.2:2".parse().unwrap());
    }

    #[test]
    fn what_is_not_right_is_refused() {
        for (right, wrong) in
            [("ipv4", "ipv6"), ("T03", " 03"), ("null,\"owner", "\"x\",\"owner"), ("7,", "-7,")]
        {
            assert!(Record::parse(&LINE.replacen(right, wrong, 1)).is_err(), "{wrong}");
        }
        assert!(Record::parse(r#"{"time":"","type":"lost"}"#).is_err());
    }
}
