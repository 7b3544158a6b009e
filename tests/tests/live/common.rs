//! The ways that connections go, state by state, and other words that the tests share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use tcplife_tests::{actor::Ends, lab::Lab};

/// A client that closes first and lets go at once: a timewait mini-socket has it from `FIN_WAIT_2` on.
pub(crate) const CLIENT_ACTIVE: &str =
    "closed > syn_sent > established > fin_wait_1 > fin_wait_2 > ~time_wait";
/// A client that shuts down first and is cut while it waits for the other end's FIN.
pub(crate) const CLIENT_ACTIVE_CUT: &str =
    "closed > syn_sent > established > fin_wait_1 > fin_wait_2 > closed";
/// A client that shuts down first and holds the socket until the other end has closed.
pub(crate) const CLIENT_ACTIVE_HELD: &str =
    "closed > syn_sent > established > fin_wait_1 > fin_wait_2 > time_wait";
/// A client that closes after the server.
pub(crate) const CLIENT_PASSIVE: &str = "closed > syn_sent > established > close_wait > last_ack > closed";
/// A client whose connection is cut.
pub(crate) const CLIENT_CUT: &str = "closed > syn_sent > established > closed";
/// A client that closes first and is sent something that it is not going to read.
pub(crate) const CLIENT_CLOSED_CUT: &str = "closed > syn_sent > established > fin_wait_1 > closed";
/// A client that is not let in.
pub(crate) const CLIENT_NOWHERE: &str = "closed > syn_sent > closed";
/// A server that closes first and lets go at once; see [`CLIENT_ACTIVE`].
pub(crate) const SERVER_ACTIVE: &str =
    "listen > syn_received > established > fin_wait_1 > fin_wait_2 > ~time_wait";
/// A server that shuts down first and holds the socket until the other end has closed.
pub(crate) const SERVER_ACTIVE_HELD: &str =
    "listen > syn_received > established > fin_wait_1 > fin_wait_2 > time_wait";
/// A server that closes after the client.
pub(crate) const SERVER_PASSIVE: &str =
    "listen > syn_received > established > close_wait > last_ack > closed";
/// A server whose connection is cut.
pub(crate) const SERVER_CUT: &str = "listen > syn_received > established > closed";
/// A server whose connection is cut after the client has shut down.
pub(crate) const SERVER_CUT_LATE: &str = "listen > syn_received > established > close_wait > closed";
/// A listener from its beginning to its end.
pub(crate) const LISTENER: &str = "closed > listen > closed";

/// How a listener at `at` is shown.
pub(crate) fn listener_ends(at: SocketAddr) -> Ends {
    let nobody = match at.ip().to_canonical() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    Ends { local: at, remote: SocketAddr::new(nobody, 0) }
}

/// The address of the one end that has spoken to `remote`: of a client that has no socket left to ask.
pub(crate) fn client_of(lab: &Lab, remote: SocketAddr) -> Result<SocketAddr> {
    lab.trace.wait_for("the client's end", |records| {
        let mut ends = records.iter().filter_map(|r| Some(r.connection()?.ends()));
        ends.find(|ends| ends.remote == remote && ends.local.port() != 0).map(|ends| ends.local)
    })
}
