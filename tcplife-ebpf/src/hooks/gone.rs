//! `tcp_destroy_sock(struct sock *)`: a full socket is freed.

use aya_ebpf::programs::BtfTracePointContext;
use tcplife_common::{
    counters::Lane,
    wire::{Handle, flag, kind},
};

use crate::{
    maps::{LAST_TOLD, Outcome, Tally, Told},
    read::{self, TCP_CLOSE, TypedSock},
    record::{deliver, head, wanted},
};

/// Only where the application lets go of a socket that reached CLOSE before: then the task in the system call is
/// the one that held it. A socket freed in softirq has no such task, and its last move told of its end.
#[inline(always)]
pub fn destroyed(ctx: &BtfTracePointContext) {
    let Some(sock) = TypedSock::new(ctx.arg(0)) else { return };
    if !sock.is_tcp() || !sock.held_by_task() || is_told(sock) {
        return;
    }
    let Some(mut tally) = Tally::of(Lane::SocketGone) else { return };
    let mut tuple = sock.tuple();
    if tuple.local_port == 0 {
        tuple.local_port = sock.closed_port();
    }
    let netns = sock.netns();
    if !wanted(&tuple, netns, TCP_CLOSE) {
        return tally.count(Outcome::Filtered);
    }
    deliver(&mut tally, |record: &mut Handle| {
        record.head = head(kind::GONE, sock, netns, TCP_CLOSE, TCP_CLOSE);
        record.head.cookie = sock.cookie_now();
        if let Some(current) = read::current_task() {
            record.head.flags |= flag::BY_TASK;
            record.task = current;
        }
    });
}

/// The end of a socket that no application has a handle on was told: there is nothing to add when it is freed, which is
/// what `tcp_done` does next.
#[inline(always)]
pub fn note_told(sock: TypedSock, cookie: u64) {
    if let Some(last) = LAST_TOLD.get_ptr_mut(0) {
        // SAFETY: this CPU's element, which lives as long as the program. A softirq that comes in between leaves a note
        // of another socket, which is not taken for this one's.
        unsafe { *last = Told { sock: sock.address(), cookie } };
    }
}

/// Whether the socket's end was noted. Without a cookie it may be an earlier socket's at the same address.
#[inline(always)]
fn is_told(sock: TypedSock) -> bool {
    let Some(last) = LAST_TOLD.get_ptr_mut(0) else { return false };
    // SAFETY: as in `note_told`.
    let Told { sock: address, cookie } = unsafe { *last };
    cookie != 0 && address == sock.address() && cookie == sock.cookie_now()
}
