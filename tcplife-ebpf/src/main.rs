//! tcplife's kernel programs: the entry points.
//!
//! Each hook's work is in `hooks`, reads of kernel memory are in `read`, maps and load-time globals in `maps`.
//! Programs are short on purpose: while one runs, a softirq that interrupts it loses its own event for the same
//! program (`recursion_misses`).

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

mod hooks;
mod maps;
mod mini;
mod read;
mod record;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::hooks::{
    gone, reset, retransmit,
    state::{self, Side},
};

/// State changes that a task makes in a system call: interrupts are on here, so this program is kept apart.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn state_by_task(ctx: BtfTracePointContext) -> i32 {
    state::changed(&ctx, Side::Task);
    0
}

/// All other state changes: most happen in softirq.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn state_by_net(ctx: BtfTracePointContext) -> i32 {
    state::changed(&ctx, Side::Net);
    0
}

/// A segment is sent again.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub fn retransmit_segment(ctx: BtfTracePointContext) -> i32 {
    retransmit::segment(&ctx);
    0
}

/// A SYN-ACK is sent again.
#[btf_tracepoint(function = "tcp_retransmit_synack")]
pub fn retransmit_syn_ack(ctx: BtfTracePointContext) -> i32 {
    retransmit::syn_ack(&ctx);
    0
}

/// A reset is sent.
#[btf_tracepoint(function = "tcp_send_reset")]
pub fn reset_sent(ctx: BtfTracePointContext) -> i32 {
    reset::sent(&ctx);
    0
}

/// A reset is received.
#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn reset_received(ctx: BtfTracePointContext) -> i32 {
    reset::received(&ctx);
    0
}

/// A full socket is freed.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub fn socket_gone(ctx: BtfTracePointContext) -> i32 {
    gone::destroyed(&ctx);
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
