//! Connections that are used and closed in every way, in any order, by many threads, while segments are lost: what is told of
//! each is, in the end, what the kernel says.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use fastrand::Rng;
use tcplife_tests::{
    actor::Ends,
    deadline::{PATIENCE, until},
    kernel_table::KernelSocket,
    lab::Lab,
    namespace::{Family, Namespace},
    record::{Id, Record, losses},
    tracer::{Output, Tracer},
    verdict::{check_lives, check_trace},
};

on_both_families! {
    told_as_the_kernel_has_it
}

/// Connections that each client tries to make.
const COUNT: u64 = 240;
/// Threads of each client.
const THREADS: u64 = 24;
/// How long until timers have ended what nobody else ends, and the table was compared with the kernel's sockets, as it is every 30 s.
const UNTIL_IDLE: Duration = Duration::from_mins(1);

/// A namespace in which everything gives up early, and ports are few.
fn impatient() -> Result<Namespace> {
    let mut namespace = Namespace::new()?;
    for (key, value) in [
        ("tcp_syn_retries", "2"),
        ("tcp_synack_retries", "2"),
        ("tcp_orphan_retries", "3"),
        ("tcp_retries2", "5"),
        ("tcp_fin_timeout", "3"),
        // Few ports: addresses are used again, from TIME_WAIT too.
        ("ip_local_port_range", "20000 20119"),
        ("tcp_tw_reuse", "1"),
    ] {
        namespace.sysctl(&format!("net/ipv4/{key}"), value)?;
    }
    Ok(namespace)
}

/// The sockets of each pair of ends, by state: more than one where an address was used again.
type States = BTreeMap<(String, String), Vec<String>>;

fn by_ends(sockets: impl Iterator<Item = (Ends, String)>) -> States {
    let mut states = States::new();
    for (Ends { local, remote }, state) in sockets {
        if !matches!(state.as_str(), "listen" | "closed") {
            states.entry((local.to_string(), remote.to_string())).or_default().push(state);
        }
    }
    for states in states.values_mut() {
        states.sort();
    }
    states
}

/// The last that was told of each connection.
fn told(records: &[Record]) -> States {
    let mut last: BTreeMap<&Id, (Ends, String)> = BTreeMap::new();
    for record in records {
        if let Record::Transition(step) = record {
            last.insert(&step.connection.id, (step.connection.ends().plain(), step.to.clone()));
        }
    }
    by_ends(last.into_values())
}

/// What `states` has and `other` has not, or otherwise.
fn differing<'a>(states: &'a States, other: &States) -> Vec<(&'a (String, String), &'a Vec<String>)> {
    states.iter().filter(|(ends, states)| other.get(*ends) != Some(states)).collect()
}

/// Waits until what was told is what the kernel says: timers change both meanwhile. After a loss, connections that were taken up
/// are told of when they move.
fn compared(namespace: &mut Namespace, trace: &Tracer) -> Result<()> {
    let mut seen = (States::new(), States::new());
    let same = trace.wait_long_for("what the kernel has", UNTIL_IDLE, |records| {
        let kernel = namespace.sockets().ok()?.into_iter();
        seen = (by_ends(kernel.map(|socket| (socket.ends.plain(), socket.state.to_owned()))), told(records));
        let (kernel, told) = &seen;
        let (untold, wrong): (Vec<_>, Vec<_>) =
            differing(kernel, told).into_iter().partition(|(ends, _)| !told.contains_key(*ends));
        let all = wrong.is_empty() && differing(told, kernel).is_empty();
        (all && u64::try_from(untold.len()).ok()? <= losses(records)).then_some(())
    });
    same.map_err(|_| {
        let (kernel, told) = &seen;
        anyhow!("the kernel has {:#?}, told is {:#?}", differing(kernel, told), differing(told, kernel))
    })
}

fn told_as_the_kernel_has_it(family: Family) -> Result<()> {
    let seed = fastrand::u64(..);
    played(family, seed).with_context(|| format!("with the seed {seed}"))
}

fn played(family: Family, seed: u64) -> Result<()> {
    let mut seeds = Rng::with_seed(seed);
    let mut lab = Lab::with(family, impatient()?, &[])?;
    let mut servers = [lab.actor("chaos-server-a")?, lab.actor("chaos-server-b")?];
    let mut clients = [lab.actor("chaos-client-a")?, lab.actor("chaos-client-b")?];
    let mut targets = Vec::new();
    for (server, backlog) in servers.iter_mut().zip([2, 64]) {
        let listener = server.open(family.kind())?;
        server.on(listener, "lose")?;
        targets.push(server.listen_with(listener, family.loopback(), backlog)?.to_string());
        server.begin_on(listener, &format!("chaos-serve {}", seeds.u64(..)))?;
    }
    for client in &mut clients {
        let (seed, targets) = (seeds.u64(..), targets.join(" "));
        client.begin(&format!("chaos {seed} {COUNT} {THREADS} {targets}"))?;
    }
    for client in &mut clients {
        client.answer(10 * PATIENCE)?;
    }
    compared(&mut lab.namespace, &lab.trace)?;
    for actor in servers.iter_mut().chain(&mut clients) {
        actor.kill()?;
    }
    // A probe of a window that is zero is answered by a reset, unless that is lost; the next probe takes twice as long.
    until("all sockets are closed", UNTIL_IDLE, || {
        let is_mini = |socket: &KernelSocket| matches!(socket.state, "time_wait" | "fin_wait_2");
        Ok(lab.namespace.sockets()?.iter().all(is_mini).then_some(()))
    })?;
    compared(&mut lab.namespace, &lab.trace)?;
    check(&lab.trace.stop()?, &lab.lives.stop()?, lab.namespace.inode())
}

/// Checks that each connection had one life, and what always holds where nothing is lost. Something can be: a timer's softirq may
/// run no BPF program ([`tcplife_tests::namespace::in_our_machine`]), and a program can be interrupted by itself where tracepoints
/// are preempted. It is told then, and the states are the kernel's all the same.
fn check(trace: &Output, lives: &Output, netns: u64) -> Result<()> {
    for Output { records, summary, .. } in [trace, lives] {
        let told = losses(records);
        ensure!(summary.is_balanced() && told == summary.lost, "{told} were told to be lost: {summary:?}");
    }
    let of_connection = |record: &&Record| match record {
        Record::Transition(step) => step.from != "listen" && step.to != "listen",
        record => matches!(record, Record::Life(_)),
    };
    let count = |output: &Output| -> Result<u64> {
        let records = output.records.iter().filter(of_connection);
        let ids: BTreeSet<&Id> =
            records.filter_map(Record::connection).map(|connection| &connection.id).collect();
        Ok(ids.len().try_into()?)
    };
    let (connections, ended, lost) = (count(trace)?, count(lives)?, trace.summary.lost + lives.summary.lost);
    ensure!(connections > COUNT, "{connections} connections are too few");
    ensure!(connections.abs_diff(ended) <= lost, "{ended} lives of {connections} connections, {lost} lost");
    if lost > 0 {
        eprintln!("states only were compared, for {lost} were lost: {:?}", trace.summary);
        return Ok(());
    }
    check_trace(trace, netns)?;
    check_lives(lives, netns)
}
