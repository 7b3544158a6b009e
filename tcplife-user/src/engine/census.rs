//! Dumps of the kernel's sockets into the table: at the start, after a loss, at a slow pace as a net under everything,
//! and each second, or slower if they are many, for mini-sockets where no hook tells of their ends.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use tcplife_common::{
    counters::Counters,
    wire::{Found, Record, Tuple},
};
use tcplife_core::{
    connection::{Connection, Ends, Phase},
    filter::{Families, Filter, PortSet},
    observer::Observer,
    table::{Census, MiniEnds, Scope, Verdict},
};

use super::Engine;
use crate::{
    clock,
    health::Knowledge,
    source::{
        dump::MINI_SOCKETS,
        namespaces::{self, Netns},
        pulse::{Pulse, Pulses},
    },
};

/// Everything is looked at again this often, also without a loss.
pub(super) const RESYNC_PERIOD: Duration = Duration::from_secs(30);
/// Mini-sockets are looked at this often, where no hook tells of their ends, as long as they are few.
pub(super) const MINI_PERIOD: Duration = Duration::from_secs(1);
/// Listing mini-sockets takes one part in so many of a CPU's time at most: a busy host has a hundred thousand of them.
const MINI_SHARE: u32 = 100;

/// Comparing the table while events are being lost takes one part in so many of the time at most.
const LOSS_SHARE: u32 = 10;

/// When to look at mini-sockets again after it took so much CPU time.
pub(super) fn pause(took: Duration) -> Duration {
    (took * MINI_SHARE).clamp(MINI_PERIOD, RESYNC_PERIOD)
}

/// When to look for new namespaces again after it took so much CPU time: with the next records, if there was none.
pub(super) fn pause_after_meeting(took: Duration) -> Duration {
    (took * MINI_SHARE).min(MINI_PERIOD)
}

/// When to compare the table again at the earliest, after a comparison took so long and events are lost all the same.
pub(super) fn pause_after_loss(took: Duration) -> Duration {
    (took * LOSS_SHARE).min(RESYNC_PERIOD)
}

/// Records of different CPUs can be in the ring buffer in another order than their times, by less than this.
const DISORDER_NS: u64 = 10_000_000;

/// Records that are kept back are waited for no longer than this, and looked for this often.
const KEPT_BACK: Duration = Duration::from_millis(100);
const KEPT_BACK_STEP: Duration = Duration::from_micros(200);

/// Where network namespaces can be entered. Finding them all takes a look at every process.
pub(super) struct Namespaces {
    /// This process may find and enter every one.
    all: bool,
    known: HashMap<u32, Netns>,
    /// Nowhere to be entered, and not known to be gone.
    hidden: HashSet<u32>,
    /// Looked for since the last census, and not found.
    sought: HashSet<u32>,
    pulses: Pulses,
}

/// Network namespaces into which there is no way any more, and which a census speaks of all the same.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Gone.
    gone: Vec<u32>,
    /// Perhaps gone: nothing that was looked at keeps them, but a socket of another kind or what is in flight between processes may.
    doubtful: Vec<u32>,
}

impl Lost {
    /// Out of those without a way into them. In an inhabited one there are sockets.
    fn among(unknown: &HashSet<u32>, inhabited: impl Fn(u32) -> bool, pulse: impl Fn(u32) -> Pulse) -> Self {
        let mut lost = Self::default();
        for &inode in unknown {
            match pulse(inode) {
                Pulse::Gone => lost.gone.push(inode),
                Pulse::Unknown if !inhabited(inode) => lost.doubtful.push(inode),
                Pulse::There | Pulse::Unknown => {}
            }
        }
        lost
    }
}

impl Namespaces {
    /// None is known yet. `asked`: whether some are gone will be asked often.
    pub(super) fn new(all: bool, asked: bool) -> Self {
        let pulses = Pulses::new(all && asked);
        Self { all, known: HashMap::new(), hidden: HashSet::new(), sought: HashSet::new(), pulses }
    }

    /// Finds these while they can be entered: lists may be far apart, and some are there for a moment only.
    pub(super) fn meet(&mut self, inodes: impl Iterator<Item = u32>) {
        let met = |inode: &u32| {
            self.known.contains_key(inode) || self.hidden.contains(inode) || self.sought.contains(inode)
        };
        let new: Vec<u32> = inodes.filter(|inode| !met(inode)).collect();
        if !new.is_empty() {
            self.renew();
            self.sought.extend(new.iter().filter(|inode| !self.known.contains_key(inode)));
        }
    }

    /// Finds them again. Returns those that the filter takes.
    fn refresh(&mut self, filter: &Filter) -> Vec<Netns> {
        let all = namespaces::all();
        self.known = all.iter().map(|netns| (netns.inode, netns.clone())).collect();
        all.into_iter()
            .filter(|netns| filter.netns.is_empty() || filter.netns.contains(&netns.inode))
            .collect()
    }

    /// Those of the given inodes that can be entered; `None` if that of one is not clear, or one is gone.
    fn of(&mut self, inodes: &[u32]) -> Option<Vec<Netns>> {
        let known = |namespaces: &Self| -> Option<Vec<Netns>> {
            let is_gone = |inode| namespaces.pulses.of(inode) == Pulse::Gone;
            if inodes.iter().any(|inode| namespaces.hidden.contains(inode) && is_gone(*inode)) {
                return None;
            }
            let wanted = inodes.iter().filter(|inode| !namespaces.hidden.contains(inode));
            let known = |inode| namespaces.known.get(inode).filter(|netns| netns.is_there()).cloned();
            wanted.map(known).collect()
        };
        known(self).or_else(|| {
            self.renew();
            known(self)
        })
    }

    /// Finds all again, and keeps those that were found elsewhere and are still there. Returns every one.
    fn renew(&mut self) -> Vec<Netns> {
        let before = std::mem::take(&mut self.known);
        let mut all = self.refresh(&Filter::default());
        for (inode, netns) in before {
            if !self.known.contains_key(&inode) && netns.is_there() {
                all.push(netns.clone());
                self.known.insert(inode, netns);
            }
        }
        self.pulses.learn(self.known.values());
        all
    }

    /// Those of the given inodes, which `refresh` did not find, that a look elsewhere finds. What is left has no way in.
    fn elsewhere(&mut self, unknown: &mut HashSet<u32>) -> Vec<Netns> {
        let elsewhere = namespaces::elsewhere(unknown);
        for netns in &elsewhere {
            unknown.remove(&netns.inode);
            self.known.insert(netns.inode, netns.clone());
        }
        self.pulses.learn(self.known.values());
        self.pulses.forget_gone(|inode| unknown.contains(&inode));
        elsewhere
    }

    /// Which of those without a way in a census may speak of; the others stay as they are.
    fn lost(&mut self, unknown: HashSet<u32>, inhabited: &HashSet<u32>) -> Lost {
        // The way in may be closed to this process only.
        let inhabited = |inode| !self.all || inhabited.contains(&inode);
        let lost = Lost::among(&unknown, inhabited, |inode| self.pulses.of(inode));
        self.sought.clear();
        self.hidden = unknown;
        self.hidden.retain(|inode| !lost.gone.contains(inode));
        lost
    }

    /// Those of the given inodes that `refresh` did not find.
    fn unknown(&self, inodes: impl Iterator<Item = u32>) -> HashSet<u32> {
        // Connections are many and namespaces few: mostly it is the one of the connection before.
        let mut last = None;
        let new = inodes.filter(|&inode| last.replace(inode) != Some(inode));
        new.filter(|inode| !self.known.contains_key(inode)).collect()
    }
}

impl Engine {
    /// Looks at every socket of every namespace, mini-sockets included if they are asked about.
    pub(super) fn census<O: Observer>(&mut self, observer: &mut O) -> Result<Verdict> {
        let (begun, cpu) = (Instant::now(), clock::cpu_ns());
        let mut verdict = self.look(observer)?;
        if verdict.missing > 0 {
            // The second look tells the gone from those that moved in the kernel's tables.
            let second = self.look(observer)?;
            verdict.adopted += second.adopted;
            verdict.corrected += second.corrected;
            verdict.ended += second.ended;
        }
        self.health.resyncs += 1;
        let (known, took) = (self.table.len(), begun.elapsed());
        let cpu = Duration::from_nanos(clock::cpu_ns() - cpu);
        log::debug!(
            "compared {known} connections with the kernel's in {took:.1?} ({cpu:.1?} of CPU time): {verdict:?}"
        );
        Ok(verdict)
    }

    /// Looks at the mini-sockets of the namespaces in which the table has some.
    pub(super) fn mini_census<O: Observer>(&mut self, observer: &mut O) -> Result<()> {
        let inodes: Vec<u32> = self.table.mini_netns().collect();
        self.namespaces.pulses.forget_gone(|inode| inodes.contains(&inode));
        let Some(netns) = self.namespaces.of(&inodes) else {
            // One is gone perhaps, and its mini-sockets with it.
            return self.census(observer).map(drop);
        };
        if !netns.is_empty() && self.look_at_minis(&netns, observer)?.missing > 0 {
            self.look_at_minis(&netns, observer)?;
        }
        Ok(())
    }

    fn look_at_minis<O: Observer>(&mut self, netns: &[Netns], observer: &mut O) -> Result<Verdict> {
        let begun = clock::monotonic_ns();
        self.table.expect_census();
        let (live, mut intake) = self.intake(observer);
        let mut found = Vec::new();
        let looked_into = live.dump_sockets(MINI_SOCKETS, netns, &mut found, &mut intake)?;
        drop(intake);
        Ok(self.take(begun, Scope::MiniSockets, looked_into, &Lost::default(), &found, observer))
    }

    fn look<O: Observer>(&mut self, observer: &mut O) -> Result<Verdict> {
        let begun = clock::monotonic_ns();
        let mut netns = self.namespaces.refresh(&self.filter);
        let mut unknown = self.namespaces.unknown(self.table.iter().map(Connection::netns));
        netns.extend(self.namespaces.elsewhere(&mut unknown));
        self.table.expect_census();
        let states = self.states;
        let (live, mut intake) = self.intake(observer);
        let mut found = Vec::new();
        live.dump_held(states, &mut found, &mut intake)?;
        let mut looked_into = live.dump_sockets(states, &netns, &mut found, &mut intake)?;
        drop(intake);
        let inhabited = self.inhabited(&unknown, &found);
        let lost = self.namespaces.lost(unknown, &inhabited);
        looked_into.extend(lost.gone.iter().chain(&lost.doubtful));
        Ok(self.take(begun, Scope::Everything, looked_into, &lost, &found, observer))
    }

    /// Network namespaces in which there are sockets, those without a way in among them: a full socket keeps its namespace
    /// (`sk_net_refcnt`). Orphans that no process holds and no list shows are there until their ends are told, and so is a mini-socket
    /// where a hook tells of its end, unless ends may be lost.
    fn inhabited(&self, unknown: &HashSet<u32>, found: &[Vec<Found>]) -> HashSet<u32> {
        let mut inhabited: HashSet<u32> = found.iter().flatten().map(|found| found.head.netns).collect();
        if !unknown.is_empty() && self.health.knowledge != Knowledge::Incomplete {
            let is_there = |connection: &&Connection| match connection.phase() {
                Phase::Full => !connection.is_request(),
                Phase::Mini => self.mini_ends == MiniEnds::Told,
                Phase::Closed => false,
            };
            let there = self.table.iter().filter(is_there);
            inhabited.extend(there.map(Connection::netns).filter(|inode| unknown.contains(inode)));
        }
        inhabited
    }

    /// Takes the records that are kept back: a CPU that stops while a program writes one (a hypervisor gives it to somebody else, or
    /// another task preempts it) has all that comes after it in the ring buffer wait until it goes on. Not for ever, for what is lost
    /// in another way is not waited for.
    pub(super) fn wait_for_kept_back<O: Observer>(&mut self, observer: &mut O) {
        let Ok(Counters { delivered, .. }) = self.live.counters() else { return };
        let begun = Instant::now();
        while self.health.events + self.malformed < delivered && begun.elapsed() < KEPT_BACK {
            thread::sleep(KEPT_BACK_STEP);
            self.take_batch(observer);
        }
    }

    /// Every namespace that can be entered, whatever the filter: the other end of a connection may be in any.
    pub(super) fn every_namespace(&mut self) -> Vec<Netns> {
        self.namespaces.renew()
    }

    /// Brings what was found together with what happened meanwhile.
    pub(super) fn take<O: Observer>(
        &mut self,
        begun: u64,
        scope: Scope,
        mut looked_into: Vec<u32>,
        lost: &Lost,
        found: &[Vec<Found>],
        observer: &mut O,
    ) -> Verdict {
        let wanted = wanted(found, &self.filter);
        // What happened before and during the look comes first; not all that comes after it, under a load that never
        // lets the ring buffer run dry.
        let looked = clock::monotonic_ns() + DISORDER_NS;
        while self.take_batch(observer) > 0 && self.heard_until < looked {}
        if self.heard_until < looked {
            self.wait_for_kept_back(observer);
        }
        looked_into.sort_unstable();
        let Lost { gone, doubtful } = lost;
        let census = Census { begun, scope, netns: &looked_into, gone, doubtful, found: &wanted };
        self.table.take_census(&census, observer)
    }
}

/// What the kernel side would let through.
pub(super) fn wanted<'a>(found: &'a [Vec<Found>], filter: &Filter) -> Cow<'a, [Vec<Found>]> {
    if takes_all(filter) || found.iter().flatten().all(|found| is_wanted(found, filter)) {
        Cow::Borrowed(found)
    } else {
        Cow::Owned(vec![found.iter().flatten().filter(|found| is_wanted(found, filter)).copied().collect()])
    }
}

/// Whether the kernel side leaves nothing out.
fn takes_all(filter: &Filter) -> bool {
    filter.families == Families::Both
        && filter.netns.is_empty()
        && filter.local_ports.is_empty()
        && filter.remote_ports.is_empty()
}

/// The ends of a record, if the filter refuses its ports or its family. The kernel side lets a client's first moves through, for its own
/// port is not known before the handshake is over, and so is a listener's child's remote end on some kernels.
pub(super) fn refused<'a>(filter: &Filter, record: &'a Record) -> Option<&'a Tuple> {
    let tuple = match record {
        Record::Move(record) => &record.tuple,
        Record::End(record) => &record.tuple,
        Record::Retransmit(record) | Record::Reset(record) => &record.tuple,
        Record::Born(record) => &record.tuple,
        Record::MiniArmed(record) | Record::MiniGone(record) => &record.tuple,
        Record::Gone(_) | Record::Accepted(_) => return None,
    };
    let other = |ports: &PortSet, port: u16| port != 0 && !ports.is_empty() && !ports.contains(port);
    let is_refused =
        other(&filter.local_ports, tuple.local_port) || other(&filter.remote_ports, tuple.remote_port);
    let of_other_family = tuple.remote_port != 0 && !filter.families.wants(Ends::of(tuple).is_ipv4());
    (is_refused || of_other_family).then_some(tuple)
}

/// What the kernel side would let through: the rest would never be heard of again.
pub(super) fn is_wanted(found: &Found, filter: &Filter) -> bool {
    let ends = Ends::of(&found.tuple);
    let is_ipv4 = ends.is_ipv4();
    // A listener at [::] can have children of both families, whose owner it names.
    let is_of_both = !is_ipv4 && ends.remote_port == 0 && ends.local_addr().ip().is_unspecified();
    let family = filter.families.wants(is_ipv4) || is_of_both;
    let local = filter.local_ports.is_empty() || filter.local_ports.contains(found.tuple.local_port);
    // A listener has no remote port; it is needed to name the owner of its children.
    let remote = filter.remote_ports.is_empty()
        || found.tuple.remote_port == 0
        || filter.remote_ports.contains(found.tuple.remote_port);
    let netns = filter.netns.is_empty() || filter.netns.contains(&found.head.netns);
    family && local && remote && netns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_way_in_a_namespace_may_be_there() {
        let unknown = HashSet::from([1, 2, 3, 4, 5]);
        let pulse = |inode| match inode {
            1 | 2 => Pulse::There,
            3 => Pulse::Gone,
            _ => Pulse::Unknown,
        };
        let lost = Lost::among(&unknown, |inode| matches!(inode, 2 | 4), pulse);
        assert_eq!(lost, Lost { gone: vec![3], doubtful: vec![5] });
    }
    #[test]
    fn what_has_no_way_in_is_sought_once() {
        let own = Netns::own().unwrap();
        let mut namespaces = Namespaces::new(false, false);
        namespaces.meet([1, own.inode].into_iter());
        assert_eq!(namespaces.sought, HashSet::from([1]));
        assert!(namespaces.known.contains_key(&own.inode));
        namespaces.known.clear();
        namespaces.meet([1].into_iter());
        assert!(namespaces.known.is_empty(), "nobody looked again");
        let lost = namespaces.lost(HashSet::from([1]), &HashSet::new());
        assert_eq!(lost, Lost::default(), "the way in may be closed to this process");
        assert!(namespaces.hidden.contains(&1) && namespaces.sought.is_empty());
    }
}
