//! Suspects by the process that has to close them.
//!
//! What comes in: suspects, and how many of them each process had earlier. What goes out: one [`Group`] for each
//! process, the one with the most leaks first. What always holds: every suspect is in exactly one group, in its order.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    net::SocketAddr,
};

use foldhash::fast::RandomState;

use super::{Faults, Suspect, Verdict};
use crate::owner::Process;

/// The suspects of one process, or of none.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// Who has to close them; `None` for those that no process has.
    pub process: Option<Process>,
    /// The suspects, oldest first.
    pub suspects: Vec<&'a Suspect>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// It came in at this local port.
    Own(u16),
    /// It was opened to this remote end.
    Of(SocketAddr),
}

/// How often something occurs, the most frequent first.
pub type Counted<T> = Vec<(T, usize)>;

impl Group<'_> {
    /// Those of its suspects that are faults, oldest first.
    pub fn faulty(&self) -> impl Iterator<Item = &Suspect> {
        self.suspects.iter().copied().filter(|suspect| suspect.verdict.is_fault())
    }

    /// How many of its suspects are faults.
    pub fn faults(&self) -> Faults {
        Faults::of(self.suspects.iter().copied())
    }

    /// How many there are of each verdict, in the order of [`Verdict::ALL`].
    pub fn by_verdict(&self) -> impl Iterator<Item = (Verdict, Vec<&Suspect>)> {
        let mut of = [const { Vec::new() }; Verdict::ALL.len()];
        for &suspect in &self.suspects {
            of[suspect.verdict as usize].push(suspect);
        }
        Verdict::ALL.into_iter().zip(of).filter(|(_, of)| !of.is_empty())
    }

    /// The group's own descriptors of those that are meant, in ascending order.
    pub fn fds(&self, is_meant: impl Fn(&Suspect) -> bool) -> Vec<u32> {
        let pid = self.process.map(|process| process.pid);
        let own =
            self.suspects.iter().filter(|suspect| is_meant(suspect)).flat_map(|suspect| &suspect.holders);
        let mut fds: Vec<u32> =
            own.filter(|holder| Some(holder.process.pid) == pid).map(|holder| holder.fd).collect();
        fds.sort_unstable();
        fds.dedup();
        fds
    }

    /// Other processes that hold some of the sockets, with how many.
    pub fn others(&self) -> Counted<Process> {
        let pid = self.process.map(|process| process.pid);
        counted(self.closable().flat_map(|suspect| {
            // Holders are in the order of their processes.
            let mut last = None;
            let processes = suspect.holders.iter().map(|holder| holder.process);
            processes.filter(move |other| Some(other.pid) != pid && last.replace(*other) != Some(*other))
        }))
    }

    /// Those that somebody here has to close.
    fn closable(&self) -> impl Iterator<Item = &Suspect> {
        self.suspects.iter().copied().filter(|suspect| suspect.is_closable())
    }

    /// Local ports of those that somebody here has to close.
    pub fn local_ports(&self) -> Counted<u16> {
        counted(self.closable().map(|suspect| suspect.connection.ends().local_port))
    }

    /// What those are that somebody here has to close: connections to which port of its own, or to which end elsewhere.
    pub fn services(&self) -> Counted<Service> {
        counted(self.closable().map(|suspect| {
            if suspect.of_server {
                Service::Own(suspect.connection.ends().local_port)
            } else {
                Service::Of(suspect.connection.remote())
            }
        }))
    }

    /// Remote ends of those that somebody here has to close: by address and port where this end opened the connection, else by address alone (port 0).
    pub fn peers(&self) -> Counted<SocketAddr> {
        counted(self.closable().map(|suspect| {
            let mut remote = suspect.connection.remote();
            if suspect.of_server {
                remote.set_port(0);
            }
            remote
        }))
    }
}

/// The oldest and the median age, at least, of suspects in order, in nanoseconds.
pub fn ages(suspects: &[&Suspect]) -> Option<(u64, u64)> {
    let age = |at: usize| suspects.get(at).map(|suspect| suspect.facts.age.min);
    Some((age(0)?, age(suspects.len() / 2)?))
}

/// Suspects by process; orphans that are only counted are none. The one with the most leaks comes first, then the one with the most
/// sockets of connections that are over, then the one with the most suspects.
pub fn groups(suspects: &[Suspect]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut numbers: HashMap<Option<(u32, u64)>, usize, RandomState> = HashMap::default();
    for suspect in suspects {
        let process = suspect.accused();
        let number = *numbers.entry(process.as_ref().map(Process::identity)).or_insert_with(|| {
            groups.push(Group { process, suspects: Vec::new() });
            groups.len() - 1
        });
        groups[number].suspects.push(suspect);
    }
    groups.sort_by_cached_key(|group| {
        let count = (group.faults(), group.suspects.len());
        (std::cmp::Reverse(count), group.process.map(|process| process.pid))
    });
    groups
}

/// How many sockets each process had to close at one moment; `None` stands for no process.
#[derive(Clone, Debug, Default)]
pub struct Baseline(BTreeMap<Option<(u32, u64)>, usize>);

impl Baseline {
    /// Of suspects as they were.
    pub fn of(suspects: &[Suspect]) -> Self {
        let key = |group: &Group<'_>| group.process.as_ref().map(Process::identity);
        Self(groups(suspects).iter().map(|group| (key(group), group.closable().count())).collect())
    }

    /// How many sockets that it has to close a group got since, each minute, if `elapsed` nanoseconds have passed.
    #[expect(clippy::cast_precision_loss, reason = "counts of sockets and a time of minutes")]
    pub fn growth(&self, group: &Group<'_>, elapsed: u64) -> f64 {
        let key = group.process.as_ref().map(Process::identity);
        let before = self.0.get(&key).copied().unwrap_or(0);
        let minutes = elapsed.max(1) as f64 / 60e9;
        (group.closable().count() as f64 - before as f64) / minutes
    }
}

/// How often each of the items is there.
pub fn counted<T: Eq + Hash + Ord + Copy>(items: impl Iterator<Item = T>) -> Counted<T> {
    let mut counts: HashMap<T, usize, RandomState> = HashMap::default();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    let mut counted: Counted<T> = counts.into_iter().collect();
    counted.sort_unstable_by_key(|&(item, count)| (std::cmp::Reverse(count), item));
    counted
}
