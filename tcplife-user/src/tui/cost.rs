//! What tcplife itself takes of the host.
//!
//! What comes in: the moment. What goes out: CPU time over the last second and resident memory. What always holds: read
//! once a second at most.

use std::fs;

use rustix::param::page_size;

use super::frame::Cost;
use crate::clock;

const SECOND: u64 = 1_000_000_000;

/// Reads [`Cost`]s.
#[derive(Debug, Default)]
pub struct CostMeter {
    /// When it was read last, and the CPU time until then.
    last: Option<(u64, u64)>,
    cost: Cost,
}

impl CostMeter {
    /// The cost, as of `now` or of a second before at most.
    pub fn at(&mut self, now: u64) -> Cost {
        let is_due = self.last.is_none_or(|(at, _)| now.saturating_sub(at) >= SECOND);
        if is_due {
            let used = clock::cpu_ns();
            if let Some((at, before)) = self.last {
                let took = now.saturating_sub(at).max(1);
                self.cost.cpu = used.saturating_sub(before).saturating_mul(1000) / took;
            }
            self.cost.memory = memory();
            self.last = Some((now, used));
        }
        self.cost
    }
}

/// Resident bytes: the second number of `/proc/self/statm` is in pages (proc(5)).
fn memory() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    pages.saturating_mul(page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_memory_and_is_read_once_a_second() {
        let mut meter = CostMeter::default();
        let first = meter.at(SECOND);
        assert!(first.memory > 100_000, "{first:?}");
        assert_eq!(first.cpu, 0, "nothing to compare with yet");
        assert_eq!(meter.at(SECOND + 1), first);
    }
}
