//! Owners where the process that listens is not the one that accepts, or not the one that has the connection.

use anyhow::{Context, Result, ensure};
use tcplife_tests::{
    actor::{Actor, Ends, Handle},
    lab::Lab,
    namespace::Family,
    pair::Pair,
    record::{Owner, Record},
    verdict::Expected,
};

use crate::common::{CLIENT_ACTIVE, SERVER_PASSIVE};

on_both_families! {
    accepted_by_the_listeners_own_thread
    accepted_by_another_thread
    accepted_by_a_worker
    passed_to_another_process
    cut_before_the_worker_closes
}

/// Whether `owner` is `actor`'s process.
fn is(owner: &Owner, actor: &Actor) -> bool {
    (owner.pid, owner.comm.as_str()) == (actor.pid(), actor.comm())
}

/// A server whose threads do what `accept` and `close` say: the owner is the process.
fn by_threads(family: Family, accept: &str, close: &str) -> Result<()> {
    let lab = Lab::new(family)?;
    let (mut server, mut client) = (lab.actor("server")?, lab.actor("client")?);
    let (listener, at) = server.listen(family.loopback())?;
    let (near, ends) = client.connect(at)?;
    let far = match accept {
        "" => server.on(listener, "accept")?.answer,
        thread => server.on_thread(thread, listener, "accept")?.answer,
    };
    client.close(near)?;
    lab.reached(ends, "fin_wait_2")?;
    lab.reached(ends.turned(), "close_wait")?;
    server.call(&format!("{close} close {far}"))?;
    lab.reached(ends.turned(), "closed")?;
    let outcome = lab.finish()?;
    outcome.check(ends, &Expected::client(&client, CLIENT_ACTIVE, "local", "fin"))?;
    outcome.check(ends.turned(), &Expected::server(&server, SERVER_PASSIVE, "remote", "fin"))?;
    Ok(())
}

fn accepted_by_the_listeners_own_thread(family: Family) -> Result<()> {
    by_threads(family, "", "thread closer")
}

fn accepted_by_another_thread(family: Family) -> Result<()> {
    by_threads(family, "acceptor", "thread closer")
}

/// A master listens, and a connection comes about.
struct Prefork {
    lab: Lab,
    master: Actor,
    worker: Actor,
    client: Actor,
    near: Handle,
    ends: Ends,
}

impl Prefork {
    /// The master hands its listener to a worker, to which a client connects.
    fn new(family: Family) -> Result<(Self, String)> {
        let lab = Lab::new(family)?;
        let (mut master, mut worker) = (lab.actor("master")?, lab.actor("worker")?);
        let mut client = lab.actor("client")?;
        worker.call("inbox worker")?;
        let (listener, at) = master.listen(family.loopback())?;
        master.on(listener, "hand worker")?;
        let inherited = worker.call("unpack")?.answer;
        let near = client.open(family.kind())?;
        client.on(near, &format!("connect {at}"))?;
        let ends = client.ends(near)?;
        Ok((Self { lab, master, worker, client, near, ends }, inherited))
    }

    /// Ends the tracers and checks the owners of the server's end: the master as the one who listens, until the worker shows itself; then the worker.
    fn finish(self) -> Result<()> {
        let outcome = self.lab.finish()?;
        let (story, life) = (outcome.story(self.ends.turned())?, outcome.life(self.ends.turned())?);
        let steps = story.moves.iter().map(|step| &step.connection);
        let mut shown = false;
        for about in steps.chain([&life.connection]) {
            let Some(owner) = &about.owner else { continue };
            if owner.via == "listener" {
                ensure!(is(owner, &self.master) && !shown, "{about:?}");
            } else {
                ensure!(is(owner, &self.worker), "{about:?}");
                shown = true;
            }
        }
        ensure!(shown, "the worker is never named: {life:?}");
        Ok(())
    }
}

/// The worker of a prefork server accepts and closes.
fn accepted_by_a_worker(family: Family) -> Result<()> {
    let (mut this, inherited) = Prefork::new(family)?;
    let far = this.worker.call(&format!("accept {inherited}"))?.answer;
    this.client.close(this.near)?;
    this.lab.reached(this.ends, "fin_wait_2")?;
    this.lab.reached(this.ends.turned(), "close_wait")?;
    this.worker.call(&format!("close {far}"))?;
    this.lab.reached(this.ends.turned(), "closed")?;
    this.finish()
}

/// A server accepts, hands the connection to another process by `SCM_RIGHTS` and lets go: one of the two is named, in the
/// end the one that closes unless the other was seen to accept.
fn passed_to_another_process(family: Family) -> Result<()> {
    let mut pair = Pair::open(family)?;
    let mut heir = pair.lab.actor("heir")?;
    heir.call("inbox heir")?;
    pair.server.on(pair.far, "hand heir")?;
    let far = heir.call("unpack")?.answer;
    pair.server.close(pair.far)?;
    pair.client.close(pair.near)?;
    pair.lab.reached(pair.ends, "fin_wait_2")?;
    pair.lab.reached(pair.ends.turned(), "close_wait")?;
    heir.call(&format!("close {far}"))?;
    pair.lab.reached(pair.ends.turned(), "closed")?;
    let outcome = pair.lab.finish()?;
    outcome.check(pair.ends, &Expected::client(&pair.client, CLIENT_ACTIVE, "local", "fin"))?;
    for record in outcome.trace.records.iter().chain(&outcome.lives.records) {
        let about = record.connection().context("no connection")?;
        if !about.is_between(pair.ends.turned()) {
            continue;
        }
        let Some(owner) = &about.owner else { continue };
        let right = match owner.via.as_str() {
            "close" => is(owner, &heir),
            "holder" => is(owner, &heir) || is(owner, &pair.server),
            _ => is(owner, &pair.server),
        };
        ensure!(right, "{record}");
        ensure!(!matches!(record, Record::Life(_)) || owner.via != "listener", "who closed? {record}");
    }
    Ok(())
}

/// A client resets while a worker has the connection: the network ends it, so the worker shows itself only in letting go
/// of the closed socket. Whoever is named is right.
fn cut_before_the_worker_closes(family: Family) -> Result<()> {
    let (mut this, inherited) = Prefork::new(family)?;
    let far = this.worker.call(&format!("accept {inherited}"))?.answer;
    this.client.on(this.near, "linger0")?;
    this.client.close(this.near)?;
    this.lab.reached(this.ends.turned(), "closed")?;
    this.worker.call(&format!("close {far}"))?;
    this.lab.lives.wait_for("both lives", |records| (records.len() == 2).then_some(()))?;
    this.finish()
}
