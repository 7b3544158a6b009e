//! Times: how long a stay was, and when a move was made.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use tcplife_tests::{deadline::scaled, namespace::Family, pair::Pair, verdict::Expected};

use crate::common::{CLIENT_ACTIVE, SERVER_PASSIVE};

on_both_families! {
    half_a_second_in_close_wait
}

/// How long the application leaves its end unclosed.
const STAY: Duration = Duration::from_millis(500);
/// What the machine may add between the actors' clock readings and the kernel's: the way of a command to the other
/// process and of a FIN through the loopback device.
const TOLERANCE: Duration = Duration::from_millis(20);

/// The client closes, the server does so half a second later. The bounds are exact: the stay in `CLOSE_WAIT` cannot be
/// longer than from the beginning of the one call to the end of the other, nor shorter than what is between them by
/// more than the FIN's way.
fn half_a_second_in_close_wait(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    let first = pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    pair.lab.reached(pair.ends.turned(), "close_wait")?;
    thread::sleep(STAY);
    let second = pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let outcome = pair.lab.finish()?;
    outcome.check(pair.ends, &Expected::client(&pair.client, CLIENT_ACTIVE, "local", "fin"))?;
    let server = Expected::server(&pair.server, SERVER_PASSIVE, "remote", "fin");
    let (story, life) = outcome.check(pair.ends.turned(), &server)?;
    let stay = story.step("close_wait", "last_ack")?.elapsed_ns.unwrap_or(0);
    let tolerance = u64::try_from(scaled(TOLERANCE).as_nanos())?;
    let (longest, shortest) = (second.ended - first.began, second.began - first.ended);
    ensure!(stay <= longest, "{stay} ns, the calls were {longest} ns apart at most");
    ensure!(stay + tolerance >= shortest, "{stay} ns, the calls were {shortest} ns apart at least");
    ensure!(longest - stay <= tolerance, "{stay} ns, {longest} ns were expected");
    // Two tracers, two clock readings for one event.
    let other = life.states.get("close_wait").copied().flatten().unwrap_or(0);
    ensure!(other.abs_diff(stay) <= tolerance / 20, "{stay} ns, in the life: {life:?}");
    let duration = life.duration_ns.unwrap_or(0);
    ensure!(duration >= other, "the whole is less than its part: {life:?}");
    Ok(())
}
