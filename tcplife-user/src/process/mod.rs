//! Processes as `/proc` shows them: whether one is still there, and what is known of it.
//!
//! What comes in: a process as the kernel side named it. What goes out: whether it is running, its facts ([`ProcessFacts`]) and its
//! container ([`container`]). What always holds: another process that has its pid by now is not taken for it, if its start is known.

pub mod container;
mod facts;

use std::{fs, path::Path};

use tcplife_core::owner::Process;

use crate::clock;
pub use facts::ProcessFacts;

/// `USER_HZ`, the unit of times in /proc: nanoseconds.
const CLOCK_TICK_NS: u64 = 10_000_000;

/// Whether a process, or a thread, has this number now.
pub fn exists(number: u32) -> bool {
    Path::new(&format!("/proc/{number}")).exists()
}

/// The process that a pid, or the number of a thread, is of now.
pub fn of_task(number: u32) -> Option<u32> {
    // A name in it may be cut within a character.
    let status = fs::read(format!("/proc/{number}/status")).ok()?;
    field(&String::from_utf8_lossy(&status), "Tgid:")?.parse().ok()
}

/// The names that processes have now.
pub fn comms() -> Vec<Vec<u8>> {
    let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
    let comms = folders.filter_map(|folder| fs::read(folder.path().join("comm")).ok());
    comms.map(|comm| comm.strip_suffix(b"\n").unwrap_or(&comm).to_vec()).collect()
}

/// When the process of a folder of /proc began, in nanoseconds of the kernel's `CLOCK_BOOTTIME`, to a tick.
pub fn start_ns(folder: &Path) -> Option<u64> {
    started_ns(&fs::read(folder.join("stat")).ok()?)
}

/// Whether a process is still there, and not another one with its pid.
pub fn is_running(process: &Process) -> bool {
    let folder = format!("/proc/{}", process.pid);
    start_ns(Path::new(&folder)).is_some_and(|started| began_at(process, started))
}

/// Whether a process is the one that began at `started`, which is told to a tick.
const fn began_at(process: &Process, started: u64) -> bool {
    process.start_ns == 0 || started.abs_diff(process.start_ns) <= CLOCK_TICK_NS
}

fn started_ns(stat: &[u8]) -> Option<u64> {
    Some(clock::unshifted_boottime_ns(started_ticks(stat)?.checked_mul(CLOCK_TICK_NS)?))
}

fn started_ticks(stat: &[u8]) -> Option<u64> {
    stat_field(stat, 22)?.parse().ok()
}

/// Whether a signal has stopped it, by /proc/PID/stat. A tracer such as strace stops it for a moment now and then.
fn is_stopped(stat: &[u8]) -> bool {
    stat_field(stat, 3) == Some("T")
}

/// A field of /proc/PID/stat by its number, from 3 (proc_pid_stat(5)); the second is the name, which may hold anything.
fn stat_field(stat: &[u8], number: usize) -> Option<&str> {
    let behind_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let rest = std::str::from_utf8(&stat[behind_name..]).ok()?;
    rest.split_ascii_whitespace().nth(number - 3)
}

/// The first word behind `name`, which begins a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_a_signal_has_stopped_is_stopped() {
        for (stat, stopped) in [("7 (a) T 1", true), ("7 (T) S 1", false), ("7 (a) t 1", false), ("", false)]
        {
            assert_eq!(is_stopped(stat.as_bytes()), stopped, "{stat}");
        }
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = format!("7 (a) b (c) R {} 4242 0", ["0"; 18].join(" "));
        assert_eq!(started_ticks(stat.as_bytes()), Some(4242));
        assert_eq!(started_ticks(b"7 (x) R 1"), None);
        assert_eq!(started_ticks(b""), None);
    }
}
