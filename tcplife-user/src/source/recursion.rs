//! Events that a program missed because it was running already on that CPU.
//!
//! What comes in: the kernel's `recursion_misses` of each program (kept since 5.12) and the programs' own counts. What goes
//! out: how many events were lost by it. What always holds: a program that was not run for an event that is not its own
//! lost nothing, and is not counted.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
};

use aya::{Ebpf, programs::Program};
use tcplife_common::counters::Counters;

/// Programs that tell of no event, by the begin of their names.
const OF_CAUSES: [&str; 3] = ["mini_connect", "mini_destroy", "mini_segment"];

/// Misses since the programs were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misses {
    /// Of `state_by_task`.
    state_by_task: u64,
    /// Of `state_by_net`.
    state_by_net: u64,
    /// Of the programs that have an event to themselves.
    others: u64,
}

impl Misses {
    /// Reads them from the kernel.
    pub fn read(programs: &Ebpf) -> Self {
        let mut misses = Self::default();
        for (name, program) in programs.programs() {
            let count = of(program).unwrap_or(0);
            match name {
                "state_by_task" => misses.state_by_task = count,
                "state_by_net" => misses.state_by_net = count,
                // It is interrupted by its runs in softirq, which have nothing to tell.
                "socket_gone" => {}
                // They only say why a mini-socket ends.
                name if OF_CAUSES.iter().any(|cause| name.starts_with(cause)) => {}
                _ => misses.others += count,
            }
        }
        misses
    }

    /// Events lost by them.
    pub fn losses(&self, counters: &Counters) -> u64 {
        let state = counters.state_changes_missed(self.state_by_task);
        state.min(self.state_by_task + self.state_by_net) + self.others
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
    fn a_miss_of_the_program_whose_change_it_was_not_is_no_loss() {
        // 100 changes; one run of each program was missed, and each time the other one had the change.
        let misses = Misses { state_by_task: 1, state_by_net: 1, others: 0 };
        assert_eq!(misses.losses(&counted(99, 100)), 0);
    }

    #[test]
    fn a_miss_of_the_program_whose_change_it_was_is_a_loss() {
        let by_task = Misses { state_by_task: 3, ..Misses::default() };
        assert_eq!(by_task.losses(&counted(97, 97)), 3);
        let by_net = Misses { state_by_net: 2, ..Misses::default() };
        assert_eq!(by_net.losses(&counted(100, 98)), 2);
    }

    #[test]
    fn changes_under_way_are_no_losses() {
        assert_eq!(Misses::default().losses(&counted(101, 100)), 0);
        let others = Misses { others: 4, ..Misses::default() };
        assert_eq!(others.losses(&counted(101, 100)), 4);
    }
}
