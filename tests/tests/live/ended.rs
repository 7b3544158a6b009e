//! What a process still has of connections that are over: descriptors of sockets that `ss` does not list.

use std::{thread::sleep, time::Duration};

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use tcplife_tests::{
    actor::{Actor, Ends, Handle, Span},
    clock::mono_ns,
    deadline::{PATIENCE, until},
    lab::watch,
    namespace::{Family, Namespace},
    suspect::{Report, Suspect, suspects},
};

on_both_families! {
    left_of_what_was_there_before
    left_of_what_was_seen
}

/// A while in which nothing is sent.
const PAUSE: Duration = Duration::from_millis(50);

/// What is left of one connection.
struct Left {
    what: &'static str,
    pid: u32,
    handle: Handle,
    ends: Ends,
    /// When its last segment came, between the call that sent it and a look that found no socket.
    over: Span,
    tells: Tells,
}

/// What the socket tells of the time at which its connection was over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tells {
    /// Not later than its last segment, which ended it.
    Latest,
    /// That too, but for whoever has read from it since.
    Read,
    /// There may have been a `TIME_WAIT` after it, or it may have ended without a segment.
    Vaguely,
}

/// Connections that were reset, refused, destroyed and shut down, and a socket that never was one.
struct Scene {
    namespace: Namespace,
    server: Actor,
    client: Actor,
    left: Vec<Left>,
}

impl Scene {
    fn new() -> Result<Self> {
        let namespace = Namespace::new()?;
        let (server, client) = (namespace.actor("server")?, namespace.actor("client")?);
        Ok(Self { namespace, server, client, left: Vec::new() })
    }

    fn play(&mut self, family: Family) -> Result<()> {
        let Self { namespace, server, client, left } = self;
        let (listener, at) = server.listen(family.loopback())?;
        let mut leave = |what, actor: &Actor, (handle, ends), call: Span, tells| {
            let is_over = || {
                let sockets = namespace.sockets()?;
                let is_left = |state| state == "listen" || state == "time_wait";
                Ok(sockets.iter().all(|socket| is_left(socket.state)).then_some(()))
            };
            until("the end of the connection", PATIENCE, is_over)?;
            let over = Span { began: call.began, ended: mono_ns() };
            left.push(Left { what, pid: actor.pid(), handle, ends, over, tells });
            anyhow::Ok(())
        };

        let (near, _) = client.connect(at)?;
        let reset = server.accept(listener)?;
        client.on(near, "linger0")?;
        let over = client.close(near)?;
        leave("reset", server, reset, over, Tells::Latest)?;

        let (closed, nowhere) = server.listen(family.loopback())?;
        server.close(closed)?;
        let refused = client.open(family.kind())?;
        let over = client.on(refused, &format!("start {nowhere}"))?.span;
        let (local, _) = client.names(refused)?;
        leave("refused", client, (refused, Ends { local, remote: nowhere }), over, Tells::Vaguely)?;

        let near = client.connect(at)?;
        let destroyed = server.accept(listener)?;
        let Ends { local, remote } = destroyed.1;
        let over = server.call(&format!("destroy {local} {remote}"))?.span;
        leave("destroyed", server, destroyed, over, Tells::Latest)?;
        leave("reset with that", client, near, over, Tells::Latest)?;

        let near = client.connect(at)?;
        let far = server.accept(listener)?;
        client.on(near.0, "shutdown")?;
        let over = server.on(far.0, "shutdown")?.span;
        leave("first shut down", client, near, over, Tells::Vaguely)?;
        leave("last shut down", server, far, over, Tells::Vaguely)?;

        let near = client.connect(at)?;
        let unread = server.accept(listener)?;
        client.on(near.0, "send 10")?;
        client.on(near.0, "linger0")?;
        let over = client.close(near.0)?;
        leave("read later", server, unread, over, Tells::Read)?;
        sleep(PAUSE);
        server.on(unread.0, "receive 10")?;

        // What a call has dissolved (`tcp_disconnect`) is to be connected again, and so is what never was.
        let near = client.connect(at)?;
        let far = server.accept(listener)?;
        let over = client.on(near.0, "unspec")?.span;
        leave("reset by a disconnect", server, far, over, Tells::Latest)?;
        let failed = client.open(family.kind())?;
        client.fails_on(failed, &format!("connect {nowhere}"), Errno::CONNREFUSED)?;
        client.open(family.kind())?;
        Ok(())
    }

    fn let_go(&mut self) -> Result<()> {
        for left in &self.left {
            let actor = if left.pid == self.server.pid() { &mut self.server } else { &mut self.client };
            actor.close(left.handle)?;
        }
        Ok(())
    }

    /// What `leaks` tells of closed sockets at once, however young they are.
    fn report(&self, more: &[&str]) -> Result<Report> {
        let inode = self.namespace.inode().to_string();
        Report::once(&[&["--netns", &inode, "--leak-after", "0s", "--state", "closed"], more].concat())
    }
}

/// Whether a suspect is what is left of a connection, reported between two moments.
fn check(suspect: &Suspect, left: &Left, reported: (u64, u64), is_seen: bool) -> Result<()> {
    ensure!(suspect.verdict == "ended_unclosed" && suspect.state == "closed" && !suspect.leak, "{suspect:?}");
    let holders: Vec<u32> = suspect.holders.iter().map(|holder| holder.pid).collect();
    ensure!(holders == [left.pid] && suspect.peer_owner.is_none() && !suspect.peer_gone, "{suspect:?}");
    let least = reported.0.saturating_sub(left.over.ended);
    let most = reported.1.saturating_sub(left.over.began);
    let (min, max) = (suspect.age_ns.min, suspect.age_ns.max.context("no upper bound")?);
    // The kernel keeps whole microseconds.
    let exact = least..=most + 1_000;
    if is_seen {
        ensure!(exact.contains(&min) && min == max, "its end was seen, {exact:?} ago: {suspect:?}");
        return Ok(());
    }
    ensure!(min <= *exact.end() && max >= least, "{exact:?}: {suspect:?}");
    let is_told = match left.tells {
        Tells::Latest => exact.contains(&min),
        Tells::Read => true,
        // It may have been over just now.
        Tells::Vaguely => min <= reported.1 - reported.0,
    };
    ensure!(is_told, "{exact:?}: {suspect:?}");
    Ok(())
}

fn one<'a>(found: &[&'a Suspect], left: &Left) -> Result<&'a Suspect> {
    let mut of = found.iter().filter(|suspect| {
        suspect.connection.is_between(left.ends)
            && suspect.holders.iter().any(|holder| holder.pid == left.pid)
    });
    let one = of.next().with_context(|| format!("{} is not reported: {found:?}", left.what))?;
    ensure!(of.next().is_none(), "{} is reported twice", left.what);
    Ok(one)
}

/// Whoever looks once sees the descriptors; they are no leaks among sockets, and gone with a close.
fn left_of_what_was_there_before(family: Family) -> Result<()> {
    let mut scene = Scene::new()?;
    scene.play(family)?;
    let began = mono_ns();
    let report = scene.report(&["--all", "--exit-code"])?;
    let reported = (began, mono_ns());
    ensure!(report.status == Some(0), "{report:?}");
    let found = suspects(&report.records);
    ensure!(found.len() == scene.left.len(), "{found:#?}");
    for left in &scene.left {
        check(one(&found, left)?, left, reported, false).context(left.what)?;
    }
    let brief = scene.report(&[])?;
    ensure!(brief.records.is_empty(), "{brief:?}");
    ensure!(brief.text.contains("\"verdicts\":{\"ended_unclosed\":8}"), "{}", brief.text);
    scene.let_go()?;
    let after = scene.report(&["--all"])?;
    ensure!(after.records.is_empty(), "{after:?}");
    Ok(())
}

/// A trace that has seen the connections knows when they were over; one in `TIME_WAIT` is not over yet.
fn left_of_what_was_seen(family: Family) -> Result<()> {
    let mut scene = Scene::new()?;
    let trace =
        watch(&scene.namespace, "leaks", &["-d", "1h", "--all", "--leak-after", "0s", "--state", "closed"])?;
    scene.play(family)?;
    let began = mono_ns();
    let output = trace.stop()?;
    let reported = (began, mono_ns());
    let found = suspects(&output.records);
    scene.left.retain(|left| left.what != "first shut down");
    ensure!(found.len() == scene.left.len(), "{found:#?}");
    for left in &scene.left {
        check(one(&found, left)?, left, reported, true).context(left.what)?;
    }
    Ok(())
}
