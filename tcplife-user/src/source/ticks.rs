//! The length of a jiffy: the unit of the kernel's own timers.

use rustix::time::{ClockId, clock_getres};

/// The kernel's ticks per second (`CONFIG_HZ`). The coarse clock's resolution is one tick (`KTIME_LOW_RES`,
/// kernel/time/posix-timers.c).
pub fn hz() -> u32 {
    let tick_ns = clock_getres(ClockId::MonotonicCoarse).tv_nsec;
    let per_second = u32::try_from(1_000_000_000 / tick_ns.max(1)).unwrap_or(0);
    // 300 Hz and the like do not divide a second: the length of a tick is rounded.
    [100, 250, 300, 1000].into_iter().find(|&known| known == per_second).unwrap_or(per_second.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_ticks_at_a_known_rate() {
        assert!([100, 250, 300, 1000].contains(&hz()), "{}", hz());
    }
}
