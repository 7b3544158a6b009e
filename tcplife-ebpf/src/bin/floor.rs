//! What a tracer costs that does next to nothing: the floor that `cargo xtask bench` measures tcplife against. Not a part
//! of the agent's object.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(missing_docs, clippy::needless_pass_by_value, reason = "both are the attribute macros' doing")]

use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::{btf_tracepoint, map},
    maps::{PerCpuArray, RingBuf},
    programs::BtfTracePointContext,
};

/// A record of the size that states, a time, two IPv4 ends and a process take.
type Record = [u64; 8];

/// `BPF_RB_NO_WAKEUP`, include/uapi/linux/bpf.h.
const NO_WAKEUP: u64 = 1;

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// Hits, then records that there was no room for.
#[map]
static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);

fn add_one(index: u32) {
    if let Some(count) = COUNTS.get_ptr_mut(index) {
        // SAFETY: this CPU's element of a map that lives as long as the program; a softirq that interrupts the program
        // does not run it (`recursion_misses`), or adds one more.
        unsafe { *count += 1 };
    }
}

/// Counts a state change.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn count(_ctx: BtfTracePointContext) -> i32 {
    add_one(0);
    0
}

/// Counts a state change, and sends a record of it that says nothing but when it was.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn record(_ctx: BtfTracePointContext) -> i32 {
    add_one(0);
    let Some(mut entry) = EVENTS.reserve::<Record>(0) else {
        add_one(1);
        return 0;
    };
    // SAFETY: takes nothing and cannot fail.
    let now = unsafe { bpf_ktime_get_ns() };
    entry.write([now; 8]);
    entry.submit(NO_WAKEUP);
    0
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The host build exists for the linters only.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
