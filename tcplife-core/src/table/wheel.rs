//! When the kernel's timers really fire, and what is due.
//!
//! What comes in: mini-sockets with their timers. What goes out: those that are due. What always holds: a timer never
//! fires before it expires; the wheel rounds up (kernel/time/timer.c: `calc_wheel_index`), which makes `TIME_WAIT`
//! 60.0 to 62.05 s long with 250 ticks a second.

use std::collections::BTreeMap;
use tcplife_common::wire::{Found, Mini};

/// Bits of the clock that each level of the wheel leaves out (`LVL_CLK_SHIFT`).
const CLOCK_SHIFT: u32 = 3;
/// Buckets of a level (`LVL_SIZE`).
const BUCKETS: u64 = 64;
/// Levels (`LVL_DEPTH`): 9 with more than 100 ticks a second, else 8.
const fn levels(hz: u32) -> u32 {
    if hz > 100 { 9 } else { 8 }
}

/// First delta that is too far for the levels below `level` (`LVL_START`).
const fn level_start(level: u32) -> u64 {
    (BUCKETS - 1) << ((level - 1) * CLOCK_SHIFT)
}

/// The jiffy in which a timer fires that was armed in the jiffy `now` to expire in `expires`.
pub(super) const fn fires(now: u64, expires: u64, hz: u32) -> u64 {
    let delta = expires.saturating_sub(now);
    if delta == 0 {
        // In the past: fires with the next tick; or at once, rounded up like any other.
        return now.saturating_add(1);
    }
    let depth = levels(hz);
    let (mut level, mut expires) = (0, expires);
    while level + 1 < depth && delta >= level_start(level + 1) {
        level += 1;
    }
    if delta >= level_start(depth) {
        // WHEEL_TIMEOUT_MAX
        expires = now.saturating_add(level_start(depth) - (1 << ((depth - 1) * CLOCK_SHIFT)));
    }
    let shift = level * CLOCK_SHIFT;
    ((expires >> shift) + 1).saturating_mul(1 << shift)
}

/// `TCP_TIMEWAIT_LEN` (include/net/tcp.h) in jiffies: `TIME_WAIT` sets the timer to it.
pub(super) const fn time_wait(hz: u32) -> u64 {
    60 * hz as u64
}

/// Ticks after which a `TIME_WAIT` is over, however the wheel rounds: it is late by an eighth of a timer's length at most.
pub(super) const fn whole_time_wait(hz: u32) -> u64 {
    time_wait(hz) + time_wait(hz) / 7 + 1
}

/// Length of a jiffy.
pub(crate) fn tick_ns(hz: u32) -> u64 {
    1_000_000_000 / u64::from(hz.max(1))
}

/// A timer as a record describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    /// Jiffy in which it was set, or a later one where that is not known.
    pub(super) set: u64,
    /// Jiffy in which it expires, not rounded.
    pub(super) expires: u64,
    /// The kernel's jiffies at the time `at`.
    pub(super) jiffies: u64,
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) at: u64,
}

impl Timer {
    /// Of a mini-socket whose timer was set at the time `at`.
    pub(super) const fn set(mini: &Mini, at: u64) -> Self {
        let Mini { expires, jiffies, .. } = *mini;
        Self { set: jiffies, expires, jiffies, at }
    }

    /// Of a mini-socket that was found.
    pub(super) fn of(found: &Found) -> Self {
        let (expires, jiffies) = (found.gauge.expires, found.gauge.jiffies);
        Self { set: jiffies, expires, jiffies, at: found.head.time_ns }
    }
}

/// What fires in one jiffy.
#[derive(Debug)]
struct Bucket {
    /// When the jiffy begins, nanoseconds. Each timer's estimate is late by less than a jiffy, so the least is best.
    at: u64,
    slots: Vec<u32>,
}

/// Mini-sockets by the jiffy in which their timer fires. The wheel's rounding makes large buckets, so a million
/// mini-sockets are some thirty buckets.
#[derive(Debug, Default)]
pub(super) struct Due {
    buckets: BTreeMap<u64, Bucket>,
    /// The newest timer: relates jiffies and nanoseconds.
    newest: Option<Timer>,
}

/// Mini-sockets whose timer fired.
#[derive(Debug)]
pub(super) struct Fired {
    /// When, nanoseconds.
    pub(super) at: u64,
    /// The jiffy.
    jiffy: u64,
    /// What [`Due::push`] returned for them.
    pub(super) due: u32,
    /// Numbers of connections; some may have left meanwhile.
    pub(super) slots: Vec<u32>,
}

/// A bucket's jiffy as a connection remembers it, where 0 stands for none. Five minutes after its start the kernel's jiffies have no
/// low bits either (`INITIAL_JIFFIES`).
#[expect(clippy::cast_possible_truncation, reason = "the low bits tell buckets apart for 2^32 ticks")]
pub(super) const fn short(jiffy: u64) -> u32 {
    if jiffy as u32 == 0 { 1 } else { jiffy as u32 }
}

/// What [`Due::push`] had returned for a mini-socket for which [`Due::push_overdue`] returned `due`.
#[expect(clippy::cast_possible_truncation, reason = "a TIME_WAIT has few ticks")]
pub(super) const fn before_overdue(due: u32, later: u64) -> u32 {
    match due.wrapping_sub(later as u32) {
        0 => 1,
        fired => fired,
    }
}

impl Due {
    /// Adds a mini-socket whose timer fires in the jiffy `fires`. Returns what tells its entry from older ones.
    pub(super) fn push(&mut self, slot: u32, timer: Timer, fires: u64, hz: u32) -> u32 {
        let at = timer.at.saturating_add(fires.saturating_sub(timer.jiffies).saturating_mul(tick_ns(hz)));
        self.newest = Some(timer);
        self.add(slot, fires, at)
    }

    /// Adds a mini-socket again whose timer fired: now it is due so many ticks later. Returns the same as [`Due::push`].
    pub(super) fn push_overdue(&mut self, slot: u32, fired: &Fired, later: u64, hz: u32) -> u32 {
        let at = fired.at.saturating_add(later.saturating_mul(tick_ns(hz)));
        self.add(slot, fired.jiffy.saturating_add(later), at)
    }

    fn add(&mut self, slot: u32, fires: u64, at: u64) -> u32 {
        let bucket = self.buckets.entry(fires).or_insert(Bucket { at, slots: Vec::new() });
        bucket.at = bucket.at.min(at);
        bucket.slots.push(slot);
        short(fires)
    }

    /// When a timer fired, nanoseconds, if it may have by the time `by`; `due` is what [`Due::push`] returned for it. The estimate is late
    /// by less than a jiffy, for a record's time lies somewhere within its jiffy.
    pub(super) fn fired(&self, due: u32, by: u64, hz: u32) -> Option<u64> {
        let at = self.time_of(due, hz)?;
        (at.saturating_sub(tick_ns(hz)) < by).then_some(at.min(by))
    }

    /// When the jiffy begins that [`Due::push`] returned, nanoseconds; to a jiffy, and within 2^31 ticks.
    fn time_of(&self, due: u32, hz: u32) -> Option<u64> {
        let newest = self.newest?;
        let away = i64::from(due.wrapping_sub(short(newest.jiffies)).cast_signed());
        let ns = away.saturating_mul(i64::try_from(tick_ns(hz)).unwrap_or(i64::MAX));
        Some(newest.at.saturating_add_signed(ns))
    }

    /// Takes out one bucket that is due at `now`, the first.
    pub(super) fn pop(&mut self, now: u64) -> Option<Fired> {
        let first = self.buckets.first_entry()?;
        if first.get().at > now {
            return None;
        }
        let jiffy = *first.key();
        let Bucket { at, slots } = first.remove();
        Some(Fired { at, jiffy, due: short(jiffy), slots })
    }

    /// Takes out the mini-socket that is due first, whenever that is.
    pub(super) fn pop_one(&mut self) -> Option<(u32, u32)> {
        loop {
            let mut first = self.buckets.first_entry()?;
            let due = short(*first.key());
            match first.get_mut().slots.pop() {
                Some(slot) => return Some((slot, due)),
                None => drop(first.remove()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sixty_seconds_are_rounded_as_observed() {
        for now in [4_294_900_000_u64, 4_294_900_001, 4_294_907_777] {
            for (hz, shift) in [(250, 9), (1000, 12), (100, 9)] {
                let expires = now + time_wait(hz);
                assert_eq!(fires(now, expires, hz), ((expires >> shift) + 1) << shift, "{hz}");
            }
        }
    }

    #[test]
    fn three_seconds_fire_at_multiples_of_64_with_250_ticks() {
        assert_eq!(fires(1000, 1750, 250), ((1750 >> 6) + 1) << 6);
    }

    #[test]
    fn near_timers_are_exact_to_the_next_tick() {
        assert_eq!(fires(1000, 1010, 250), 1011);
        assert_eq!(fires(1000, 1062, 250), 1063);
        assert_eq!(fires(1000, 1063, 250), 1064, "63 is the first of level 1");
        assert_eq!(fires(1000, 1070, 250), 1072);
    }

    #[test]
    fn nonsense_is_bounded() {
        assert_eq!(fires(1000, 10, 250), 1001);
        assert!(fires(1000, u64::MAX, 250) < 1000 + level_start(9) + (1 << 24));
        assert!(fires(u64::MAX, u64::MAX, 0) > 0);
    }

    #[test]
    fn no_jiffy_is_remembered_as_none() {
        let mut due = Due::default();
        let timer = Timer { set: 0, expires: 0, jiffies: (1 << 32) - 512, at: 5_000_000_000 };
        let tag = due.push(7, timer, 1 << 32, 250);
        assert_ne!(tag, 0);
        let fired = due.pop(u64::MAX).unwrap();
        assert_eq!((fired.due, fired.slots), (tag, vec![7]));
    }

    #[test]
    fn entries_come_out_in_order_of_their_jiffy() {
        let mut due = Due::default();
        let timer = Timer { set: 0, expires: 0, jiffies: 1000, at: 5_000_000_000 };
        let tags: Vec<u32> =
            [(7, 2048), (8, 1024), (9, 2048)].map(|(slot, at)| due.push(slot, timer, at, 1000)).to_vec();
        assert_eq!(tags, [2048, 1024, 2048]);
        assert_eq!(due.time_of(1024, 1000), Some(5_024_000_000));
        assert_eq!(due.time_of(999, 1000), Some(4_999_000_000));
        let fired = |by| due.fired(1024, by, 1000);
        assert_eq!((fired(5_023_000_000), fired(5_023_000_001)), (None, Some(5_023_000_001)));
        assert_eq!((fired(5_024_000_000), fired(6_000_000_000)), (Some(5_024_000_000), Some(5_024_000_000)));
        assert!(due.pop(5_023_999_999).is_none());
        let first = due.pop(5_024_000_000).unwrap();
        assert_eq!((first.at, &*first.slots), (5_024_000_000, [8].as_slice()));
        let later = whole_time_wait(1000);
        let overdue = due.push_overdue(8, &first, later, 1000);
        assert_eq!(u64::from(overdue), 1024 + later);
        assert_eq!(before_overdue(overdue, later), first.due);
        assert_eq!(due.pop_one(), Some((9, 2048)));
        assert_eq!(due.pop_one(), Some((7, 2048)));
        assert_eq!(due.pop_one(), Some((8, overdue)));
        assert_eq!(due.pop_one(), None);
    }

    proptest! {
        #[test]
        fn a_timer_is_late_by_an_eighth_of_its_length_at_most(
            now in 0..u64::MAX / 2,
            delta in 1..10_000_000_u64,
            hz in prop::sample::select(vec![100_u32, 250, 300, 1000]),
        ) {
            let late = fires(now, now + delta, hz) - (now + delta);
            prop_assert!(late >= 1);
            prop_assert!(late <= 1 + delta / 7);
            prop_assert!(fires(now, now + time_wait(hz), hz) <= now + whole_time_wait(hz));
        }
    }
}
