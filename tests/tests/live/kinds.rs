//! Sockets of unusual kinds, and exact counts of payload.

use std::{fs, net::SocketAddr};

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use tcplife_tests::{
    actor::{Actor, Ends, Handle},
    lab::Lab,
    namespace::{Family, Namespace},
    pair::Pair,
    record::Record,
    verdict::Expected,
};

use crate::common::{
    CLIENT_ACTIVE, CLIENT_ACTIVE_HELD, CLIENT_PASSIVE, SERVER_ACTIVE, SERVER_PASSIVE, listener_ends,
};

on_both_families! {
    connected_to_itself
    exact_bytes
    forced_syn_cookies
    port_used_again
}

/// A socket that connects to its own address: both ends are one socket, and both close at once.
fn connected_to_itself(family: Family) -> Result<()> {
    let lab = Lab::new(family)?;
    let mut client = lab.actor("narcissus")?;
    let socket = client.open(family.kind())?;
    client.on(socket, &format!("bind {}", family.loopback()))?;
    let (local, _) = client.names(socket)?;
    client.on(socket, &format!("connect {local}"))?;
    let ends = Ends { local, remote: local };
    client.close(socket)?;
    lab.reached(ends, "time_wait")?;
    let outcome = lab.finish()?;
    let path = "closed > syn_sent > syn_received > established > fin_wait_1 > closing > time_wait";
    outcome.check(ends, &Expected::client(&client, path, "both", "fin"))?;
    Ok(())
}

/// Payload is counted to the byte, both ways, and a FIN is no payload.
fn exact_bytes(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    pair.client.on(pair.near, "send 100001")?;
    pair.server.on(pair.far, "receive 100001")?;
    pair.server.on(pair.far, "send 77")?;
    pair.client.on(pair.near, "receive 77")?;
    pair.client.on(pair.near, "shutdown")?;
    pair.server.on(pair.far, "drain")?;
    pair.server.close(pair.far)?;
    pair.client.on(pair.near, "drain")?;
    pair.lab.reached(pair.ends, "time_wait")?;
    pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let outcome = pair.lab.finish()?;
    let client = Expected::client(&pair.client, CLIENT_ACTIVE_HELD, "local", "fin");
    let (_, life) = outcome.check(pair.ends, &client)?;
    ensure!((life.bytes_sent, life.bytes_received) == (Some(100_001), Some(77)), "{life:?}");
    let server = Expected::server(&pair.server, SERVER_PASSIVE, "remote", "fin");
    let (_, life) = outcome.check(pair.ends.turned(), &server)?;
    ensure!((life.bytes_sent, life.bytes_received) == (Some(77), Some(100_001)), "{life:?}");
    Ok(())
}

/// With SYN cookies there is no request in the kernel before the connection is open.
fn forced_syn_cookies(family: Family) -> Result<()> {
    let mut namespace = Namespace::new()?;
    namespace.sysctl("net/ipv4/tcp_syncookies", "2")?;
    let mut pair = Pair::open_in(Lab::with(family, namespace, &[])?)?;
    pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    pair.lab.reached(pair.ends.turned(), "close_wait")?;
    pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let outcome = pair.lab.finish()?;
    outcome.check(pair.ends, &Expected::client(&pair.client, CLIENT_ACTIVE, "local", "fin"))?;
    outcome.check(pair.ends.turned(), &Expected::server(&pair.server, SERVER_PASSIVE, "remote", "fin"))?;
    Ok(())
}

/// The same addresses and ports again, one connection after the other: two connections.
fn port_used_again(family: Family) -> Result<()> {
    let lab = Lab::new(family)?;
    let (mut server, mut client) = (lab.actor("server")?, lab.actor("client")?);
    let (listener, at) = server.listen(family.loopback())?;
    let mut from = family.loopback();
    for turn in 1..=2 {
        let near = client.open(family.kind())?;
        client.on(near, &format!("bind {from}"))?;
        client.on(near, &format!("connect {at}"))?;
        from = client.names(near)?.0;
        let (far, ends) = server.accept(listener)?;
        // The server's end keeps TIME_WAIT, so that the client's port is free at once.
        server.close(far)?;
        client.on(near, "drain")?;
        client.close(near)?;
        let gone = |record: &&Record| {
            matches!(record, Record::Life(life)
                if life.connection.is_between(ends.turned()))
        };
        lab.lives.wait_for("the client's life", |records| {
            (records.iter().filter(gone).count() == turn).then_some(())
        })?;
    }
    let outcome = lab.finish()?;
    let ends = Ends { local: from, remote: at };
    ensure!(outcome.lives(ends).len() == 2, "{:?}", outcome.lives(ends));
    let (near, far) = (outcome.stories(ends), outcome.stories(ends.turned()));
    ensure!(near.iter().all(|s| s.path() == CLIENT_PASSIVE) && near.len() == 2, "{near:?}");
    // The first one's TIME_WAIT ended when the second one came; whether that is told depends on the hooks.
    let told = SERVER_ACTIVE.trim_end_matches(" > ~time_wait");
    ensure!(far.iter().all(|s| s.path().starts_with(told)) && far.len() == 2, "{far:?}");
    Ok(())
}

/// An IPv4 client of a listener on `::` is IPv4, on both ends.
#[test]
fn ipv4_client_of_an_ipv6_listener() -> Result<()> {
    client_of_an_ipv6_listener(&[])
}

/// The listener is IPv6 and not asked for; it is known all the same, for it tells whose the server's end is.
#[test]
fn ipv4_client_of_an_ipv6_listener_with_ipv4_only() -> Result<()> {
    client_of_an_ipv6_listener(&["-4"])
}

fn client_of_an_ipv6_listener(more: &[&str]) -> Result<()> {
    let lab = Lab::with(Family::V4, Namespace::new()?, more)?;
    let (mut server, mut client) = (lab.actor("server")?, lab.actor("client")?);
    let (listener, any) = server.listen("[::]:0".parse()?)?;
    let at = SocketAddr::new(Family::V4.loopback().ip(), any.port());
    mapped(lab, (&mut server, listener), &mut client, at)
}

/// Clients of both families at a listener on `::`, of which one is asked for: the other's family is known to no one when its connection
/// comes in on some kernels, and it is not there all the same.
#[test]
fn the_other_family_at_an_ipv6_listener_is_left_out() -> Result<()> {
    for (only, wanted, other) in [("-4", Family::V4, Family::V6), ("-6", Family::V6, Family::V4)] {
        let lab = Lab::with(wanted, Namespace::new()?, &[only])?;
        let (mut server, mut client) = (lab.actor("server")?, lab.actor("client")?);
        let (listener, any) = server.listen("[::]:0".parse()?)?;
        let mut last = None;
        for family in [other, other, wanted] {
            let at = SocketAddr::new(family.loopback().ip(), any.port());
            let (near, ends) = client.connect(at)?;
            let (far, _) = server.accept(listener)?;
            server.close(far)?;
            client.on(near, "drain")?;
            client.close(near)?;
            last = Some(ends);
        }
        let ends = last.context("no connection")?;
        lab.reached(ends, "closed")?;
        // Without a loss, by mistake or not.
        let outcome = lab.finish()?;
        let told: Vec<_> = outcome.trace.records.iter().filter_map(Record::connection).collect();
        ensure!(told.iter().any(|c| c.is_between(ends)), "{only}: {told:?}");
        ensure!(told.iter().all(|c| c.family == wanted.name()), "{only}: {told:?}");
        ensure!(outcome.lives.records.len() == 2, "{only}: {:?}", outcome.lives.records);
    }
    Ok(())
}

/// An IPv6 socket that connects to an IPv4-mapped address is IPv4.
#[test]
fn ipv4_mapped_client() -> Result<()> {
    let lab = Lab::new(Family::V4)?;
    let (mut server, mut client) = (lab.actor("server")?, lab.actor("client")?);
    let (listener, at) = server.listen(Family::V4.loopback())?;
    let mapped_at = format!("[::ffff:127.0.0.1]:{}", at.port()).parse()?;
    mapped(lab, (&mut server, listener), &mut client, mapped_at)
}

fn mapped(
    lab: Lab,
    (server, listener): (&mut Actor, Handle),
    client: &mut Actor,
    at: SocketAddr,
) -> Result<()> {
    let (near, ends) = client.connect(at)?;
    let (far, _) = server.accept(listener)?;
    client.close(near)?;
    lab.reached(ends, "fin_wait_2")?;
    lab.reached(ends.turned(), "close_wait")?;
    server.close(far)?;
    lab.reached(ends.turned(), "closed")?;
    let outcome = lab.finish()?;
    let (near, _) = outcome.check(ends, &Expected::client(client, CLIENT_ACTIVE, "local", "fin"))?;
    let expected = Expected::server(server, SERVER_PASSIVE, "remote", "fin");
    let (far, _) = outcome.check(ends.turned(), &expected)?;
    for step in near.moves.iter().chain(&far.moves) {
        ensure!(step.connection.family == "ipv4", "{step:?}");
    }
    for step in &far.moves {
        let owner = step.connection.owner.as_ref();
        ensure!(owner.is_some_and(|owner| owner.pid == server.pid()), "whose is it? {step:?}");
    }
    Ok(())
}

/// A server that listens for Multipath TCP, and a client.
struct Mptcp {
    lab: Lab,
    server: Actor,
    client: Actor,
    listener: Handle,
    at: SocketAddr,
}

/// Whether the kernel has Multipath TCP. What is not there cannot be shown wrongly; that it is not there is checked.
pub(crate) fn has_mptcp() -> Result<bool> {
    let has = fs::exists("/proc/sys/net/mptcp/enabled")?;
    if !has {
        // 5.10 as Debian builds it, for one.
        let mut server = Namespace::new()?.actor("server")?;
        server.fails("open mptcp", Errno::PROTONOSUPPORT)?;
        eprintln!("this kernel has no MPTCP");
    }
    Ok(has)
}

/// Begins to listen for Multipath TCP, if the kernel has it.
fn mptcp_lab() -> Result<Option<Mptcp>> {
    if !has_mptcp()? {
        return Ok(None);
    }
    let lab = Lab::new(Family::V4)?;
    let (mut server, client) = (lab.actor("server")?, lab.actor("client")?);
    let listener = server.open("mptcp")?;
    let at = server.listen_with(listener, Family::V4.loopback(), 8)?;
    Ok(Some(Mptcp { lab, server, client, listener, at }))
}

/// A TCP client of a server that listens for MPTCP, as Go's do: the server's mini-socket is the MPTCP listener's kind, and is listed
/// as any other.
#[test]
fn tcp_client_of_an_mptcp_listener() -> Result<()> {
    let Some(Mptcp { lab, mut server, mut client, listener, at }) = mptcp_lab()? else { return Ok(()) };
    let (near, ends) = client.connect(at)?;
    let (far, _) = server.accept(listener)?;
    server.close(far)?;
    client.on(near, "drain")?;
    client.close(near)?;
    lab.reached(ends.turned(), "time_wait")?;
    // Ends with a look at all sockets: what is not listed has ended.
    let outcome = lab.finish()?;
    let path = outcome.story(ends.turned())?.path();
    ensure!(path.ends_with("fin_wait_1 > fin_wait_2 > time_wait"), "{path}");
    Ok(())
}

/// Multipath TCP: the subflow is a TCP connection and is shown once; the socket above it, which the kernel reports by
/// the same tracepoint, is none.
#[test]
fn mptcp() -> Result<()> {
    let Some(Mptcp { lab, mut server, mut client, listener, at }) = mptcp_lab()? else { return Ok(()) };
    let near = client.open("mptcp")?;
    client.on(near, &format!("connect {at}"))?;
    let ends = client.ends(near)?;
    let (far, _) = server.accept(listener)?;
    client.on(near, "send 10")?;
    server.on(far, "receive 10")?;
    client.close(near)?;
    server.on(far, "drain")?;
    server.close(far)?;
    server.close(listener)?;
    for ends in [ends, ends.turned()] {
        lab.lives.wait_for("both lives", |records| {
            let mut all = records.iter().filter_map(|r| r.connection());
            all.find(|c| c.is_between(ends)).map(|_| ())
        })?;
    }
    lab.reached(listener_ends(at), "closed")?;
    let outcome = lab.finish()?;
    ensure!(outcome.lives.records.len() == 2, "{:?}", outcome.lives.records);
    for ends in [ends, ends.turned(), listener_ends(at)] {
        outcome.story(ends)?;
    }
    let ids: std::collections::BTreeSet<_> =
        outcome.trace.records.iter().filter_map(|r| Some(&r.connection()?.id)).collect();
    ensure!(ids.len() == 3, "{} connections and listeners: {:?}", ids.len(), outcome.trace.records);
    Ok(())
}
