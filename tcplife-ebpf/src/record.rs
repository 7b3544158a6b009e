//! From a hook hit to a record: filters, the head, and the ring buffer.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tcplife_common::{
    counters::Lane,
    settings::{FAMILY_V4, FAMILY_V6, MAX_NETNS},
    wire::{Head, Tuple},
};

use crate::{
    maps::{EVENTS, LOCAL_PORTS, Outcome, REMOTE_PORTS, count, setting},
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
pub fn deliver<T: Plain + 'static>(lane: Lane, fill: impl FnOnce(&mut T)) {
    let Some(mut entry) = EVENTS.reserve::<T>(0) else {
        count(lane, Outcome::LostRing);
        return;
    };
    fill(read::zeroed(&mut entry));
    entry.submit(wakeup());
    count(lane, Outcome::Delivered);
}

/// The agent reads on a timer; a record wakes it only when the ring buffer fills faster than that.
#[inline(always)]
fn wakeup() -> u64 {
    let threshold = u64::from(setting!(wakeup_bytes));
    let waiting = EVENTS.query(AVAIL_DATA);
    if waiting >= threshold && waiting - threshold < WAKEUP_WINDOW { FORCE_WAKEUP } else { NO_WAKEUP }
}

/// The head of a record about `sock`, now.
#[inline(always)]
pub fn head<A: Access>(kind: u8, sock: Sock<A>, netns: u32, old: u8, new: u8) -> Head {
    Head {
        kind,
        flags: 0,
        old,
        new,
        netns,
        // SAFETY: takes nothing and cannot fail.
        time_ns: unsafe { bpf_ktime_get_ns() },
        sock: sock.address(),
        cookie: 0,
    }
}

/// Whether the user asked for this socket, as far as can be told: a port that is not known yet is let through, and
/// so is the first move after that, by which the agent learns it.
#[inline(always)]
pub fn wanted(tuple: &Tuple, netns: u32, old: u8) -> bool {
    if !wanted_family(tuple) || !wanted_netns(netns) {
        return false;
    }
    if old == TCP_SYN_SENT || old == TCP_SYN_RECV {
        return true;
    }
    let local =
        setting!(by_local_port) == 0 || tuple.local_port == 0 || has_port(&LOCAL_PORTS, tuple.local_port);
    let remote =
        setting!(by_remote_port) == 0 || tuple.remote_port == 0 || has_port(&REMOTE_PORTS, tuple.remote_port);
    local && remote
}

#[inline(always)]
fn wanted_family(tuple: &Tuple) -> bool {
    let families = setting!(families);
    if families == FAMILY_V4 | FAMILY_V6 {
        return true;
    }
    let is_v4 = tuple.local[..10] == [0; 10] && tuple.local[10..12] == [0xff; 2];
    families & (if is_v4 { FAMILY_V4 } else { FAMILY_V6 }) != 0
}

#[inline(always)]
fn wanted_netns(netns: u32) -> bool {
    let count = setting!(netns_count) as usize;
    if count == 0 {
        return true;
    }
    let mut n = 0;
    while n < MAX_NETNS {
        if n < count && setting!(netns[n]) == netns {
            return true;
        }
        n += 1;
    }
    false
}

#[inline(always)]
fn has_port(ports: &aya_ebpf::maps::Array<u64>, port: u16) -> bool {
    ports.get(u32::from(port / 64)).is_some_and(|word| word >> (port % 64) & 1 == 1)
}
