//! Numbers for keys that come again and again, so that what is counted by key can be in a vector.
//!
//! What comes in: keys. What goes out: a number for each that differs, from 0. What always holds: equal keys have one
//! number; a hundred thousand that all differ take a few milliseconds.
//!
//! One map of so many does not fit the processor's near caches, and most of the time would go into waiting for memory. Keys
//! that mostly differ are therefore parted by their hash first, and each part is numbered in a small map.

use std::{
    cmp::Reverse,
    collections::HashMap,
    hash::{BuildHasher, Hash, Hasher},
    net::IpAddr,
};

use foldhash::fast::RandomState;

/// Keys by which it is told whether most of them differ.
const SAMPLE: usize = 4096;
/// Parts of keys that mostly differ.
const PARTS: usize = 128;

/// Keys, numbered.
#[derive(Debug)]
pub struct Numbered<K> {
    /// Each key once, by its number.
    pub keys: Vec<K>,
    /// The number of each key, in the order in which they came.
    pub numbers: Vec<u32>,
}

impl<K: Copy + Eq + Hash> Numbered<K> {
    /// Numbers `keys`.
    pub fn of(keys: &[K]) -> Self {
        let mut numbered = Self { keys: Vec::new(), numbers: vec![0; keys.len()] };
        let mut map = HashMap::default();
        let (sample, rest) = keys.split_at(SAMPLE.min(keys.len()));
        numbered.take(&mut map, sample.iter().copied().zip(0..));
        if rest.is_empty() || numbered.keys.len() < SAMPLE / 4 {
            numbered.take(&mut map, rest.iter().copied().zip(SAMPLE..));
            return numbered;
        }
        numbered.keys.clear();
        for part in parts(keys) {
            map.clear();
            numbered.take(&mut map, part.into_iter());
        }
        numbered
    }

    /// Numbers keys, each with its place, of which `map` has every one that is numbered already.
    fn take(&mut self, map: &mut HashMap<K, u32, RandomState>, keys: impl Iterator<Item = (K, usize)>) {
        for (key, place) in keys {
            self.numbers[place] = number_of(map, &mut self.keys, key);
        }
    }
}

/// Numbers keys that come one by one.
#[derive(Debug)]
pub struct Numbering<K> {
    /// By mark: the number of its key, if it has come; `None` where keys have no marks.
    marks: Option<Vec<Option<u32>>>,
    map: HashMap<K, u32, RandomState>,
    /// Without marks every key as it came, with them each once.
    keys: Vec<K>,
    numbers: Vec<u32>,
}

impl<K: Copy + Eq + Hash> Numbering<K> {
    /// Of some `count` keys. With `marked` each comes with a small number that says which it is, so that it need not be looked
    /// up; several may say the same.
    pub fn new(marked: bool, count: usize) -> Self {
        let (marks, keys, numbers) = if marked { (Some(Vec::new()), 0, count) } else { (None, count, 0) };
        Self {
            marks,
            map: HashMap::default(),
            keys: Vec::with_capacity(keys),
            numbers: Vec::with_capacity(numbers),
        }
    }

    /// A key and its mark, which counts only if keys are marked.
    pub fn add(&mut self, mark: u32, key: impl FnOnce() -> K) {
        let Some(marks) = &mut self.marks else { return self.keys.push(key()) };
        let mark = mark as usize;
        if marks.len() <= mark {
            marks.resize(mark + 1, None);
        }
        let number = *marks[mark].get_or_insert_with(|| number_of(&mut self.map, &mut self.keys, key()));
        self.numbers.push(number);
    }

    /// A key whose mark is not known.
    pub fn add_unmarked(&mut self, key: K) {
        if self.marks.is_none() {
            self.keys.push(key);
        } else {
            self.numbers.push(number_of(&mut self.map, &mut self.keys, key));
        }
    }

    /// All of them.
    pub fn finish(self) -> Numbered<K> {
        if self.marks.is_none() {
            return Numbered::of(&self.keys);
        }
        Numbered { keys: self.keys, numbers: self.numbers }
    }
}

/// The number of a key; a key that has none gets the next.
fn number_of<K: Copy + Eq + Hash>(map: &mut HashMap<K, u32, RandomState>, keys: &mut Vec<K>, key: K) -> u32 {
    *map.entry(key).or_insert_with(|| {
        keys.push(key);
        u32::try_from(keys.len() - 1).unwrap_or(u32::MAX)
    })
}

/// The keys with their places, equal ones in the same part.
fn parts<K: Copy + Hash>(keys: &[K]) -> Vec<Vec<(K, usize)>> {
    let hasher = RandomState::default();
    let room = keys.len() / PARTS * 5 / 4;
    let mut parts: Vec<Vec<(K, usize)>> = (0..PARTS).map(|_| Vec::with_capacity(room)).collect();
    for (place, key) in keys.iter().enumerate() {
        let hash = hasher.hash_one(key).to_le_bytes();
        parts[usize::from(hash[3]) % PARTS].push((*key, place));
    }
    parts
}

/// Hashes an address by its bits alone: what it is derived to also hashes the kind and a length, and byte by byte.
pub fn hash_address(address: &IpAddr, state: &mut impl Hasher) {
    match address {
        IpAddr::V4(address) => state.write_u32(address.to_bits()),
        IpAddr::V6(address) => state.write_u128(address.to_bits()),
    }
}

/// How often each number comes, for all below `count`.
pub fn sizes(count: usize, numbers: &[u32]) -> Vec<u64> {
    let mut sizes = vec![0; count];
    for &number in numbers {
        sizes[number as usize] += 1;
    }
    sizes
}

/// The numbers of the `limit` largest sizes, the largest first; of equal ones those that came first.
pub fn largest(sizes: impl Iterator<Item = u64>, limit: usize) -> Vec<u32> {
    let mut all: Vec<(Reverse<u64>, u32)> = sizes.map(Reverse).zip(0..).collect();
    if limit < all.len() {
        all.select_nth_unstable(limit);
        all.truncate(limit);
    }
    all.sort_unstable();
    all.into_iter().map(|(_, number)| number).collect()
}

/// By number, for all below `count`: the place among those that are `shown`, if it is one of them.
pub fn places(count: usize, shown: &[u32]) -> Vec<Option<usize>> {
    let mut places = vec![None; count];
    for (place, &number) in shown.iter().enumerate() {
        if let Some(of) = places.get_mut(number as usize) {
            *of = Some(place);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_have_one_number() {
        let numbered = Numbered::of(&["a", "b", "b", "a", "c"]);
        assert_eq!((numbered.numbers, numbered.keys), (vec![0, 1, 1, 0, 2], vec!["a", "b", "c"]));
    }

    #[test]
    fn many_keys_are_numbered_as_few_are() {
        for differing in [10, 1_000, 30_000] {
            let keys: Vec<u64> = (0..60_000).map(|n| n * 7 % differing).collect();
            let numbered = Numbered::of(&keys);
            assert_eq!(numbered.keys.len() as u64, differing);
            for (key, &number) in keys.iter().zip(&numbered.numbers) {
                assert_eq!(numbered.keys[number as usize], *key);
            }
        }
    }

    #[test]
    fn keys_with_marks_are_numbered_as_those_without() {
        // Marks 1 and 4 are of one key.
        let marked = [(1, "a"), (3, "b"), (4, "a"), (3, "b"), (0, "c")];
        for has_marks in [true, false] {
            let mut numbering = Numbering::new(has_marks, marked.len());
            for (mark, key) in marked {
                numbering.add(mark, || key);
            }
            numbering.add_unmarked("b");
            numbering.add_unmarked("d");
            let numbered = numbering.finish();
            assert_eq!(
                (numbered.keys, numbered.numbers),
                (vec!["a", "b", "c", "d"], vec![0, 1, 0, 1, 2, 1, 3])
            );
        }
    }

    #[test]
    fn sizes_are_counted_by_number() {
        assert_eq!(sizes(4, &[2, 0, 2]), [1, 0, 2, 0]);
    }

    #[test]
    fn the_largest_come_first() {
        let sizes = || [3, 9, 1, 9, 5].into_iter();
        assert_eq!(largest(sizes(), 3), [1, 3, 4]);
        assert_eq!(largest(sizes(), 9), [1, 3, 4, 0, 2]);
        assert_eq!(largest(sizes(), 0), []);
        assert_eq!(largest(std::iter::empty(), 3), []);
        assert_eq!(places(4, &[3, 1]), [None, Some(1), None, Some(0)]);
    }
}
