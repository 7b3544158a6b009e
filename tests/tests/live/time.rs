//! Times: how long a stay was, and when a move was made.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use tcplife_tests::{clock::mono_ns, namespace::Family, pair::Pair, verdict::Expected};

use crate::common::{CLIENT_ACTIVE, SERVER_PASSIVE};

on_both_families! {
    half_a_second_in_close_wait
}

/// How long the application leaves its end unclosed.
const STAY: Duration = Duration::from_millis(500);

/// The client closes, the server does so half a second later. The bounds are exact, however slow the machine is: the
/// stay in `CLOSE_WAIT` began after the first call did and before it was told, and ended within the second call.
fn half_a_second_in_close_wait(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    let first = pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    pair.lab.reached(pair.ends.turned(), "close_wait")?;
    let told = mono_ns();
    thread::sleep(STAY);
    let second = pair.server.close(pair.far)?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let outcome = pair.lab.finish()?;
    outcome.check(pair.ends, &Expected::client(&pair.client, CLIENT_ACTIVE, "local", "fin"))?;
    let server = Expected::server(&pair.server, SERVER_PASSIVE, "remote", "fin");
    let (story, life) = outcome.check(pair.ends.turned(), &server)?;
    let bounds = second.began - told..=second.ended - first.began;
    let stay = story.step("close_wait", "last_ack")?.elapsed_ns.context("its length is not known")?;
    ensure!(bounds.contains(&stay), "{stay} ns are not in {bounds:?}");
    // Another tracer, another clock reading for the same event.
    let other = life.states.get("close_wait").copied().flatten().context("its length is not in the life")?;
    ensure!(bounds.contains(&other), "{other} ns in the life are not in {bounds:?}");
    let duration = life.duration_ns.context("the length of the life is not known")?;
    ensure!(duration >= other, "the whole is less than its part: {life:?}");
    Ok(())
}
