//! What tcplife believes after it has lost events: what the kernel has.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tcplife_tests::{
    actor::{Actor, Ends, Handle},
    deadline::{PATIENCE, scaled, until},
    feed::Feed,
    kernel_table::states,
    lab::watch,
    namespace::{Family, Namespace},
    record::Record,
    tcplife_binary,
    tracer::{Output, READY, Tracer, hooks},
    verdict::{Story, ids},
};

on_both_families! {
    whole_again_after_a_loss
}

/// The smallest ring.
const RING: [&str; 2] = ["--ring-size", "4096"];
/// How long nobody reads it.
const STOPPED: Duration = Duration::from_secs(2);
/// Connections in that time, far more than the ring holds.
const LOAD: u64 = 2_000;

/// A running `tcplife hist -o json`.
struct Hist {
    child: Child,
    printed: Feed<Value>,
}

impl Hist {
    fn start(namespaces: [&Namespace; 2]) -> Result<Self> {
        let inodes = namespaces.map(|namespace| namespace.inode().to_string()).join(",");
        let mut child = Command::new(tcplife_binary()?)
            .args(["hist", "-o", "json", "--netns", &inodes])
            .args(hooks())
            .args(RING)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let notes = Feed::new(child.stderr.take(), Ok)?;
        let printed = Feed::new(child.stdout.take(), |line| Ok(serde_json::from_str(&line)?))?;
        let this = Self { child, printed };
        let first: String = notes.wait_for("the ready line", PATIENCE, |lines| lines.first().cloned())?;
        ensure!(first.starts_with(READY), "tcplife says: {first}");
        Ok(this)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal).context("tcplife is gone")
    }

    /// Ends it; how many connections it has in each state.
    fn stop(mut self) -> Result<BTreeMap<String, u64>> {
        self.signal(Signal::INT)?;
        let child = &mut self.child;
        let status = until("the end of hist", PATIENCE, || Ok(child.try_wait()?))?;
        ensure!(status.success(), "hist ended with {status}");
        let mut open = BTreeMap::new();
        for record in self.printed.rest()? {
            let (state, count) = (record["state"].as_str(), record["open"]["count"].as_u64());
            if let (Some(state), Some(count @ 1..)) = (state, count) {
                open.insert(state.to_owned(), count);
            }
        }
        Ok(open)
    }
}

impl Drop for Hist {
    fn drop(&mut self) {
        // Nothing is left to do about a failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two processes and the connections between them.
struct World {
    server: Actor,
    client: Actor,
    listener: Handle,
    at: std::net::SocketAddr,
}

/// A connection.
#[derive(Clone, Copy)]
struct Both {
    near: Handle,
    far: Handle,
    ends: Ends,
}

impl World {
    fn new(namespace: &Namespace, family: Family) -> Result<Self> {
        let (mut server, client) = (namespace.actor("server")?, namespace.actor("client")?);
        let (listener, at) = server.listen(family.loopback())?;
        Ok(Self { server, client, listener, at })
    }

    fn open(&mut self) -> Result<Both> {
        let (near, ends) = self.client.connect(self.at)?;
        let (far, _) = self.server.accept(self.listener)?;
        Ok(Both { near, far, ends })
    }

    fn load(&mut self) -> Result<()> {
        self.server.begin_on(self.listener, &format!("serve {LOAD} 2"))?;
        self.client.begin(&format!("churn {LOAD} 2 csor {}", self.at))?;
        for actor in [&mut self.client, &mut self.server] {
            let done: u64 = actor.answer(3 * PATIENCE)?.parse()?;
            ensure!(done == LOAD, "{done} connections");
        }
        Ok(())
    }
}

fn find_loss(records: &[Record]) -> Option<usize> {
    let lost = records
        .iter()
        .position(|record| matches!(record, Record::Lost(lost) if lost.cause == "ring_full"))?;
    let whole = records.get(lost..)?.iter().position(|record| matches!(record, Record::Resync(_)))?;
    Some(lost + whole)
}

/// Nobody reads the smallest ring for two seconds, while connections come, go and change in two namespaces. Then tcplife
/// says that it lost events, and that it is whole again: it has as many connections in each state as the kernel, and what
/// they do next is told once, of one connection each, from the state that they were in.
fn whole_again_after_a_loss(family: Family) -> Result<()> {
    let (namespace, other) = (Namespace::new()?, Namespace::new()?);
    let (mut world, mut elsewhere) = (World::new(&namespace, family)?, World::new(&other, family)?);
    let lookers = [namespace.actor("looker")?, other.actor("looker")?];
    let (trace, hist) = (watch(&namespace, "trace", &RING)?, Hist::start([&namespace, &other])?);
    let [kept, halved, gone] = [world.open()?, world.open()?, world.open()?];
    let [_, there] = [elsewhere.open()?, elsewhere.open()?];
    trace.signal(Signal::STOP)?;
    hist.signal(Signal::STOP)?;
    let stopped = Instant::now();
    world.load()?;
    world.client.close(halved.near)?;
    world.client.close(gone.near)?;
    world.server.on(gone.far, "drain")?;
    world.server.close(gone.far)?;
    let [new, new_halved] = [world.open()?, world.open()?];
    world.client.close(new_halved.near)?;
    world.server.on(new_halved.far, "drain")?;
    elsewhere.client.close(there.near)?;
    elsewhere.open()?;
    thread::sleep(scaled(STOPPED).saturating_sub(stopped.elapsed()));
    trace.signal(Signal::CONT)?;
    hist.signal(Signal::CONT)?;
    let whole = trace.wait_for("a loss and a resync", find_loss)?;
    hist.printed.wait_for("a resync", PATIENCE, |records| {
        records.iter().any(|record| record["type"] == "resync").then_some(())
    })?;
    compare(hist, lookers)?;
    for both in [kept, new] {
        world.client.close(both.near)?;
        world.server.on(both.far, "drain")?;
    }
    for both in [kept, new, halved, new_halved] {
        world.server.close(both.far)?;
        told(&trace, whole, both.ends, "time_wait")?;
        told(&trace, whole, both.ends.turned(), "closed")?;
    }
    check(&trace.stop()?, whole, [kept, new], [halved, new_halved], gone)
}

/// Waits until `trace` has told that one end entered `state`, after record number `after`.
fn told(trace: &Tracer, after: usize, ends: Ends, state: &str) -> Result<()> {
    trace.wait_for(state, |records| {
        let mut later = records.iter().skip(after);
        let found = later.any(|record| match record {
            Record::Transition(t) => t.connection.is_between(ends) && t.to == state,
            _ => false,
        });
        found.then_some(())
    })
}

/// tcplife's table and the kernel's of each namespace.
fn compare(hist: Hist, lookers: [Actor; 2]) -> Result<()> {
    let mut kernel: BTreeMap<String, u64> = BTreeMap::new();
    for mut looker in lookers {
        for (state, count) in states(&mut looker)? {
            *kernel.entry(state.to_owned()).or_default() += count;
        }
    }
    let believed = hist.stop()?;
    ensure!(believed == kernel, "tcplife believes in {believed:?}, the kernel has {kernel:?}");
    Ok(())
}

/// What was told after record number `after`.
fn check(output: &Output, after: usize, open: [Both; 2], halved: [Both; 2], gone: Both) -> Result<()> {
    let later = output.records.get(after..).unwrap_or_default();
    let paths = |ends: Ends| -> Vec<String> {
        ids(later, ends).iter().map(|id| Story::of(later, id).path()).collect()
    };
    let expect = |ends: Ends, path: &str| match paths(ends).as_slice() {
        [found] if found == path => Ok(()),
        found => bail!("{ends:?} went {found:?}, expected {path}"),
    };
    for both in open {
        expect(both.ends, "established > fin_wait_1 > fin_wait_2 > time_wait")?;
        expect(both.ends.turned(), "established > close_wait > last_ack > closed")?;
    }
    for both in halved {
        expect(both.ends, "fin_wait_2 > time_wait")?;
        expect(both.ends.turned(), "close_wait > last_ack > closed")?;
    }
    ensure!(
        paths(gone.ends).is_empty() && paths(gone.ends.turned()).is_empty(),
        "a ghost: {gone:?}",
        gone = gone.ends
    );
    Ok(())
}
