//! What `ss -K` does: has the kernel destroy a TCP socket of this network namespace.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::network::acknowledged;

const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DESTROY: u16 = 21;
const NLM_F_REQUEST_ACK: u16 = 0x1 | 0x4;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TCP: u8 = 6;
/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
const LENGTH: u32 = 16 + 56;

/// Destroys the socket with these ends.
pub(crate) fn socket(local: SocketAddr, remote: SocketAddr) -> io::Result<String> {
    let mut message = Vec::with_capacity(LENGTH as usize);
    message.extend_from_slice(&LENGTH.to_ne_bytes());
    message.extend_from_slice(&SOCK_DESTROY.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend_from_slice(&[0; 8]); // sequence, port
    message.extend_from_slice(&[if local.is_ipv4() { AF_INET } else { AF_INET6 }, TCP, 0, 0]);
    message.extend_from_slice(&u32::MAX.to_ne_bytes()); // in any state
    message.extend_from_slice(&local.port().to_be_bytes());
    message.extend_from_slice(&remote.port().to_be_bytes());
    message.extend_from_slice(&words(local.ip()));
    message.extend_from_slice(&words(remote.ip()));
    message.extend_from_slice(&[0; 4]); // any device
    message.extend_from_slice(&[0xff; 8]); // any cookie
    let mut socket =
        Socket::new(Domain::from(AF_NETLINK), Type::from(3), Some(Protocol::from(NETLINK_SOCK_DIAG)))?;
    socket.write_all(&message)?;
    let mut reply = [0; 256];
    let length = socket.read(&mut reply)?;
    acknowledged(reply.get(..length).unwrap_or_default())
}

/// An address in 16 bytes; of an IPv4 one the first four.
fn words(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let mut words = [0; 16];
            for (word, octet) in words.iter_mut().zip(address.octets()) {
                *word = octet;
            }
            words
        }
    }
}
