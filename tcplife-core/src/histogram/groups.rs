//! Histograms for each of many groups, in bounded memory.
//!
//! What comes in: finished stays, each of one group. What goes out: histograms of the largest groups and, in one, of
//! all others. What always holds: every stay is in exactly one of them; never more than twice as many groups are held
//! as are kept, so a group that was among the small ones may have its first stays in the rest.

use std::{borrow::Cow, collections::HashMap, hash::Hash};

use foldhash::fast::RandomState;

use super::{Extremes, Histograms, NO_EXTREMES};
use crate::state::State;

/// Stays of a group that are kept one by one: a histogram takes as much memory as ten thousand of them, and most groups
/// of a busy host have a few.
const FEW: usize = 64;

/// The stays of one group.
#[derive(Clone)]
enum Stays {
    /// One by one.
    Few(Vec<(State, Option<u64>)>),
    /// In histograms.
    Many(Box<Histograms>),
}

impl Stays {
    fn record(&mut self, state: State, length: Option<u64>) {
        match self {
            Self::Few(stays) if stays.len() < FEW => stays.push((state, length)),
            Self::Few(stays) => {
                let mut histograms = gathered(stays);
                histograms.record(state, length);
                *self = Self::Many(Box::new(histograms));
            }
            Self::Many(histograms) => histograms.record(state, length),
        }
    }

    fn total(&self) -> u64 {
        match self {
            Self::Few(stays) => stays.len() as u64,
            Self::Many(histograms) => histograms.total(),
        }
    }

    fn add_to(&self, rest: &mut Histograms) {
        match self {
            Self::Few(stays) => {
                for &(state, length) in stays {
                    rest.record(state, length);
                }
            }
            Self::Many(histograms) => rest.merge(histograms),
        }
    }

    fn extremes(&self) -> Extremes {
        match self {
            Self::Few(stays) => {
                let mut extremes = NO_EXTREMES;
                for &(state, length) in stays {
                    let (min, max) = &mut extremes[state.index()];
                    (*min, *max) = ((*min).min(length.unwrap_or(u64::MAX)), (*max).max(length.unwrap_or(0)));
                }
                extremes
            }
            Self::Many(histograms) => histograms.extremes(),
        }
    }

    fn histograms(&self) -> Cow<'_, Histograms> {
        match self {
            Self::Few(stays) => Cow::Owned(gathered(stays)),
            Self::Many(histograms) => Cow::Borrowed(histograms),
        }
    }
}

fn gathered(stays: &[(State, Option<u64>)]) -> Histograms {
    let mut histograms = Histograms::default();
    for &(state, length) in stays {
        histograms.record(state, length);
    }
    histograms
}

/// Finished stays by group.
#[derive(Clone)]
pub struct Groups<K> {
    kept: usize,
    own: HashMap<K, Stays, RandomState>,
    rest: Histograms,
}

impl<K: Copy + Eq + Hash + Ord> Groups<K> {
    /// Without any; `kept` groups at least have histograms of their own.
    pub fn new(kept: usize) -> Self {
        Self { kept: kept.max(1), own: HashMap::default(), rest: Histograms::default() }
    }

    /// A stay of a connection of `group` ended; see [`Histograms::record`].
    pub fn record(&mut self, group: K, state: State, length: Option<u64>) {
        if let Some(of) = self.own.get_mut(&group) {
            return of.record(state, length);
        }
        if self.own.len() >= 2 * self.kept {
            self.fold(self.kept);
        }
        self.own.insert(group, Stays::Few(vec![(state, length)]));
    }

    /// Groups with the most stays, largest first, equal ones in their own order.
    fn by_size(&self) -> Vec<(u64, K)> {
        let mut sizes: Vec<(u64, K)> = self.sizes().map(|(key, size)| (size, key)).collect();
        sizes.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        sizes
    }

    /// Puts all but the `kept` largest into the rest.
    fn fold(&mut self, kept: usize) {
        for (_, key) in self.by_size().into_iter().skip(kept) {
            if let Some(of) = self.own.remove(&key) {
                of.add_to(&mut self.rest);
            }
        }
    }

    /// A group's histograms, if it has its own.
    pub fn get(&self, group: &K) -> Option<Cow<'_, Histograms>> {
        self.own.get(group).map(|of| of.histograms())
    }

    /// The groups that have histograms of their own, with how many stays each has, in no particular order.
    pub fn sizes(&self) -> impl Iterator<Item = (K, u64)> {
        self.own.iter().map(|(&key, of)| (key, of.total()))
    }

    /// All stays of groups that `wanted` does not take, in one; `all` has those of every group.
    pub fn others(&self, all: &Histograms, wanted: impl Fn(&K) -> bool) -> Histograms {
        let mut rest = all.clone();
        let (taken, others): (Vec<_>, Vec<_>) = self.own.iter().partition(|(key, _)| wanted(key));
        let of_others = others.iter().map(|(_, of)| of.extremes()).chain([self.rest.extremes()]);
        rest.subtract(taken.iter().map(|(_, of)| of.histograms()), of_others);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Finished;

    #[test]
    fn every_stay_is_in_one_group_or_in_the_rest() {
        let (mut groups, mut all) = (Groups::new(4), Histograms::default());
        // Groups 0 to 3 are large; a thousand others have one stay each.
        for n in 0..1_000u32 {
            for (group, length) in [(n % 4, 5_000), (1_000 + n, 7_000 + u64::from(n))] {
                groups.record(group, State::CloseWait, Some(length));
                all.record(State::CloseWait, Some(length));
            }
            groups.record(n % 4, State::Closing, None);
            all.record(State::Closing, None);
        }
        assert!(groups.sizes().count() <= 8);
        for large in 0..4 {
            assert_eq!(groups.get(&large).unwrap().total(), 500);
        }
        let others = groups.others(&all, |&key| key < 4);
        assert_eq!((others.total(), others.finished(State::Closing)), (1_000, Finished::default()));
        let mut alone = Histograms::default();
        (0..1_000).for_each(|n| alone.record(State::CloseWait, Some(7_000 + n)));
        assert_eq!(others.finished(State::CloseWait), alone.finished(State::CloseWait));
        assert_eq!(others.lengths(State::CloseWait), alone.lengths(State::CloseWait));
    }

    #[test]
    fn few_groups_leave_no_rest() {
        let (mut groups, mut all) = (Groups::new(4), Histograms::default());
        (0..8u32).for_each(|n| {
            groups.record(n, State::Established, None);
            all.record(State::Established, None);
        });
        assert_eq!(groups.others(&all, |_| true).total(), 0);
        assert_eq!(groups.sizes().count(), 8);
    }
}
