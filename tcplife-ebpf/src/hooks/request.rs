//! `inet_csk_complete_hashdance`: a request became a full socket, so the handshake of a passive open is over.

use tcplife_common::{
    counters::Lane,
    wire::{Born, kind},
};

use crate::{
    constants::{ABSENT, offset},
    maps::{Outcome, Tally},
    read::{ProbedSock, TCP_SYN_RECV},
    record::{deliver, head, wanted},
};

/// Tells when the child's handshake began: when its SYN-ACK was first sent.
#[inline(always)]
pub fn done(child: *const u8, request: *const u8, own_request: u8) {
    let (Some(child), Some(request)) = (ProbedSock::new(child), ProbedSock::new(request)) else { return };
    // Without the request the child is dropped: another CPU's child won.
    if own_request == 0 || offset!(snt_synack) == ABSENT || !child.is_tcp() {
        return;
    }
    let Some(mut tally) = Tally::of(Lane::Request) else { return };
    let tuple = request.tuple();
    let netns = request.netns();
    if !wanted(&tuple, netns, TCP_SYN_RECV) {
        return tally.count(Outcome::Filtered);
    }
    let begun_us: u64 = request.load(offset!(snt_synack));
    deliver(&mut tally, |record: &mut Born| {
        record.head = head(kind::BORN, child, netns, TCP_SYN_RECV, TCP_SYN_RECV);
        record.head.cookie = child.cookie_now();
        record.tuple = tuple;
        record.begun_ns = begun_us.wrapping_mul(1000);
    });
}
