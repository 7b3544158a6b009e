//! The two ends of a connection: addresses and ports.
//!
//! What comes in: tuples of records, more complete ones over time. What goes out: the ends as the kernel names them, and
//! as they are shown. What always holds: a known address or port is never replaced by an unknown one.

use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tcplife_common::wire;

/// Both ends of a connection, as on the wire between kernel and agent: IPv4 as IPv4-mapped IPv6, ports in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Local address.
    pub local: [u8; 16],
    /// Remote address.
    pub remote: [u8; 16],
    /// Local port; 0 while none is bound.
    pub local_port: u16,
    /// Remote port; 0 for listeners.
    pub remote_port: u16,
}

/// By words: an array is hashed with its length, and byte by byte.
impl Hash for Ends {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u128(u128::from_ne_bytes(self.local));
        hasher.write_u128(u128::from_ne_bytes(self.remote));
        hasher.write_u32(u32::from(self.local_port) << 16 | u32::from(self.remote_port));
    }
}

const V4_ANY: [u8; 16] = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets();

/// Whether an address is `::` or `0.0.0.0`.
pub(crate) fn is_any(address: &[u8; 16]) -> bool {
    *address == [0; 16] || *address == V4_ANY
}

impl Ends {
    /// The addresses and ports of a record.
    pub const fn of(tuple: &wire::Tuple) -> Self {
        Self {
            local: tuple.local,
            remote: tuple.remote,
            local_port: tuple.local_port,
            remote_port: tuple.remote_port,
        }
    }

    /// Whether all is known: such a tuple names one connection of its namespace.
    pub(crate) fn is_whole(&self) -> bool {
        self.local_port != 0 && self.remote_port != 0 && !is_any(&self.local) && !is_any(&self.remote)
    }

    /// Whether the connection is IPv4, be the socket's family what it may.
    pub fn is_ipv4(&self) -> bool {
        let mapped = |address: [u8; 16]| Ipv6Addr::from(address).to_ipv4_mapped().is_some();
        mapped(self.remote) || mapped(self.local)
    }

    /// How closely the local address of a listener on the same port matches, the more the closer; `None` if it does not. As
    /// the kernel chooses (`compute_score` of `inet_lookup_listener`): its own address, `0.0.0.0`, `::`.
    pub(crate) fn match_of_listener(&self, listener: &[u8; 16]) -> Option<u8> {
        match *listener {
            address if address == self.local => Some(3),
            V4_ANY if self.is_ipv4() => Some(2),
            address if address == [0; 16] => Some(1),
            _ => None,
        }
    }

    /// Whether both know an address or a port and differ in it: they are not of the same connection.
    pub(crate) fn contradicts(&self, other: &Self) -> bool {
        let ports = |a: u16, b: u16| a != b && a != 0 && b != 0;
        let addresses = |a: &[u8; 16], b: &[u8; 16]| a != b && !is_any(a) && !is_any(b);
        ports(self.remote_port, other.remote_port)
            || ports(self.local_port, other.local_port)
            || addresses(&self.remote, &other.remote)
            || addresses(&self.local, &other.local)
    }

    /// Takes over what `newer` knows.
    pub(crate) fn learn(&mut self, newer: &Self) {
        if self == newer {
            return;
        }
        if !is_any(&newer.local) || self.local == [0; 16] {
            self.local = newer.local;
        }
        if !is_any(&newer.remote) || self.remote == [0; 16] {
            self.remote = newer.remote;
        }
        if newer.local_port != 0 {
            self.local_port = newer.local_port;
        }
        if newer.remote_port != 0 {
            self.remote_port = newer.remote_port;
        }
    }

    fn shown(&self, address: [u8; 16], port: u16) -> SocketAddr {
        let address = match Ipv6Addr::from(address).to_canonical() {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) if self.is_ipv4() => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            address => address,
        };
        SocketAddr::new(address, port)
    }

    /// The local end; a mapped address as IPv4.
    pub fn local_addr(&self) -> SocketAddr {
        self.shown(self.local, self.local_port)
    }

    /// The remote end; a mapped address as IPv4.
    pub fn remote_addr(&self) -> SocketAddr {
        self.shown(self.remote, self.remote_port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(local: &str, remote: &str) -> Ends {
        let end = |text: &str| -> ([u8; 16], u16) {
            let address: SocketAddr = text.parse().unwrap();
            let ip = match address.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            (ip.octets(), address.port())
        };
        let ((local, local_port), (remote, remote_port)) = (end(local), end(remote));
        Ends { local, remote, local_port, remote_port }
    }

    #[test]
    fn what_is_known_stays_known() {
        let mut known = ends("0.0.0.0:0", "10.0.0.2:80");
        known.learn(&ends("10.0.0.1:4000", "10.0.0.2:80"));
        assert_eq!(known, ends("10.0.0.1:4000", "10.0.0.2:80"));
        known.learn(&ends("0.0.0.0:4000", "[::]:0"));
        assert_eq!(known, ends("10.0.0.1:4000", "10.0.0.2:80"));
    }

    #[test]
    fn only_what_both_know_can_contradict() {
        let known = ends("10.0.0.1:4000", "10.0.0.2:80");
        assert!(!known.contradicts(&known));
        assert!(!known.contradicts(&Ends::default()));
        assert!(!known.contradicts(&ends("0.0.0.0:4000", "10.0.0.2:0")));
        assert!(known.contradicts(&ends("10.0.0.1:4001", "10.0.0.2:80")));
        assert!(known.contradicts(&ends("10.0.0.1:4000", "10.0.0.3:80")));
    }

    #[test]
    fn the_closest_listener_is_as_the_kernel_chooses() {
        let rank =
            |connection: &Ends, listener: &str| connection.match_of_listener(&ends(listener, "[::]:0").local);
        let ipv4 = ends("10.0.0.1:80", "10.0.0.2:4000");
        let order = ["10.0.0.1:80", "0.0.0.0:80", "[::]:80"].map(|listener| rank(&ipv4, listener));
        assert!(order.is_sorted_by(|closer, farther| closer > farther), "{order:?}");
        assert_eq!(rank(&ipv4, "10.0.0.3:80"), None);
        let ipv6 = ends("[fd00::1]:80", "[fd00::2]:4000");
        assert!(rank(&ipv6, "[fd00::1]:80") > rank(&ipv6, "[::]:80"));
        assert_eq!((rank(&ipv6, "0.0.0.0:80"), rank(&ipv6, "[fd00::3]:80")), (None, None));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let mapped = ends("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.2]:2");
        assert!(mapped.is_ipv4());
        assert_eq!(mapped.local_addr().to_string(), "10.0.0.1:1");
        let unbound = ends("[::]:0", "10.0.0.2:2");
        assert!(unbound.is_ipv4());
        assert_eq!(unbound.local_addr().to_string(), "0.0.0.0:0");
        assert!(!ends("[::]:80", "[::]:0").is_ipv4());
        assert_eq!(ends("[::1]:80", "[::1]:2").remote_addr().to_string(), "[::1]:2");
    }
}
