//! `tcp_send_reset(const struct sock *, const struct sk_buff *, ...)` and `tcp_receive_reset(struct sock *)`.

use aya_ebpf::programs::BtfTracePointContext;
use tcplife_common::{
    counters::Lane,
    wire::{flag, kind},
};

use super::retransmit::note;
use crate::read::{TCP_LISTEN, TypedSock};

/// A reset is sent: by a full socket, a mini-socket or a listener, or without a socket.
#[inline(always)]
pub fn sent(ctx: &BtfTracePointContext) {
    // From 6.12 on the socket can be null (tcp_v4_send_reset: no socket, or a request).
    let Some(sock) = TypedSock::new(ctx.arg(0)) else { return };
    let state = sock.state();
    // A listener answers a stray segment: that is no connection's reset.
    if state != TCP_LISTEN {
        note(Lane::ResetSent, sock, state, kind::RESET, flag::SENT);
    }
}

/// A reset is received by a full socket.
#[inline(always)]
pub fn received(ctx: &BtfTracePointContext) {
    let Some(sock) = TypedSock::new(ctx.arg(0)) else { return };
    let state = sock.state();
    note(Lane::ResetReceived, sock, state, kind::RESET, 0);
}
