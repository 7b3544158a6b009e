//! The end of `inet_csk_accept`: an application has a connection now.

use tcplife_common::{
    counters::Lane,
    wire::{Handle, flag, kind},
};

use crate::{
    maps::{Outcome, Tally},
    read::{self, ProbedSock},
    record::{deliver, head, wanted},
};

/// `returned` is the child, or null when there was none to accept.
#[inline(always)]
pub fn accepted(returned: *const u8) {
    let Some(child) = ProbedSock::new(returned) else { return };
    if !child.is_tcp() {
        return;
    }
    let Some(mut tally) = Tally::of(Lane::Accepted) else { return };
    let netns = child.netns();
    if !wanted(&child.tuple(), netns, child.state()) {
        return tally.count(Outcome::Filtered);
    }
    // A kernel thread that accepts (nfsd, MPTCP) is no application.
    let Some(task) = read::current_task() else { return };
    let state = child.state();
    deliver(&mut tally, |record: &mut Handle| {
        record.head = head(kind::ACCEPTED, child, netns, state, state);
        record.head.flags = flag::BY_TASK;
        record.head.cookie = child.cookie_now();
        record.task = task;
    });
}
