//! One input line of a scenario.

use std::net::{IpAddr, SocketAddr};

use tcplife_common::wire::{self, Head, Record, Task, Tuple, flag, kind};
use tcplife_core::{
    owner::{Owner, Process, Via},
    state::State,
};

/// What a line asks for.
pub enum Line {
    Record(Record),
    Tick(u64),
    Finish(u64),
    Owner(u64, Owner),
}

/// Jiffies at time 0: like the kernel's, not a round number.
const JIFFIES: u64 = 4_294_900_123;

/// `100ms`, `1.5s`, `20us`, `7ns`, in nanoseconds.
fn time(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or("a time has a unit")?;
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000_u64,
        _ => return Err(format!("no unit of time: {unit}")),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let scale = 10_u64.pow(u32::try_from(part.len()).map_err(|_| "too long")?);
    let digits: u64 = format!("{whole}{part}").parse().map_err(|_| format!("no number: {number}"))?;
    Ok(digits * unit / scale)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("no number: {text}"))
}

fn kernel(name: &str) -> Result<u8, String> {
    let state: State = name.parse().map_err(|_| format!("no state: {name}"))?;
    (1..=11)
        .find(|&n| State::from_kernel(n) == Some(state))
        .ok_or_else(|| format!("not in the kernel: {name}"))
}

fn end(text: &str) -> Result<([u8; 16], u16), String> {
    let address: SocketAddr = text.parse().map_err(|_| format!("no address: {text}"))?;
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    Ok((ip.octets(), address.port()))
}

fn task(text: &str) -> Result<Task, String> {
    let (pid, name) = text.split_once(':').ok_or("by=PID:NAME")?;
    let mut comm = [0; 16];
    comm.get_mut(..name.len()).ok_or("a name has 16 bytes at most")?.copy_from_slice(name.as_bytes());
    let pid = number(pid)?;
    Ok(Task { tgid: pid, start_ns: u64::from(pid) * 1000, comm, ..Task::default() })
}

/// Everything that a line can set.
#[derive(Default)]
struct Draft {
    head: Head,
    tuple: Tuple,
    task: Task,
    stats: wire::Stats,
    mini: wire::Mini,
    begun: u64,
    verb: String,
}

impl Line {
    /// Parses a line.
    pub fn parse(text: &str, hz: u32) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let now = time(words.next().ok_or("empty")?)?;
        let mut draft = Draft::default();
        draft.head.netns = 1;
        draft.head.time_ns = now;
        draft.mini.jiffies = JIFFIES + now / (1_000_000_000 / u64::from(hz));
        for word in words {
            draft.word(word, hz)?;
        }
        draft.finish(now)
    }
}

impl Draft {
    fn word(&mut self, word: &str, hz: u32) -> Result<(), String> {
        if let Some((old, new)) = word.split_once("->") {
            (self.head.old, self.head.new) = (kernel(old)?, kernel(new)?);
            return Ok(());
        }
        if let Some((local, remote)) = word.split_once('>') {
            (self.tuple.local, self.tuple.local_port) = end(local)?;
            (self.tuple.remote, self.tuple.remote_port) = end(remote)?;
            return Ok(());
        }
        match word.split_once('=') {
            Some((key, value)) => self.set(key, value, hz),
            None => self.flag(word),
        }
    }

    fn set(&mut self, key: &str, value: &str, hz: u32) -> Result<(), String> {
        match key {
            "sock" => self.head.sock = number(value)?,
            "cookie" => self.head.cookie = number(value)?,
            "netns" => self.head.netns = number(value)?,
            "err" => self.tuple.err = number(value)?,
            "sent" => self.stats.bytes_sent = number(value)?,
            "received" => self.stats.bytes_received = number(value)?,
            "retransmits" => self.stats.retransmits = number(value)?,
            "srtt" => self.stats.srtt_us = number(value)?,
            "begun" => self.begun = time(value)?,
            "overdue" => self.mini.expires -= time(value)? / (1_000_000_000 / u64::from(hz)),
            "touch" => self.mini.touch = number(value)?,
            "by" => {
                self.task = task(value)?;
                self.head.flags |= flag::BY_TASK;
            }
            "mini" => {
                let (state, left) = value.split_once(':').unwrap_or((value, "60s"));
                self.mini.substate = u32::from(kernel(state)?);
                self.mini.address = self.head.sock + 1_000_000;
                self.mini.expires = self.mini.jiffies + time(left)? / (1_000_000_000 / u64::from(hz));
                self.head.flags |= flag::MINI;
            }
            _ => return Err(format!("no such word: {key}")),
        }
        Ok(())
    }

    fn flag(&mut self, word: &str) -> Result<(), String> {
        match word {
            "orphan" => self.head.flags |= flag::ORPHAN,
            "fin" => self.head.flags |= flag::FIN_IN,
            "pending" => self.head.flags |= flag::TUPLE_PENDING,
            "sent" => self.head.flags |= flag::SENT,
            "syn_ack" => self.head.flags |= flag::SYN_ACK,
            word if kernel(word).is_ok() => {
                let state = kernel(word)?;
                (self.head.old, self.head.new) = (state, state);
            }
            verb => verb.clone_into(&mut self.verb),
        }
        Ok(())
    }

    fn finish(mut self, now: u64) -> Result<Line, String> {
        let record = match self.verb.as_str() {
            "tick" => return Ok(Line::Tick(now)),
            "finish" => return Ok(Line::Finish(now)),
            "holder" => {
                let Task { tgid: pid, start_ns, comm, .. } = self.task;
                let process = Process { pid, start_ns, comm };
                return Ok(Line::Owner(self.head.sock, Owner { process, via: Via::Holder }));
            }
            "" => self.change(),
            "retransmit" => Record::Retransmit(wire::Note { head: self.head, tuple: self.tuple }),
            "reset" => Record::Reset(wire::Note { head: self.head, tuple: self.tuple }),
            "gone" => Record::Gone(wire::Handle { head: self.head, task: self.task }),
            "accepted" => Record::Accepted(wire::Handle { head: self.head, task: self.task }),
            "born" => {
                let (head, tuple, begun_ns) = (self.head, self.tuple, self.begun);
                Record::Born(wire::Born { head, tuple, begun_ns })
            }
            "mini_armed" | "mini_gone" => {
                let early = self.verb == "mini_gone" && self.mini.jiffies < self.mini.expires;
                self.head.flags = if early { flag::EARLY } else { 0 };
                self.head.new = u8::try_from(self.mini.substate).map_err(|_| "substate")?;
                self.head.old = self.head.new;
                self.head.sock = self.mini.address;
                let note = wire::MiniNote { head: self.head, tuple: self.tuple, mini: self.mini };
                if self.verb == "mini_armed" { Record::MiniArmed(note) } else { Record::MiniGone(note) }
            }
            other => return Err(format!("no such word: {other}")),
        };
        Ok(Line::Record(record))
    }

    fn change(self) -> Record {
        let Self { mut head, tuple, task, stats, mini, .. } = self;
        if State::from_kernel(head.new) == Some(State::Closed) {
            head.kind = kind::END;
            return Record::End(wire::End { head, tuple, task, stats, mini });
        }
        head.kind = kind::MOVE;
        Record::Move(wire::Move { head, tuple, task })
    }
}
