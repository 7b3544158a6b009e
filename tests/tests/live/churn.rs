//! Many short connections: each is told exactly once, and what is lost is counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Result, ensure};
use tcplife_tests::{
    deadline::slowness,
    lab::watch,
    namespace::{Family, Namespace, in_our_machine},
    record::{Connection, Id, Life, Record, losses},
};

/// How long a churn may take, on a machine that is not emulated.
const CHURN_TIME: Duration = Duration::from_mins(3);
/// Threads on each side, so that no CPU has nothing to do.
const THREADS: u32 = 4;

/// Has one process connect to another `count` times as fast as so many threads can. The targets are several, because each has
/// only 28,000 ports to be reached from.
/// The answer is [`Namespace::settled`]'s.
fn churn(namespace: &mut Namespace, family: Family, count: u64, threads: u32, endings: &str) -> Result<u64> {
    // A machine with little memory has room for fewer by default, and resets a connection whose closer finds none.
    namespace.sysctl("net/ipv4/tcp_max_tw_buckets", "200000")?;
    let (mut server, mut client) = (namespace.actor("churn-server")?, namespace.actor("churn-client")?);
    let mut targets = Vec::new();
    let any = if family == Family::V4 { "0.0.0.0:0" } else { "[::]:0" };
    let (listener, at) = server.listen(any.parse()?)?;
    for n in 1..=16 {
        match family {
            Family::V4 => targets.push(format!("127.0.0.{n}:{}", at.port())),
            Family::V6 => targets.push(format!("[::1]:{}", at.port())),
        }
    }
    server.begin_on(listener, &format!("serve {count} {threads}"))?;
    client.begin(&format!("churn {count} {threads} {endings} {}", targets.join(" ")))?;
    for actor in [&mut client, &mut server] {
        let done: u64 = actor.answer(CHURN_TIME)?.parse()?;
        ensure!(done == count, "{done} connections");
    }
    server.close(listener)?;
    namespace.settled()
}

/// Lives of 200,000 whose end may be unknown although the kernel counts no program that was not run: outside our machines
/// ([`in_our_machine`]).
const UNSEEN: u64 = 5;

/// What a life is like: role, first closer, end.
type Kind<'a> = (&'a str, &'a str, &'a str);

/// How many lives there are of each kind.
fn kinds<'a>(lives: &[&'a Life]) -> BTreeMap<Kind<'a>, u64> {
    let mut kinds = BTreeMap::new();
    for life in lives {
        let role = life.connection.role.as_deref().unwrap_or("unknown");
        *kinds.entry((role, life.first_close.as_str(), life.end.as_str())).or_default() += 1;
    }
    kinds
}

/// `count` connections, of which a quarter ends in each of four ways.
fn every_life_once(family: Family, count: u64) -> Result<()> {
    let mut namespace = Namespace::new()?;
    let lives = watch(&namespace, "lives", &[])?;
    let orphans = churn(&mut namespace, family, count, THREADS, "csor")?;
    let output = lives.stop()?;
    let (summary, cause) = (&output.summary, output.summary.lost_by_cause);
    ensure!(summary.is_balanced(), "hits are not accounted for: {summary:?}");
    ensure!(cause.ring_full == 0 && cause.malformed == 0, "lost: {summary:?}");
    let all = output.records.iter().filter_map(|record| match record {
        Record::Life(life) => Some(life),
        _ => None,
    });
    let all: Vec<&Life> = all.collect();
    let told = u64::try_from(all.len())?;
    // Where tracepoints can be preempted, programs are now and then not run, and each miss is counted. A connection goes by
    // unseen for it, or is told as two that are not whole.
    ensure!(
        told.abs_diff(2 * count) <= cause.recursion,
        "{told} lives of {count} connections, {:?}, {summary:?}",
        kinds(&all)
    );
    let ids: BTreeSet<&Id> = all.iter().map(|life| &life.connection.id).collect();
    ensure!(ids.len() == all.len(), "a life was told twice");
    let (seen, unseen): (Vec<&Life>, Vec<&Life>) = all.into_iter().partition(|life| life.complete);
    let uncounted = if in_our_machine() { 0 } else { UNSEEN };
    let allowed = (uncounted + 2 * cause.recursion).try_into()?;
    ensure!(unseen.len() <= allowed, "{} lives are not whole, such as {:?}", unseen.len(), unseen.first());
    check_kinds(kinds(&seen), count, orphans)?;
    seen.into_iter().try_for_each(|life| check_life(life, namespace.inode()))?;
    Ok(())
}

/// Checks that no kind has more whole lives than there were such connections. All lives together are as many as there should
/// be, so no kind can have too few but for those that are not whole. Other ends of `orphans` may be reset.
fn check_kinds(mut kinds: BTreeMap<Kind<'_>, u64>, count: u64, orphans: u64) -> Result<()> {
    let reset =
        ["client", "server"].map(|role| kinds.remove(&(role, "remote", "reset_received")).unwrap_or(0));
    ensure!(reset.iter().sum::<u64>() <= orphans, "{orphans} orphans, {reset:?} reset, {kinds:?}");
    let expected = BTreeMap::from([
        (("client", "local", "fin"), count / 2),
        (("client", "remote", "fin"), count / 4),
        (("client", "none", "reset_sent"), count / 4),
        (("server", "remote", "fin"), count / 2),
        (("server", "local", "fin"), count / 4),
        (("server", "none", "reset_received"), count / 4),
    ]);
    let right = kinds.iter().all(|(kind, n)| expected.get(kind).is_some_and(|most| n <= most));
    ensure!(right, "{kinds:?}, expected {expected:?}");
    Ok(())
}

/// Checks one whole life.
fn check_life(life: &Life, netns: u64) -> Result<()> {
    let spent: u64 = life.states.values().flatten().sum();
    ensure!(life.duration_ns == Some(spent), "the states do not add up: {life:?}");
    let Connection { local_port, remote_port, netns: inode, owner, .. } = &life.connection;
    ensure!(*local_port != 0 && *remote_port != 0, "a port is missing: {life:?}");
    ensure!(*inode == netns, "another namespace: {life:?}");
    let comm = owner.as_ref().map(|owner| owner.comm.as_str());
    let right =
        if life.connection.role.as_deref() == Some("client") { "churn-client" } else { "churn-server" };
    ensure!(comm == Some(right), "another owner: {life:?}");
    Ok(())
}

/// 100,000 connections at full speed: 200,000 lives, each once, nothing lost.
#[test]
fn a_hundred_thousand_connections() -> Result<()> {
    every_life_once(Family::V4, 100_000 / u64::from(slowness()) / 4 * 4)
}

/// The same over IPv6, as far as one address has ports.
#[test]
fn twenty_thousand_connections_over_ipv6() -> Result<()> {
    every_life_once(Family::V6, 20_000 / u64::from(slowness()) / 4 * 4)
}

/// The smallest ring that there is, and more than it can hold: every hit of a hook is delivered, filtered or lost, and
/// the summary and the `lost` records say so. What is told all the same is told once.
#[test]
fn a_tiny_ring_loses_and_says_so() -> Result<()> {
    let count = 50_000 / u64::from(slowness());
    let mut namespace = Namespace::new()?;
    let ring = ["--ring-size", "4096"];
    let trace = watch(&namespace, "trace", &ring)?;
    let lives = watch(&namespace, "lives", &ring)?;
    churn(&mut namespace, Family::V4, count, THREADS, "csor")?;
    for output in [trace.stop()?, lives.stop()?] {
        let s = &output.summary;
        ensure!(s.lost_by_cause.ring_full > 0, "this ring cannot hold them all: {s:?}");
        ensure!(s.is_balanced(), "hits are not accounted for: {s:?}");
        // Opening, closing first and last: no connection of any kind has fewer hits on both ends.
        ensure!(s.hits >= 6 * count, "hits are missing: {s:?}");
        let told = losses(&output.records);
        ensure!(told == s.lost, "{told} lost events were told: {s:?}");
        let mut lives: Vec<_> = output
            .records
            .iter()
            .filter(|r| matches!(r, Record::Life(_)))
            .filter_map(|r| Some(&r.connection()?.id))
            .collect();
        let all = lives.len();
        lives.sort();
        lives.dedup();
        ensure!(lives.len() == all, "{} lives were told twice", all - lives.len());
    }
    Ok(())
}

/// Far more than the ring buffer holds until the agent would look at it by itself, as fast as one thread makes it: what is
/// written wakes the agent in between. Not woken, it would find it full each time, with a fifth of what there was.
#[test]
fn a_filling_ring_buffer_wakes_the_agent() -> Result<()> {
    let count = 20_000 / u64::from(slowness());
    let mut namespace = Namespace::new()?;
    let lives = watch(&namespace, "lives", &["--ring-size", "256K"])?;
    churn(&mut namespace, Family::V4, count, 1, "c")?;
    let summary = lives.stop()?.summary;
    ensure!(summary.is_balanced(), "hits are not accounted for: {summary:?}");
    // It may have to wait for a CPU.
    ensure!(summary.lost_by_cause.ring_full < summary.hits / 3, "much is lost: {summary:?}");
    Ok(())
}
