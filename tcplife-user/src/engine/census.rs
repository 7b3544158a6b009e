//! Dumps of the kernel's sockets into the table: at the start, after a loss, at a slow pace as a net under everything,
//! and each second, or slower if they are many, for mini-sockets where no hook tells of their ends.

use std::{
    collections::HashSet,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use tcplife_common::{counters::Counters, wire::Found};
use tcplife_core::{
    connection::{Connection, Phase},
    observer::Observer,
    table::{Census, CensusOutcome, MiniEndSource, Scope},
};

use super::{Engine, namespaces::Lost, wanted::wanted};
use crate::{
    clock,
    health::Knowledge,
    source::{
        dump::{Listing, MINI_SOCKETS},
        namespaces::Netns,
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
pub(super) fn pause_after_minis(took: Duration) -> Duration {
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

/// Looking for suspects takes one part in so many of the time at most.
const SUSPECTS_SHARE: u32 = 10;

/// When to look for suspects again after that took so long.
pub(super) fn pause_after_suspects(took: Duration, period: Duration) -> Duration {
    (took * SUSPECTS_SHARE).max(period)
}

/// Records of different CPUs can be in the ring buffer in another order than their times, by less than this.
const DISORDER_NS: u64 = 10_000_000;

/// Records that are kept back are waited for no longer than this, and looked for this often.
const KEPT_BACK: Duration = Duration::from_millis(100);
const KEPT_BACK_STEP: Duration = Duration::from_micros(200);

impl Engine {
    /// Looks at every socket of every namespace, mini-sockets included if they are asked about.
    pub(super) fn census<O: Observer>(&mut self, observer: &mut O) -> Result<CensusOutcome> {
        let (begun, cpu) = (Instant::now(), clock::cpu_ns());
        let mut outcome = self.look(observer)?;
        if outcome.missing > 0 {
            // The second look tells the gone from those that moved in the kernel's tables.
            let second = self.look(observer)?;
            outcome.adopted += second.adopted;
            outcome.corrected += second.corrected;
            outcome.ended += second.ended;
        }
        self.health.resyncs += 1;
        let (known, took) = (self.table.len(), begun.elapsed());
        let cpu = Duration::from_nanos(clock::cpu_ns() - cpu);
        log::debug!(
            "compared {known} connections with the kernel's in {took:.1?} ({cpu:.1?} of CPU time): {outcome:?}"
        );
        Ok(outcome)
    }

    /// Looks at the mini-sockets of the namespaces in which the table has some. `None` if it has none.
    pub(super) fn mini_census<O: Observer>(&mut self, observer: &mut O) -> Result<Option<()>> {
        let inodes: Vec<u32> = self.table.mini_netns().collect();
        self.namespaces.forget_gone(&inodes);
        let Some(netns) = self.namespaces.of(&inodes) else {
            // One is gone perhaps, and its mini-sockets with it.
            return self.census(observer).map(drop).map(Some);
        };
        if netns.is_empty() {
            return Ok(None);
        }
        if self.look_at_minis(&netns, observer)?.missing > 0 {
            self.look_at_minis(&netns, observer)?;
        }
        Ok(Some(()))
    }

    fn look_at_minis<O: Observer>(&mut self, netns: &[Netns], observer: &mut O) -> Result<CensusOutcome> {
        let begun = clock::monotonic_ns();
        self.table.expect_census();
        let filter = self.filter.clone();
        let wanted = wanted(&filter);
        let (live, mut intake) = self.intake(observer);
        let mut listing = Listing::of(&wanted);
        let looked_into = live.dump_sockets(MINI_SOCKETS, netns, &mut listing, &mut intake)?;
        drop(intake);
        let Listing { found, .. } = listing;
        Ok(self.take(begun, Scope::MiniSockets, looked_into, &Lost::default(), &found, observer))
    }

    fn look<O: Observer>(&mut self, observer: &mut O) -> Result<CensusOutcome> {
        let begun = clock::monotonic_ns();
        let mut netns = self.namespaces.refresh(&self.filter);
        let mut unknown = self.namespaces.unknown(self.table.iter().map(Connection::netns));
        netns.extend(self.namespaces.elsewhere(&mut unknown));
        self.table.expect_census();
        let (states, filter) = (self.states, self.filter.clone());
        let wanted = wanted(&filter);
        // What is in a namespace without a way in tells that it is inhabited.
        let tells = |found: &Found| wanted(found) || unknown.contains(&found.head.netns);
        let (live, mut intake) = self.intake(observer);
        let mut listing = Listing::of(&tells);
        live.dump_held(states, &mut listing, &mut intake)?;
        let mut looked_into = live.dump_sockets(states, &netns, &mut listing, &mut intake)?;
        drop(intake);
        let Listing { found, .. } = listing;
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
                Phase::Mini => self.mini_ends == MiniEndSource::Told,
                Phase::Closed => false,
            };
            let there = self.table.iter().filter(is_there);
            inhabited.extend(there.map(Connection::netns).filter(|inode| unknown.contains(inode)));
        }
        inhabited
    }

    /// Takes the records that are kept back. A CPU that stops while a program writes a record (a hypervisor gives the CPU to somebody
    /// else, or another task preempts it) holds up all records behind that one until it goes on. The wait has a limit: what was lost in
    /// another way never comes.
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
    ) -> CensusOutcome {
        // Records of what happened before and during the look are applied first. Not of what comes after it: under a high load
        // there are always more.
        let ended = clock::monotonic_ns();
        let looked = ended + DISORDER_NS;
        while self.take_batch(observer) > 0 && self.heard_until < looked {}
        if self.heard_until < looked {
            self.wait_for_kept_back(observer);
        }
        looked_into.sort_unstable();
        let Lost { gone, doubtful } = lost;
        let census = Census { begun, ended, scope, netns: &looked_into, gone, doubtful, found };
        self.table.take_census(&census, wanted(&self.filter), observer)
    }
}
