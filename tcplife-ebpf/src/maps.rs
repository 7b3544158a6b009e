//! Maps, and what is counted.

use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray, RingBuf},
};
use tcplife_common::{
    counters::{Counters, LANES, Lane},
    settings::PORT_WORDS,
};

/// The one way to the agent. The agent sets its size.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// What was counted, by [`Lane`].
#[map]
pub static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(LANES, 0);

/// The mini-socket that something was done to last, on a CPU.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Touch {
    /// Its address.
    pub mini: u64,
    /// One of [`tcplife_common::wire::touch`].
    pub what: u64,
}

/// One element; see [`Touch`].
#[map]
pub static LAST_TOUCH: PerCpuArray<Touch> = PerCpuArray::with_max_entries(1, 0);

/// A change of state that `state_change` has taken.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Done {
    /// The address of the socket; 0 for none.
    pub sock: u64,
    /// The states.
    pub states: u64,
}

/// Elements of [`STATE_DONE`].
pub const DONE_SLOTS: u32 = 64;

/// What `state_change` has taken and `state_spare` has not seen yet, on a CPU: see [`crate::hooks::state`].
#[map]
pub static STATE_DONE: PerCpuArray<Done> = PerCpuArray::with_max_entries(DONE_SLOTS, 0);

/// The orphan whose end was told last, on a CPU.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Told {
    /// Its address.
    pub sock: u64,
    /// Its cookie.
    pub cookie: u64,
}

/// One element; see [`Told`].
#[map]
pub static LAST_TOLD: PerCpuArray<Told> = PerCpuArray::with_max_entries(1, 0);

/// Bitmap of the local ports asked for (`by_local_port`).
#[map]
pub static LOCAL_PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS as u32, 0);

/// Bitmap of the remote ports asked for (`by_remote_port`).
#[map]
pub static REMOTE_PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS as u32, 0);

/// One element: which states a dump shows, bit n for the kernel's state n.
#[map]
pub static DUMP_STATES: Array<u32> = Array::with_max_entries(1, 0);

/// How a hook hit ended.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// Its record is in the ring buffer.
    Delivered,
    /// The filters left it out.
    Filtered,
    /// The ring buffer had no room.
    LostRing,
}

/// A program's counters on this CPU, looked up once for each run.
pub struct Tally(&'static mut Counters);

impl Tally {
    /// Those of a lane. A lane always has them; without, the program cannot go on.
    #[inline(always)]
    pub fn of(lane: Lane) -> Option<Self> {
        // SAFETY: the pointer comes from a successful look-up of this CPU's element, which lives as long as the program,
        // and nothing else uses the element meanwhile: see `Lane`.
        COUNTERS.get_ptr_mut(lane as u32).map(|counters| Self(unsafe { &mut *counters }))
    }

    /// Counts one hook hit.
    #[inline(always)]
    pub fn count(&mut self, outcome: Outcome) {
        self.0.hits += 1;
        match outcome {
            Outcome::Delivered => self.0.delivered += 1,
            Outcome::Filtered => self.0.filtered += 1,
            Outcome::LostRing => self.0.lost_ring += 1,
        }
    }

    /// Counts a run of `state_change`.
    #[inline(always)]
    pub fn count_state_run(&mut self) {
        self.0.state_runs += 1;
    }

    /// Counts a state change that a program takes up as its own.
    #[inline(always)]
    pub fn count_state_taken(&mut self) {
        self.0.state_taken += 1;
    }
}
