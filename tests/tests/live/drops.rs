//! Connections on which segments are lost: a filter on a socket (`deaf`) drops all that comes in for it.

use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::io::Errno;
use tcplife_tests::{
    actor::{Ends, expect_failure},
    lab::Lab,
    namespace::{Family, Namespace, in_our_machine},
    pair::Pair,
    record::Life,
    verdict::{Expected, Story},
};

use crate::common::{CLIENT_ACTIVE, CLIENT_CUT, CLIENT_NOWHERE, SERVER_CUT_LATE, SERVER_PASSIVE};

on_both_families! {
    abandoned_in_syn_sent
    data_sent_again
}

until_seen_on_both_families! {
    connect_timeout
    syn_ack_sent_again
    orphan_gives_up
    user_timeout
    keepalive_gives_up
    keepalive_meets_no_connection
    device_down
}

/// Long enough for a handful of retransmissions.
const RETRIES: Duration = Duration::from_secs(30);

/// A lab whose namespace gives up early.
fn impatient(family: Family) -> Result<Lab> {
    let mut namespace = Namespace::new()?;
    namespace.sysctl("net/ipv4/tcp_syn_retries", "1")?;
    namespace.sysctl("net/ipv4/tcp_orphan_retries", "2")?;
    Lab::with(family, namespace, &[])
}

/// The kernel's own count is in the life. Timers make retransmissions, in softirqs on top of whatever runs: one can be untold
/// where such a softirq may run no BPF program ([`in_our_machine`]).
pub(crate) fn check_count(life: &Life, story: &Story<'_>) -> Result<()> {
    let (counted, told) = (life.retransmits, u64::try_from(story.retransmits.len())?);
    let one_unseen = !in_our_machine() && counted == told + 1;
    ensure!(counted == told || one_unseen, "{counted} in the life, told: {:#?}", story.retransmits);
    Ok(())
}

/// Nobody answers the SYN.
fn connect_timeout(family: Family) -> Result<Option<()>> {
    let lab = impatient(family)?;
    let (mut server, mut client) = (lab.actor("server")?, lab.actor("client")?);
    let (listener, at) = server.listen(family.loopback())?;
    server.on(listener, "deaf")?;
    let socket = client.open(family.kind())?;
    client.on(socket, &format!("start {at}"))?;
    let (local, _) = client.names(socket)?;
    client.begin_on(socket, "finish")?;
    let outcome = client.answer(RETRIES);
    expect_failure("finish", outcome, Errno::TIMEDOUT)?;
    client.close(socket)?;
    let ends = Ends { local, remote: at };
    lab.reached_by_timer(ends, "closed")?;
    let Some(outcome) = lab.finish_after_timers()? else { return Ok(None) };
    let expected = Expected::client(&client, CLIENT_NOWHERE, "none", "timeout");
    let (story, life) = outcome.check(ends, &expected)?;
    ensure!(!story.retransmits.is_empty(), "no SYN sent again");
    for again in &story.retransmits {
        ensure!((again.state.as_str(), again.kind.as_str()) == ("syn_sent", "segment"), "{again:?}");
    }
    check_count(life, &story)?;
    ensure!(story.resets.is_empty(), "{:?}", story.resets);
    ensure!(outcome.stories(ends.turned()).is_empty(), "there is no other end");
    Ok(Some(()))
}

/// The client closes before anybody has answered.
fn abandoned_in_syn_sent(family: Family) -> Result<()> {
    let lab = Lab::new(family)?;
    let (mut server, mut client) = (lab.actor("server")?, lab.actor("client")?);
    let (listener, at) = server.listen(family.loopback())?;
    server.on(listener, "deaf")?;
    let socket = client.open(family.kind())?;
    client.on(socket, &format!("start {at}"))?;
    let (local, _) = client.names(socket)?;
    let closed = client.close(socket)?;
    let ends = Ends { local, remote: at };
    lab.reached(ends, "closed")?;
    let outcome = lab.finish()?;
    let expected = Expected::client(&client, CLIENT_NOWHERE, "none", "aborted");
    let (story, _) = outcome.check(ends, &expected)?;
    ensure!(closed.contains(story.step("syn_sent", "closed")?.mono_ns), "not when it closed");
    Ok(())
}

/// Payload is lost and sent again; it counts once as payload.
fn data_sent_again(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    pair.server.on(pair.far, "deaf")?;
    pair.client.on(pair.near, "send 1000")?;
    let again = pair.lab.retransmitted(pair.ends)?;
    ensure!((again.state.as_str(), again.kind.as_str()) == ("established", "segment"), "{again:?}");
    pair.server.on(pair.far, "hear")?;
    pair.server.on(pair.far, "receive 1000")?;
    pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    pair.lab.reached(pair.ends.turned(), "close_wait")?;
    pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let outcome = pair.lab.finish()?;
    let client = Expected::client(&pair.client, CLIENT_ACTIVE, "local", "fin");
    let (story, life) = outcome.check(pair.ends, &client)?;
    ensure!(!story.retransmits.is_empty(), "nothing sent again");
    check_count(life, &story)?;
    ensure!(life.bytes_sent == Some(1000), "{life:?}");
    let server = Expected::server(&pair.server, SERVER_PASSIVE, "remote", "fin");
    let (_, life) = outcome.check(pair.ends.turned(), &server)?;
    ensure!(life.bytes_received == Some(1000), "{life:?}");
    Ok(())
}

/// The SYN-ACK is lost and sent again: the server's end is a request then, not yet a socket.
fn syn_ack_sent_again(family: Family) -> Result<Option<()>> {
    let lab = Lab::new(family)?;
    let (mut server, mut client) = (lab.actor("server")?, lab.actor("client")?);
    let (listener, at) = server.listen(family.loopback())?;
    let near = client.open(family.kind())?;
    client.on(near, "deaf")?;
    client.on(near, &format!("start {at}"))?;
    let (local, _) = client.names(near)?;
    let ends = Ends { local, remote: at };
    let again = lab.retransmitted(ends.turned())?;
    ensure!((again.state.as_str(), again.kind.as_str()) == ("syn_received", "syn_ack"), "{again:?}");
    client.on(near, "hear")?;
    client.on(near, "finish")?;
    let (far, _) = server.accept(listener)?;
    client.close(near)?;
    lab.reached(ends, "fin_wait_2")?;
    lab.reached(ends.turned(), "close_wait")?;
    server.close(far)?;
    lab.reached(ends.turned(), "closed")?;
    let Some(outcome) = lab.finish_after_timers()? else { return Ok(None) };
    outcome.check(ends, &Expected::client(&client, CLIENT_ACTIVE, "local", "fin"))?;
    let expected = Expected::server(&server, SERVER_PASSIVE, "remote", "fin");
    outcome.check(ends.turned(), &expected)?;
    Ok(Some(()))
}

/// The client closes and nobody acknowledges its FIN: the kernel gives up.
fn orphan_gives_up(family: Family) -> Result<Option<()>> {
    let mut pair = Pair::open_in(impatient(family)?)?;
    pair.server.on(pair.far, "deaf")?;
    pair.client.close(pair.near)?;
    pair.lab.reached_by_timer(pair.ends, "closed")?;
    let Some(outcome) = pair.lab.finish_after_timers()? else { return Ok(None) };
    let path = "closed > syn_sent > established > fin_wait_1 > closed";
    let client = Expected::client(&pair.client, path, "local", "timeout");
    let (story, _) = outcome.check(pair.ends, &client)?;
    ensure!(!story.retransmits.is_empty(), "no FIN sent again");
    Ok(Some(()))
}

/// `TCP_USER_TIMEOUT`: payload is not acknowledged in time.
fn user_timeout(family: Family) -> Result<Option<()>> {
    let mut pair = Pair::open(family)?;
    pair.client.on(pair.near, "give_up 300")?;
    pair.server.on(pair.far, "deaf")?;
    pair.client.on(pair.near, "send 10")?;
    pair.lab.reached_by_timer(pair.ends, "closed")?;
    pair.client.close(pair.near)?;
    let Some(outcome) = pair.lab.finish_after_timers()? else { return Ok(None) };
    outcome.check(pair.ends, &Expected::client(&pair.client, CLIENT_CUT, "none", "timeout"))?;
    Ok(Some(()))
}

/// Keepalive probes are not answered. The kernel sends a reset before it gives up; the end is a timeout all the same.
fn keepalive_gives_up(family: Family) -> Result<Option<()>> {
    let mut pair = Pair::open(family)?;
    pair.server.on(pair.far, "deaf")?;
    pair.client.on(pair.near, "keepalive 1 1")?;
    pair.lab.reached_by_timer(pair.ends, "closed")?;
    pair.client.close(pair.near)?;
    let Some(outcome) = pair.lab.finish_after_timers()? else { return Ok(None) };
    let client = Expected::client(&pair.client, CLIENT_CUT, "none", "timeout");
    let (story, _) = outcome.check(pair.ends, &client)?;
    let sent: Vec<&str> = story.resets.iter().map(|r| r.direction.as_str()).collect();
    ensure!(sent == ["sent"], "{:?}", story.resets);
    Ok(Some(()))
}

/// The client's `FIN_WAIT_2` is over when a probe of the server comes, whose `CLOSE_WAIT` ends by a reset. The server still
/// has its descriptor: no keepalive closes that.
fn keepalive_meets_no_connection(family: Family) -> Result<Option<()>> {
    let mut namespace = Namespace::new()?;
    namespace.sysctl("net/ipv4/tcp_fin_timeout", "1")?;
    let mut pair = Pair::open_in(Lab::with(family, namespace, &[])?)?;
    pair.server.on(pair.far, "keepalive 1 9")?;
    pair.client.close(pair.near)?;
    pair.lab.reached_by_timer(pair.ends.turned(), "closed")?;
    pair.server.close(pair.far)?;
    let Some(outcome) = pair.lab.finish_after_timers()? else { return Ok(None) };
    let server = Expected::server(&pair.server, SERVER_CUT_LATE, "remote", "reset_received");
    outcome.check(pair.ends.turned(), &server)?;
    Ok(Some(()))
}

/// The loopback device is down when the client closes, and comes up again.
fn device_down(family: Family) -> Result<Option<()>> {
    let mut pair = Pair::open(family)?;
    pair.lab.namespace.set_loopback(false)?;
    pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "fin_wait_1")?;
    pair.lab.namespace.set_loopback(true)?;
    pair.lab.reached_by_timer(pair.ends, "fin_wait_2")?;
    pair.lab.reached_by_timer(pair.ends.turned(), "close_wait")?;
    pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let Some(outcome) = pair.lab.finish_after_timers()? else { return Ok(None) };
    outcome.check(pair.ends, &Expected::client(&pair.client, CLIENT_ACTIVE, "local", "fin"))?;
    outcome.check(pair.ends.turned(), &Expected::server(&pair.server, SERVER_PASSIVE, "remote", "fin"))?;
    Ok(Some(()))
}
