//! What a process has used.

use std::fs;

use anyhow::{Context, Result};
use nix::{
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

/// CPU time of a process so far, in seconds; threads that have ended count.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let pid = Pid::from_raw(i32::try_from(pid)?);
    let clock = ClockId::pid_cpu_clock_id(pid).with_context(|| format!("process {pid} is gone"))?;
    let time = clock_gettime(clock).with_context(|| format!("process {pid} is gone"))?;
    Ok(std::time::Duration::from(time).as_secs_f64())
}

/// The most memory that a process had at once, in MiB.
pub(super) fn peak_mib(pid: u32) -> Result<f64> {
    kib(pid, "VmHWM:").map(|kib| kib / 1024.0)
}

/// The memory that a process has now, in MiB.
pub(super) fn resident_mib(pid: u32) -> Result<f64> {
    kib(pid, "VmRSS:").map(|kib| kib / 1024.0)
}

fn kib(pid: u32, key: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(key)).context("no memory in its status")?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}
