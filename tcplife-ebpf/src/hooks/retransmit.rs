//! `tcp_retransmit_skb(const struct sock *, const struct sk_buff *[, int err])` and
//! `tcp_retransmit_synack(const struct sock *, const struct request_sock *)`.

use aya_ebpf::programs::BtfTracePointContext;
use tcplife_common::{
    counters::Lane,
    wire::{Note, flag, kind},
};

use crate::{
    constants::setting,
    maps::{Outcome, Tally},
    read::{TCP_SYN_RECV, TypedSock},
    record::{deliver, head, wanted},
};

/// A segment of a full socket is sent again.
#[inline(always)]
pub fn segment(ctx: &BtfTracePointContext) {
    // Newer kernels also report attempts that failed (__tcp_retransmit_skb): nothing was sent then.
    if setting!(retransmit_has_err) == 1 && ctx.arg::<i32>(2) != 0 {
        return;
    }
    let Some(sock) = TypedSock::new(ctx.arg(0)) else { return };
    let state = sock.state();
    note(Lane::Segment, sock, state, kind::RETRANSMIT, 0);
}

/// A SYN-ACK is sent again: the first argument is the listener, the connection is in the request.
#[inline(always)]
pub fn syn_ack(ctx: &BtfTracePointContext) {
    let Some(request) = TypedSock::new(ctx.arg(1)) else { return };
    note(Lane::SynAck, request, TCP_SYN_RECV, kind::RETRANSMIT, flag::SYN_ACK);
}

/// A record of something that left the state as it is.
#[inline(always)]
pub(super) fn note(lane: Lane, sock: TypedSock, state: u8, kind: u8, flags: u8) {
    let Some(mut tally) = Tally::of(lane) else { return };
    let tuple = sock.tuple();
    let netns = sock.netns();
    if !wanted(&tuple, netns, state) {
        return tally.count(Outcome::Filtered);
    }
    deliver(&mut tally, |record: &mut Note| {
        record.head = head(kind, sock, netns, state, state);
        record.head.flags = flags;
        record.head.cookie = sock.cookie_now();
        record.tuple = tuple;
    });
}
