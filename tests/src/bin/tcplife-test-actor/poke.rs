//! A segment that no connection sent.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::bad;

const ACK: u8 = 0x10;
/// Length of a TCP header, in bytes and as it says itself.
const LENGTH: u8 = 20;
const OFFSET: u8 = (LENGTH / 4) << 4;
const TCP: u8 = 6;

/// Sends a bare ACK far out of any window. A socket in `TIME_WAIT` answers it with an ACK, which the other end's host,
/// where there is no connection any more, answers with a reset that fits (RFC 1337).
pub(crate) fn segment(from: SocketAddr, to: SocketAddr) -> io::Result<String> {
    let mut segment = Vec::with_capacity(usize::from(LENGTH));
    segment.extend(from.port().to_be_bytes());
    segment.extend(to.port().to_be_bytes());
    segment.extend([0; 8]); // sequence number, acknowledged number
    segment.extend([OFFSET, ACK, 0, 0]);
    segment.extend([0; 4]); // checksum, urgent pointer
    let sum = checksum(&[pseudo_header(from.ip(), to.ip())?, segment.clone()].concat());
    segment.splice(16..18, sum.to_be_bytes());
    let domain = if to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::TCP))?;
    socket.bind(&SockAddr::from(SocketAddr::new(from.ip(), 0)))?;
    socket.send_to(&segment, &SockAddr::from(SocketAddr::new(to.ip(), 0)))?;
    Ok(String::new())
}

fn pseudo_header(from: IpAddr, to: IpAddr) -> io::Result<Vec<u8>> {
    let addresses = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
        (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
        _ => return Err(bad("two families")),
    };
    Ok([addresses.as_slice(), &[0, 0, 0, LENGTH, 0, 0, 0, TCP]].concat())
}

/// RFC 1071. The words of zero in the pseudo-header make both families' forms one.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}
