//! The messages of `sock_diag` about TCP sockets (include/uapi/linux/{netlink,sock_diag,inet_diag,tcp}.h).
//!
//! What comes in: the bytes of a reply. What goes out: sockets as a dump finds them. What always holds: a short or
//! strange message is an error, never a wrong socket.

use std::net::Ipv4Addr;

use tcplife_common::wire::{Found, Gauge, Head, Stats, Tuple, flag, kind, mark};

use crate::source::dump::StateMask;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const IPPROTO_TCP: u8 = 6;
const INET_DIAG_INFO: u16 = 2;

pub const AF_INET: u8 = 2;
pub const AF_INET6: u8 = 10;
const TCP_FIN_WAIT2: u8 = 5;
const TCP_TIME_WAIT: u8 = 6;
const TCP_LISTEN: u8 = 10;

/// `idiag_timer` of a mini-socket, and of a running keepalive timer.
const TIMER_KEEPALIVE: u8 = 2;
const TIMER_TIME_WAIT: u8 = 3;

/// `sizeof(struct nlmsghdr)`.
const HEADER: usize = 16;
/// `sizeof(struct inet_diag_req_v2)`.
const REQUEST: usize = 56;
/// `sizeof(struct inet_diag_msg)`.
const MESSAGE: usize = 72;

/// Ticks a second of the clocks made here: `sock_diag` tells times in milliseconds.
pub const HZ: u32 = 1_000;
/// The present jiffy of those clocks; the kernel's own are not told.
const JIFFIES: u32 = 1 << 31;

/// Asks for the sockets of a family that are in one of the states.
pub fn request(family: u8, states: StateMask) -> Vec<u8> {
    let mut bytes = vec![0; HEADER + REQUEST];
    let length = u32::try_from(bytes.len()).unwrap_or(0);
    bytes[0..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes[HEADER] = family;
    bytes[HEADER + 1] = IPPROTO_TCP;
    bytes[HEADER + 2] = 1 << (INET_DIAG_INFO - 1);
    bytes[HEADER + 4..HEADER + 8].copy_from_slice(&(states & 0xffff).to_ne_bytes());
    bytes
}

/// A socket, and the inode of its file; 0 for none.
pub struct Listed {
    pub found: Found,
    pub inode: u32,
}

/// What a reply came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// There is more.
    More,
    /// That was all.
    Done,
    /// The kernel refused, with this error number.
    Refused(i32),
}

/// Takes what was received at once. `None` if it is not what the kernel would send.
pub fn take(mut bytes: &[u8], now: u64, netns: u32, each: &mut impl FnMut(Listed)) -> Option<Reply> {
    while !bytes.is_empty() {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let message = bytes.get(HEADER..length)?;
        match u16_at(bytes, 4)? {
            // Why a dump ended may stand in its end too (`netlink_dump_done`): no handler for TCP, for one.
            kind @ (NLMSG_DONE | NLMSG_ERROR) => {
                let error = i32::from_ne_bytes(*message.first_chunk()?);
                if kind == NLMSG_DONE && error >= 0 {
                    return Some(Reply::Done);
                }
                return Some(Reply::Refused(error.unsigned_abs().try_into().unwrap_or(i32::MAX)));
            }
            SOCK_DIAG_BY_FAMILY => each(listed(message, now, netns)?),
            _ => {}
        }
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
    }
    Some(Reply::More)
}

/// One `struct inet_diag_msg` and its attributes.
fn listed(message: &[u8], now: u64, netns: u32) -> Option<Listed> {
    let [family, state, clock] = [*message.first()?, *message.get(1)?, *message.get(2)?];
    let attributes = message.get(MESSAGE..)?;
    let cookie = u64::from(u32_at(message, 44)?) | u64::from(u32_at(message, 48)?) << 32;
    let (expires, inode) = (u32_at(message, 52)?, u32_at(message, 68)?);
    let is_mini = clock == TIMER_TIME_WAIT;
    let mut flags = if inode == 0 { flag::ORPHAN } else { 0 };
    if is_mini {
        flags |= flag::MINI | flag::ORPHAN;
    }
    let kernel_state = if is_mini { TCP_TIME_WAIT } else { state };
    let found = Found {
        head: Head {
            kind: kind::FOUND,
            old: state,
            new: kernel_state,
            flags,
            netns,
            time_ns: now,
            // The address is not told; the cookie is one socket's alone.
            sock: cookie,
            cookie,
        },
        tuple: tuple(message, family)?,
        ..Found::default()
    };
    // That of an orphan in FIN_WAIT_2 is its end's (tcp_rcv_state_process).
    let has_keepalive = clock == TIMER_KEEPALIVE && (state != TCP_FIN_WAIT2 || inode != 0);
    let gauge = Gauge {
        jiffies: u64::from(JIFFIES),
        expires: u64::from(JIFFIES) + u64::from(expires),
        recv_queue: u32_at(message, 56)?,
        send_queue: u32_at(message, 60)?,
        marks: if has_keepalive { mark::KEEPALIVE } else { 0 },
        ..Gauge::default()
    };
    let (gauge, figures) = match attribute(attributes, INET_DIAG_INFO) {
        Some(info) if !is_mini && state != TCP_LISTEN => clocks(info, gauge)?,
        _ => (gauge, Stats::default()),
    };
    Some(Listed { found: Found { gauge, stats: figures, ..found }, inode })
}

/// What `struct tcp_info` tells of the socket's clocks and bytes.
fn clocks(info: &[u8], gauge: Gauge) -> Option<(Gauge, Stats)> {
    let at = |offset| Some(JIFFIES.wrapping_sub(u32_at(info, offset)?));
    let gauge = Gauge { last_sent: at(44)?, last_data: at(52)?, last_ack: at(56)?, ..gauge };
    // Segments with data that went out; their bytes are told by later kernels only.
    let sent = u32_at(info, 156)?;
    let stats = Stats { bytes_sent: u64::from(sent), bytes_received: u64_at(info, 128)?, ..Stats::default() };
    Some((gauge, stats))
}

fn tuple(message: &[u8], family: u8) -> Option<Tuple> {
    let address = |at: usize| -> Option<[u8; 16]> {
        let bytes = message.get(at..)?;
        Some(match family {
            AF_INET => Ipv4Addr::from(*bytes.first_chunk::<4>()?).to_ipv6_mapped().octets(),
            _ => *bytes.first_chunk()?,
        })
    };
    let port = |at: usize| Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?));
    Some(Tuple {
        local: address(8)?,
        remote: address(24)?,
        local_port: port(4)?,
        remote_port: port(6)?,
        err: 0,
        family: u16::from(family),
    })
}

/// The payload of the first attribute of a kind.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16_at(bytes, 0)?);
        let payload = bytes.get(4..length)?;
        if u16_at(bytes, 2)? == wanted {
            return Some(payload);
        }
        bytes = bytes.get(aligned(length)..)?;
    }
}

const fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(bytes: &mut [u8], at: usize, value: u32) {
        bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    /// A reply about one IPv4 socket with a `tcp_info`.
    fn reply(state: u8, timer: u8, inode: u32) -> Vec<u8> {
        let mut message = vec![0; MESSAGE];
        (message[0], message[1], message[2]) = (AF_INET, state, timer);
        message[4..8].copy_from_slice(&[0, 80, 0x1f, 0x90]);
        message[8..12].copy_from_slice(&[10, 0, 0, 1]);
        message[24..28].copy_from_slice(&[10, 0, 0, 2]);
        for (at, value) in [(44, 7), (48, 1), (52, 5_000), (56, 3), (60, 4), (68, inode)] {
            put(&mut message, at, value);
        }
        let mut info = vec![0; 240];
        for (at, value) in [(44, 1_000), (52, 2_000), (56, 3_000), (128, 9), (156, 2)] {
            put(&mut info, at, value);
        }
        let mut bytes = vec![0; HEADER];
        bytes.extend(message);
        bytes.extend([8_u8, 0, 9, 0, 0, 0, 0, 0]);
        bytes.extend(u16::try_from(info.len() + 4).unwrap().to_ne_bytes());
        bytes.extend(INET_DIAG_INFO.to_ne_bytes());
        bytes.extend(info);
        let length = u32::try_from(bytes.len()).unwrap();
        put(&mut bytes, 0, length);
        bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes
    }

    fn one(bytes: &[u8]) -> Listed {
        let mut all = Vec::new();
        assert_eq!(take(bytes, 99, 7, &mut |listed| all.push(listed)), Some(Reply::More));
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn a_socket_is_told_whole() {
        let Listed { found, inode } = one(&reply(8, 0, 4242));
        assert_eq!((inode, found.head.netns, found.head.time_ns), (4242, 7, 99));
        assert_eq!((found.head.old, found.head.new, found.head.flags), (8, 8, 0));
        assert_eq!(found.head.cookie, 1 << 32 | 7);
        assert_eq!((found.tuple.local_port, found.tuple.remote_port), (80, 8080));
        assert_eq!(found.tuple.remote, Ipv4Addr::new(10, 0, 0, 2).to_ipv6_mapped().octets());
        assert_eq!((found.gauge.recv_queue, found.gauge.send_queue), (3, 4));
        assert_eq!(found.gauge.last_sent, JIFFIES - 1_000);
        assert_eq!((found.stats.bytes_sent, found.stats.bytes_received), (2, 9));
    }

    #[test]
    fn without_a_file_nobody_has_a_handle() {
        assert_eq!(one(&reply(8, 0, 0)).found.head.flags, flag::ORPHAN);
    }

    #[test]
    fn a_mini_socket_has_its_timer() {
        let found = one(&reply(5, TIMER_TIME_WAIT, 0)).found;
        assert_eq!(found.head.flags, flag::MINI | flag::ORPHAN);
        assert_eq!((found.head.old, found.head.new), (5, TCP_TIME_WAIT));
        assert_eq!(found.gauge.expires - found.gauge.jiffies, 5_000);
    }

    /// The timer of an orphan in `FIN_WAIT_2` has the same number, and is its end's.
    #[test]
    fn a_keepalive_timer_is_one_of_a_socket_that_somebody_has() {
        let has = |state: u8, inode: u32| {
            one(&reply(state, TIMER_KEEPALIVE, inode)).found.gauge.marks == mark::KEEPALIVE
        };
        assert_eq!([has(8, 4242), has(TCP_FIN_WAIT2, 4242), has(TCP_FIN_WAIT2, 0)], [true, true, false]);
    }

    #[test]
    fn the_end_and_a_refusal_are_told() {
        let mut none = |_: Listed| panic!("no socket");
        let mut done = vec![0; 20];
        put(&mut done, 0, 20);
        done[4] = 3;
        assert_eq!(take(&done, 0, 0, &mut none), Some(Reply::Done));
        let mut refused = done.clone();
        refused[4] = 2;
        put(&mut refused, HEADER, 13_u32.wrapping_neg());
        assert_eq!(take(&refused, 0, 0, &mut none), Some(Reply::Refused(13)));
        // No handler for TCP: ENOENT in the end of the dump.
        put(&mut done, HEADER, 2_u32.wrapping_neg());
        assert_eq!(take(&done, 0, 0, &mut none), Some(Reply::Refused(2)));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = take(&bytes, 0, 0, &mut |_| {});
        }

        #[test]
        fn a_cut_reply_is_no_socket(length in 0..HEADER + MESSAGE) {
            let whole = reply(8, 0, 1);
            let mut seen = 0;
            let outcome = take(&whole[..length], 0, 0, &mut |_| seen += 1);
            prop_assert!(seen == 0 && (outcome.is_none() || length == 0));
        }
    }
}
