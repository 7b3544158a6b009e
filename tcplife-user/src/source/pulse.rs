//! Whether a network namespace is still there once there is no way into it.
//!
//! What comes in: namespaces, while they can be entered. What goes out: later, whether each is there. What always holds: none is
//! kept by that. A file of a namespace's `/proc/net` that is only pointed at (`O_PATH`) holds no reference to it; opening the file
//! takes one for a moment, and fails once the last is gone (`seq_open_net`, `maybe_get_net`) or the file with it.

use std::{collections::HashMap, os::fd::AsRawFd};

use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags, open},
    io::Errno,
    process::{Resource, getrlimit},
};

use super::namespaces::Netns;
use crate::{netns, threads};

/// What is pointed at: every namespace that can have TCP sockets has it.
const FILE: &str = "/proc/thread-self/net/tcp";
/// One part in so many of the descriptors that this process may have points at the namespaces of one [`Pulses`], at most; there are two.
const SHARE: u64 = 4;

/// Whether a network namespace is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// It is.
    There,
    /// It is gone, with all that was in it.
    Gone,
    /// It was never looked at, or cannot be.
    Unknown,
}

/// Network namespaces that could be entered once.
#[derive(Debug)]
pub struct Pulses {
    points: HashMap<u32, OwnedFd>,
    most: usize,
}

impl Pulses {
    /// Of as many namespaces as there is room for, if they are wanted.
    pub fn new(wanted: bool) -> Self {
        let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / SHARE;
        let most = if wanted { usize::try_from(most).unwrap_or(usize::MAX) } else { 0 };
        Self { points: HashMap::new(), most }
    }

    /// Takes the pulse of these from now on. One that has the number of one that is gone takes its place.
    pub fn learn<'a>(&mut self, namespaces: impl Iterator<Item = &'a Netns>) {
        if self.most == 0 {
            return;
        }
        // This process is in its own.
        let own = netns::own();
        let is_new = |netns: &&Netns| Some(netns.inode) != own && self.of(netns.inode) != Pulse::There;
        let mut room = self.most.saturating_sub(self.points.len());
        let mut has_room = |netns: &&Netns| {
            if self.points.contains_key(&netns.inode) {
                return true;
            }
            let has = room > 0;
            room = room.saturating_sub(1);
            has
        };
        let new: Vec<&Netns> = namespaces.filter(is_new).filter(|netns| has_room(netns)).collect();
        if new.is_empty() {
            return;
        }
        // In a thread that ends afterwards: it is in another namespace then.
        let points =
            || -> Vec<_> { new.iter().filter_map(|netns| Some((netns.inode, point_at(netns)?))).collect() };
        // Without it nothing is known of them, as of those that cannot be entered.
        self.points.extend(threads::apart(points).into_iter().flatten());
    }

    /// Whether the one that had this number when it was learned is there.
    pub fn of(&self, inode: u32) -> Pulse {
        self.points.get(&inode).map_or(Pulse::Unknown, pulse)
    }

    /// Forgets those that are gone, unless somebody is still to be told. Often enough, for their numbers are given to others soon.
    pub fn forget_gone(&mut self, is_asked_for: impl Fn(u32) -> bool) {
        self.points.retain(|&inode, point| is_asked_for(inode) || pulse(point) != Pulse::Gone);
    }
}

/// Points at the file of a namespace, which this thread enters.
fn point_at(netns: &Netns) -> Option<OwnedFd> {
    netns.enter().ok()?;
    open(FILE, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn pulse(point: &OwnedFd) -> Pulse {
    let path = format!("/proc/self/fd/{}", point.as_raw_fd());
    match open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(_) => Pulse::There,
        Err(Errno::NXIO | Errno::NOENT) => Pulse::Gone,
        Err(_) => Pulse::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_there_has_a_pulse() {
        let own = Netns::own().unwrap();
        assert_eq!(pulse(&point_at(&own).unwrap()), Pulse::There);
    }

    #[test]
    fn of_one_that_was_never_entered_nothing_is_known() {
        let own = Netns::own().unwrap();
        for wanted in [false, true] {
            let mut pulses = Pulses::new(wanted);
            pulses.learn([&own].into_iter());
            assert_eq!(pulses.of(own.inode), Pulse::Unknown, "this process keeps its own");
            assert_eq!(pulses.of(1), Pulse::Unknown);
        }
    }
}
