//! What is done to mini-sockets, so that their ends can be given a reason: `tcp_timewait_state_process`, `tcp_twsk_unique`,
//! `tcp_abort`.
//!
//! Whoever ends a mini-socket early goes through one of them first, on the same CPU; but not all that goes through them
//! ends it. So each notes what it does, and the end takes the note if it is about the same mini-socket.

use tcplife_common::wire::touch;

use crate::{
    constants::{ABSENT, offset},
    maps::{LAST_TOUCH, Touch},
    read::{Access, Probed, ProbedSock, TCP_FIN_WAIT2, TCP_TIME_WAIT},
};

/// Byte of a TCP header with the flags, and two of these (RFC 9293, 3.1).
const FLAGS: u64 = 13;
const SYN: u8 = 2;
const RST: u8 = 4;

/// A segment came in for a mini-socket.
#[inline(always)]
pub fn segment(tw: *const u8, header: *const u8) {
    let Some(tw) = ProbedSock::new(tw) else { return };
    let flags: u8 = Probed::load(header, FLAGS);
    if flags & RST != 0 {
        note(tw, touch::RESET_IN);
    } else if tw.load::<u8>(offset!(tw_substate)) == TCP_FIN_WAIT2 {
        note(tw, touch::RESET_OUT);
    } else if flags & SYN != 0 {
        note(tw, touch::REUSE);
    }
}

/// A connect asks for a mini-socket's addresses and ports.
#[inline(always)]
pub fn connect(tw: *const u8) {
    if let Some(tw) = ProbedSock::new(tw) {
        note(tw, touch::REUSE);
    }
}

/// A socket of any kind is destroyed.
#[inline(always)]
pub fn destroy(sock: *const u8) {
    if let Some(sock) = ProbedSock::new(sock)
        && sock.state() == TCP_TIME_WAIT
    {
        note(sock, touch::DESTROY);
    }
}

#[inline(always)]
fn note(tw: ProbedSock, what: u32) {
    if let Some(last) = LAST_TOUCH.get_ptr_mut(0) {
        // SAFETY: this CPU's element, which lives as long as the program. A softirq that comes in between leaves a note
        // of another mini-socket, which is not taken for this one's.
        unsafe { *last = Touch { mini: tw.address(), what: u64::from(what) } };
    }
}

/// Takes the note about a mini-socket away: it ends, and its address is used again, or it goes on all the same.
#[inline(always)]
pub fn take(tw: ProbedSock) -> u32 {
    let Some(last) = LAST_TOUCH.get_ptr_mut(0) else { return touch::NONE };
    // SAFETY: as in `note`.
    let Touch { mini, what } = unsafe { *last };
    if mini != tw.address() {
        return touch::NONE;
    }
    // SAFETY: as in `note`.
    unsafe { *last = Touch::default() };
    what as u32
}

/// What a mini-socket met that ends now.
#[inline(always)]
pub fn of(tw: ProbedSock) -> u32 {
    if offset!(net_references) != ABSENT && tw.net_references() == 0 {
        return touch::NETNS;
    }
    take(tw)
}
