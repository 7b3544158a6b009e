//! `TIME_WAIT` to its end: by its timer, and with its namespace.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_getres};
use tcplife_tests::{
    actor::{Actor, Span},
    clock::mono_ns,
    deadline::scaled,
    kernel_table::states,
    lab::{Lab, watch},
    namespace::{Family, Namespace, processes_in},
    pair::Pair,
    record::{Id, Life, Record, Transition},
    tracer::{Output, Tracer},
};

use crate::mini::{CLIENT_TO_THE_END, NEAR, check_cause, close_both, ns};

on_both_families! {
    dies_with_its_namespace
}

until_seen_on_both_families! {
    outlives_the_processes_of_its_namespace
}

/// Connections over IPv4 in the long test; one more is over IPv6.
const MANY: u64 = 5_000;
/// How long they may take to come and go.
const PATIENCE: Duration = Duration::from_mins(1);
/// Sleep between two looks at the kernel's table.
const PAUSE: Duration = Duration::from_millis(20);
/// `TCP_TIMEWAIT_LEN`.
const TIME_WAIT_NS: u64 = 60_000_000_000;

/// The longest `TIME_WAIT`: the timer wheel rounds 60 s up to 512 jiffies, or to 4096 with more than 500 a second.
fn longest() -> Result<u64> {
    let tick = u64::try_from(clock_getres(ClockId::MonotonicCoarse).tv_nsec)?;
    Ok(TIME_WAIT_NS + tick * if tick < 2_000_000 { 4097 } else { 513 })
}

/// Moves out of `TIME_WAIT`.
fn ended(records: &[Record]) -> impl Iterator<Item = &Transition> {
    records.iter().filter_map(|record| match record {
        Record::Transition(t) if t.from == "time_wait" => Some(t),
        _ => None,
    })
}

/// All processes of a namespace end, and so does what was in `TIME_WAIT` there.
fn dies_with_its_namespace(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    close_both(&mut pair)?;
    pair.lab.reached(pair.ends, "time_wait")?;
    let Pair { lab: Lab { trace, lives, namespace, .. }, client, server, ends, .. } = pair;
    let (began, inode) = (mono_ns(), namespace.inode());
    drop((client, server, namespace));
    let end = trace.wait_for("the end", |records| ended(records).next().cloned())?;
    let seen = mono_ns();
    // Where dumps tell of it, another namespace that has the number by then hides that this one is gone.
    let hidden = !processes_in(inode)?.is_empty();
    ensure!(end.connection.is_between(ends) && end.to == "closed", "{end:?}");
    ensure!((began..=seen).contains(&end.mono_ns), "{end:?}: not in {began}..{seen}");
    check_cause(&trace.stop()?, &end, if hidden { "(netns_gone)" } else { "netns_gone" })?;
    lives.stop()?;
    Ok(())
}

/// All processes of a namespace end, but somebody elsewhere has a socket of it, which is not of TCP: `TIME_WAIT` goes on there. It
/// ends with that socket. `None` if another namespace has its number by then: lists of that one's mini-sockets may be far apart.
fn outlives_the_processes_of_its_namespace(family: Family) -> Result<Option<()>> {
    let mut pair = Pair::open(family)?;
    let mut keeper = pair.lab.actor("keeper")?;
    keeper.call("inbox keeper")?;
    keeper.call(&format!("netns /proc/{}/ns/net", std::process::id()))?;
    close_both(&mut pair)?;
    pair.lab.reached(pair.ends, "time_wait")?;
    let Pair { lab: Lab { trace, lives, namespace, .. }, client, server, ends, .. } = pair;
    let inode = namespace.inode();
    drop((client, server, namespace));
    // Dumps come each second.
    thread::sleep(scaled(Duration::from_secs(4)));
    let began = mono_ns();
    drop(keeper);
    let end = trace.wait_for("the end", |records| ended(records).next().cloned());
    if !processes_in(inode)?.is_empty() {
        return Ok(None);
    }
    let end = end?;
    ensure!(end.connection.is_between(ends) && end.mono_ns >= began, "{end:?}: not after {began}");
    check_cause(&trace.stop()?, &end, "netns_gone")?;
    lives.stop()?;
    Ok(Some(()))
}

/// Thousands of connections in `TIME_WAIT` at once, on both families: each stays there once, for as long as the kernel
/// has it, and its life with `--time-wait` says the same.
#[test]
fn thousands_to_the_end() -> Result<()> {
    let mut namespace = Namespace::new()?;
    // A machine with little memory has room for fewer by default.
    namespace.sysctl("net/ipv4/tcp_max_tw_buckets", "10000")?;
    // On a slow one, ports that have waited for a second would be used again (over loopback, by default).
    namespace.sysctl("net/ipv4/tcp_tw_reuse", "0")?;
    let trace = watch(&namespace, "trace", &[])?;
    let lives = watch(&namespace, "lives", &["--time-wait"])?;
    let mut looker = namespace.actor("looker")?;
    let [_servers, _clients] =
        [come_and_go(&namespace, Family::V4, MANY)?, come_and_go(&namespace, Family::V6, 1)?];
    let all = MANY + 1;
    let waiting = states(&mut looker)?.get("time_wait").copied();
    ensure!(waiting == Some(all), "the kernel has {waiting:?} in TIME_WAIT");
    let begun = told(&trace, all, "all in TIME_WAIT", |t| t.to == "time_wait")?;
    let gone = empty(&mut looker, begun)?;
    told(&trace, all, "all ends", |t| t.from == "time_wait")?;
    let is_life = |record: &&Record| matches!(record, Record::Life(_));
    lives.wait_for("all lives", |records| {
        (records.iter().filter(is_life).count() as u64 == 2 * all).then_some(())
    })?;
    let (trace, lives) = (trace.stop()?, lives.stop()?);
    let last = ended(&trace.records).map(|t| t.mono_ns).max().context("no end")?;
    let (from, to) = (gone.began.saturating_sub(ns(NEAR)), gone.ended + ns(NEAR));
    ensure!((from..=to).contains(&last), "the last ended at {last}, not in {from}..{to}");
    check_stays(&trace, &lives, all)
}

/// Waits until `count` moves of a kind are told. Returns when the last was made.
fn told(trace: &Tracer, count: u64, what: &str, of: fn(&Transition) -> bool) -> Result<u64> {
    let kind = |records: &[Record]| -> Vec<u64> {
        let moves = records.iter().filter_map(|record| match record {
            Record::Transition(t) if of(t) => Some(t.mono_ns),
            _ => None,
        });
        moves.collect()
    };
    trace.wait_long_for(what, 2 * PATIENCE, |records| {
        let times = kind(records);
        (times.len() as u64 >= count).then(|| times.into_iter().max().unwrap_or(0))
    })
}

/// Has one process connect to another and shut down first, `count` times.
fn come_and_go(namespace: &Namespace, family: Family, count: u64) -> Result<[Actor; 2]> {
    let (mut server, mut client) = (namespace.actor("server")?, namespace.actor("client")?);
    let (listener, at) = server.listen(family.loopback())?;
    server.begin_on(listener, &format!("serve {count} 2"))?;
    client.begin(&format!("churn {count} 2 c {at}"))?;
    for actor in [&mut client, &mut server] {
        let done: u64 = actor.answer(PATIENCE)?.parse()?;
        ensure!(done == count, "{done} connections");
    }
    Ok([server, client])
}

/// Waits until the kernel has no `TIME_WAIT` any more, the last of which began at `begun`. Returns when it was between:
/// the last look that found one, the first that found none.
fn empty(looker: &mut Actor, begun: u64) -> Result<Span> {
    let deadline = Instant::now() + scaled(2 * PATIENCE);
    let mut last = begun;
    loop {
        let look = mono_ns();
        let waits = look < begun + TIME_WAIT_NS || states(looker)?.contains_key("time_wait");
        if !waits {
            return Ok(Span { began: last, ended: mono_ns() });
        }
        ensure!(Instant::now() < deadline, "TIME_WAIT without end");
        last = look;
        thread::sleep(PAUSE);
    }
}

/// What each connection did in `TIME_WAIT`, told twice.
fn check_stays(trace: &Output, lives: &Output, all: u64) -> Result<()> {
    let mut paths: BTreeMap<&Id, String> = BTreeMap::new();
    let mut stays: BTreeMap<_, u64> = BTreeMap::new();
    let bounds = TIME_WAIT_NS - ns(NEAR)..=longest()? + ns(NEAR);
    for record in &trace.records {
        let Record::Transition(t) = record else { continue };
        if t.connection.role.as_deref() == Some("client") {
            let path = paths.entry(&t.connection.id).or_insert_with(|| t.from.clone());
            path.push_str(" > ");
            path.push_str(&t.to);
        }
        if t.from == "time_wait" {
            check_cause(trace, t, "expired")?;
            let stay = t.elapsed_ns.context("no length")?;
            ensure!(bounds.contains(&stay), "{stay} ns in TIME_WAIT, not {bounds:?}");
            let twice = stays.insert(t.connection.ends().local, stay);
            ensure!(twice.is_none(), "twice: {t:?}");
        }
    }
    ensure!(
        stays.len() as u64 == all && paths.len() as u64 == all,
        "{} stays, {} paths",
        stays.len(),
        paths.len()
    );
    let gaps: Vec<&String> = paths.values().filter(|path| *path != CLIENT_TO_THE_END).collect();
    ensure!(
        gaps.len() as u64 <= gaps_of(trace),
        "{} went as {:?}: {:?}",
        gaps.len(),
        gaps.first(),
        trace.summary
    );
    let mut gaps = Vec::new();
    for record in &lives.records {
        match record {
            Record::Life(life) if life.complete => check_life(life, &stays)?,
            Record::Life(life) => gaps.push(life),
            // Of an accept, say, which no life needs. What is needed is not whole without it.
            _ => ensure!(record.is_of_misses(), "{record}"),
        }
    }
    ensure!(
        gaps.len() as u64 <= gaps_of(lives),
        "{} have gaps, as {:?}: {:?}",
        gaps.len(),
        gaps.first(),
        lives.summary
    );
    Ok(())
}

/// Connections that may have gaps: where tracepoints can be preempted, programs are now and then not run, and each miss is counted.
/// One that was missed leaves a gap, or makes two connections of one.
const fn gaps_of(output: &Output) -> u64 {
    2 * output.summary.lost
}

fn check_life(life: &Life, stays: &BTreeMap<std::net::SocketAddr, u64>) -> Result<()> {
    let told = life.states.get("time_wait").copied().flatten();
    ensure!(life.end == "fin", "{life:?}");
    if life.connection.role.as_deref() == Some("server") {
        ensure!(told.is_none(), "{life:?}");
        return Ok(());
    }
    let stay = stays.get(&life.connection.ends().local).context("no such connection")?;
    // Two tracers, two clock readings for one event, or two computations.
    ensure!(
        told.is_some_and(|told| told.abs_diff(*stay) <= ns(NEAR)),
        "{stay} ns in the trace, but {life:?}"
    );
    let spent: u64 = life.states.values().flatten().sum();
    ensure!(life.duration_ns == Some(spent), "the states do not add up: {life:?}");
    Ok(())
}
