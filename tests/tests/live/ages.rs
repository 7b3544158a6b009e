//! Ages of sockets that were there before tcplife, and handshakes that were under way.

use std::{collections::BTreeMap, path::Path, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use tcplife_tests::{
    actor::Span,
    kernel_table::states,
    lab::watch,
    namespace::{Family, in_our_machine},
    record::{Record, Retransmit, Transition},
};

use crate::{
    adopt::{AGE, Open, World},
    mini::{NEAR, ns},
};

on_both_families! {
    true_in_every_state
    an_orphans_by_its_timer
    an_orphans_by_another_timer
    of_a_socket_shut_down_long_before_its_close
    of_a_socket_closed_when_its_peers_last_data_came
    an_orphans_without_timestamps
    of_a_time_wait_whose_fin_came_again
    a_handshake_goes_on
}

/// What the kernel's clocks round an age down by, besides [`NEAR`]: the last segment's clock counts whole seconds.
const ROUNDED: Duration = Duration::from_millis(1250);

/// What an orphan's timer rounds its age down by, besides [`NEAR`]. In our machines, which lag, it may seem to be set to something
/// else than usual: then the last segment's clock tells.
fn by_timer() -> Duration {
    if in_our_machine() { ROUNDED } else { Duration::ZERO }
}

/// What `tcplife hist` says of the stays that last, and when it was asked.
struct Asked {
    open: BTreeMap<String, Open>,
    span: Span,
}

impl Asked {
    fn now(world: &mut World) -> Result<Self> {
        let began = world.client.call("table")?.span.began;
        let open = world.hist()?;
        let ended = world.client.call("table")?.span.ended;
        Ok(Self { open, span: Span { began, ended } })
    }

    /// The oldest stay in a state, as old as it is at the least.
    fn least(&self, state: &str) -> Result<u64> {
        self.open.get(state).and_then(|open| open.oldest).with_context(|| format!("no {state}"))
    }

    /// Checks the age of the oldest in `state`, which began during `begin`: not more than the truth, and less by `off` at
    /// most.
    fn check(&self, state: &str, begin: Span, off: Duration) -> Result<()> {
        let age = self.least(state)?;
        let (shortest, longest) = (self.span.began - begin.ended, self.span.ended - begin.began);
        ensure!(age <= longest + ns(NEAR), "{state} since {age} ns, but {longest} is the most");
        ensure!(age + ns(NEAR + off) >= shortest, "{state} since {age} ns, but {shortest} is the least");
        Ok(())
    }
}

/// When everything was made that `make` makes.
fn during<T>(world: &mut World, make: impl FnOnce(&mut World) -> Result<T>) -> Result<Span> {
    let began = world.client.call("table")?.span.began;
    make(world)?;
    Ok(Span { began, ended: world.client.call("table")?.span.ended })
}

/// One socket in each state, made [`AGE`] before: none is said to be older than it is. What was last to come or go made the
/// state in most, so that they are not said to be much younger either; of a listener and a `SYN_SENT` nothing is known.
fn true_in_every_state(family: Family) -> Result<()> {
    let mut world = World::new(family)?;
    let made = during(&mut world, |world| {
        world.time_wait()?;
        world.half_closed()?;
        world.last_ack()?;
        world.closing()?;
        world.syn_sent()?;
        world.syn_received()?;
        world.connect().map(drop)
    })?;
    thread::sleep(AGE);
    let asked = Asked::now(&mut world)?;
    let kernel = states(&mut world.client)?;
    ensure!(asked.open.values().filter(|open| open.count > 0).count() == kernel.len(), "{kernel:?}");
    asked.check("fin_wait_2", made, by_timer())?;
    for state in ["time_wait", "close_wait", "syn_received", "established"] {
        asked.check(state, made, Duration::ZERO)?;
    }
    for state in ["fin_wait_1", "closing", "last_ack", "syn_sent", "listen"] {
        asked.check(state, made, 2 * AGE)?;
    }
    Ok(())
}

/// The application is gone; the kernel's timer says since when.
fn an_orphans_by_its_timer(family: Family) -> Result<()> {
    let mut world = World::new(family)?;
    let (_, closed) = world.half_closed()?;
    thread::sleep(AGE);
    Asked::now(&mut world)?.check("fin_wait_2", closed, by_timer())
}

/// The timer was set to something else than what the namespace would set it to now (as with `TCP_LINGER2`): it tells nothing,
/// and the age is what the last segment tells.
fn an_orphans_by_another_timer(family: Family) -> Result<()> {
    for now in ["60", "20"] {
        let mut world = World::new(family)?;
        world.namespace.sysctl("net/ipv4/tcp_fin_timeout", "40")?;
        let (_, closed) = world.half_closed()?;
        world.until("fin_wait_2", 1)?;
        world.namespace.sysctl("net/ipv4/tcp_fin_timeout", now)?;
        thread::sleep(AGE);
        Asked::now(&mut world)?.check("fin_wait_2", closed, ROUNDED)?;
    }
    Ok(())
}

/// The application shuts down, waits, and closes: the state is as old as the first of these, the timer as the last.
fn of_a_socket_shut_down_long_before_its_close(family: Family) -> Result<()> {
    let mut world = World::new(family)?;
    let (old, shut) = world.shut_down()?;
    thread::sleep(AGE);
    world.client.close(old.near)?;
    Asked::now(&mut world)?.check("fin_wait_2", shut, ROUNDED)
}

/// The same, and the peer answers in between: the application closes as soon as it has read that, so the last segment came when the
/// timer was set, as it does where close() is what the state comes from. What is said is that it is older, perhaps.
fn of_a_socket_closed_when_its_peers_last_data_came(family: Family) -> Result<()> {
    let mut world = World::new(family)?;
    let (old, shut) = world.shut_down()?;
    thread::sleep(AGE);
    world.server.on(old.far, "send 10")?;
    world.client.on(old.near, "receive 10")?;
    world.client.close(old.near)?;
    thread::sleep(Duration::from_secs(1));
    let asked = Asked::now(&mut world)?;
    asked.check("fin_wait_2", shut, AGE + ROUNDED)?;
    let is_bound = asked.open.get("fin_wait_2").is_some_and(|open| open.is_bound);
    ensure!(is_bound, "{:?} ns is said to be exact", asked.least("fin_wait_2"));
    Ok(())
}

/// Whether the kernel keeps the time of the segment that brought a mini-socket into its state, and by how much an age is less where it
/// does not. It came with this setting, in 6.14.
fn unless_stamped(off: Duration) -> Duration {
    let is_stamped = Path::new("/proc/sys/net/ipv4/tcp_tw_reuse_delay").exists();
    if is_stamped { Duration::ZERO } else { off }
}

/// Without timestamps of segments there is no clock in whole seconds, and the timer alone proves nothing.
fn an_orphans_without_timestamps(family: Family) -> Result<()> {
    let mut world = World::new(family)?;
    world.namespace.sysctl("net/ipv4/tcp_timestamps", "0")?;
    let (_, closed) = world.half_closed()?;
    world.until("fin_wait_2", 1)?;
    thread::sleep(AGE);
    Asked::now(&mut world)?.check("fin_wait_2", closed, unless_stamped(2 * AGE))
}

/// The server does not hear the last ACK and sends its FIN again and again, which sets the timer of `TIME_WAIT` again.
fn of_a_time_wait_whose_fin_came_again(family: Family) -> Result<()> {
    let mut world = World::new(family)?;
    let (old, _) = world.half_closed()?;
    world.server.on(old.far, "drain")?;
    world.server.on(old.far, "deaf")?;
    let closed = world.server.close(old.far)?;
    world.until("time_wait", 1)?;
    thread::sleep(AGE);
    Asked::now(&mut world)?.check("time_wait", closed, unless_stamped(2 * AGE))
}

/// A handshake is under way when tcplife starts: it is there once, its SYN-ACK is sent again on it, and the connection that it
/// becomes is the same one, with the whole time that it took.
fn a_handshake_goes_on(family: Family) -> Result<()> {
    let mut world = World::new(family)?;
    let (near, ends) = world.syn_received()?;
    let begun = world.client.call("table")?.span;
    thread::sleep(Duration::from_millis(500));
    let trace = watch(&world.namespace, "trace", &[])?;
    let server = ends.turned();
    let again = trace.wait_for("the SYN-ACK sent again", |records| {
        records.iter().find_map(|record| match record {
            Record::Retransmit(r) if r.connection.is_between(server) => Some(r.clone()),
            _ => None,
        })
    })?;
    world.client.on(near, "hear")?;
    let done = world.client.on(near, "finish")?.span;
    let (far, _) = world.server.accept(world.listener)?;
    trace.wait_for("established", |records| {
        records
            .iter()
            .any(|r| matches!(r, Record::Transition(t) if is(t, server, "established")))
            .then_some(())
    })?;
    world.server.close(far)?;
    let output = trace.stop()?;
    let moves: Vec<&Transition> = output
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Transition(t) if t.connection.is_between(server) => Some(t),
            _ => None,
        })
        .collect();
    check_handshake(&again, &moves, begun, done)
}

fn is(t: &Transition, ends: tcplife_tests::actor::Ends, to: &str) -> bool {
    t.connection.is_between(ends) && t.to == to
}

fn check_handshake(again: &Retransmit, moves: &[&Transition], begun: Span, done: Span) -> Result<()> {
    let [first, second, ..] = moves else { bail!("{} moves", moves.len()) };
    ensure!((first.from.as_str(), first.to.as_str()) == ("listen", "syn_received"), "{first:?}");
    ensure!((second.from.as_str(), second.to.as_str()) == ("syn_received", "established"), "{second:?}");
    for step in moves {
        ensure!(step.connection.id == again.connection.id, "not the request's: {step:?}");
        ensure!(step.connection.role.as_deref() == Some("server"), "{step:?}");
    }
    let took = second.elapsed_ns.context("how long it took is not known")?;
    // `begun` is just after the handshake began.
    let least = second.mono_ns.min(done.began) - begun.ended;
    ensure!(took + ns(NEAR) >= least, "{took} ns, but {least} is the least");
    ensure!(took <= done.ended - begun.began + ns(NEAR + Duration::from_secs(1)), "{took} ns is too long");
    Ok(())
}
