//! The timewait mini-socket that takes over from a full socket.
//!
//! `tcp_time_wait` puts the mini-socket into the ehash chain of the socket it replaces before it moves that socket
//! to CLOSE, so at the move the mini-socket is among the first nodes of the chain.

use aya_ebpf::helpers::generated::bpf_jiffies64;
use tcplife_common::{layout::ABSENT, wire::Mini};

use crate::{
    maps::offset,
    read::{Sock, TCP_TIME_WAIT, peek},
};

/// Nodes looked at; it was the first one in every experiment, others may come in between on a busy host.
const MAX_WALK: u32 = 8;

/// Finds the mini-socket of a full socket that is going to CLOSE, if there is one.
#[inline(always)]
pub fn find(sock: Sock, cookie: u64, remote_port: u16) -> Option<Mini> {
    let needed = [offset!(net_hashinfo), offset!(ehash), offset!(ehash_mask), offset!(tw_substate)];
    if needed.contains(&ABSENT) {
        return None;
    }
    let hashinfo = sock.hashinfo();
    let ehash: *const u8 = peek(hashinfo, offset!(ehash))?;
    let mask: u32 = peek(hashinfo, offset!(ehash_mask))?;
    let bucket = ehash.wrapping_add((sock.hash() & mask) as usize * offset!(ehash_bucket_size) as usize);
    let mut node: u64 = peek(bucket, 0)?;
    let mut walked = 0;
    while walked < MAX_WALK {
        walked += 1;
        // An odd value is the chain's end (hlist_nulls).
        if node & 1 == 1 || node == 0 {
            return None;
        }
        let tw = (node as *const u8).wrapping_sub(offset!(skc_nulls_node) as usize);
        if is_of(tw, cookie, remote_port)? {
            return describe(tw, walked);
        }
        node = peek(node as *const u8, 0)?;
    }
    None
}

/// Whether the node is the mini-socket of this connection: by cookie, or where there is none, by the remote port in
/// the same chain.
#[inline(always)]
fn is_of(tw: *const u8, cookie: u64, remote_port: u16) -> Option<bool> {
    if peek::<u8>(tw, offset!(skc_state))? != TCP_TIME_WAIT {
        return Some(false);
    }
    let theirs: u64 = peek(tw, offset!(skc_cookie))?;
    if cookie != 0 {
        return Some(theirs == cookie);
    }
    Some(u16::from_be(peek(tw, offset!(skc_dport))?) == remote_port)
}

#[inline(always)]
fn describe(tw: *const u8, walked: u32) -> Option<Mini> {
    Some(Mini {
        address: tw as u64,
        expires: peek(tw, offset!(tw_expires))?,
        // SAFETY: takes nothing and cannot fail.
        jiffies: unsafe { bpf_jiffies64() },
        substate: u32::from(peek::<u8>(tw, offset!(tw_substate))?),
        walked,
    })
}
