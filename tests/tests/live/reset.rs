//! Connections that one end cuts.

use anyhow::{Result, ensure};
use rustix::io::Errno;
use tcplife_tests::{
    actor::Ends,
    lab::Lab,
    namespace::Family,
    pair::Pair,
    verdict::{Expected, Story},
};

use crate::common::{
    CLIENT_ACTIVE_CUT, CLIENT_CLOSED_CUT, CLIENT_CUT, CLIENT_NOWHERE, CLIENT_PASSIVE, SERVER_CUT,
    SERVER_CUT_LATE,
};

on_both_families! {
    linger_0
    unread_data
    unread_data_after_the_peers_fin
    reset_in_fin_wait_2
    refused
    listener_closes_with_connections_waiting
    accept_after_the_reset
    disconnected_and_connected_again
}

until_seen_on_both_families! {
    data_after_close
}

/// The directions of the resets told.
fn resets<'a>(story: &Story<'a>) -> Vec<&'a str> {
    story.resets.iter().map(|r| r.direction.as_str()).collect()
}

/// The client closes with `SO_LINGER` 0.
fn linger_0(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    pair.client.on(pair.near, "linger0")?;
    let closed = pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    pair.server.fails_on(pair.far, "receive 1", Errno::CONNRESET)?;
    pair.server.close(pair.far)?;
    let outcome = pair.lab.finish()?;
    let client = Expected::client(&pair.client, CLIENT_CUT, "none", "reset_sent");
    let (story, _) = outcome.check(pair.ends, &client)?;
    ensure!(closed.contains(story.step("established", "closed")?.mono_ns), "not when it closed");
    ensure!(resets(&story) == ["sent"] && story.resets[0].state == "established", "{:?}", story.resets);
    let server = Expected::server(&pair.server, SERVER_CUT, "none", "reset_received");
    let (story, _) = outcome.check(pair.ends.turned(), &server)?;
    ensure!(resets(&story) == ["received"], "{:?}", story.resets);
    ensure!(story.resets.iter().all(|r| r.state == "established"), "{:?}", story.resets);
    Ok(())
}

/// The server closes without having read what the client sent.
fn unread_data(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    pair.client.on(pair.near, "send 100")?;
    pair.server.on(pair.far, "peek 100")?;
    pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends, "closed")?;
    pair.client.close(pair.near)?;
    let outcome = pair.lab.finish()?;
    let client = Expected::client(&pair.client, CLIENT_CUT, "none", "reset_received");
    let (story, life) = outcome.check(pair.ends, &client)?;
    ensure!(resets(&story) == ["received"], "{:?}", story.resets);
    ensure!((life.bytes_sent, life.bytes_received) == (Some(100), Some(0)), "other bytes: {life:?}");
    let server = Expected::server(&pair.server, SERVER_CUT, "none", "reset_sent");
    let (story, life) = outcome.check(pair.ends.turned(), &server)?;
    ensure!(resets(&story) == ["sent"] && story.resets[0].state == "established", "{:?}", story.resets);
    ensure!((life.bytes_sent, life.bytes_received) == (Some(0), Some(100)), "other bytes: {life:?}");
    Ok(())
}

/// As before, but the client has shut down already.
fn unread_data_after_the_peers_fin(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    pair.client.on(pair.near, "send 100")?;
    pair.client.on(pair.near, "shutdown")?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    pair.lab.reached(pair.ends.turned(), "close_wait")?;
    pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends, "closed")?;
    pair.client.close(pair.near)?;
    let outcome = pair.lab.finish()?;
    let client = Expected::client(&pair.client, CLIENT_ACTIVE_CUT, "local", "reset_received");
    outcome.check(pair.ends, &client)?;
    let server = Expected::server(&pair.server, SERVER_CUT_LATE, "remote", "reset_sent");
    let (story, _) = outcome.check(pair.ends.turned(), &server)?;
    ensure!(resets(&story) == ["sent"], "{:?}", story.resets);
    Ok(())
}

/// A server in `CLOSE_WAIT` resets a client that has shut down: `SO_LINGER` 0 this time.
fn reset_in_fin_wait_2(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    pair.client.on(pair.near, "shutdown")?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    pair.server.on(pair.far, "linger0")?;
    pair.server.close(pair.far)?;
    let told = pair.lab.reached(pair.ends, "closed")?;
    ensure!(told.from == "fin_wait_2", "{told:?}");
    pair.client.close(pair.near)?;
    let outcome = pair.lab.finish()?;
    let client = Expected::client(&pair.client, CLIENT_ACTIVE_CUT, "local", "reset_received");
    let (story, _) = outcome.check(pair.ends, &client)?;
    ensure!(resets(&story) == ["received"], "{:?}", story.resets);
    ensure!(story.resets.iter().all(|r| r.state == "fin_wait_2"), "{:?}", story.resets);
    let server = Expected::server(&pair.server, SERVER_CUT_LATE, "remote", "reset_sent");
    outcome.check(pair.ends.turned(), &server)?;
    Ok(())
}

/// The server, which has not heard that the client closed, sends it something: the client ends as if it had received a reset, and
/// sends one.
fn data_after_close(family: Family) -> Result<Option<()>> {
    let mut pair = Pair::open(family)?;
    pair.server.on(pair.far, "deaf")?;
    pair.client.close(pair.near)?;
    pair.server.on(pair.far, "send 10")?;
    pair.lab.reached(pair.ends, "closed")?;
    // What it sends again meets nobody.
    pair.server.on(pair.far, "hear")?;
    pair.lab.reached_by_timer(pair.ends.turned(), "closed")?;
    pair.server.close(pair.far)?;
    let Some(outcome) = pair.lab.finish_after_timers()? else { return Ok(None) };
    let client = Expected::client(&pair.client, CLIENT_CLOSED_CUT, "local", "reset_sent");
    let (story, _) = outcome.check(pair.ends, &client)?;
    ensure!(resets(&story) == ["sent"], "{:?}", story.resets);
    ensure!(story.resets.iter().all(|r| r.state == "fin_wait_1"), "{:?}", story.resets);
    let server = Expected::server(&pair.server, SERVER_CUT, "none", "reset_received");
    let (story, _) = outcome.check(pair.ends.turned(), &server)?;
    ensure!(resets(&story) == ["received"], "{:?}", story.resets);
    Ok(Some(()))
}

/// Nobody listens. The reset belongs to no socket on the other side.
fn refused(family: Family) -> Result<()> {
    let lab = Lab::new(family)?;
    let (mut server, mut client) = (lab.actor("server")?, lab.actor("client")?);
    let unused = server.open(if family == Family::V4 { "4" } else { "6" })?;
    server.on(unused, &format!("bind {}", family.loopback()))?;
    let (at, _) = server.names(unused)?;
    let socket = client.open(if family == Family::V4 { "4" } else { "6" })?;
    client.fails_on(socket, &format!("connect {at}"), Errno::CONNREFUSED)?;
    client.close(socket)?;
    let local = crate::common::client_of(&lab, at)?;
    let outcome = lab.finish()?;
    let ends = Ends { local, remote: at };
    let expected = Expected::client(&client, CLIENT_NOWHERE, "none", "refused");
    let (story, _) = outcome.check(ends, &expected)?;
    ensure!(resets(&story) == ["received"], "{:?}", story.resets);
    ensure!(story.resets.iter().all(|r| r.state == "syn_sent"), "{:?}", story.resets);
    ensure!(outcome.stories(ends.turned()).is_empty(), "there is no other end");
    Ok(())
}

/// Two connections wait to be accepted, one of them closed by its client, when the listener closes: the kernel cuts
/// both in the listener's process.
fn listener_closes_with_connections_waiting(family: Family) -> Result<()> {
    let lab = Lab::new(family)?;
    let (mut server, mut client) = (lab.actor("server")?, lab.actor("client")?);
    let (listener, at) = server.listen(family.loopback())?;
    let (open, open_ends) = client.connect(at)?;
    let (shut, shut_ends) = client.connect(at)?;
    client.on(shut, "shutdown")?;
    lab.reached(shut_ends, "fin_wait_2")?;
    lab.reached(shut_ends.turned(), "close_wait")?;
    server.close(listener)?;
    for ends in [open_ends, shut_ends] {
        lab.reached(ends, "closed")?;
        lab.reached(ends.turned(), "closed")?;
    }
    client.close(open)?;
    client.close(shut)?;
    let outcome = lab.finish()?;
    outcome.check(open_ends, &Expected::client(&client, CLIENT_CUT, "none", "reset_received"))?;
    outcome.check(shut_ends, &Expected::client(&client, CLIENT_ACTIVE_CUT, "local", "reset_received"))?;
    outcome.check(open_ends.turned(), &Expected::server(&server, SERVER_CUT, "none", "reset_sent"))?;
    outcome.check(shut_ends.turned(), &Expected::server(&server, SERVER_CUT_LATE, "remote", "reset_sent"))?;
    Ok(())
}

/// The client is gone by a reset before the server accepts; accept still returns the connection.
fn accept_after_the_reset(family: Family) -> Result<()> {
    let lab = Lab::new(family)?;
    let (mut server, mut client) = (lab.actor("server")?, lab.actor("client")?);
    let (listener, at) = server.listen(family.loopback())?;
    let (near, ends) = client.connect(at)?;
    lab.reached(ends.turned(), "established")?;
    client.on(near, "linger0")?;
    client.close(near)?;
    lab.reached(ends.turned(), "closed")?;
    let far = server.on(listener, "accept")?.answer;
    server.call(&format!("close {far}"))?;
    server.close(listener)?;
    let outcome = lab.finish()?;
    outcome.check(ends, &Expected::client(&client, CLIENT_CUT, "none", "reset_sent"))?;
    outcome.check(ends.turned(), &Expected::server(&server, SERVER_CUT, "none", "reset_received"))?;
    Ok(())
}

/// `connect(AF_UNSPEC)` cuts a connection and leaves the socket; the next connection of that socket, with the same
/// kernel cookie, is another one.
fn disconnected_and_connected_again(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    let (second_listener, elsewhere) = pair.server.listen(family.loopback())?;
    pair.client.on(pair.near, "unspec")?;
    pair.lab.reached(pair.ends, "closed")?;
    pair.client.on(pair.near, &format!("connect {elsewhere}"))?;
    let again = pair.client.ends(pair.near)?;
    let (far, _) = pair.server.accept(second_listener)?;
    pair.server.close(far)?;
    pair.lab.reached(again, "close_wait")?;
    pair.client.close(pair.near)?;
    pair.lab.reached(again, "closed")?;
    let outcome = pair.lab.finish()?;
    let first = Expected::client(&pair.client, CLIENT_CUT, "none", "reset_sent");
    let (cut, _) = outcome.check(pair.ends, &first)?;
    let second = Expected::client(&pair.client, CLIENT_PASSIVE, "remote", "fin");
    let (closed, _) = outcome.check(again, &second)?;
    let id = |story: &Story<'_>| story.moves.first().map(|t| t.connection.id.clone());
    ensure!(id(&cut) != id(&closed), "two connections with one identity");
    let server = Expected::server(&pair.server, SERVER_CUT, "none", "reset_received");
    outcome.check(pair.ends.turned(), &server)?;
    Ok(())
}
