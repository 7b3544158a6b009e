//! Connections that both ends close in order.

use anyhow::{Result, bail, ensure};
use tcplife_tests::{
    lab::Lab,
    namespace::Family,
    pair::Pair,
    record::Record,
    verdict::{Expected, Story, ids},
};

use crate::common::{
    CLIENT_ACTIVE, CLIENT_ACTIVE_HELD, CLIENT_PASSIVE, LISTENER, SERVER_ACTIVE, SERVER_ACTIVE_HELD,
    SERVER_PASSIVE, listener_ends,
};
use crate::drops::check_count;

on_both_families! {
    active_close
    passive_close
    shutdown_then_close_after_the_peer
    shutdown_then_close_before_the_peer
    killed_server
    process_ends
    orphans_keep_their_namespace
    listener
    two_at_one_listener
}

until_seen_on_both_families! {
    one_closing
    retransmitted_fin
}

/// The client closes first. Each of its own moves is stamped within the call that made it.
fn active_close(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    let first = pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    pair.lab.reached(pair.ends.turned(), "close_wait")?;
    let second = pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let outcome = pair.lab.finish()?;
    let (story, _) =
        outcome.check(pair.ends, &Expected::client(&pair.client, CLIENT_ACTIVE, "local", "fin"))?;
    ensure!(first.contains(story.step("established", "fin_wait_1")?.mono_ns), "not when it closed");
    let (story, _) = outcome
        .check(pair.ends.turned(), &Expected::server(&pair.server, SERVER_PASSIVE, "remote", "fin"))?;
    ensure!(second.contains(story.step("close_wait", "last_ack")?.mono_ns), "not when it closed");
    Ok(())
}

/// The server closes first.
fn passive_close(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends, "close_wait")?;
    pair.lab.reached(pair.ends.turned(), "fin_wait_2")?;
    pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "closed")?;
    let outcome = pair.lab.finish()?;
    outcome.check(pair.ends, &Expected::client(&pair.client, CLIENT_PASSIVE, "remote", "fin"))?;
    let server = Expected::server(&pair.server, SERVER_ACTIVE, "local", "fin");
    outcome.check(pair.ends.turned(), &server)?;
    Ok(())
}

/// Both shut down while neither hears the other; then the client gets the server's FIN, which does not acknowledge
/// its own: CLOSING. The server gets the client's FIN, which does acknowledge its own: no CLOSING there.
fn one_closing(family: Family) -> Result<Option<()>> {
    let mut pair = Pair::open(family)?;
    pair.client.on(pair.near, "deaf")?;
    pair.server.on(pair.far, "deaf")?;
    pair.client.on(pair.near, "shutdown")?;
    pair.server.on(pair.far, "shutdown")?;
    pair.client.on(pair.near, "hear")?;
    pair.lab.reached_by_timer(pair.ends, "closing")?;
    pair.server.on(pair.far, "hear")?;
    pair.lab.reached_by_timer(pair.ends, "time_wait")?;
    pair.lab.reached_by_timer(pair.ends.turned(), "time_wait")?;
    pair.client.close(pair.near)?;
    pair.server.close(pair.far)?;
    let Some(outcome) = pair.lab.finish_after_timers()? else { return Ok(None) };
    let path = "closed > syn_sent > established > fin_wait_1 > closing > time_wait";
    let (_, life) = outcome.check(pair.ends, &Expected::client(&pair.client, path, "both", "fin"))?;
    ensure!(life.retransmits > 0, "the client's FIN was not sent again");
    let server = Expected::server(&pair.server, SERVER_ACTIVE_HELD, "local", "fin");
    let (_, life) = outcome.check(pair.ends.turned(), &server)?;
    ensure!(life.retransmits > 0, "the server's FIN was not sent again");
    Ok(Some(()))
}

/// The client shuts down, reads to the end and closes: `TIME_WAIT` while it still holds the socket.
fn shutdown_then_close_after_the_peer(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    let shut = pair.client.on(pair.near, "shutdown")?.span;
    pair.server.on(pair.far, "drain")?;
    pair.server.on(pair.far, "send 1000")?;
    pair.server.close(pair.far)?;
    let read: u64 = pair.client.on(pair.near, "drain")?.parse()?;
    ensure!(read == 1000, "{read} bytes arrived");
    pair.lab.reached(pair.ends, "time_wait")?;
    pair.client.close(pair.near)?;
    let outcome = pair.lab.finish()?;
    let client = Expected::client(&pair.client, CLIENT_ACTIVE_HELD, "local", "fin");
    let (story, life) = outcome.check(pair.ends, &client)?;
    ensure!(shut.contains(story.step("established", "fin_wait_1")?.mono_ns), "not when it shut down");
    ensure!((life.bytes_sent, life.bytes_received) == (Some(0), Some(1000)), "other bytes: {life:?}");
    outcome.check(pair.ends.turned(), &Expected::server(&pair.server, SERVER_PASSIVE, "remote", "fin"))?;
    Ok(())
}

/// The client shuts down, and closes while it waits for the server's FIN. The kernel reports `FIN_WAIT_2` -> `FIN_WAIT_2`
/// then; that is no move.
fn shutdown_then_close_before_the_peer(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    pair.client.on(pair.near, "shutdown")?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    pair.client.close(pair.near)?;
    pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let outcome = pair.lab.finish()?;
    outcome.check(pair.ends, &Expected::client(&pair.client, CLIENT_ACTIVE, "local", "fin"))?;
    outcome.check(pair.ends.turned(), &Expected::server(&pair.server, SERVER_PASSIVE, "remote", "fin"))?;
    Ok(())
}

/// `kill -9` of the server: the kernel closes for it.
fn killed_server(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    pair.server.kill()?;
    pair.lab.reached(pair.ends, "close_wait")?;
    pair.lab.reached(pair.ends.turned(), "fin_wait_2")?;
    pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "closed")?;
    let outcome = pair.lab.finish()?;
    outcome.check(pair.ends, &Expected::client(&pair.client, CLIENT_PASSIVE, "remote", "fin"))?;
    let server = Expected::server(&pair.server, SERVER_ACTIVE, "local", "fin");
    outcome.check(pair.ends.turned(), &server)?;
    Ok(())
}

/// The client ends without closing: the kernel closes for it.
fn process_ends(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    pair.client.kill()?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    pair.lab.reached(pair.ends.turned(), "close_wait")?;
    pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let outcome = pair.lab.finish()?;
    outcome.check(pair.ends, &Expected::client(&pair.client, CLIENT_ACTIVE, "local", "fin"))?;
    outcome.check(pair.ends.turned(), &Expected::server(&pair.server, SERVER_PASSIVE, "remote", "fin"))?;
    Ok(())
}

/// The client's FIN is lost at first, and sent again.
fn retransmitted_fin(family: Family) -> Result<Option<()>> {
    let mut pair = Pair::open(family)?;
    pair.server.on(pair.far, "deaf")?;
    pair.client.close(pair.near)?;
    let again = pair.lab.retransmitted(pair.ends)?;
    ensure!((again.state.as_str(), again.kind.as_str()) == ("fin_wait_1", "segment"), "{again:?}");
    pair.server.on(pair.far, "hear")?;
    pair.lab.reached_by_timer(pair.ends, "fin_wait_2")?;
    pair.lab.reached_by_timer(pair.ends.turned(), "close_wait")?;
    pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let Some(outcome) = pair.lab.finish_after_timers()? else { return Ok(None) };
    let client = Expected::client(&pair.client, CLIENT_ACTIVE, "local", "fin");
    let (story, life) = outcome.check(pair.ends, &client)?;
    ensure!(!story.retransmits.is_empty(), "nothing sent again");
    check_count(life, &story)?;
    let server = Expected::server(&pair.server, SERVER_PASSIVE, "remote", "fin");
    let (_, life) = outcome.check(pair.ends.turned(), &server)?;
    ensure!(life.retransmits == 0, "the server sent nothing again");
    Ok(Some(()))
}

/// Every process of a namespace ends while the server's end hears nothing: what is left there are orphans that send their FINs again,
/// and no way leads in any more. They have not ended.
fn orphans_keep_their_namespace(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    // They are gone half a minute after the test.
    pair.lab.namespace.sysctl("net/ipv4/tcp_orphan_retries", "6")?;
    pair.server.on(pair.far, "deaf")?;
    pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "fin_wait_1")?;
    let Pair { lab: Lab { trace, lives, namespace, .. }, client, server, ends, .. } = pair;
    drop((client, server, namespace));
    trace.wait_for("both have closed", |records| {
        let is_servers = |record: &&Record| match record {
            Record::Transition(t) => t.connection.is_between(ends.turned()) && t.to == "fin_wait_1",
            _ => false,
        };
        records.iter().find(is_servers).map(|_| ())
    })?;
    // Ends with a look at all sockets.
    let output = trace.stop()?;
    lives.stop()?;
    for (ends, state) in [(ends, "closing"), (ends.turned(), "fin_wait_1")] {
        let ids = ids(&output.records, ends);
        let [id] = ids.as_slice() else { bail!("not one connection: {output:?}") };
        let path = Story::of(&output.records, id).path();
        ensure!(path.ends_with(state), "{ends:?} went {path}");
    }
    Ok(())
}

/// A listener's own moves; it has no life.
fn listener(family: Family) -> Result<()> {
    let lab = Lab::new(family)?;
    let mut server = lab.actor("server")?;
    let (listener, at) = server.listen(family.loopback())?;
    let closed = server.close(listener)?;
    let ends = listener_ends(at);
    lab.reached(ends, "closed")?;
    let outcome = lab.finish()?;
    let story = outcome.story(ends)?;
    ensure!(story.path() == LISTENER, "went {}", story.path());
    for step in &story.moves {
        let owner = step.connection.owner.as_ref().map(|o| (o.pid, o.comm.as_str()));
        ensure!(owner == Some((server.pid(), "server")), "{step:?}");
        ensure!(step.connection.role.is_none(), "{step:?}");
    }
    ensure!(closed.contains(story.step("listen", "closed")?.mono_ns), "not when it closed");
    ensure!(outcome.lives.records.is_empty(), "a listener has no life: {:?}", outcome.lives.records);
    Ok(())
}

/// Two connections at one listener are two connections: their own ports, their own identity.
fn two_at_one_listener(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    let (near, ends) = pair.client.connect(pair.at)?;
    let (far, _) = pair.server.accept(pair.listener)?;
    pair.client.close(near)?;
    pair.client.close(pair.near)?;
    pair.lab.reached(ends, "fin_wait_2")?;
    pair.lab.reached(ends.turned(), "close_wait")?;
    pair.server.close(far)?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    pair.lab.reached(pair.ends.turned(), "close_wait")?;
    pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let outcome = pair.lab.finish()?;
    for ends in [ends, pair.ends] {
        outcome.check(ends, &Expected::client(&pair.client, CLIENT_ACTIVE, "local", "fin"))?;
        outcome.check(ends.turned(), &Expected::server(&pair.server, SERVER_PASSIVE, "remote", "fin"))?;
    }
    Ok(())
}
