//! A histogram as bars on a logarithmic axis.
//!
//! What comes in: counted lengths of finished stays, and the ages of open ones. What goes out: a bar for each step of
//! the axis, from the first that has anything to the last. What always holds: both kinds are on the same axis; every
//! stay is in exactly one bar.

use hdrhistogram::Histogram;

use super::{HIGHEST_NS, LOWEST_NS};

/// Stays from `from` nanoseconds to the next bar's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Where it begins; the first one has what is shorter as well, the last one what is longer.
    pub from: u64,
    /// Stays that ended.
    pub finished: u64,
    /// Stays that last.
    pub open: u64,
}

/// Where bars begin: 1, 2 and 5 times each power of ten, from 1 microsecond to 7 days.
fn steps() -> impl Iterator<Item = u64> {
    let decades = std::iter::successors(Some(LOWEST_NS), |ns| ns.checked_mul(10));
    decades.flat_map(|ns| [ns, 2 * ns, 5 * ns]).take_while(|&ns| ns <= HIGHEST_NS)
}

/// The bars of finished stays and of the `ages` of open ones.
pub fn bars(finished: Option<&Histogram<u64>>, ages: &[u64]) -> Vec<Bar> {
    let mut bars: Vec<Bar> = steps().map(|from| Bar { from, finished: 0, open: 0 }).collect();
    if let Some(finished) = finished {
        // Lengths that the histogram does not tell apart are in the bar of the longest of them.
        let begins: Vec<u64> = bars.iter().map(|bar| finished.lowest_equivalent(bar.from)).collect();
        let ends = begins.iter().skip(1).map(|begin| begin - 1).chain([u64::MAX]);
        for ((bar, &begin), end) in bars.iter_mut().zip(&begins).zip(ends) {
            if begin <= finished.max() {
                bar.finished = finished.count_between(begin, end);
            }
        }
    }
    for &age in ages {
        let after = bars.partition_point(|bar| bar.from <= age);
        if let Some(bar) = bars.get_mut(after.saturating_sub(1)) {
            bar.open += 1;
        }
    }
    let has = |bar: &Bar| bar.finished + bar.open > 0;
    let last = bars.iter().rposition(has).map_or(0, |last| last + 1);
    bars.truncate(last);
    bars.drain(..bars.iter().position(has).unwrap_or(0));
    bars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{histogram::Histograms, state::State};

    const MS: u64 = 1_000_000;

    #[test]
    fn finished_and_open_stays_share_an_axis() {
        let mut histograms = Histograms::default();
        for ns in [0, 999, 1_500_000, 3 * MS, 4 * MS, 60_000 * MS] {
            histograms.record(State::CloseWait, Some(ns));
        }
        let bars = bars(histograms.lengths(State::CloseWait), &[3 * MS, 100_000 * MS]);
        let some: Vec<(u64, u64, u64)> = bars
            .iter()
            .filter(|bar| bar.finished + bar.open > 0)
            .map(|bar| (bar.from, bar.finished, bar.open))
            .collect();
        assert_eq!(
            some,
            [(1_000, 2, 0), (MS, 1, 0), (2 * MS, 2, 1), (50_000 * MS, 1, 0), (100_000 * MS, 0, 1)]
        );
        assert_eq!(bars.len(), 25, "steps without a stay between them are there");
    }

    #[test]
    fn nothing_has_no_bars_and_the_axis_ends_at_a_week() {
        assert_eq!(bars(None, &[]), []);
        let last = bars(None, &[u64::MAX]);
        assert_eq!((last.len(), last[0].open), (1, 1));
        assert!(steps().eq(steps().map(|ns| ns.clamp(LOWEST_NS, HIGHEST_NS))));
    }
}
