//! `__inet_twsk_schedule` and `inet_twsk_kill`: what becomes of a mini-socket.

use tcplife_common::{
    counters::Lane,
    wire::{Mini, MiniNote, flag, kind},
};

use super::touch;
use crate::{
    maps::{Outcome, Tally},
    mini,
    read::{ProbedSock, TCP_TIME_WAIT},
    record::{deliver, head, wanted},
};

/// The timer of a mini-socket is set: again, if `rearm`. Then its substate is `TIME_WAIT` by now, for
/// `tcp_timewait_state_process` writes it first; it was so before, or a FIN came in FIN_WAIT_2.
#[inline(always)]
pub fn armed(tw: *const u8, timeout: i32, rearm: u8) {
    let Some(tw) = ProbedSock::new(tw) else { return };
    let mut timer = mini::describe(tw);
    if rearm == 0 || timer.substate != u32::from(TCP_TIME_WAIT) {
        return;
    }
    // What came in was a FIN, or a late segment: it ends nothing.
    touch::take(tw);
    timer.expires = timer.jiffies.wrapping_add(timeout as u64);
    tell(Lane::MiniArmed, kind::MINI_ARMED, 0, tw, timer);
}

/// A mini-socket ends.
#[inline(always)]
pub fn gone(tw: *const u8) {
    let Some(tw) = ProbedSock::new(tw) else { return };
    let timer = Mini { touch: touch::of(tw), ..mini::describe(tw) };
    let early = (timer.jiffies.wrapping_sub(timer.expires) as i64) < 0;
    tell(Lane::MiniGone, kind::MINI_GONE, if early { flag::EARLY } else { 0 }, tw, timer);
}

#[inline(always)]
fn tell(lane: Lane, kind: u8, flags: u8, tw: ProbedSock, timer: Mini) {
    let Some(mut tally) = Tally::of(lane) else { return };
    let tuple = tw.tuple();
    let netns = tw.netns();
    if !wanted(&tuple, netns, TCP_TIME_WAIT) {
        return tally.count(Outcome::Filtered);
    }
    let substate = timer.substate as u8;
    deliver(&mut tally, |record: &mut MiniNote| {
        record.head = head(kind, tw, netns, substate, substate);
        record.head.flags = flags;
        record.head.cookie = tw.cookie_now();
        record.tuple = tuple;
        record.mini = timer;
    });
}
