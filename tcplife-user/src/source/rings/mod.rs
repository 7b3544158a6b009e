//! The ring buffers, one for each CPU, or for a few where CPUs are many.
//!
//! What comes in: records from the kernel programs. What goes out: the same, one after the other, a cause before its effect
//! (`merge`). What always holds: their records together have the room that was asked for, and no more.

mod merge;
mod ring;

use std::{os::fd::AsFd, thread};

use anyhow::{Context, Result, anyhow, bail};
use aya::{
    maps::{ArrayOfMaps, Map, MapData},
    util::online_cpus,
};

pub use self::merge::Drained;
use self::{
    merge::Merge,
    ring::{Ring, WAKES},
};
use crate::clock;

/// The map of the object with a place for each ring buffer.
pub const MAP: &str = "EVENTS";
/// `BPF_MAP_TYPE_RINGBUF`, include/uapi/linux/bpf.h.
const MAP_TYPE: u32 = 27;
/// So many CPUs share neither lock nor memory. With more ring buffers each would be too small for a CPU that does all the work.
const MOST: u32 = 16;

/// How many ring buffers there are to be, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// A power of two.
    pub count: u32,
    /// Bytes of each: a power of two of at least one page.
    pub bytes: u32,
}

impl Plan {
    /// For this machine, with so many bytes in all: a power of two of at least one page.
    ///
    /// # Errors
    /// The kernel does not say which CPUs there are.
    pub fn of(bytes: u32) -> Result<Self> {
        let cpus = online_cpus()
            .map_err(|(path, error)| anyhow!("cannot read which CPUs there are: {path}: {error}"))?;
        Ok(Self::for_cpus(u32::try_from(cpus.len())?, bytes, u32::try_from(rustix::param::page_size())?))
    }

    fn for_cpus(cpus: u32, bytes: u32, page: u32) -> Self {
        let count = cpus.clamp(1, MOST).next_power_of_two().min(bytes / page).max(1);
        Self { count, bytes: bytes / count }
    }

    /// Unread bytes from which a record wakes the reader.
    pub const fn wakeup_bytes(self) -> u32 {
        self.bytes / WAKES
    }

    /// The bits of a CPU's number that tell which one it writes to.
    pub const fn mask(self) -> u32 {
        self.count - 1
    }
}

/// All ring buffers.
pub struct Rings {
    merge: Merge<Ring>,
    maps: Vec<MapData>,
    /// Programs that are loaded later refer to it by its descriptor.
    _places: MapData,
}

impl Rings {
    /// Makes the ring buffers, and puts them into their places in `map`.
    ///
    /// # Errors
    /// The kernel does not make them.
    pub fn create(map: Map, plan: Plan) -> Result<Self> {
        let Map::ArrayOfMaps(places) = map else { bail!("the map {MAP} of the BPF object has no places") };
        let maps = (0..plan.count).map(|_| create(plan.bytes)).collect::<Result<Vec<_>>>()?;
        let read = |map: &MapData| Ring::over(map.fd().as_fd(), plan.bytes as usize);
        let rings = maps.iter().map(read).collect::<Result<_, _>>();
        let merge = Merge::new(rings.context("cannot map the ring buffers into memory")?);
        // For each the kernel waits until no program can be at work with what was there before, some 10 ms
        // (`maybe_wait_bpf_programs`, kernel/bpf/syscall.c): so for all at once.
        let shared = &places;
        thread::scope(|scope| {
            let put = |(place, ring)| scope.spawn(move || put(shared, place, ring));
            let threads: Vec<_> = (0..).zip(&maps).map(put).collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().map_err(|_| anyhow!("a thread that makes a ring buffer known died"))?
            })
        })?;
        Ok(Self { merge, maps, _places: places })
    }

    /// Hands up to `limit` waiting records to `each`.
    pub fn drain(&mut self, limit: usize, each: impl FnMut(&[u8])) -> Drained {
        self.merge.drain(limit, clock::monotonic_ns(), each)
    }

    /// What wakes a reader.
    pub fn wakers(&self) -> impl Iterator<Item = impl AsFd> {
        self.maps.iter().map(|map| map.fd().as_fd())
    }
}

/// Makes a ring buffer.
fn create(bytes: u32) -> Result<MapData> {
    let definition = aya_obj::Map::new_from_params(MAP_TYPE, 0, 0, bytes, 0);
    MapData::create(definition, MAP, None)
        .with_context(|| format!("the kernel does not make a ring buffer of {bytes} bytes"))
}

/// Makes a ring buffer known to the programs.
fn put(places: &MapData, place: u32, ring: &MapData) -> Result<()> {
    let refused = || format!("the kernel does not take a ring buffer into {MAP}");
    let own = MapData::from_fd(places.fd().as_fd().try_clone_to_owned()?).with_context(refused)?;
    let mut places: ArrayOfMaps<_, MapData> = ArrayOfMaps::try_from(Map::ArrayOfMaps(own))?;
    places.set(place, ring, 0).with_context(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_split_among_the_cpus() {
        let plan = |cpus, bytes| {
            let Plan { count, bytes } = Plan::for_cpus(cpus, bytes, 4096);
            (count, bytes)
        };
        let usual = 16 << 20;
        assert_eq!(plan(1, usual), (1, 16 << 20));
        assert_eq!(plan(2, usual), (2, 8 << 20));
        assert_eq!(plan(6, usual), (8, 2 << 20));
        assert_eq!(plan(16, usual), (16, 1 << 20));
        assert_eq!(plan(400, usual), (16, 1 << 20));
        assert_eq!(plan(8, 4096), (1, 4096), "none is smaller than a page");
        assert_eq!(plan(8, 16_384), (4, 4096));
        assert_eq!(plan(0, usual), (1, 16 << 20));
    }

    #[test]
    fn this_machine_has_a_plan() {
        let plan = Plan::of(1 << 20).unwrap();
        assert!(plan.count.is_power_of_two() && plan.count * plan.bytes == 1 << 20);
    }
}
