//! The entry points: one for each program of the object, named as the agent names it.

#![expect(clippy::needless_pass_by_value, reason = "the attribute macros pass contexts by value")]

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

use crate::hooks::{accept, dump, gone, minisock, request, reset, retransmit, state, touch};

/// State changes.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn state_change(ctx: BtfTracePointContext) -> i32 {
    state::change(&ctx);
    0
}

/// State changes that `state_change` is kept from.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn state_spare(ctx: BtfTracePointContext) -> i32 {
    state::spare(&ctx);
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

/// `inet_twsk_kill(struct inet_timewait_sock *tw)`: once for each end of a mini-socket.
#[fentry(function = "inet_twsk_kill")]
pub fn mini_gone(ctx: FEntryContext) -> i32 {
    minisock::gone(ctx.arg(0));
    0
}

#[kprobe(function = "inet_twsk_kill")]
pub fn mini_gone_probe(ctx: ProbeContext) -> u32 {
    minisock::gone(ctx.arg(0).unwrap_or(core::ptr::null()));
    0
}

/// `__inet_twsk_schedule(struct inet_timewait_sock *tw, int timeo, bool rearm)`.
#[fentry(function = "__inet_twsk_schedule")]
pub fn mini_armed(ctx: FEntryContext) -> i32 {
    minisock::armed(ctx.arg(0), ctx.arg::<i32>(1), ctx.arg::<u8>(2));
    0
}

#[kprobe(function = "__inet_twsk_schedule")]
pub fn mini_armed_probe(ctx: ProbeContext) -> u32 {
    let tw = ctx.arg(0).unwrap_or(core::ptr::null());
    minisock::armed(tw, ctx.arg::<i32>(1).unwrap_or(0), ctx.arg::<u8>(2).unwrap_or(0));
    0
}

/// `tcp_timewait_state_process(struct inet_timewait_sock *tw, struct sk_buff *skb, const struct tcphdr *th, ...)`.
#[fentry(function = "tcp_timewait_state_process")]
pub fn mini_segment(ctx: FEntryContext) -> i32 {
    touch::segment(ctx.arg(0), ctx.arg(2));
    0
}

#[kprobe(function = "tcp_timewait_state_process")]
pub fn mini_segment_probe(ctx: ProbeContext) -> u32 {
    let tw = ctx.arg(0).unwrap_or(core::ptr::null());
    touch::segment(tw, ctx.arg(2).unwrap_or(core::ptr::null()));
    0
}

/// `tcp_twsk_unique(struct sock *sk, struct sock *sktw, void *twp)`.
#[fentry(function = "tcp_twsk_unique")]
pub fn mini_connect(ctx: FEntryContext) -> i32 {
    touch::connect(ctx.arg(1));
    0
}

#[kprobe(function = "tcp_twsk_unique")]
pub fn mini_connect_probe(ctx: ProbeContext) -> u32 {
    touch::connect(ctx.arg(1).unwrap_or(core::ptr::null()));
    0
}

/// `tcp_abort(struct sock *sk, int err)`.
#[fentry(function = "tcp_abort")]
pub fn mini_destroy(ctx: FEntryContext) -> i32 {
    touch::destroy(ctx.arg(0));
    0
}

#[kprobe(function = "tcp_abort")]
pub fn mini_destroy_probe(ctx: ProbeContext) -> u32 {
    touch::destroy(ctx.arg(0).unwrap_or(core::ptr::null()));
    0
}

/// `inet_csk_complete_hashdance(struct sock *sk, struct sock *child, struct request_sock *req, bool own_req)`.
#[fentry(function = "inet_csk_complete_hashdance")]
pub fn request_done(ctx: FEntryContext) -> i32 {
    request::done(ctx.arg(1), ctx.arg(2), ctx.arg::<u8>(3));
    0
}

#[kprobe(function = "inet_csk_complete_hashdance")]
pub fn request_done_probe(ctx: ProbeContext) -> u32 {
    let child = ctx.arg(1).unwrap_or(core::ptr::null());
    let request = ctx.arg(2).unwrap_or(core::ptr::null());
    request::done(child, request, ctx.arg::<u8>(3).unwrap_or(0));
    0
}

/// `struct sock *inet_csk_accept(...)`, which has two arguments from 6.10 on.
#[fexit(function = "inet_csk_accept")]
pub fn accepted_2(ctx: FExitContext) -> i32 {
    accept::accepted(ctx.arg(2));
    0
}

/// `inet_csk_accept` with four arguments, before 6.10.
#[fexit(function = "inet_csk_accept")]
pub fn accepted_4(ctx: FExitContext) -> i32 {
    accept::accepted(ctx.arg(4));
    0
}

#[kretprobe(function = "inet_csk_accept")]
pub fn accepted_probe(ctx: RetProbeContext) -> u32 {
    accept::accepted(ctx.ret());
    0
}

/// Iterator over the TCP sockets of one network namespace.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn dump_sockets(ctx: *mut c_void) -> i32 {
    dump::socket(ctx);
    0
}

/// Iterator over the descriptors of all processes.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn dump_files(ctx: *mut c_void) -> i32 {
    dump::file(ctx);
    0
}
