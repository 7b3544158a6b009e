//! What the kernel counts of BPF programs, as the descriptors of their process show it.

use std::fs;

use anyhow::{Context, Result};

/// Turns on counting for all programs (`kernel.bpf_stats_enabled`).
const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// While it lives, the kernel counts runs of BPF programs; that costs a little by itself.
pub(super) struct Counting {
    before: String,
}

impl Counting {
    /// Begins to count.
    pub(super) fn begin() -> Result<Self> {
        let before = fs::read_to_string(SWITCH).with_context(|| format!("reading {SWITCH}"))?;
        fs::write(SWITCH, "1").with_context(|| format!("writing {SWITCH}"))?;
        Ok(Self { before })
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        // It could be written before, and what failed cannot be told here.
        let _ = fs::write(SWITCH, &self.before);
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
