//! The network namespace that this process is in.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::{fd::AsFd, unix::fs::MetadataExt},
};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};

use crate::bad;

const AF_NETLINK: i32 = 16;
const NETLINK_ROUTE: i32 = 0;
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST_ACK: u16 = 0x1 | 0x4;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;
/// The loopback device is the first of every namespace.
const LO: i32 = 1;

/// Does what `words` say.
pub(crate) fn perform(words: &[&str]) -> io::Result<String> {
    match words {
        ["unshare"] => {
            unshare()?;
            Ok(fs::metadata("/proc/self/ns/net")?.ino().to_string())
        }
        ["netns", path] => enter(path).map(|()| String::new()),
        ["lo", "up"] => set_lo(IFF_UP),
        ["lo", "down"] => set_lo(0),
        ["table"] => table(),
        ["sysctl", key, value @ ..] => {
            fs::write(format!("/proc/sys/{key}"), value.join(" "))?;
            Ok(String::new())
        }
        _ => Err(bad("unknown command")),
    }
}

/// Goes into the network namespace that `path` names.
pub(crate) fn enter(path: &str) -> io::Result<()> {
    let namespace = File::open(path)?;
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

#[expect(
    deprecated,
    reason = "the successor is unsafe because of UnshareFlags::FILES, which is not used here"
)]
fn unshare() -> io::Result<()> {
    Ok(rustix::thread::unshare(UnshareFlags::NEWNET)?)
}

/// The kernel's TCP sockets here, listeners and mini-sockets included: `LOCAL REMOTE STATE;..` as in /proc/net/tcp.
fn table() -> io::Result<String> {
    let mut sockets = Vec::new();
    for file in ["tcp", "tcp6"] {
        for line in fs::read_to_string(format!("/proc/thread-self/net/{file}"))?.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().skip(1).take(3).collect();
            sockets.push(words.join(" "));
        }
    }
    Ok(sockets.join(";"))
}

/// `ip link set lo up` (or down), without the program: `struct nlmsghdr`, `struct ifinfomsg`.
fn set_lo(flags: u32) -> io::Result<String> {
    let mut message = Vec::with_capacity(32);
    message.extend_from_slice(&32u32.to_ne_bytes());
    message.extend_from_slice(&RTM_NEWLINK.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend_from_slice(&[0; 8]); // sequence, port
    message.extend_from_slice(&[0; 4]); // family, device type
    message.extend_from_slice(&LO.to_ne_bytes());
    message.extend_from_slice(&flags.to_ne_bytes());
    message.extend_from_slice(&IFF_UP.to_ne_bytes()); // which flags change
    let mut socket =
        Socket::new(Domain::from(AF_NETLINK), Type::from(3), Some(Protocol::from(NETLINK_ROUTE)))?;
    socket.write_all(&message)?;
    let mut reply = [0; 256];
    let length = socket.read(&mut reply)?;
    acknowledged(reply.get(..length).unwrap_or_default())
}

/// `struct nlmsgerr`: 0, or an errno below 0.
pub(crate) fn acknowledged(reply: &[u8]) -> io::Result<String> {
    let kind = reply.get(4..6).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
    let error = reply.get(16..20).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, error) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(String::new()),
        (Some(NLMSG_ERROR), Some(error)) => Err(io::Error::from_raw_os_error(-error)),
        _ => Err(bad("netlink gave no acknowledgement")),
    }
}
