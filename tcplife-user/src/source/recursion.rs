//! Events that a program missed because it was running already on that CPU.
//!
//! What comes in: the kernel's `recursion_misses` of each program (kept since 5.12) and the programs' own counts. What goes
//! out: how many events were lost by it. What always holds: an event that another program took up is not lost, and is not
//! counted.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
};

use aya::{Ebpf, programs::Program};
use tcplife_common::counters::Counters;

/// The program that takes what `state_change` misses.
pub const SPARE: &str = "state_spare";

/// Misses since the programs were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misses {
    /// Of `state_change`.
    state_change: u64,
    /// Of all others, which have an event, or the cause of one, to themselves.
    others: u64,
}

impl Misses {
    /// Reads them from the kernel.
    pub fn read(programs: &Ebpf) -> Self {
        let mut misses = Self::default();
        for (name, program) in programs.programs() {
            let count = of(program).unwrap_or(0);
            match name {
                "state_change" => misses.state_change = count,
                // What it misses `state_change` has taken, or has missed: then it is counted there.
                SPARE => {}
                _ => misses.others += count,
            }
        }
        misses
    }

    /// Events lost by them.
    pub fn losses(&self, counters: &Counters) -> u64 {
        counters.state_changes_missed(self.state_change).min(self.state_change) + self.others
    }
}

fn of(program: &Program) -> Option<u64> {
    let fd = program.fd().ok()?.as_fd().as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(state_runs: u64, state_taken: u64) -> Counters {
        Counters { state_runs, state_taken, ..Counters::default() }
    }

    #[test]
    fn what_the_spare_took_is_no_loss() {
        let misses = Misses { state_change: 3, others: 0 };
        assert_eq!(misses.losses(&counted(97, 100)), 0);
        assert_eq!(misses.losses(&counted(97, 99)), 1);
        assert_eq!(misses.losses(&counted(97, 97)), 3);
    }

    #[test]
    fn changes_under_way_are_no_losses() {
        assert_eq!(Misses::default().losses(&counted(101, 100)), 0);
        let others = Misses { others: 4, ..Misses::default() };
        assert_eq!(others.losses(&counted(101, 100)), 4);
    }
}
