//! `tcp_destroy_sock(struct sock *)`: a full socket is freed.

use aya_ebpf::programs::BtfTracePointContext;
use tcplife_common::{
    counters::Lane,
    wire::{Handle, flag, kind},
};

use crate::{
    maps::{Outcome, count},
    read::{self, TCP_CLOSE, TypedSock},
    record::{deliver, head, wanted},
};

/// Only where the application lets go of a socket that reached CLOSE before: then the task in the system call is
/// the one that held it. A socket freed in softirq has no such task, and its last move told of its end.
#[inline(always)]
pub fn destroyed(ctx: &BtfTracePointContext) {
    let Some(sock) = TypedSock::new(ctx.arg(0)) else { return };
    if !sock.is_tcp() || !sock.held_by_task() {
        return;
    }
    let mut tuple = sock.tuple();
    if tuple.local_port == 0 {
        tuple.local_port = sock.closed_port();
    }
    let netns = sock.netns();
    if !wanted(&tuple, netns, TCP_CLOSE) {
        count(Lane::SocketGone, Outcome::Filtered);
        return;
    }
    deliver(Lane::SocketGone, |record: &mut Handle| {
        record.head = head(kind::GONE, sock, netns, TCP_CLOSE, TCP_CLOSE);
        record.head.cookie = sock.cookie_now();
        if let Some(current) = read::current_task() {
            record.head.flags |= flag::BY_TASK;
            record.task = current;
        }
    });
}
