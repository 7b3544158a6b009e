//! Stays that last.

use crate::timeline::Since;

/// Stays that last, in one state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// How many.
    pub count: u64,
    /// Of how many the start was not seen: they have lasted longer than is known.
    pub unknown_start: u64,
    /// Their ages; `None` when `count` is 0.
    pub ages: Option<OpenAges>,
}

/// The ages of stays that last, in nanoseconds; each is counted as long as it has lasted for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenAges {
    /// Half are at most this old.
    pub p50: u64,
    /// The oldest.
    pub oldest: u64,
    /// Whether the start of the oldest was not seen.
    pub oldest_is_bound: bool,
}

/// Collects stays that last.
#[derive(Clone, Debug, Default)]
pub struct OpenStays {
    ages: Vec<u64>,
    unknown_start: u64,
    /// The highest age of those.
    oldest_unknown: u64,
}

impl OpenStays {
    /// Adds one that began at `since`, at the time `now`.
    pub fn push(&mut self, since: Since, now: u64) {
        let age = since.age(now).min;
        self.ages.push(age);
        if since.seen().is_none() {
            self.unknown_start += 1;
            self.oldest_unknown = self.oldest_unknown.max(age);
        }
    }

    /// The age of each, at least.
    pub fn ages(&self) -> &[u64] {
        &self.ages
    }

    /// All of them; sorts them in part.
    pub fn sum_up(&mut self) -> Open {
        let Some(middle) = self.ages.len().checked_sub(1).map(|last| last / 2) else {
            return Open::default();
        };
        let oldest = self.ages.iter().copied().max().unwrap_or(0);
        let (_, &mut p50, _) = self.ages.select_nth_unstable(middle);
        let oldest_is_bound = self.unknown_start > 0 && self.oldest_unknown == oldest;
        Open {
            count: self.ages.len() as u64,
            unknown_start: self.unknown_start,
            ages: Some(OpenAges { p50, oldest, oldest_is_bound }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 100;

    fn open(ages: &[Since]) -> Open {
        let mut open = OpenStays::default();
        for &since in ages {
            open.push(since, NOW);
        }
        open.sum_up()
    }

    fn unseen(latest: u64) -> Since {
        Since::Between { earliest: None, latest }
    }

    #[test]
    fn the_median_is_an_age_that_there_is() {
        let of = |ages: &[u64]| {
            let since: Vec<Since> = ages.iter().map(|age| Since::Seen(NOW - age)).collect();
            open(&since).ages.map(|ages| (ages.p50, ages.oldest))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some((7, 7)));
        assert_eq!(of(&[9, 1]), Some((1, 9)));
        assert_eq!(of(&[3, 9, 1]), Some((3, 9)));
    }

    #[test]
    fn a_start_that_was_not_seen_is_told() {
        let both = open(&[Since::Seen(10), unseen(50)]);
        assert_eq!((both.count, both.unknown_start), (2, 1));
        assert_eq!(both.ages, Some(OpenAges { p50: 50, oldest: 90, oldest_is_bound: false }));
        let older = open(&[Since::Seen(60), unseen(50)]);
        assert_eq!(older.ages.map(|ages| (ages.oldest, ages.oldest_is_bound)), Some((50, true)));
    }
}
