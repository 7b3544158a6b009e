//! Mini-sockets: `TIME_WAIT`, and `FIN_WAIT_2` of those whose application is gone. Times are exact where a hook on
//! functions can be attached; elsewhere a dump each second computes them, and sees what ended early a little later.

use std::{thread, time::Duration};

use anyhow::{Result, bail, ensure};
use rustix::io::Errno;
use tcplife_tests::{
    actor::{Span, expect_failure},
    deadline::scaled,
    kernel_table::sockets,
    lab::Lab,
    namespace::{Family, Namespace},
    pair::Pair,
    record::Transition,
    tracer::Output,
    verdict::{Expected, Story},
};

use crate::common::{CLIENT_ACTIVE_CUT, CLIENT_ACTIVE_HELD, SERVER_ACTIVE_HELD, SERVER_PASSIVE};

on_both_families! {
    two_seconds_in_fin_wait_2
    fin_wait_2_times_out
    data_for_nobody_ends_fin_wait_2
    reset_in_time_wait
    destroyed_in_time_wait
    reused_by_a_bound_connect
    reused_by_tcp_tw_reuse
    new_syn_in_time_wait
    no_time_wait_without_room
    room_for_one_time_wait
}

/// What a time may be off.
pub(crate) const NEAR: Duration = Duration::from_millis(50);
/// What an early end may be late where dumps tell of it.
const LATE: Duration = Duration::from_millis(2500);
/// A client that closes first, up to the end of `TIME_WAIT`.
pub(crate) const CLIENT_TO_THE_END: &str =
    "closed > syn_sent > established > fin_wait_1 > fin_wait_2 > time_wait > closed";
/// A server that closes first, up to the end of `TIME_WAIT`.
const SERVER_TO_THE_END: &str =
    "listen > syn_received > established > fin_wait_1 > fin_wait_2 > time_wait > closed";

pub(crate) fn ns(time: Duration) -> u64 {
    u64::try_from(scaled(time).as_nanos()).unwrap_or(u64::MAX)
}

/// How late an early end may be told.
pub(crate) fn early(output: &Output) -> Duration {
    if output.hooks_mini_sockets() { NEAR } else { LATE }
}

/// Checks that a move was made during `span`, or later by `late` at most.
pub(crate) fn check_time(step: &Transition, span: Span, late: Duration) -> Result<()> {
    let (from, to) = (span.began.saturating_sub(ns(NEAR)), span.ended + ns(late));
    ensure!((from..=to).contains(&step.mono_ns), "{step:?}: not in {from}..{to}");
    Ok(())
}

/// Checks why a mini-socket ended; without hooks on functions a `cause` in brackets may not be known.
pub(crate) fn check_cause(output: &Output, step: &Transition, cause: &str) -> Result<()> {
    let name = cause.trim_matches(['(', ')']);
    let unknown = name != cause && !output.hooks_mini_sockets() && step.cause.is_none();
    ensure!(unknown || step.cause.as_deref() == Some(name), "{step:?}: not {cause}");
    Ok(())
}

fn check_path(story: &Story<'_>, path: &str) -> Result<()> {
    ensure!(story.path() == path, "went {}, expected {path}", story.path());
    Ok(())
}

/// Closes the client's end first, then the server's. Returns when the server's was closed.
pub(crate) fn close_both(pair: &mut Pair) -> Result<Span> {
    pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    pair.lab.reached(pair.ends.turned(), "close_wait")?;
    let second = pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    Ok(second)
}

/// The client closes, the server does so two seconds later. One connection throughout, the client's, and no CLOSED in
/// between.
fn two_seconds_in_fin_wait_2(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    let first = pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    pair.lab.reached(pair.ends.turned(), "close_wait")?;
    thread::sleep(Duration::from_secs(2));
    let second = pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends, "time_wait")?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let outcome = pair.lab.finish()?;
    let client = Expected::client(&pair.client, CLIENT_ACTIVE_HELD, "local", "fin");
    let (story, _) = outcome.check(pair.ends, &client)?;
    outcome.check(pair.ends.turned(), &Expected::server(&pair.server, SERVER_PASSIVE, "remote", "fin"))?;
    let step = story.step("fin_wait_2", "time_wait")?;
    check_time(step, second, NEAR)?;
    let stay = step.elapsed_ns.unwrap_or(0);
    let (shortest, longest) = (second.began - first.ended, second.ended - first.began);
    ensure!(stay + ns(NEAR) >= shortest.max(2_000_000_000), "{stay} ns in FIN_WAIT_2, {shortest} expected");
    ensure!(stay <= longest + ns(NEAR), "{stay} ns in FIN_WAIT_2, {longest} expected");
    for step in &story.moves {
        let owner = step.connection.owner.as_ref().map(|o| (o.pid, o.comm.as_str(), o.via.as_str()));
        ensure!(owner == Some((pair.client.pid(), "client", "connect")), "{step:?}");
    }
    Ok(())
}

/// The server never closes: the kernel gives the client's `FIN_WAIT_2` up after `tcp_fin_timeout`, rounded up by its
/// timer wheel. There is no `TIME_WAIT`. The time is long enough for three and a half retransmission timeouts, below which
/// the kernel does not go (`tcp_fin_time`), on a slow machine too.
fn fin_wait_2_times_out(family: Family) -> Result<()> {
    let mut namespace = Namespace::new()?;
    namespace.sysctl("net/ipv4/tcp_fin_timeout", "6")?;
    let mut pair = Pair::open_in(Lab::with(family, namespace, &[])?)?;
    pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "closed")?;
    let outcome = pair.lab.finish()?;
    let client = Expected::client(&pair.client, CLIENT_ACTIVE_CUT, "local", "fin");
    let (story, _) = outcome.check(pair.ends, &client)?;
    let step = story.step("fin_wait_2", "closed")?;
    check_cause(&outcome.trace, step, "expired")?;
    let stay = step.elapsed_ns.unwrap_or(0);
    // An eighth is the most that the wheel adds to a timer.
    let longest = 6_000_000_000 / 8 * 9 + ns(NEAR);
    ensure!((6_000_000_000 - ns(NEAR)..=longest).contains(&stay), "{stay} ns in FIN_WAIT_2");
    Ok(())
}

/// The server sends to a client that is gone: it is reset, and `FIN_WAIT_2` ends at once.
fn data_for_nobody_ends_fin_wait_2(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    let sent = pair.server.on(pair.far, "send 10")?.span;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    pair.lab.reached(pair.ends, "closed")?;
    let outcome = pair.lab.finish()?;
    let story = outcome.story(pair.ends)?;
    check_path(&story, CLIENT_ACTIVE_CUT)?;
    let step = story.step("fin_wait_2", "closed")?;
    // The reset itself is told by a tracepoint, from 6.12 on with the mini-socket.
    check_cause(&outcome.trace, step, "(reset_sent)")?;
    check_time(step, sent, early(&outcome.trace))
}

/// A stray segment makes the client's `TIME_WAIT` speak, and the server's host resets it.
fn reset_in_time_wait(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    close_both(&mut pair)?;
    pair.lab.reached(pair.ends, "time_wait")?;
    let poke = pair.server.call(&format!("poke {} {}", pair.ends.remote, pair.ends.local))?.span;
    pair.lab.reached(pair.ends, "closed")?;
    let outcome = pair.lab.finish()?;
    let story = outcome.story(pair.ends)?;
    check_path(&story, CLIENT_TO_THE_END)?;
    let step = story.step("time_wait", "closed")?;
    check_cause(&outcome.trace, step, "(reset_received)")?;
    check_time(step, poke, early(&outcome.trace))
}

/// Somebody destroys the client's `TIME_WAIT`, as `ss -K` does. Up to 5.10 that is refused (`tcp_abort`).
fn destroyed_in_time_wait(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    close_both(&mut pair)?;
    pair.lab.reached(pair.ends, "time_wait")?;
    let command = format!("destroy {} {}", pair.ends.local, pair.ends.remote);
    let destroyed = match pair.server.call(&command) {
        Ok(reply) => reply.span,
        refused => {
            expect_failure(&command, refused, Errno::OPNOTSUPP)?;
            eprintln!("this kernel destroys no mini-sockets");
            return pair.lab.finish().map(drop);
        }
    };
    pair.lab.reached(pair.ends, "closed")?;
    let outcome = pair.lab.finish()?;
    let story = outcome.story(pair.ends)?;
    check_path(&story, CLIENT_TO_THE_END)?;
    let step = story.step("time_wait", "closed")?;
    check_cause(&outcome.trace, step, "(destroyed)")?;
    check_time(step, destroyed, early(&outcome.trace))
}

/// A connect from the same port, bound to, to the same server. It ends the client's `TIME_WAIT` at that moment.
fn reused_by_a_bound_connect(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    close_both(&mut pair)?;
    pair.lab.reached(pair.ends, "time_wait")?;
    let near = pair.client.open(family.kind())?;
    pair.client.on(near, &format!("bind {}", pair.ends.local))?;
    let connected = pair.client.on(near, &format!("connect {}", pair.ends.remote))?.span;
    check_reuse(pair, connected)
}

/// The same without a bind: the kernel has no other port to give, and `tcp_tw_reuse` lets it. At the beginning of such a
/// connection its port is not known.
fn reused_by_tcp_tw_reuse(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    let port = pair.ends.local.port();
    pair.lab.namespace.sysctl("net/ipv4/ip_local_port_range", &format!("{port} {port}"))?;
    pair.lab.namespace.sysctl("net/ipv4/tcp_tw_reuse", "1")?;
    close_both(&mut pair)?;
    pair.lab.reached(pair.ends, "time_wait")?;
    // The kernel wants the last segment to be a second old, and counts whole ones.
    thread::sleep(Duration::from_millis(2100));
    let near = pair.client.open(family.kind())?;
    let connected = pair.client.on(near, &format!("connect {}", pair.ends.remote))?.span;
    check_reuse(pair, connected)
}

/// The client's connection was followed by another one between the same ends, connected during `connected`.
fn check_reuse(pair: Pair, connected: Span) -> Result<()> {
    pair.lab.reached(pair.ends, "closed")?;
    let outcome = pair.lab.finish()?;
    let stories = outcome.stories(pair.ends);
    let [old, new] = stories.as_slice() else { bail!("{} connections", stories.len()) };
    check_path(old, CLIENT_TO_THE_END)?;
    check_path(new, "closed > syn_sent > established")?;
    let step = old.step("time_wait", "closed")?;
    check_cause(&outcome.trace, step, "reused")?;
    check_time(step, connected, Duration::ZERO)
}

/// The server is in `TIME_WAIT`; the same client comes again. Its SYN ends that at once.
fn new_syn_in_time_wait(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends, "close_wait")?;
    pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "closed")?;
    pair.lab.reached(pair.ends.turned(), "time_wait")?;
    let near = pair.client.open(family.kind())?;
    pair.client.on(near, &format!("bind {}", pair.ends.local))?;
    let connected = pair.client.on(near, &format!("connect {}", pair.ends.remote))?.span;
    pair.server.accept(pair.listener)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let outcome = pair.lab.finish()?;
    let stories = outcome.stories(pair.ends.turned());
    let [old, new] = stories.as_slice() else { bail!("{} connections", stories.len()) };
    check_path(old, SERVER_TO_THE_END)?;
    check_path(new, "listen > syn_received > established")?;
    let step = old.step("time_wait", "closed")?;
    check_cause(&outcome.trace, step, "reused")?;
    check_time(step, connected, Duration::ZERO)
}

/// The namespace may have no `TIME_WAIT` at all: the client is closed with the ACK of its FIN, or with the server's.
fn no_time_wait_without_room(family: Family) -> Result<()> {
    let mut namespace = Namespace::new()?;
    namespace.sysctl("net/ipv4/tcp_max_tw_buckets", "0")?;
    let mut pair = Pair::open_in(Lab::with(family, namespace, &[])?)?;
    pair.client.close(pair.near)?;
    // Then it is closed, unless the FIN is acknowledged just before the application's close lets go of the socket's lock
    // (`release_sock` of `tcp_close`): then it waits for the peer's FIN (`tcp_rcv_state_process`).
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    let closed = pair.server.close(pair.far)?;
    let end = pair.lab.reached(pair.ends, "closed")?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let outcome = pair.lab.finish()?;
    let end = if end.mono_ns < closed.began { "aborted" } else { "fin" };
    let (_, life) =
        outcome.check(pair.ends, &Expected::client(&pair.client, CLIENT_ACTIVE_CUT, "local", end))?;
    ensure!(life.bytes_received == Some(0), "a FIN is no byte: {life:?}");
    Ok(())
}

/// The namespace may have one: the first of three gets it.
fn room_for_one_time_wait(family: Family) -> Result<()> {
    let mut namespace = Namespace::new()?;
    namespace.sysctl("net/ipv4/tcp_max_tw_buckets", "1")?;
    let mut pair = Pair::open_in(Lab::with(family, namespace, &[])?)?;
    let mut all = Vec::new();
    for _ in 0..3 {
        let (near, ends) = pair.client.connect(pair.at)?;
        let (far, _) = pair.server.accept(pair.listener)?;
        pair.server.on(far, "shutdown")?;
        pair.client.on(near, "drain")?;
        pair.client.close(near)?;
        pair.lab.reached(ends, "closed")?;
        pair.server.close(far)?;
        all.push(ends.turned());
    }
    let kernel = sockets(&mut pair.client)?;
    let outcome = pair.lab.finish()?;
    let mut waiting = 0;
    for ends in all {
        let story = outcome.story(ends)?;
        let waits = kernel.iter().any(|socket| socket.ends == ends && socket.state == "time_wait");
        let cut = "listen > syn_received > established > fin_wait_1 > fin_wait_2 > closed";
        check_path(&story, if waits { SERVER_ACTIVE_HELD } else { cut })?;
        waiting += u32::from(waits);
    }
    ensure!(waiting == 1, "{waiting} in TIME_WAIT");
    Ok(())
}
