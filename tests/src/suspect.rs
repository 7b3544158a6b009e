//! What `tcplife leaks -o json` prints. Reading it checks that the fields of a record agree with each other.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

use crate::{
    record::{Connection, Record},
    tcplife_binary,
};

/// Verdicts, the state that each is about, and whether it is a leak.
const VERDICTS: [(&str, Option<&str>, bool); 12] = [
    ("unclosed", Some("close_wait"), true),
    ("eof_unread", Some("close_wait"), true),
    ("data_unread", Some("close_wait"), true),
    ("never_accepted", Some("close_wait"), true),
    ("kernel_held", Some("close_wait"), true),
    ("sending", Some("close_wait"), false),
    ("half_closed", Some("fin_wait_2"), true),
    ("receiving", Some("fin_wait_2"), false),
    ("peer_unclosed", Some("fin_wait_2"), false),
    ("ended_unclosed", Some("closed"), false),
    ("holder_unseen", None, false),
    ("young", None, false),
];

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Process name.
    pub comm: String,
}

/// A process that holds a socket.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Process name.
    pub comm: String,
    /// The descriptor.
    pub fd: u32,
}

/// A process that should accept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Process id.
    pub pid: u32,
    /// Process name.
    pub comm: String,
    /// How many connections wait.
    pub queue: u32,
    /// How many may wait.
    pub limit: u32,
    /// How many processes hold it.
    pub processes: usize,
}

/// How long a socket has been in its state.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Age {
    /// At least.
    pub min: u64,
    /// At most.
    pub max: Option<u64>,
}

/// A socket that waits for somebody's close.
#[derive(Clone, Debug, Deserialize)]
pub struct Suspect {
    /// Wall-clock time.
    pub time: String,
    /// Which connection.
    #[serde(flatten)]
    pub connection: Connection,
    /// Its state.
    pub state: String,
    /// Time in that state.
    pub age_ns: Age,
    /// What it is called.
    pub verdict: String,
    /// Whether somebody has to fix something.
    pub leak: bool,
    /// Bytes not read.
    pub recv_queue: u32,
    /// Bytes not acknowledged.
    pub send_queue: u32,
    /// Every process that holds it.
    pub holders: Vec<Holder>,
    /// Who should accept it.
    pub listener: Option<Listener>,
    /// Whose the other end is, on this host.
    pub peer_owner: Option<Process>,
    /// The other end was on this host and is gone.
    pub peer_gone: bool,
    /// Why.
    pub reason: String,
}

impl Suspect {
    /// Whether the fields agree with each other.
    ///
    /// # Errors
    ///
    /// They do not.
    pub(crate) fn check(&self) -> Result<()> {
        let found = VERDICTS.iter().find(|(name, ..)| *name == self.verdict);
        let Some((name, state, leak)) = found else { bail!("no such verdict") };
        let states = state.map_or(vec!["close_wait", "fin_wait_2", "closed"], |state| vec![state]);
        ensure!(states.contains(&self.state.as_str()), "{name} in {}", self.state);
        ensure!(self.leak == *leak, "leak is {} for {name}", self.leak);
        ensure!(self.age_ns.max.is_none_or(|max| self.age_ns.min <= max), "the age is no bracket");
        ensure!(!self.reason.is_empty(), "no reason");
        ensure!(self.listener.is_none() || self.holders.is_empty(), "accepted and not accepted");
        let fits = match *name {
            "unclosed" => self.recv_queue == 0 && !self.holders.is_empty(),
            "eof_unread" => self.recv_queue == 1 && !self.holders.is_empty(),
            "data_unread" => self.recv_queue > 1 && !self.holders.is_empty(),
            "never_accepted" | "kernel_held" | "peer_unclosed" | "holder_unseen" => self.holders.is_empty(),
            "half_closed" | "receiving" | "ended_unclosed" => !self.holders.is_empty(),
            _ => true,
        };
        ensure!(fits, "the evidence does not fit {name}");
        Ok(())
    }
}

/// One process's leaks together.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaker {
    /// Which process; none where nobody is to blame.
    pub process: Option<Process>,
    /// Its command line.
    pub command: Option<String>,
    /// Whose it is.
    pub user: Option<String>,
    /// How long it has been running.
    pub running_ns: Option<u64>,
    /// Its unit.
    pub unit: Option<String>,
    /// Its container.
    pub container: Option<String>,
    /// How many descriptors it has.
    pub descriptors: Option<u64>,
    /// How many it may have.
    pub descriptor_limit: Option<u64>,
    /// Sockets that wait for a close.
    pub sockets: usize,
    /// Those of them that are leaks.
    pub leaks: usize,
    /// Those that are left of connections that are over.
    pub ended_unclosed: usize,
    /// How many more they got each minute of the observation, if there was one.
    pub growth_per_minute: Option<f64>,
}

/// What `tcplife leaks` told when it had looked once.
#[derive(Debug)]
pub struct Report {
    /// Exit status; `None` after a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub text: String,
    /// What it said on standard error.
    pub said: String,
    /// All records but the last.
    pub records: Vec<Record>,
}

impl Report {
    /// Runs `tcplife leaks -o json` with more arguments. If it fails, there are no records.
    ///
    /// # Errors
    ///
    /// It does not start; what it prints is not as it should be.
    pub fn once<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Self> {
        Self::of(Command::new(tcplife_binary()?), arguments)
    }

    /// Runs it as [`Report::once`] does, by a command that takes its arguments.
    ///
    /// # Errors
    ///
    /// As [`Report::once`].
    pub fn of<S: AsRef<OsStr>>(mut command: Command, arguments: &[S]) -> Result<Self> {
        let output = command.args(["leaks", "-o", "json"]).args(arguments).stdin(Stdio::null()).output()?;
        let text = String::from_utf8(output.stdout)?;
        let mut records: Vec<Record> = text.lines().map(Record::parse).collect::<Result<_>>()?;
        let (status, said) = (output.status.code(), String::from_utf8(output.stderr)?);
        let last = records.pop();
        ensure!(last.is_none() == (status == Some(2)), "{status:?}, {said}, {last:?}");
        ensure!(last.is_none_or(|last| matches!(last, Record::Summary(_))), "the last record is no summary");
        Ok(Self { status, text, said, records })
    }
}

/// The suspects among the records of `leaks`.
pub fn suspects(records: &[Record]) -> Vec<&Suspect> {
    let suspects = records.iter().filter_map(|record| match record {
        Record::Suspect(suspect) => Some(&**suspect),
        _ => None,
    });
    suspects.collect()
}
