//! The network namespaces that sockets are listed in: where each can be entered, and which are gone.
//!
//! What comes in: inodes that the table knows, and a look at the host. What goes out: ways in; and of those without one,
//! which a census may speak of. What always holds: a namespace is told to be gone only if the kernel says so.

use std::collections::{HashMap, HashSet};

use tcplife_core::filter::Filter;

use crate::source::{
    namespaces::{self, Netns},
    pulse::{Pulse, Pulses},
};

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
    pub(super) gone: Vec<u32>,
    /// Perhaps gone: nothing that was looked at keeps them, but a socket of another kind or what is in flight between processes may.
    pub(super) doubtful: Vec<u32>,
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
    pub(super) fn refresh(&mut self, filter: &Filter) -> Vec<Netns> {
        let all = namespaces::all();
        self.known = all.iter().map(|netns| (netns.inode, netns.clone())).collect();
        all.into_iter()
            .filter(|netns| filter.netns.is_empty() || filter.netns.contains(&netns.inode))
            .collect()
    }

    /// Those of the given inodes that can be entered; `None` if that of one is not clear, or one is gone.
    pub(super) fn of(&mut self, inodes: &[u32]) -> Option<Vec<Netns>> {
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
    pub(super) fn renew(&mut self) -> Vec<Netns> {
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
    pub(super) fn elsewhere(&mut self, unknown: &mut HashSet<u32>) -> Vec<Netns> {
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
    pub(super) fn lost(&mut self, unknown: HashSet<u32>, inhabited: &HashSet<u32>) -> Lost {
        // The way in may be closed to this process only.
        let inhabited = |inode| !self.all || inhabited.contains(&inode);
        let lost = Lost::among(&unknown, inhabited, |inode| self.pulses.of(inode));
        self.sought.clear();
        self.hidden = unknown;
        self.hidden.retain(|inode| !lost.gone.contains(inode));
        lost
    }

    /// Forgets those that are gone, unless they are `asked` about.
    pub(super) fn forget_gone(&mut self, asked: &[u32]) {
        self.pulses.forget_gone(|inode| asked.contains(&inode));
    }

    /// Those of the given inodes that `refresh` did not find.
    pub(super) fn unknown(&self, inodes: impl Iterator<Item = u32>) -> HashSet<u32> {
        // Connections are many and namespaces few: mostly it is the one of the connection before.
        let mut last = None;
        let new = inodes.filter(|&inode| last.replace(inode) != Some(inode));
        new.filter(|inode| !self.known.contains_key(inode)).collect()
    }
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
