//! Wall-clock times of kernel events.
//!
//! What comes in: nanoseconds of `CLOCK_MONOTONIC`. What goes out: RFC 3339 in UTC with nanoseconds. What always
//! holds: between two steps of the wall clock the distance between the clocks is one number, so the order of events and the
//! time between them are the monotonic clock's. A step (somebody sets the clock, or the machine sleeps) counts from when the engine last
//! saw the clock before it; what happened until then keeps its time.

use std::{
    collections::VecDeque,
    fs,
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

const SECOND: u64 = 1_000_000_000;
/// Length of `2018-02-14T00:28:07.133333333Z`.
const LENGTH: usize = 30;
/// Length of `2018-02-14T00:28:07.`.
const UP_TO_FRACTION: usize = 20;

/// What the distance between the clocks changes by in a step; less is a sample's error.
const STEP_NS: u64 = 100_000_000;
/// Steps that are remembered; of more the oldest are forgotten.
const STEPS: usize = 64;

/// The wall clock, as a distance from `CLOCK_MONOTONIC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The newest distance.
    offset_ns: u64,
    /// Since when it holds, nanoseconds of `CLOCK_MONOTONIC`.
    since_ns: u64,
    /// Earlier distances, each with when it ended to hold.
    before: VecDeque<(u64, u64)>,
    /// It is the machine's, as it was after so many steps; none if it is another one.
    steps: Option<usize>,
}

/// The machine's clock, once somebody has asked for it; and when it was last looked at, nanoseconds of `CLOCK_MONOTONIC`.
static MACHINES: Mutex<Option<(Clock, u64)>> = Mutex::new(None);
/// How many steps of the machine's clock were followed.
static STEPS_FOLLOWED: AtomicUsize = AtomicUsize::new(0);

/// Follows the machine's clock. To be called often, and before what happened meanwhile is told.
pub fn follow() {
    let mut machines = MACHINES.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((clock, looked_at)) = machines.as_mut() else { return };
    let (took, offset_ns, now) = sampled();
    // A process that is kept from running between two readings sees a step where there is none: then the best of several counts.
    let is_step = |offset_ns: u64| clock.offset_ns.abs_diff(offset_ns) >= STEP_NS;
    if is_step(offset_ns) {
        let offset_ns = if took < STEP_NS { offset_ns } else { machines_offset_ns() };
        if is_step(offset_ns) {
            clock.step(*looked_at, offset_ns);
            STEPS_FOLLOWED.fetch_add(1, Ordering::Relaxed);
        }
    }
    *looked_at = now;
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(SECOND).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Nanoseconds of the kernel's own `CLOCK_MONOTONIC`, now: what records tell, whatever this process's time namespace.
pub fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic)).saturating_sub_signed(AHEAD.0)
}

/// Nanoseconds of the kernel's own `CLOCK_BOOTTIME`, now.
pub fn boottime_ns() -> u64 {
    unshifted_boottime_ns(nanoseconds(clock_gettime(ClockId::Boottime)))
}

/// The kernel's own `CLOCK_BOOTTIME` where this process is told `ns` of it: its time namespace shifts what the clock says, and what
/// /proc/PID/stat says (`timens_add_boottime_ns` in `do_task_stat`).
pub fn unshifted_boottime_ns(ns: u64) -> u64 {
    ns.saturating_sub_signed(AHEAD.1)
}

/// How far the `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME` of this process's time namespace are ahead of the kernel's.
static AHEAD: LazyLock<(i64, i64)> = LazyLock::new(|| {
    // The file is about the namespace of children: that of this process, unless somebody has just left it to them.
    let namespace = |of| fs::read_link(format!("/proc/self/ns/{of}")).ok();
    if namespace("time") != namespace("time_for_children") {
        return (0, 0);
    }
    let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    let ahead = |clock| ahead_ns(&offsets, clock).unwrap_or(0);
    (ahead("monotonic"), ahead("boottime"))
});

/// How far a time namespace's clock is ahead of the kernel's (time_namespaces(7)), by what /proc/PID/timens_offsets says.
fn ahead_ns(offsets: &str, clock: &str) -> Option<i64> {
    let of_clock = offsets.lines().find_map(|line| line.strip_prefix(clock))?;
    let mut numbers = of_clock.split_whitespace().map(str::parse::<i64>);
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
        Self { offset_ns, since_ns: 0, before: VecDeque::new(), steps: None }
    }

    /// The machine's clock.
    pub fn sample() -> Self {
        let mut machines = MACHINES.lock().unwrap_or_else(PoisonError::into_inner);
        let (clock, _) = machines.get_or_insert_with(|| (Self::new(machines_offset_ns()), monotonic_ns()));
        Self { steps: Some(STEPS_FOLLOWED.load(Ordering::Relaxed)), ..clock.clone() }
    }

    /// Whether a step was followed that it does not know of.
    fn is_stale(&self) -> bool {
        self.steps.is_some_and(|steps| steps != STEPS_FOLLOWED.load(Ordering::Relaxed))
    }

    /// Takes over the steps that were followed.
    #[cold]
    fn renew(&mut self) {
        *self = Self::sample();
    }

    /// From `since_ns` on the distance is `offset_ns`.
    fn step(&mut self, since_ns: u64, offset_ns: u64) {
        if self.before.len() == STEPS {
            self.before.pop_front();
        }
        self.before.push_back((since_ns, self.offset_ns));
        (self.since_ns, self.offset_ns) = (since_ns, offset_ns);
    }

    /// Nanoseconds since 1970 at `mono_ns`.
    pub fn wall_ns(&self, mono_ns: u64) -> u64 {
        let offset = if mono_ns >= self.since_ns { self.offset_ns } else { self.offset_before(mono_ns) };
        offset.saturating_add(mono_ns)
    }

    #[cold]
    fn offset_before(&self, mono_ns: u64) -> u64 {
        let held = self.before.iter().find(|&&(until, _)| mono_ns < until);
        held.map_or(self.offset_ns, |&(_, offset)| offset)
    }
}

/// How long a reading of both clocks took, how far the machine's was ahead of `CLOCK_MONOTONIC`, and what that was then.
fn sampled() -> (u64, u64, u64) {
    let before = monotonic_ns();
    let wall = nanoseconds(clock_gettime(ClockId::Realtime));
    let took = monotonic_ns().saturating_sub(before);
    (took, wall.saturating_sub(before + took / 2), before)
}

/// How far the machine's clock is ahead of `CLOCK_MONOTONIC`. Of a few samples, the one taken in the shortest time counts.
fn machines_offset_ns() -> u64 {
    (0..5).map(|_| sampled()).min().map_or(0, |(_, offset, _)| offset)
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
        if self.clock.is_stale() {
            self.clock.renew();
        }
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
    fn a_time_namespaces_offset_is_read() {
        let offsets = "monotonic       86400         5\nboottime           7  0\n";
        assert_eq!(ahead_ns(offsets, "monotonic"), Some(86_400_000_000_005));
        assert_eq!(ahead_ns(offsets, "boottime"), Some(7_000_000_000));
        assert_eq!(ahead_ns("monotonic -1 999999999\n", "monotonic"), Some(-1));
        assert_eq!(ahead_ns("monotonic 9223372036854775807 0\n", "monotonic"), None);
        assert_eq!(ahead_ns("", "boottime"), None);
    }

    /// Set by somebody at 100 s, asleep from 200 s on for an hour.
    #[test]
    fn what_happened_before_a_step_keeps_its_time() {
        let mut clock = Clock::new(5 * SECOND);
        clock.step(100 * SECOND, 4 * SECOND);
        clock.step(200 * SECOND, 3604 * SECOND);
        let walls = [0, 99, 100, 199, 200, 300].map(|second| clock.wall_ns(second * SECOND) / SECOND);
        assert_eq!(walls, [5, 104, 104, 203, 3804, 3904]);
        for step in 0..2 * STEPS as u64 {
            clock.step((300 + step) * SECOND, step * SECOND);
        }
        assert_eq!(clock.before.len(), STEPS);
        assert_eq!(clock.wall_ns(1000 * SECOND), (1000 + 2 * STEPS as u64 - 1) * SECOND);
    }

    /// The one test of what all share, which it changes: as if the clock had been an hour behind when it was last looked at.
    #[test]
    fn every_stamper_follows_the_machines_clock_and_no_other() {
        let now = Clock::sample().wall_ns(monotonic_ns());
        let expected = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
        assert!(u128::from(now).abs_diff(expected) < 1_000_000_000);

        let (mut machines, mut fixed) = (Stamper::new(Clock::sample()), Stamper::new(Clock::new(START)));
        let looked_at = monotonic_ns();
        if let Some((clock, at)) = MACHINES.lock().unwrap().as_mut() {
            clock.offset_ns -= 3600 * SECOND;
            *at = looked_at;
        }
        STEPS_FOLLOWED.fetch_add(1, Ordering::Relaxed);
        let hour = |text: &str| text[11..13].parse::<u64>().unwrap();
        let behind = hour(machines.rfc3339(looked_at));
        follow();
        let (before, after) = (hour(machines.rfc3339(looked_at - 1)), hour(machines.rfc3339(looked_at)));
        assert_eq!((before, (behind + 1) % 24), (behind, after));
        assert_eq!(fixed.rfc3339(0), "2025-12-31T23:59:59.000000000Z");
        let steps = STEPS_FOLLOWED.load(Ordering::Relaxed);
        follow();
        assert_eq!(STEPS_FOLLOWED.load(Ordering::Relaxed), steps, "there was one step");
    }

    #[test]
    fn the_tick_is_one_that_kernels_are_built_with() {
        assert!([100, 250, 300, 1000].contains(&kernel_hz()), "{}", kernel_hz());
    }
}
