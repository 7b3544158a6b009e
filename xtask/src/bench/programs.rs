//! What the kernel counts of BPF programs, as the descriptors of their process show it.

use std::{fs, os::fd::OwnedFd};

use anyhow::{Context, Result};
use aya::sys::{Stats, enable_stats};

/// While it lives, the kernel counts runs of BPF programs; that costs a little by itself. The kernel closes the descriptor
/// however we end, and counts no longer (`bpf_stats_release`).
pub(super) struct Counting {
    _open: OwnedFd,
}

impl Counting {
    /// Begins to count.
    pub(super) fn begin() -> Result<Self> {
        let open = enable_stats(Stats::RunTime).context("having the runs of BPF programs counted")?;
        Ok(Self { _open: open })
    }
}

/// Runs of all programs of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Runs {
    /// Nanoseconds in them.
    pub(super) ns: u64,
    /// How many.
    pub(super) count: u64,
    /// How many programs there are.
    pub(super) programs: usize,
}

/// Whether a process has a BPF program.
pub(super) fn has_some(pid: u32) -> Result<bool> {
    runs(pid).map(|runs| runs.programs > 0)
}

/// The runs of the programs whose descriptors a process has, each program once.
pub(super) fn runs(pid: u32) -> Result<Runs> {
    let mut sum = Runs::default();
    let mut seen = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // A descriptor can be closed meanwhile.
        let Ok(info) = fs::read_to_string(entry?.path()) else { continue };
        let number = |key: &str| -> Option<u64> {
            info.lines().find_map(|line| line.strip_prefix(key))?.trim().parse().ok()
        };
        if let (Some(id), Some(ns), Some(count)) =
            (number("prog_id:"), number("run_time_ns:"), number("run_cnt:"))
            && !seen.contains(&id)
        {
            seen.push(id);
            sum.ns += ns;
            sum.count += count;
            sum.programs += 1;
        }
    }
    Ok(sum)
}
