//! How much happens: moves and events per second, over time.
//!
//! What comes in: the counts so far and the time. What goes out: a rate for each of the last seconds. What always
//! holds: at most [`SECONDS`] are kept; a stretch in which nobody counted shows its average, not a gap.

use std::collections::VecDeque;

const SECOND: u64 = 1_000_000_000;
/// Seconds that are kept: as many as the widest terminal has columns for.
pub const SECONDS: usize = 240;

/// Counts at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    at: u64,
    moves: u64,
    events: u64,
}

/// The rates of the last seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    moves: VecDeque<u64>,
    events: u64,
}

/// Makes [`Rates`].
#[derive(Clone, Debug, Default)]
pub struct Meter {
    rates: Rates,
    mark: Option<Mark>,
}

impl Rates {
    /// State changes per second, oldest first.
    pub fn moves(&self) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator + '_ {
        self.moves.iter().copied()
    }

    /// State changes in the last full second.
    pub fn moves_now(&self) -> u64 {
        self.moves.back().copied().unwrap_or(0)
    }

    /// Most state changes in a second, of those kept.
    pub fn moves_peak(&self) -> u64 {
        self.moves().max().unwrap_or(0)
    }

    /// Events in the last full second.
    pub const fn events_now(&self) -> u64 {
        self.events
    }
}

impl Meter {
    /// Takes note of the counts at `now`, in nanoseconds.
    pub fn count(&mut self, now: u64, moves: u64, events: u64) {
        let new = Mark { at: now, moves, events };
        let old = *self.mark.get_or_insert(new);
        let elapsed = now.saturating_sub(old.at);
        if elapsed < SECOND {
            return;
        }
        let rate = |from: u64, to: u64| {
            let per_second = u128::from(to.saturating_sub(from)) * u128::from(SECOND) / u128::from(elapsed);
            u64::try_from(per_second).unwrap_or(u64::MAX)
        };
        let seconds = usize::try_from(elapsed / SECOND).unwrap_or(SECONDS).min(SECONDS);
        let moves = &mut self.rates.moves;
        moves.extend(std::iter::repeat_n(rate(old.moves, new.moves), seconds));
        moves.drain(..moves.len().saturating_sub(SECONDS));
        self.rates.events = rate(old.events, new.events);
        self.mark = Some(new);
    }

    /// The rates so far.
    pub const fn rates(&self) -> &Rates {
        &self.rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_full_seconds() {
        let mut meter = Meter::default();
        meter.count(0, 100, 1000);
        meter.count(SECOND / 2, 150, 1100);
        assert_eq!(meter.rates().moves().count(), 0);
        meter.count(SECOND, 200, 1300);
        assert_eq!(meter.rates().moves_now(), 100);
        assert_eq!(meter.rates().events_now(), 300);
    }

    #[test]
    fn a_late_count_is_spread_over_its_seconds() {
        let mut meter = Meter::default();
        meter.count(0, 0, 0);
        meter.count(4 * SECOND, 400, 0);
        assert!(meter.rates().moves().eq([100; 4]));
        assert_eq!(meter.rates().moves_peak(), 100);
    }

    #[test]
    fn the_past_is_bounded() {
        let mut meter = Meter::default();
        for second in 0..2000 {
            meter.count(second * SECOND, second * second, 0);
        }
        assert_eq!(meter.rates().moves().len(), SECONDS);
        meter.count(1 << 62, u64::MAX, 0);
        assert_eq!(meter.rates().moves().len(), SECONDS);
    }
}
