//! How long connections stay in each state.
//!
//! What comes in: finished stays, with their length where both ends of the stay are known, and the ages of stays
//! that last. What goes out: counts and percentiles of each state, finished and open side by side: a leak never
//! leaves its state, so finished stays alone would say that all is well. What always holds: nothing is dropped
//! silently; a stay of unknown length and one outside the range are counted.

mod bars;
mod groups;
mod open;

use std::borrow::Cow;

use hdrhistogram::Histogram;

use crate::state::State;

pub use bars::{Bar, bars};
pub use groups::Groups;
pub use open::{Open, OpenAge, OpenAges, OpenStays};

/// Shorter stays are recorded as this, and counted in [`Finished::below`]: 1 microsecond.
pub const LOWEST_NS: u64 = 1_000;
/// Longer stays are recorded as this, and counted in [`Finished::above`]: 7 days.
pub const HIGHEST_NS: u64 = 7 * 24 * 3600 * 1_000_000_000;
/// Decimal digits that a percentile is good for.
pub const DIGITS: u8 = 3;

/// Finished stays in one state. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Finished {
    /// Stays whose length is known.
    pub count: u64,
    /// Stays that ended but whose start, or whose end, was not seen: in no other number here.
    pub unknown_start: u64,
    /// Of `count`: stays shorter than [`LOWEST_NS`].
    pub below: u64,
    /// Of `count`: stays longer than [`HIGHEST_NS`].
    pub above: u64,
    /// The lengths; `None` when `count` is 0.
    pub lengths: Option<Lengths>,
}

/// What the lengths of stays are. Times are in nanoseconds; `min`, `mean` and `max` are exact, percentiles are
/// good for [`DIGITS`] digits within the range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lengths {
    /// The shortest.
    pub min: u64,
    /// The mean.
    pub mean: u64,
    /// Half are at most this.
    pub p50: u64,
    /// 90 % are at most this.
    pub p90: u64,
    /// 99 % are at most this.
    pub p99: u64,
    /// 99.9 % are at most this.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

/// The stays in one state. Its memory grows with the longest stay.
#[derive(Clone)]
struct Stays {
    histogram: Histogram<u64>,
    sum: u128,
    min: u64,
    max: u64,
    below: u64,
    above: u64,
    unknown_start: u64,
}

impl Stays {
    #[expect(clippy::expect_used, reason = "the library refuses bad bounds only, and these are constants")]
    fn new() -> Self {
        let mut histogram =
            Histogram::new_with_bounds(LOWEST_NS, 2 * LOWEST_NS, DIGITS).expect("good bounds");
        histogram.auto(true);
        Self { histogram, sum: 0, min: u64::MAX, max: 0, below: 0, above: 0, unknown_start: 0 }
    }

    fn record(&mut self, length: u64) {
        let recorded = self.histogram.record(length.clamp(LOWEST_NS, HIGHEST_NS));
        debug_assert!(recorded.is_ok(), "a histogram that grows takes every value");
        self.sum += u128::from(length);
        self.min = self.min.min(length);
        self.max = self.max.max(length);
        self.below += u64::from(length < LOWEST_NS);
        self.above += u64::from(length > HIGHEST_NS);
    }

    fn merge(&mut self, other: &Self) {
        let added = self.histogram.add(&other.histogram);
        debug_assert!(added.is_ok(), "a histogram that grows takes every other");
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.below += other.below;
        self.above += other.above;
        self.unknown_start += other.unknown_start;
    }

    /// Takes away stays that are all in here. The shortest and the longest stay as they are.
    fn subtract(&mut self, other: &Self) {
        let taken = self.histogram.subtract(&other.histogram);
        debug_assert!(taken.is_ok(), "what is taken away is a part");
        self.sum = self.sum.saturating_sub(other.sum);
        self.below = self.below.saturating_sub(other.below);
        self.above = self.above.saturating_sub(other.above);
        self.unknown_start = self.unknown_start.saturating_sub(other.unknown_start);
    }

    /// Never outside of what was really seen, as a bucket's edge may be.
    fn quantile(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile).clamp(self.min, self.max)
    }

    fn finished(&self) -> Finished {
        let count = self.histogram.len();
        let lengths = (count > 0).then(|| Lengths {
            min: self.min,
            mean: u64::try_from(self.sum / u128::from(count)).unwrap_or(u64::MAX),
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p99: self.quantile(0.99),
            p999: self.quantile(0.999),
            max: self.max,
        });
        Finished { count, unknown_start: self.unknown_start, below: self.below, above: self.above, lengths }
    }
}

/// The shortest and the longest stay by [`State::index`].
pub(crate) type Extremes = [(u64, u64); State::COUNT];

/// Those of no stays.
pub(crate) const NO_EXTREMES: Extremes = [(u64::MAX, 0); State::COUNT];

/// Finished stays in every state. States without any take no memory.
#[derive(Clone, Default)]
pub struct Histograms {
    /// By [`State::index`].
    states: [Option<Box<Stays>>; State::COUNT],
}

impl Histograms {
    /// A stay in `state` ended after `length` nanoseconds; `None` when its start was not seen.
    pub fn record(&mut self, state: State, length: Option<u64>) {
        let stays = self.states[state.index()].get_or_insert_with(|| Box::new(Stays::new()));
        match length {
            Some(length) => stays.record(length),
            None => stays.unknown_start += 1,
        }
    }

    /// Adds the stays of another one.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (slot, stays) in self.states.iter_mut().zip(&other.states) {
            match (slot, stays) {
                (_, None) => {}
                (Some(own), Some(stays)) => own.merge(stays),
                (slot @ None, Some(stays)) => *slot = Some(stays.clone()),
            }
        }
    }

    /// Takes away `parts`, whose stays are all in here: what is left are those of `rest`, with whose shortest and longest
    /// it says so. For when the parts are fewer than the rest.
    pub(crate) fn subtract<'a>(
        &mut self,
        parts: impl Iterator<Item = Cow<'a, Self>>,
        rest: impl Iterator<Item = Extremes>,
    ) {
        for part in parts {
            for (slot, stays) in self.states.iter_mut().zip(&part.states) {
                if let (Some(own), Some(stays)) = (slot, stays) {
                    own.subtract(stays);
                }
            }
        }
        let mut extremes = NO_EXTREMES;
        for other in rest {
            for (own, other) in extremes.iter_mut().zip(other) {
                *own = (own.0.min(other.0), own.1.max(other.1));
            }
        }
        for (slot, (min, max)) in self.states.iter_mut().zip(extremes) {
            if let Some(own) = slot {
                (own.min, own.max) = (min, max);
            }
        }
    }

    /// The shortest and the longest stay in each state.
    pub(crate) fn extremes(&self) -> Extremes {
        let of =
            |stays: &Option<Box<Stays>>| stays.as_ref().map_or((u64::MAX, 0), |stays| (stays.min, stays.max));
        self.states.each_ref().map(of)
    }

    /// Forgets every stay.
    pub fn clear(&mut self) {
        self.states = Default::default();
    }

    /// The finished stays in `state`.
    pub fn finished(&self, state: State) -> Finished {
        self.states[state.index()].as_ref().map_or_else(Finished::default, |stays| stays.finished())
    }

    /// Stays in all states, those of unknown start included.
    pub fn total(&self) -> u64 {
        self.states.iter().flatten().map(|stays| stays.histogram.len() + stays.unknown_start).sum()
    }

    /// The lengths in `state` as they are counted: clamped to the range, none of unknown start; `None` without any.
    pub fn lengths(&self, state: State) -> Option<&Histogram<u64>> {
        self.states[state.index()]
            .as_ref()
            .map(|stays| &stays.histogram)
            .filter(|lengths| !lengths.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn of(lengths: impl IntoIterator<Item = u64>) -> Finished {
        let mut histograms = Histograms::default();
        lengths.into_iter().for_each(|ns| histograms.record(State::CloseWait, Some(ns)));
        histograms.finished(State::CloseWait)
    }

    #[test]
    fn without_a_stay_nothing_is_said_about_lengths() {
        assert_eq!(of([]), Finished::default());
    }

    #[test]
    fn one_stay_is_every_percentile() {
        let ns = 1_234_567_891;
        let lengths = Lengths { min: ns, mean: ns, p50: ns, p90: ns, p99: ns, p999: ns, max: ns };
        assert_eq!(of([ns]), Finished { count: 1, lengths: Some(lengths), ..Finished::default() });
    }

    #[test]
    fn percentiles_are_good_for_three_digits() {
        let lengths = of((1..=10_000).map(|n| n * MS)).lengths.unwrap();
        for (found, expected) in
            [(lengths.p50, 5_000), (lengths.p90, 9_000), (lengths.p99, 9_900), (lengths.p999, 9_990)]
        {
            assert!(found.abs_diff(expected * MS) <= expected * MS / 1_000, "{found} is not {expected} ms");
        }
        assert_eq!((lengths.min, lengths.mean, lengths.max), (MS, 10_001 * MS / 2, 10_000 * MS));
    }

    #[test]
    fn what_is_outside_the_range_is_counted() {
        let finished = of([0, LOWEST_NS - 1, LOWEST_NS, HIGHEST_NS, HIGHEST_NS + 1, u64::MAX]);
        assert_eq!((finished.count, finished.below, finished.above), (6, 2, 2));
        let lengths = finished.lengths.unwrap();
        assert_eq!((lengths.min, lengths.max), (0, u64::MAX));
    }

    #[test]
    fn stays_of_unknown_start_are_counted_apart() {
        let mut histograms = Histograms::default();
        histograms.record(State::Established, None);
        histograms.record(State::Established, Some(MS));
        let finished = histograms.finished(State::Established);
        assert_eq!((finished.count, finished.unknown_start), (1, 1));
        assert_eq!(histograms.finished(State::Closing), Finished::default());
    }

    #[test]
    fn merging_is_as_recording_all_in_one() {
        let (one, two): (Vec<u64>, Vec<u64>) =
            (1..=2_000).map(|n| n * n * 1_000).partition(|ns| ns % 3_000 == 0);
        let mut merged = Histograms::default();
        for lengths in [&one, &two] {
            let mut part = Histograms::default();
            for &ns in lengths {
                part.record(State::CloseWait, Some(ns));
            }
            part.record(State::Closing, None);
            merged.merge(&part);
        }
        assert_eq!(merged.finished(State::CloseWait), of(one.into_iter().chain(two)));
        assert_eq!(merged.finished(State::Closing).unknown_start, 2);
        assert_eq!(merged.total(), 2_002);
        merged.clear();
        assert_eq!((merged.total(), merged.lengths(State::CloseWait).is_none()), (0, true));
    }
}
