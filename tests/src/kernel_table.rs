//! The kernel's own table of TCP sockets in a network namespace: what tcplife is measured by.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::{Context, Result, bail, ensure};

use crate::actor::{Actor, Ends};

/// A socket of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSocket {
    /// Its addresses; IPv4-mapped ones as IPv4.
    pub ends: Ends,
    /// Its state as tcplife names it, a mini-socket's too; a request is in `syn_received`.
    pub state: &'static str,
}

/// Every TCP socket of the actor's network namespace.
///
/// # Errors
///
/// The kernel does not tell, or in another form.
pub fn sockets(actor: &mut Actor) -> Result<Vec<KernelSocket>> {
    let table = actor.call("table")?.answer;
    table
        .split(';')
        .filter(|line| !line.is_empty())
        .map(|line| socket(line).context(line.to_owned()))
        .collect()
}

/// How many sockets are in each state.
///
/// # Errors
///
/// As [`sockets`].
pub fn states(actor: &mut Actor) -> Result<BTreeMap<&'static str, u64>> {
    let mut states = BTreeMap::new();
    for socket in sockets(actor)? {
        *states.entry(socket.state).or_default() += 1;
    }
    Ok(states)
}

fn socket(line: &str) -> Result<KernelSocket> {
    let [local, remote, state] = *line.split(' ').collect::<Vec<_>>() else { bail!("not three words") };
    let ends = Ends { local: address(local)?, remote: address(remote)? }.plain();
    Ok(KernelSocket { ends, state: state_name(u8::from_str_radix(state, 16)?)? })
}

/// include/net/tcp_states.h
fn state_name(state: u8) -> Result<&'static str> {
    Ok(match state {
        1 => "established",
        2 => "syn_sent",
        3 | 12 => "syn_received",
        4 => "fin_wait_1",
        5 => "fin_wait_2",
        6 => "time_wait",
        7 => "closed",
        8 => "close_wait",
        9 => "last_ack",
        10 => "listen",
        11 => "closing",
        _ => bail!("no such state"),
    })
}

/// `ADDRESS:PORT` in hexadecimal, the address in words of this machine's byte order.
fn address(text: &str) -> Result<SocketAddr> {
    let (ip, port) = text.split_once(':').context("no port")?;
    let mut bytes = Vec::new();
    for word in ip.as_bytes().chunks(8) {
        bytes.extend(u32::from_str_radix(std::str::from_utf8(word)?, 16)?.to_ne_bytes());
    }
    let ip: IpAddr = match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes.as_slice()).map(Ipv4Addr::from)?.into(),
        n => {
            ensure!(n == 16, "{n} bytes");
            <[u8; 16]>::try_from(bytes.as_slice()).map(Ipv6Addr::from)?.into()
        }
    };
    Ok(SocketAddr::new(ip, u16::from_str_radix(port, 16)?))
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let seen = socket("0100007F:1F90 0200007F:0016 08").unwrap();
        assert_eq!(seen.ends.local, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(seen.ends.remote, "127.0.0.2:22".parse().unwrap());
        assert_eq!(seen.state, "close_wait");
        let seen =
            socket("0000000000000000FFFF00000100007F:0050 00000000000000000000000001000000:FFFF 06").unwrap();
        assert_eq!(seen.ends.local, "127.0.0.1:80".parse().unwrap());
        assert_eq!(seen.ends.remote, "[::1]:65535".parse().unwrap());
        assert!(socket("0100007F:1F90 0200007F:0016 FF").is_err() && socket("").is_err());
    }
}
