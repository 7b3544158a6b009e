//! Dumps of the kernel's sockets into the table: at the start, after a loss, at a slow pace as a net under everything,
//! and each second for mini-sockets where no hook tells of their ends.

use std::{collections::HashMap, time::Duration};

use anyhow::Result;
use tcplife_common::wire::Found;
use tcplife_core::{
    connection::Ends,
    filter::{Families, Filter},
    table::{Census, Scope, Verdict},
};

use super::Engine;
use crate::{
    clock,
    sink::Sink,
    source::dump::{self, ALL_STATES, MINI_SOCKETS, Netns},
};

/// Everything is looked at again this often, also without a loss.
pub(super) const RESYNC_PERIOD: Duration = Duration::from_secs(30);
/// Mini-sockets are looked at this often, where no hook tells of their ends.
pub(super) const MINI_PERIOD: Duration = Duration::from_secs(1);

/// Records of different CPUs can be in the ring buffer in another order than their times, by less than this.
const DISORDER_NS: u64 = 10_000_000;

/// Where network namespaces can be entered. Finding them all takes a look at every process.
#[derive(Default)]
pub(super) struct Namespaces(HashMap<u32, Netns>);

impl Namespaces {
    fn refresh(&mut self, filter: &Filter) -> Vec<Netns> {
        let all = dump::namespaces();
        self.0 = all.iter().map(|netns| (netns.inode, netns.clone())).collect();
        all.into_iter()
            .filter(|netns| filter.netns.is_empty() || filter.netns.contains(&netns.inode))
            .collect()
    }

    /// Those of the given inodes that can still be entered.
    fn of(&mut self, inodes: &[u32]) -> Vec<Netns> {
        let known = |namespaces: &Self| -> Option<Vec<Netns>> {
            inodes
                .iter()
                .map(|inode| namespaces.0.get(inode).filter(|netns| netns.is_there()).cloned())
                .collect()
        };
        if let Some(all) = known(self) {
            return all;
        }
        self.refresh(&Filter::default());
        inodes.iter().filter_map(|inode| self.0.get(inode).cloned()).collect()
    }
}

impl Engine {
    /// Looks at every socket of every namespace.
    pub(super) fn census<S: Sink>(&mut self, sink: &mut S) -> Result<Verdict> {
        let mut verdict = self.look(Scope::Everything, sink)?;
        if verdict.missing > 0 {
            // The second look tells the gone from those that moved in the kernel's tables.
            let second = self.look(Scope::Everything, sink)?;
            verdict.adopted += second.adopted;
            verdict.corrected += second.corrected;
            verdict.ended += second.ended;
        }
        self.health.resyncs += 1;
        Ok(verdict)
    }

    /// Looks at the mini-sockets of the namespaces in which the table has some.
    pub(super) fn mini_census<S: Sink>(&mut self, sink: &mut S) -> Result<()> {
        if self.table.mini_netns().next().is_some() && self.look(Scope::MiniSockets, sink)?.missing > 0 {
            self.look(Scope::MiniSockets, sink)?;
        }
        Ok(())
    }

    fn look<S: Sink>(&mut self, scope: Scope, sink: &mut S) -> Result<Verdict> {
        let begun = clock::monotonic_ns();
        let netns = match scope {
            Scope::Everything => self.namespaces.refresh(&self.filter),
            Scope::MiniSockets => self.namespaces.of(&self.table.mini_netns().collect::<Vec<u32>>()),
        };
        let live = self.live.get_mut();
        let mut found = match scope {
            Scope::Everything => live.dump_held(ALL_STATES)?,
            Scope::MiniSockets => Vec::new(),
        };
        let states = if scope == Scope::Everything { ALL_STATES } else { MINI_SOCKETS };
        found.append(&mut live.dump_sockets(states, &netns)?);
        found.retain(|found| is_wanted(found, &self.filter));
        self.table.expect_census();
        // What happened before and during the look comes first; not all that comes after it, under a load that never
        // lets the ring buffer run dry.
        let looked = clock::monotonic_ns() + DISORDER_NS;
        while self.take_batch(sink) > 0 && self.heard_until < looked {}
        let mut inodes: Vec<u32> = netns.iter().map(|netns| netns.inode).collect();
        inodes.sort_unstable();
        let census = Census { begun, scope, netns: &inodes, found: &found };
        Ok(self.table.take_census(&census, sink))
    }
}

/// What the kernel side would let through: the rest would never be heard of again.
fn is_wanted(found: &Found, filter: &Filter) -> bool {
    let ends = Ends::of(&found.tuple);
    let family = match filter.families {
        Families::Both => true,
        Families::V4 => ends.is_ipv4(),
        Families::V6 => !ends.is_ipv4(),
    };
    let local = filter.local_ports.is_empty() || filter.local_ports.contains(found.tuple.local_port);
    // A listener has no remote port; it is needed to name the owner of its children.
    let remote = filter.remote_ports.is_empty()
        || found.tuple.remote_port == 0
        || filter.remote_ports.contains(found.tuple.remote_port);
    let netns = filter.netns.is_empty() || filter.netns.contains(&found.head.netns);
    family && local && remote && netns
}
