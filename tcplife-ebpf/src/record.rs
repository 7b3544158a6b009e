//! From a hook hit to a record: filters, the head, and the ring buffer.

use aya_ebpf::{helpers::bpf_ktime_get_ns, maps::ring_buf::RingBufEntry};
use tcplife_common::{
    settings::{FAMILY_V4, FAMILY_V6, MAX_NETNS, reaches_end},
    wire::{Head, Pair, Tuple},
};

use crate::{
    constants::setting,
    maps::{EVENTS, LOCAL_PORTS, Outcome, REMOTE_PORTS, Tally},
    read::{self, Access, Plain, Sock, TCP_SYN_RECV, TCP_SYN_SENT},
};

/// `BPF_RB_NO_WAKEUP`, include/uapi/linux/bpf.h.
const NO_WAKEUP: u64 = 1;
/// `BPF_RB_FORCE_WAKEUP`, include/uapi/linux/bpf.h.
const FORCE_WAKEUP: u64 = 2;
/// `BPF_RINGBUF_HDR_SZ`, include/uapi/linux/bpf.h: what the kernel puts before each record.
const HEADER: u64 = 8;

/// Has a record filled in where it lies in the ring buffer, since a program's stack is small, and counts how that went.
#[inline(always)]
pub fn deliver<T: Plain + 'static>(tally: &mut Tally, fill: impl FnOnce(&mut T)) {
    let Some(mut entry) = reserve(tally) else { return };
    fill(read::zeroed(&mut entry));
    submit(entry, tally);
}

/// Room for a record, to be filled in where it lies; counts that there was none. For what is filled in by more than one
/// program: a closure that is used twice becomes a function, which the verifier does not take.
#[inline(always)]
pub fn reserve<T: Plain + 'static>(tally: &mut Tally) -> Option<RingBufEntry<T>> {
    let entry = EVENTS.reserve::<T>(0);
    if entry.is_none() {
        tally.count(Outcome::LostRing);
    }
    entry
}

/// Hands the record to the agent.
#[inline(always)]
pub fn submit<T>(entry: RingBufEntry<T>, tally: &mut Tally) {
    let flags = if is_at_border(&entry) { FORCE_WAKEUP } else { NO_WAKEUP };
    entry.submit(flags);
    tally.count(Outcome::Delivered);
}

/// Whether the record is to wake the agent, which reads on a timer: the one that reaches the end of a piece of the ring buffer, so
/// that an agent that keeps up never leaves much more than a piece unread. To ask each time how much is unread
/// (`bpf_ringbuf_query`) took some 15 ns for each record.
#[inline(always)]
fn is_at_border<T>(entry: &RingBufEntry<T>) -> bool {
    const { assert!(size_of::<T>().is_multiple_of(8)) }
    let begin = low_half(entry.as_ptr().cast()).wrapping_sub(HEADER);
    reaches_end(begin, HEADER + size_of::<T>() as u64, setting!(wakeup_bytes))
}

/// The lower half of an address, as a number. To privileged programs the verifier gives one for a pointer by a 32-bit subtraction
/// (`adjust_ptr_min_max_vals`), and refuses the `&` that would be made of it here otherwise.
#[inline(always)]
fn low_half(pointer: *const u8) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let number: u64;
        // SAFETY: a subtraction in a register.
        unsafe {
            core::arch::asm!("w1 -= 0", inout("r1") pointer => number, options(pure, nomem, nostack));
        }
        number
    }
    #[cfg(not(target_arch = "bpf"))]
    (pointer as u64 & u64::from(u32::MAX))
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

/// What filters look at.
pub trait Ends {
    fn ports(&self) -> (u16, u16);
    fn is_ipv4(&self) -> bool;
    /// Of a listener at `[::]`, whose children can be of either family, and are whose it is.
    fn are_of_both(&self) -> bool;
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

    #[inline(always)]
    fn are_of_both(&self) -> bool {
        self.remote_port == 0 && self.local == [0; 16]
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

    #[inline(always)]
    fn are_of_both(&self) -> bool {
        false
    }
}

/// Whether the user asked for this socket, as far as can be told: a port that is not known yet is let through, and so is the
/// first move after that, by which the agent learns it: a client's own port at the end of `SYN_SENT`, and the remote end of
/// a listener's child at the end of `SYN_RECV`.
#[inline(always)]
pub fn wanted(ends: &impl Ends, netns: u32, old: u8) -> bool {
    if !wanted_family(ends) && old != TCP_SYN_RECV || !wanted_netns(netns) {
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
    families & (if ends.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 }) != 0 || ends.are_of_both()
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
