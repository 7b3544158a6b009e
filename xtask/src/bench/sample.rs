//! Numbers of several rounds.

use std::fmt;

/// What the rounds came to, in order of size.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample(Vec<f64>);

impl Sample {
    /// Takes in a round.
    pub(super) fn push(&mut self, value: f64) {
        let place = self.0.partition_point(|&other| other < value);
        self.0.insert(place, value);
    }

    /// The middle; of an even number, the mean of the two in the middle. `None` of nothing.
    pub(super) fn median(&self) -> Option<f64> {
        let middle = self.0.len().checked_sub(1)? / 2;
        let upper = self.0.len() / 2;
        Some(f64::midpoint(*self.0.get(middle)?, *self.0.get(upper)?))
    }

    /// `MEDIAN (LEAST-MOST)` with so many decimals; `-` of nothing.
    pub(super) fn shown(&self, decimals: usize) -> Shown<'_> {
        Shown { sample: self, decimals }
    }
}

/// A sample as it is printed.
pub(super) struct Shown<'a> {
    sample: &'a Sample,
    decimals: usize,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = &self.sample.0;
        let (Some(median), Some(least), Some(most)) = (self.sample.median(), values.first(), values.last())
        else {
            return f.write_str("-");
        };
        let decimals = self.decimals;
        write!(f, "{median:.decimals$} ({least:.decimals$}-{most:.decimals$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Sample {
        let mut sample = Sample::default();
        for &value in values {
            sample.push(value);
        }
        sample
    }

    #[test]
    fn the_median_is_the_middle_of_any_order() {
        assert_eq!(of(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median(), Some(2.5));
        assert_eq!(of(&[]).median(), None);
    }

    #[test]
    fn the_spread_is_shown() {
        assert_eq!(of(&[0.955, 0.9, 0.98]).shown(2).to_string(), "0.95 (0.90-0.98)");
        assert_eq!(of(&[]).shown(2).to_string(), "-");
    }
}
