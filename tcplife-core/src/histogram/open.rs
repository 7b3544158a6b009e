//! Stays that last.

use crate::timeline::{Age, Since};

/// Stays that last, in one state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// How many.
    pub count: u64,
    /// Of how many the start was not seen: they may have lasted longer than is known.
    pub unknown_start: u64,
    /// Their ages; `None` when `count` is 0.
    pub ages: Option<OpenAges>,
}

/// The ages of stays that last; each is counted as long as it has lasted for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenAges {
    /// Half are at most this old.
    pub p50: OpenAge,
    /// The oldest.
    pub oldest: OpenAge,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenAge {
    /// Nanoseconds.
    pub ns: u64,
    /// It may be more: a stay whose start was not seen is counted below it, or as it, and may be older.
    pub is_bound: bool,
}

/// Collects stays that last.
#[derive(Clone, Debug, Default)]
pub struct OpenStays {
    ages: Vec<u64>,
    /// Those whose start was not seen.
    unknown: Vec<Age>,
}

impl OpenStays {
    /// Adds one that began at `since`, at the time `now`.
    pub fn push(&mut self, since: Since, now: u64) {
        let age = since.age(now);
        self.ages.push(age.min);
        if since.seen().is_none() {
            self.unknown.push(age);
        }
    }

    fn at_least(&self, ns: u64) -> OpenAge {
        let may_be_older = |age: &Age| age.min <= ns && age.max.is_none_or(|max| max > ns);
        OpenAge { ns, is_bound: self.unknown.iter().any(may_be_older) }
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
        Open {
            count: self.ages.len() as u64,
            unknown_start: self.unknown.len() as u64,
            ages: Some(OpenAges { p50: self.at_least(p50), oldest: self.at_least(oldest) }),
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
            open(&since).ages.map(|ages| (ages.p50.ns, ages.oldest.ns))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some((7, 7)));
        assert_eq!(of(&[9, 1]), Some((1, 9)));
        assert_eq!(of(&[3, 9, 1]), Some((3, 9)));
    }

    #[test]
    fn what_a_start_that_was_not_seen_can_raise_is_a_bound() {
        let bounds = |since: &[Since]| {
            let ages = open(since).ages.unwrap();
            [ages.p50, ages.oldest].map(|age| (age.ns, age.is_bound))
        };
        let both = open(&[Since::Seen(10), unseen(50)]);
        assert_eq!((both.count, both.unknown_start), (2, 1));
        assert_eq!(bounds(&[Since::Seen(10), unseen(50)]), [(50, true), (90, true)]);
        assert_eq!(bounds(&[Since::Seen(60), unseen(50)]), [(40, false), (50, true)]);
        let within = Since::Between { earliest: Some(40), latest: 50 };
        assert_eq!(bounds(&[Since::Seen(10), within]), [(50, true), (90, false)]);
        assert_eq!(bounds(&[Since::Seen(60), Since::Seen(10)]), [(40, false), (90, false)]);
    }
}
