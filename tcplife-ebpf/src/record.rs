//! From a hook hit to a record: filters, the head, and the ring buffer.

use core::ptr;

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_ringbuf_query},
    maps::ring_buf::RingBufEntry,
};
use tcplife_common::{
    settings::{FAMILY_V4, FAMILY_V6, MAX_NETNS},
    wire::{Head, Pair, Tuple},
};

use crate::{
    constants::setting,
    maps::{LOCAL_PORTS, Outcome, REMOTE_PORTS, Ring, Tally, ring},
    read::{self, Access, Plain, Sock, TCP_SYN_RECV, TCP_SYN_SENT},
};

/// `BPF_RB_NO_WAKEUP`, include/uapi/linux/bpf.h.
const NO_WAKEUP: u64 = 1;
/// `BPF_RB_FORCE_WAKEUP`, include/uapi/linux/bpf.h.
const FORCE_WAKEUP: u64 = 2;
/// `BPF_RB_AVAIL_DATA`, include/uapi/linux/bpf.h.
const AVAIL_DATA: u64 = 0;
/// A wake-up is sent while the unread bytes are within this many above the threshold, so that crossing it wakes
/// the agent a few times and not for every record.
const WAKEUP_WINDOW: u64 = 4096;

/// Has a record filled in where it lies in the ring buffer, since a program's stack is small, and counts how that went.
#[inline(always)]
pub fn deliver<T: Plain + 'static>(tally: &mut Tally, fill: impl FnOnce(&mut T, Now)) {
    let Some(mut room) = Room::reserve(tally) else { return };
    let (record, now) = room.zeroed();
    fill(record, now);
    room.submit(tally);
}

/// When room for a record was asked for, `CLOCK_MONOTONIC` in nanoseconds. What the agent has read of a ring buffer is whole up to its
/// last record's time, for a record's time comes before its place: see `tcplife-user/src/source/rings`.
#[derive(Clone, Copy)]
pub struct Now(u64);

impl Now {
    #[inline(always)]
    pub fn look() -> Self {
        // SAFETY: takes nothing and cannot fail.
        Self(unsafe { bpf_ktime_get_ns() })
    }
}

/// Room for a record, to be filled in where it lies. For what is filled in by more than one program: a closure that is used
/// twice becomes a function, which the verifier does not take.
pub struct Room<T: 'static> {
    entry: RingBufEntry<T>,
    ring: &'static Ring,
    now: Now,
}

impl<T: Plain + 'static> Room<T> {
    /// Counts that there was none.
    #[inline(always)]
    pub fn reserve(tally: &mut Tally) -> Option<Self> {
        let now = Now::look();
        let room = ring().and_then(|ring| Some(Self { entry: ring.reserve_untyped::<T>(0)?, ring, now }));
        if room.is_none() {
            tally.count(Outcome::LostRing);
        }
        room
    }

    /// The record, all zeroes, and its time.
    #[inline(always)]
    pub fn zeroed(&mut self) -> (&mut T, Now) {
        (read::zeroed(&mut self.entry), self.now)
    }

    /// Hands the record to the agent.
    #[inline(always)]
    pub fn submit(self, tally: &mut Tally) {
        self.entry.submit(wakeup(self.ring));
        tally.count(Outcome::Delivered);
    }
}

/// The agent reads on a timer; a record wakes it only when the ring buffer fills faster than that.
#[inline(always)]
fn wakeup(ring: &Ring) -> u64 {
    let threshold = setting!(wakeup_bytes);
    // SAFETY: the verifier knows the pointer for one to a ring buffer, of which nothing but a number is asked.
    let waiting = unsafe { bpf_ringbuf_query(ptr::from_ref(ring).cast_mut().cast(), AVAIL_DATA) };
    if waiting >= threshold && waiting - threshold < WAKEUP_WINDOW { FORCE_WAKEUP } else { NO_WAKEUP }
}

/// The head of a record about `sock`.
#[inline(always)]
pub fn head<A: Access>(kind: u8, sock: Sock<A>, netns: u32, (old, new): (u8, u8), now: Now) -> Head {
    Head { kind, flags: 0, old, new, netns, time_ns: now.0, sock: sock.address(), cookie: 0 }
}

/// What filters look at.
pub trait Ends {
    fn ports(&self) -> (u16, u16);
    fn is_ipv4(&self) -> bool;
}

impl Ends for Tuple {
    #[inline(always)]
    fn ports(&self) -> (u16, u16) {
        (self.local_port, self.remote_port)
    }

    #[inline(always)]
    fn is_ipv4(&self) -> bool {
        self.local[..10] == [0; 10] && self.local[10..12] == [0xff; 2]
    }
}

impl Ends for Pair {
    #[inline(always)]
    fn ports(&self) -> (u16, u16) {
        (self.local_port, self.remote_port)
    }

    #[inline(always)]
    fn is_ipv4(&self) -> bool {
        true
    }
}

/// Whether the user asked for this socket, as far as can be told: a port that is not known yet is let through, and so is the
/// first move after that, by which the agent learns it: a client's own port at the end of `SYN_SENT`, and the remote port of
/// a listener's child at the end of `SYN_RECV`.
#[inline(always)]
pub fn wanted(ends: &impl Ends, netns: u32, old: u8) -> bool {
    if !wanted_family(ends) || !wanted_netns(netns) {
        return false;
    }
    let (local, remote) = ends.ports();
    (setting!(by_local_port) == 0 || local == 0 || old == TCP_SYN_SENT || has_port(&LOCAL_PORTS, local))
        && (setting!(by_remote_port) == 0
            || remote == 0
            || old == TCP_SYN_RECV
            || has_port(&REMOTE_PORTS, remote))
}

#[inline(always)]
fn wanted_family(ends: &impl Ends) -> bool {
    let families = setting!(families) as u32;
    if families == FAMILY_V4 | FAMILY_V6 {
        return true;
    }
    families & (if ends.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 }) != 0
}

#[inline(always)]
fn wanted_netns(netns: u32) -> bool {
    macro_rules! is_one_of {
        ($($n:literal)*) => {{
            const { assert!([$($n),*].len() == MAX_NETNS) }
            // Places that are not used have 0, which no inode has.
            $(setting!(netns, $n) as u32 == netns)||*
        }};
    }
    setting!(netns_count) == 0 || is_one_of!(0 1 2 3 4 5 6 7)
}

#[inline(always)]
fn has_port(ports: &aya_ebpf::maps::Array<u64>, port: u16) -> bool {
    ports.get(u32::from(port / 64)).is_some_and(|word| word >> (port % 64) & 1 == 1)
}
