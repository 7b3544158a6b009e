//! Sockets that were there before tcplife: taken up with what the kernel still knows of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tcplife_tests::{
    actor::{Actor, Ends, Handle, Span},
    clock::mono_ns,
    deadline::{PATIENCE, until},
    kernel_table::states,
    lab::{Lab, watch},
    namespace::{Family, Namespace},
    record::{Connection, Id, Record, Transition},
    tcplife_binary,
    tracer::{Output, hooks},
    verdict::{Story, ids},
};

use crate::mini::ns;

on_both_families! {
    counted_as_the_kernel_counts
    later_moves
}

/// How old the sockets are when the tracer starts.
pub(crate) const AGE: Duration = Duration::from_secs(3);
/// More connections than a test waits for.
const ENDLESS: u64 = 10_000_000;
/// How long no connection under load stays as it is.
const SOON: Duration = Duration::from_secs(2);
/// Lives told under load.
const LIVES: usize = 4000;
/// Of so many hits one at most may find its program at work already, where tracepoints can be preempted.
const HITS_PER_LOSS: u64 = 1000;

/// Connections between a client and a server, none of which tcplife has seen come about.
pub(crate) struct World {
    pub(crate) namespace: Namespace,
    family: Family,
    pub(crate) server: Actor,
    pub(crate) client: Actor,
    pub(crate) listener: Handle,
    pub(crate) at: SocketAddr,
}

/// One of them.
#[derive(Clone, Copy)]
pub(crate) struct Old {
    pub(crate) near: Handle,
    pub(crate) far: Handle,
    pub(crate) ends: Ends,
}

/// Stays that last, of one state.
pub(crate) struct Open {
    pub(crate) count: u64,
    /// The longest, nanoseconds.
    pub(crate) oldest: Option<u64>,
    /// It may be longer.
    pub(crate) is_bound: bool,
}

impl World {
    pub(crate) fn new(family: Family) -> Result<Self> {
        let namespace = Namespace::new()?;
        namespace.acknowledge_at_once()?;
        let (mut server, client) = (namespace.actor("server")?, namespace.actor("client")?);
        let (listener, at) = server.listen(family.loopback())?;
        Ok(Self { namespace, family, server, client, listener, at })
    }

    pub(crate) fn connect(&mut self) -> Result<Old> {
        let (near, ends) = self.client.connect(self.at)?;
        let (far, _) = self.server.accept(self.listener)?;
        Ok(Old { near, far, ends })
    }

    /// Waits until the kernel has `count` sockets in `state`.
    pub(crate) fn until(&mut self, state: &str, count: u64) -> Result<()> {
        let client = &mut self.client;
        until(state, PATIENCE, || Ok((states(client)?.get(state) == Some(&count)).then_some(())))
    }

    /// The client closes: an orphan in `FIN_WAIT_2` faces `CLOSE_WAIT`.
    pub(crate) fn half_closed(&mut self) -> Result<(Old, Span)> {
        let old = self.connect()?;
        Ok((old, self.client.close(old.near)?))
    }

    /// Both close: `TIME_WAIT` at the client.
    pub(crate) fn time_wait(&mut self) -> Result<(Old, Span)> {
        let (old, _) = self.half_closed()?;
        self.server.on(old.far, "drain")?;
        Ok((old, self.server.close(old.far)?))
    }

    /// The client shuts down and holds: `FIN_WAIT_2` of a full socket.
    pub(crate) fn shut_down(&mut self) -> Result<(Old, Span)> {
        let old = self.connect()?;
        let span = self.client.on(old.near, "shutdown")?.span;
        self.server.on(old.far, "drain")?;
        Ok((old, span))
    }

    /// The server closes after the client, which does not hear it: `LAST_ACK`.
    pub(crate) fn last_ack(&mut self) -> Result<Old> {
        let (old, _) = self.shut_down()?;
        self.client.on(old.near, "deaf")?;
        self.server.close(old.far)?;
        Ok(old)
    }

    /// The client shuts down, and the server does not hear it: `FIN_WAIT_1`.
    pub(crate) fn fin_wait_1(&mut self) -> Result<Old> {
        let old = self.connect()?;
        self.server.on(old.far, "deaf")?;
        self.client.on(old.near, "shutdown")?;
        Ok(old)
    }

    /// Both shut down and only the client hears: `CLOSING` at the client, `FIN_WAIT_1` at the server.
    pub(crate) fn closing(&mut self) -> Result<Old> {
        let old = self.fin_wait_1()?;
        self.client.on(old.near, "deaf")?;
        self.server.on(old.far, "shutdown")?;
        self.client.on(old.near, "hear")?;
        self.until("closing", 1)?;
        Ok(old)
    }

    /// A connect that nobody answers: `SYN_SENT`. Returns the listener too.
    pub(crate) fn syn_sent(&mut self) -> Result<Handle> {
        let (listener, at) = self.server.listen(self.family.loopback())?;
        self.server.on(listener, "deaf")?;
        let near = self.client.open(if self.family == Family::V4 { "4" } else { "6" })?;
        self.client.on(near, &format!("start {at}"))?;
        Ok(listener)
    }

    /// A connect whose answer the client drops: `SYN_RECEIVED`, in a request. Returns the client's socket and its ends.
    pub(crate) fn syn_received(&mut self) -> Result<(Handle, Ends)> {
        let near = self.client.open(if self.family == Family::V4 { "4" } else { "6" })?;
        self.client.on(near, "deaf")?;
        self.client.on(near, &format!("start {}", self.at))?;
        let (local, _) = self.client.names(near)?;
        self.until("syn_received", 1)?;
        Ok((near, Ends { local, remote: self.at }))
    }

    /// What `tcplife hist` says of the stays that last, by state.
    pub(crate) fn hist(&self) -> Result<BTreeMap<String, Open>> {
        let inode = self.namespace.inode().to_string();
        let output = Command::new(tcplife_binary()?)
            .args(["hist", "-o", "json", "-d", "100ms", "--netns", &inode])
            .args(hooks())
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut open = BTreeMap::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let record: Value = serde_json::from_str(line)?;
            if record["type"] == "histogram" {
                let state = record["state"].as_str().context("no state")?.to_owned();
                let count = record["open"]["count"].as_u64().context("no count")?;
                let oldest = record["open"]["oldest_ns"].as_u64();
                let is_bound = record["open"]["oldest_is_bound"].as_bool().unwrap_or(false);
                open.insert(state, Open { count, oldest, is_bound });
            }
        }
        Ok(open)
    }

    /// Starts `trace` and `lives`.
    pub(crate) fn watched(self) -> Result<(Lab, Actor, Actor)> {
        let Self { namespace, family, server, client, .. } = self;
        Ok((Lab::with(family, namespace, &[])?, server, client))
    }
}

/// Sockets in every state: tcplife has as many of each as the kernel.
fn counted_as_the_kernel_counts(family: Family) -> Result<()> {
    let mut world = World::new(family)?;
    world.connect()?;
    world.half_closed()?;
    world.time_wait()?;
    world.shut_down()?;
    world.last_ack()?;
    world.fin_wait_1()?;
    world.closing()?;
    world.syn_sent()?;
    world.syn_received()?;
    // Nobody accepts it.
    let at = world.at;
    world.client.connect(at)?;
    world.until("established", 5)?;
    thread::sleep(AGE);
    let hist = world.hist()?;
    let kernel = states(&mut world.client)?;
    ensure!(kernel.len() == 10, "not every state: {kernel:?}");
    for (state, Open { count, .. }) in &hist {
        let there = kernel.get(state.as_str()).copied().unwrap_or(0);
        ensure!(*count == there, "{count} in {state}, the kernel has {kernel:?}");
    }
    Ok(())
}

/// What becomes of them is told from the state that they were in, with no length where its begin was not seen; owners are
/// those who hold them; their lives are not complete.
fn later_moves(family: Family) -> Result<()> {
    let mut world = World::new(family)?;
    let open = world.connect()?;
    let (half, _) = world.half_closed()?;
    let (shut, _) = world.shut_down()?;
    thread::sleep(AGE);
    let (lab, mut server, mut client) = world.watched()?;
    client.close(open.near)?;
    lab.reached(open.ends, "fin_wait_2")?;
    lab.reached(open.ends.turned(), "close_wait")?;
    for old in [open, half, shut] {
        server.close(old.far)?;
        lab.reached(old.ends.turned(), "closed")?;
        lab.reached(old.ends, "time_wait")?;
    }
    client.close(shut.near)?;
    let by_holders = [open.ends, open.ends.turned(), half.ends.turned(), shut.ends, shut.ends.turned()];
    lab.lives.wait_for("their lives", |records| {
        let is_told =
            |&ends: &Ends| records.iter().filter_map(Record::connection).any(|c| c.is_between(ends));
        by_holders.iter().all(is_told).then_some(())
    })?;
    let (trace, lives) = (lab.trace.stop()?, lab.lives.stop()?);
    let (near, far) = (Some((client.pid(), "client")), Some((server.pid(), "server")));
    let passive = "close_wait > last_ack > closed";
    for (ends, path, owner) in [
        (open.ends, "established > fin_wait_1 > fin_wait_2 > time_wait", near),
        (open.ends.turned(), "established > close_wait > last_ack > closed", far),
        (half.ends, "fin_wait_2 > time_wait", None),
        (half.ends.turned(), passive, far),
        (shut.ends, "fin_wait_2 > time_wait", near),
        (shut.ends.turned(), passive, far),
    ] {
        check_moves(&trace, ends, path, owner).with_context(|| format!("{ends:?}"))?;
    }
    for record in &lives.records {
        let Record::Life(life) = record else { bail!("{record}") };
        ensure!(!life.complete && life.opened.is_none() && life.duration_ns.is_none(), "{life:?}");
        // The orphan is in a mini-socket, unless the answer to its FIN met close() at work (tcp_rcv_state_process: "Bad case").
        let is_orphan = life.connection.is_between(half.ends);
        ensure!(life.connection.owner.is_some() != is_orphan, "{life:?}");
    }
    let orphans =
        lives.records.iter().filter_map(Record::connection).filter(|c| c.is_between(half.ends)).count();
    ensure!(orphans <= 1 && lives.records.len() - orphans == by_holders.len(), "{:?}", lives.records);
    Ok(())
}

fn check_moves(trace: &Output, ends: Ends, path: &str, owner: Option<(u32, &str)>) -> Result<()> {
    let found = ids(&trace.records, ends);
    let [id] = found.as_slice() else { bail!("{} connections", found.len()) };
    let story = Story::of(&trace.records, id);
    ensure!(story.path() == path, "went {}, expected {path}", story.path());
    for (n, step) in story.moves.iter().enumerate() {
        ensure!(step.elapsed_ns.is_some() == (n > 0), "{step:?}");
        let told = step.connection.owner.as_ref();
        ensure!(told.map(|o| (o.pid, o.comm.as_str())) == owner, "{step:?}");
        ensure!(told.is_none_or(|o| o.via == "holder"), "{step:?}");
    }
    Ok(())
}

/// Two processes that connect without end, to several addresses, for each has only 28,000 ports to be reached from.
fn load(namespace: &Namespace) -> Result<[Actor; 2]> {
    let (mut server, mut client) = (namespace.actor("load-server")?, namespace.actor("load-client")?);
    let (listener, at) = server.listen("0.0.0.0:0".parse()?)?;
    let targets: Vec<String> = (1..=16).map(|n| format!("127.0.0.{n}:{}", at.port())).collect();
    server.begin_on(listener, &format!("serve {ENDLESS} 2"))?;
    client.begin(&format!("churn {ENDLESS} 2 csor {}", targets.join(" ")))?;
    Ok([server, client])
}

/// A tracer that starts under load: what it takes up while it changes is neither missed nor taken twice.
#[test]
fn under_load() -> Result<()> {
    let namespace = Namespace::new()?;
    let mut load = load(&namespace)?;
    let trace = watch(&namespace, "trace", &[])?;
    let ready = mono_ns();
    let lives = watch(&namespace, "lives", &[])?;
    lives.wait_long_for("some lives", 3 * PATIENCE, |records| (records.len() >= LIVES).then_some(()))?;
    for actor in &mut load {
        actor.kill()?;
    }
    namespace.settled()?;
    // What is told of this comes after all that was.
    let mut last = namespace.actor("last")?;
    let (listener, at) = last.listen(Family::V6.loopback())?;
    last.close(listener)?;
    trace.wait_for("the end of all", |records| {
        let told = |record: &Record| record.connection().is_some_and(|c| c.ends().local == at);
        records.iter().any(told).then(|| all_over(records)).flatten()
    })?;
    let (trace, lives) = (trace.stop()?, lives.stop()?);
    let told: BTreeSet<&Id> = lives.records.iter().filter_map(Record::connection).map(|c| &c.id).collect();
    let all = lives.records.iter().filter(|r| matches!(r, Record::Life(_))).count();
    ensure!(told.len() == all, "{} lives of {} connections", all, told.len());
    check_load(&trace, ready)
}

fn path_of(trace: &Output, ends: Ends) -> Vec<String> {
    ids(&trace.records, ends).iter().map(|id| Story::of(&trace.records, id).path()).collect()
}

fn moves_of(trace: &Output, (local, remote): (SocketAddr, SocketAddr)) -> Vec<&Record> {
    let is_theirs = |c: &Connection| c.is_between(Ends { local, remote });
    trace.records.iter().filter(|record| record.connection().is_some_and(is_theirs)).collect()
}

fn is_over(last: &Transition) -> bool {
    ["closed", "time_wait"].contains(&last.to.as_str())
}

/// Whether every connection has come to its end; where no hook tells of that of `FIN_WAIT_2`, the next dump does.
fn all_over(records: &[Record]) -> Option<()> {
    let mut last = BTreeMap::new();
    for record in records {
        if let Record::Transition(t) = record {
            last.insert(&t.connection.id, t);
        }
    }
    last.into_values().all(is_over).then_some(())
}

/// Every connection goes on legally from where it was found and comes to an end, and so does the other end of each that was
/// seen to begin when tcplife was `ready`; but for events that were missed, which are few and were counted. One that was
/// missed leaves a gap, or makes two connections of one, neither of them whole.
fn check_load(trace: &Output, ready: u64) -> Result<()> {
    let (summary, missed) = (&trace.summary, trace.summary.lost_by_cause.recursion);
    ensure!(summary.lost == missed && missed <= summary.hits / HITS_PER_LOSS, "lost: {summary:?}");
    let faults = faults(trace, ready);
    let shown = faults.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
    ensure!(faults.len() <= usize::try_from(2 * missed)?, "{} faults, {summary:?}:\n{shown}", faults.len());
    Ok(())
}

/// What is not as it should be with the connections of a load.
fn faults(trace: &Output, ready: u64) -> Vec<String> {
    let mut faults = Vec::new();
    let mut stories: BTreeMap<&Id, Vec<&Transition>> = BTreeMap::new();
    for record in &trace.records {
        if let Record::Transition(t) = record {
            stories.entry(&t.connection.id).or_default().push(t);
        }
    }
    let mut begun = BTreeSet::new();
    let mut by_ends: BTreeMap<_, Vec<(u64, u64)>> = BTreeMap::new();
    for moves in stories.values() {
        let (Some(first), Some(last)) = (moves.first(), moves.last()) else { continue };
        for pair in moves.windows(2) {
            if pair[0].to != pair[1].from || pair[0].mono_ns > pair[1].mono_ns {
                faults.push(format!("a gap: {pair:?}"));
            }
        }
        if !is_over(last) {
            faults.push(format!("it ends so: {last:?}"));
        }
        let Ends { local, remote } = last.connection.ends();
        // A connect without a bind takes the port of one in TIME_WAIT after it has begun.
        let taken = moves.iter().find(|t| t.to != "syn_sent").unwrap_or(last);
        by_ends.entry((local, remote)).or_default().push((taken.mono_ns, last.mono_ns));
        let established = moves.iter().any(|t| t.from == "syn_sent" && t.to == "established");
        match first.from.as_str() {
            "closed" if established && first.mono_ns > ready => _ = begun.insert((local, remote)),
            // One of before, whose port is used again.
            "closed" | "listen" | "time_wait" => {}
            _ if first.mono_ns < ready + ns(SOON) => {}
            _ => faults.push(format!("where does it come from? {first:?}")),
        }
    }
    for (ends, times) in &mut by_ends {
        times.sort_unstable();
        if times.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            faults.push(format!("two at once: {:#?}", moves_of(trace, *ends)));
        }
    }
    for (local, remote) in
        begun.into_iter().filter(|(local, remote)| !by_ends.contains_key(&(*remote, *local)))
    {
        faults.push(format!("the other end is missing: {:?}", path_of(trace, Ends { local, remote })));
    }
    faults
}
