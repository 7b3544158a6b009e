//! The timewait mini-socket that takes over from a full socket.
//!
//! `tcp_time_wait` puts the mini-socket into the ehash chain of the socket it replaces before it moves that socket
//! to CLOSE, so at the move the mini-socket is among the first nodes of the chain.

use aya_ebpf::helpers::generated::bpf_jiffies64;
use tcplife_common::wire::{Mini, touch};

use crate::{
    constants::{ABSENT, offset},
    read::{Access, Probed, ProbedSock, Sock, TCP_TIME_WAIT, TypedSock},
};

/// Nodes looked at; it was the first one in every experiment, others may come in between on a busy host.
const MAX_WALK: u32 = 8;

/// Finds the mini-socket of a full socket that is going to CLOSE, if there is one.
#[inline(always)]
pub fn find(sock: TypedSock, cookie: u64) -> Option<Mini> {
    let needed = [offset!(net_hashinfo), offset!(ehash), offset!(ehash_mask), offset!(tw_substate)];
    if needed.contains(&ABSENT) {
        return None;
    }
    let hashinfo = sock.probed().hashinfo();
    let ehash: *const u8 = Probed::load(hashinfo, offset!(ehash));
    let mask: u32 = Probed::load(hashinfo, offset!(ehash_mask));
    let hash = sock.hash();
    let bucket = ehash.wrapping_add((hash & mask) as usize * offset!(ehash_bucket_size) as usize);
    let mut node: u64 = Probed::load(bucket, 0);
    for _ in 0..MAX_WALK {
        // An odd value is the chain's end (hlist_nulls).
        if node & 1 == 1 || node == 0 {
            return None;
        }
        let tw = (node as *const u8).wrapping_sub(offset!(skc_nulls_node) as usize);
        if let Some(tw) = ProbedSock::new(tw)
            && is_of(tw, hash, cookie)
        {
            return Some(describe(tw));
        }
        node = Probed::load(node as *const u8, 0);
    }
    None
}

/// Whether the node is the mini-socket of this connection: by the hash of its namespace and both ends (`inet_ehashfn`), all
/// 32 bits of it where the chain goes by the last few, and by cookie. A socket that nobody asked for its cookie has none, and
/// its mini-socket has none for good.
#[inline(always)]
fn is_of(tw: ProbedSock, hash: u32, cookie: u64) -> bool {
    if tw.state() != TCP_TIME_WAIT || tw.hash() != hash {
        return false;
    }
    let of_tw = tw.cookie_now();
    cookie == 0 || of_tw == 0 || of_tw == cookie
}

/// A mini-socket's timer and substate.
#[inline(always)]
pub fn describe<A: Access>(tw: Sock<A>) -> Mini {
    Mini {
        address: tw.address(),
        expires: tw.load(offset!(tw_expires)),
        // SAFETY: takes nothing and cannot fail.
        jiffies: unsafe { bpf_jiffies64() },
        substate: u32::from(tw.load::<u8>(offset!(tw_substate))),
        touch: touch::NONE,
    }
}
