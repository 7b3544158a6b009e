//! The text that rows have to fit: plain words, and terms such as `state:close_wait pid:123 age>10s`.
//!
//! What comes in: text as typed. What goes out: whether a connection or an event fits. What always holds: a row has to
//! fit every word and term; one that means nothing is told and asks for nothing, so that half-typed text hides nothing.

use std::net::{IpAddr, SocketAddr};

use super::{
    short_text::{Needle, Text},
    word::Word,
};
use crate::{
    connection::Connection,
    filter::{PortSet, StateSet},
    owner::Owner,
};

/// What a text is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The state; of an event both.
    pub states: StateSet,
    /// Local end.
    pub local: SocketAddr,
    /// Remote end.
    pub remote: SocketAddr,
    /// Inode of the network namespace.
    pub netns: u32,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// Nanoseconds in the state, at least.
    pub age: u64,
}

impl Subject {
    /// A connection, as things are at `now`.
    pub fn of(connection: &Connection, owner: Option<Owner>, now: u64) -> Self {
        Self {
            states: std::iter::once(connection.state()).collect(),
            local: connection.local(),
            remote: connection.remote(),
            netns: connection.netns(),
            owner,
            age: now.saturating_sub(connection.entered()),
        }
    }
}

/// One condition.
#[derive(Clone, Debug)]
enum Test {
    /// In anything that a row shows.
    Word(Word),
    States(StateSet),
    Pid(Option<u32>),
    Comm(Needle),
    Ports {
        set: PortSet,
        local: bool,
        remote: bool,
    },
    Peer(IpAddr),
    Netns(u32),
    Over(u64),
    Under(u64),
}

/// A text, understood.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Each with whether it has to fit or must not.
    tests: Vec<(bool, Test)>,
}

impl Search {
    /// Whether time alone makes it find other connections.
    pub fn has_age(&self) -> bool {
        self.tests.iter().any(|(_, test)| matches!(test, Test::Over(_) | Test::Under(_)))
    }

    /// Understands a text. What is wrong with the first term that means nothing is the second value.
    pub fn parse(text: &str) -> (Self, Option<String>) {
        let mut search = Self::default();
        let mut wrong = None;
        for typed in text.split_whitespace().filter(|&typed| typed != "-") {
            let (fits, term) = match typed.strip_prefix('-') {
                Some(rest) if !rest.is_empty() => (false, rest),
                _ => (true, typed),
            };
            match test(term) {
                Ok(Some(wanted)) => search.tests.push((fits, wanted)),
                Ok(None) => {}
                Err(sentence) => drop(wrong.get_or_insert(sentence)),
            }
        }
        (search, wrong)
    }

    /// Whether the text asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether a subject fits all of it.
    pub fn finds(&self, subject: &Subject) -> bool {
        self.tests.iter().all(|(fits, test)| test.fits(subject) == *fits)
    }
}

impl Test {
    fn fits(&self, subject: &Subject) -> bool {
        let process = subject.owner.map(|owner| owner.process);
        match self {
            Self::Word(word) => word.is_in(subject),
            Self::States(states) => states.intersects(subject.states),
            Self::Pid(pid) => process.map(|process| process.pid) == *pid,
            Self::Comm(name) => process.is_some_and(|process| Text::lower(process.comm_bytes()).has(name)),
            Self::Ports { set, local, remote } => {
                (*local && set.contains(subject.local.port()))
                    || (*remote && set.contains(subject.remote.port()))
            }
            Self::Peer(address) => subject.remote.ip() == *address,
            Self::Netns(inode) => subject.netns == *inode,
            Self::Over(age) => subject.age >= *age,
            Self::Under(age) => subject.age < *age,
        }
    }
}

/// What a word or term asks for; nothing while its value is missing.
fn test(typed: &str) -> Result<Option<Test>, String> {
    if let Some((name, value)) = typed.split_once(['>', '<'])
        && name.eq_ignore_ascii_case("age")
    {
        if value.is_empty() {
            return Ok(None);
        }
        let age = duration(value).ok_or_else(|| format!("{typed}: not a duration such as 10s or 5m"))?;
        return Ok(Some(if typed.contains('>') { Test::Over(age) } else { Test::Under(age) }));
    }
    if let Some((name, value)) = typed.split_once(':')
        && let Some(kind) = Kind::named(name)
    {
        return if value.is_empty() { Ok(None) } else { kind.test(typed, value).map(Some) };
    }
    if let Some((name, value)) = typed.split_once(':')
        && !value.is_empty()
        && is_name(name)
    {
        return Err(unknown(name));
    }
    Ok(Some(Test::Word(Word::new(typed))))
}

/// Whether a text is a name: letters, not all of which can be in a part of an IPv6 address.
fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic()) && !text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// There is no term with this name.
fn unknown(name: &str) -> String {
    let known: Vec<_> = KINDS.iter().map(|(known, _)| *known).collect();
    format!("{name}: no such term; use {}, age>, age<", known.join(", "))
}

/// Every name before a colon.
const KINDS: [(&str, Kind); 8] = [
    ("state", Kind::State),
    ("pid", Kind::Pid),
    ("comm", Kind::Comm),
    ("port", Kind::Ports { local: true, remote: true }),
    ("peer", Kind::Peer),
    ("netns", Kind::Netns),
    ("lport", Kind::Ports { local: true, remote: false }),
    ("rport", Kind::Ports { local: false, remote: true }),
];

/// What a name before a colon asks for.
#[derive(Clone, Copy)]
enum Kind {
    State,
    Pid,
    Comm,
    Ports { local: bool, remote: bool },
    Peer,
    Netns,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }

    fn test(self, typed: &str, value: &str) -> Result<Test, String> {
        let wrong = |what: &str| format!("{typed}: {what}");
        match self {
            Self::State => {
                let states: Result<StateSet, _> =
                    value.split(',').filter(|name| !name.is_empty()).map(str::parse).collect();
                states.map(Test::States).map_err(|_| wrong("not a state such as close_wait"))
            }
            Self::Pid if value == "-" => Ok(Test::Pid(None)),
            Self::Pid => value.parse().map(|pid| Test::Pid(Some(pid))).map_err(|_| wrong("not a process id")),
            Self::Comm => Ok(Test::Comm(Needle::new(value.to_ascii_lowercase().as_bytes()))),
            Self::Ports { local, remote } => {
                let set = ports(value).ok_or_else(|| wrong("not a port or a range such as 8000-8100"))?;
                Ok(Test::Ports { set, local, remote })
            }
            Self::Peer => value.parse().map(Test::Peer).map_err(|_| wrong("not an address")),
            Self::Netns => value.parse().map(Test::Netns).map_err(|_| wrong("not an inode number")),
        }
    }
}

fn ports(value: &str) -> Option<PortSet> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        // Half typed: `8000-`.
        let last = if last.is_empty() { first } else { last };
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        // Backwards, or half typed: `8000-8`.
        (first <= last).then_some(first..=last)
    };
    value.split(',').filter(|part| !part.is_empty()).map(range).collect()
}

/// `250ms`, `10s`, `5m`, `2h`, `1d`, and several in a row: `1h30m`.
fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|&at| at > 0)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let ns: u64 = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        };
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(ns)?)?;
        rest = tail;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        owner::{Process, Via},
        state::State,
    };

    fn subject() -> Subject {
        let mut comm = [0; 16];
        comm[..5].copy_from_slice(b"Nginx");
        Subject {
            states: std::iter::once(State::CloseWait).collect(),
            local: "10.0.0.1:8080".parse().unwrap(),
            remote: "[fd00::2]:40000".parse().unwrap(),
            netns: 4_026_531_840,
            owner: Some(Owner { process: Process { pid: 812, start_ns: 0, comm }, via: Via::Accept }),
            age: 90_000_000_000,
        }
    }

    fn finds(text: &str) -> bool {
        let (search, wrong) = Search::parse(text);
        assert_eq!(wrong, None, "{text}");
        search.finds(&subject())
    }

    #[test]
    fn every_term_has_to_fit() {
        for text in [
            "",
            "nginx",
            "812",
            "close_wait 10.0.0.1",
            "fd00::2:40000",
            "::2:4",
            "0.1:80",
            "fd00:",
            "0::2",
            "2:",
            "state:close-wait,estab",
            "pid:812",
            "comm:NGI",
            "port:8080",
            "port:40000",
            "lport:8000-8100",
            "rport:40000",
            "peer:fd00::2",
            "netns:4026531840",
            "age>10s",
            "age>1m30s",
            "age<2m",
            "-state:established",
            "-java",
            "state:close_wait pid:812 age>1m -pid:1",
        ] {
            assert!(finds(text), "{text}");
        }
        for text in [
            "java",
            "state:established",
            "pid:1",
            "pid:-",
            "comm:java",
            "lport:40000",
            "rport:8080",
            "peer:fd00::3",
            "netns:1",
            "age>2m",
            "age<10s",
            "-nginx",
            "nginx pid:1",
            "10.0.0.2",
            "0.1:81",
            "1:8081",
            ":400000",
            "fd00:2",
        ] {
            assert!(!finds(text), "{text}");
        }
    }

    #[test]
    fn what_is_half_typed_hides_nothing() {
        for text in ["state:", "pid:", "port:8080,", "port:8080-", "age>", "-", "state:close_wait,"] {
            assert!(finds(text), "{text}");
        }
    }

    #[test]
    fn what_means_nothing_is_told_and_asks_for_nothing() {
        for (text, sentence) in [
            ("pid:x nginx", "pid:x: not a process id"),
            ("state:open", "state:open: not a state such as close_wait"),
            ("port:http", "port:http: not a port or a range such as 8000-8100"),
            ("age>soon", "age>soon: not a duration such as 10s or 5m"),
            ("age>10", "age>10: not a duration such as 10s or 5m"),
            ("peer:here", "peer:here: not an address"),
            ("netns:blue", "netns:blue: not an inode number"),
            (
                "stat:close_wait",
                "stat: no such term; use state, pid, comm, port, peer, netns, lport, rport, age>, age<",
            ),
            (
                "-foo:bar",
                "foo: no such term; use state, pid, comm, port, peer, netns, lport, rport, age>, age<",
            ),
            (
                "age:10s nginx",
                "age: no such term; use state, pid, comm, port, peer, netns, lport, rport, age>, age<",
            ),
        ] {
            let (search, wrong) = Search::parse(text);
            assert_eq!(wrong.as_deref(), Some(sentence));
            assert!(search.finds(&subject()), "{text}");
        }
    }

    #[test]
    fn a_colon_in_an_address_is_no_term() {
        assert!(finds("10.0.0.1:8080"));
        assert!(!finds("10.0.0.1:80800"));
        for part in ["fd00::2", "fe80:1", "abc:1", "beef:", "::ffff", "FE:DC", "foo:", "kworker/0:1"] {
            let (search, wrong) = Search::parse(part);
            assert!(wrong.is_none() && !search.is_empty(), "{part}: {wrong:?}");
        }
    }
}
