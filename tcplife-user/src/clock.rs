//! Wall-clock times of kernel events.
//!
//! What comes in: nanoseconds of `CLOCK_MONOTONIC`. What goes out: RFC 3339 in UTC with nanoseconds. What always
//! holds: the distance between the clocks is taken once, so the order of events and the time between them are the
//! monotonic clock's; a step of the wall clock during a run is not followed.

use std::{
    fs,
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

const SECOND: u64 = 1_000_000_000;
/// Length of `2018-02-14T00:28:07.133333333Z`.
const LENGTH: usize = 30;
/// Length of `2018-02-14T00:28:07.`.
const UP_TO_FRACTION: usize = 20;

/// The wall clock, as a distance from `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    offset_ns: u64,
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(SECOND).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Nanoseconds of the kernel's own `CLOCK_MONOTONIC`, now: what records tell, whatever this process's time namespace.
pub fn monotonic_ns() -> u64 {
    static AHEAD: LazyLock<i64> = LazyLock::new(|| {
        // The file is about the namespace of children: that of this process, unless somebody has just left it to them.
        let namespace = |of| fs::read_link(format!("/proc/self/ns/{of}")).ok();
        let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
        let are_ours = namespace("time") == namespace("time_for_children");
        ahead_ns(&offsets).filter(|_| are_ours).unwrap_or(0)
    });
    nanoseconds(clock_gettime(ClockId::Monotonic)).saturating_sub_signed(*AHEAD)
}

/// How far a time namespace's `CLOCK_MONOTONIC` is ahead of the kernel's (time_namespaces(7)), by what /proc/PID/timens_offsets says.
fn ahead_ns(offsets: &str) -> Option<i64> {
    let monotonic = offsets.lines().find_map(|line| line.strip_prefix("monotonic"))?;
    let mut numbers = monotonic.split_whitespace().map(str::parse::<i64>);
    let (seconds, rest) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    seconds.checked_mul(1_000_000_000)?.checked_add(rest)
}

/// CPU time of this process so far, nanoseconds.
pub fn cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ProcessCPUTime))
}

/// The kernel's ticks per second (`CONFIG_HZ`): a coarse clock's resolution is one tick (`KTIME_LOW_RES`,
/// kernel/time/posix-timers.c).
pub fn kernel_hz() -> u32 {
    let tick = nanoseconds(clock_getres(ClockId::MonotonicCoarse)).max(1);
    u32::try_from((SECOND + tick / 2) / tick).unwrap_or(u32::MAX).max(1)
}

/// A length of time in nanoseconds, up to 584 years.
pub fn as_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Clock {
    /// A clock that is `offset_ns` ahead of `CLOCK_MONOTONIC`.
    pub const fn new(offset_ns: u64) -> Self {
        Self { offset_ns }
    }

    /// The machine's clock now. Of a few samples, the one taken in the shortest time counts.
    pub fn sample() -> Self {
        let one = || {
            let before = monotonic_ns();
            let wall = nanoseconds(clock_gettime(ClockId::Realtime));
            let took = monotonic_ns().saturating_sub(before);
            (took, wall.saturating_sub(before + took / 2))
        };
        let best = (0..5).map(|_| one()).min();
        Self::new(best.map_or(0, |(_, offset)| offset))
    }

    /// Nanoseconds since 1970 at `mono_ns`.
    pub const fn wall_ns(self, mono_ns: u64) -> u64 {
        self.offset_ns.saturating_add(mono_ns)
    }
}

/// Writes times; keeps the text of the last second, since events come in order and many in each second.
#[derive(Clone, Debug)]
pub struct Stamper {
    clock: Clock,
    second: u64,
    text: [u8; LENGTH],
}

impl Stamper {
    /// One that reads `clock`.
    pub fn new(clock: Clock) -> Self {
        let mut stamper = Self { clock, second: 0, text: [b'0'; LENGTH] };
        stamper.set_second(0);
        stamper
    }

    fn set_second(&mut self, second: u64) {
        let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(second)).to_string();
        // "2018-02-14T00:28:07Z": the `Z` gives way to the fraction's point.
        for (to, from) in self.text.iter_mut().zip(text.bytes().take(UP_TO_FRACTION - 1)) {
            *to = from;
        }
        self.text[UP_TO_FRACTION - 1] = b'.';
        self.text[LENGTH - 1] = b'Z';
        self.second = second;
    }

    /// `mono_ns` as RFC 3339 in UTC with nanoseconds.
    pub fn rfc3339(&mut self, mono_ns: u64) -> &str {
        let wall = self.clock.wall_ns(mono_ns);
        let second = wall / SECOND;
        if second != self.second {
            self.set_second(second);
        }
        let mut rest = wall % SECOND;
        for digit in self.text[UP_TO_FRACTION..LENGTH - 1].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// `mono_ns` as the time of day in UTC, `HH:MM:SS.mmm`.
    pub fn time_of_day(&mut self, mono_ns: u64) -> &str {
        self.rfc3339(mono_ns).get(11..23).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_767_225_599_000_000_000; // 2025-12-31T23:59:59Z

    #[test]
    fn times_are_rfc3339_with_nanoseconds() {
        let mut stamper = Stamper::new(Clock::new(START));
        assert_eq!(stamper.rfc3339(0), "2025-12-31T23:59:59.000000000Z");
        assert_eq!(stamper.rfc3339(999_999_999), "2025-12-31T23:59:59.999999999Z");
        assert_eq!(stamper.rfc3339(1_000_000_001), "2026-01-01T00:00:00.000000001Z");
        assert_eq!(stamper.rfc3339(7), "2025-12-31T23:59:59.000000007Z", "an earlier time, late");
        assert_eq!(stamper.time_of_day(1_234_567_890), "00:00:00.234");
    }

    #[test]
    fn the_text_is_the_one_of_humantime() {
        let mut stamper = Stamper::new(Clock::new(0));
        for ns in [0, 1, START, START + 86_400_123_456_789, u64::MAX] {
            let expected = humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::from_nanos(ns)).to_string();
            assert_eq!(stamper.rfc3339(ns), expected);
        }
    }

    #[test]
    fn the_sampled_clock_is_the_machines() {
        let now = Clock::sample().wall_ns(monotonic_ns());
        let expected = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
        assert!(u128::from(now).abs_diff(expected) < 1_000_000_000);
    }

    #[test]
    fn a_time_namespaces_offset_is_read() {
        let offsets = "monotonic       86400         5\nboottime           7  0\n";
        assert_eq!(ahead_ns(offsets), Some(86_400_000_000_005));
        assert_eq!(ahead_ns("monotonic -1 999999999\n"), Some(-1));
        assert_eq!(ahead_ns("monotonic 9223372036854775807 0\n"), None);
        assert_eq!(ahead_ns(""), None);
    }

    #[test]
    fn the_tick_is_one_that_kernels_are_built_with() {
        assert!([100, 250, 300, 1000].contains(&kernel_hz()), "{}", kernel_hz());
    }
}
