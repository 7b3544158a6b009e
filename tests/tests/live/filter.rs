//! Filters: what they let through, and that what they let through late still has its history.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tcplife_tests::{
    actor::{Actor, Ends},
    lab::{Lab, watch},
    namespace::{Family, Namespace},
    record::Record,
    tracer::Output,
    verdict::Story,
};

use crate::common::{CLIENT_ACTIVE, SERVER_PASSIVE};

on_both_families! {
    ports
    processes
    states
    families
    combined
}

/// Where the server listens.
const SERVER_PORT: u16 = 7000;
/// The only port that the kernel can give to the client. It does so after CLOSED -> `SYN_SENT`, which it reports with
/// port 0.
const CLIENT_PORT: u16 = 40000;

/// One connection, closed by the client first, and those who take part.
struct Scene {
    lab: Lab,
    server: Actor,
    client: Actor,
    ends: Ends,
}

impl Scene {
    fn new(family: Family) -> Result<Self> {
        let mut namespace = Namespace::new()?;
        let range = format!("{CLIENT_PORT} {CLIENT_PORT}");
        namespace.sysctl("net/ipv4/ip_local_port_range", &range)?;
        // The port is free again for the next filter, TIME_WAIT or not.
        namespace.sysctl("net/ipv4/tcp_tw_reuse", "1")?;
        let lab = Lab::with(family, namespace, &[])?;
        let (server, client) = (lab.actor("server")?, lab.actor("client")?);
        let with = |port| SocketAddr::new(family.loopback().ip(), port);
        Ok(Self { lab, server, client, ends: Ends { local: with(CLIENT_PORT), remote: with(SERVER_PORT) } })
    }

    /// Which ends, client and server, `trace` and `lives` show with `filter`; checked for their history.
    fn shown(mut self, filter: &[&str]) -> Result<(bool, bool)> {
        let trace = watch(&self.lab.namespace, "trace", filter)?;
        let lives = watch(&self.lab.namespace, "lives", filter)?;
        self.play()?;
        self.lab.finish()?;
        let (trace, lives) = (trace.stop()?, lives.stop()?);
        let mut shown = [false, false];
        let both = [(self.ends, CLIENT_ACTIVE), (self.ends.turned(), SERVER_PASSIVE)];
        for (seen, (ends, path)) in shown.iter_mut().zip(both) {
            *seen = has_life(&lives, ends, path)?;
            check_moves(&trace, ends, path, *seen).with_context(|| format!("{filter:?}, {ends:?}"))?;
        }
        ensure!(trace.summary.lost == 0 && lives.summary.lost == 0, "lost: {:?}", trace.summary);
        if let ["-L" | "-D", _] = filter {
            let counted = shown.iter().map(|&shown| u64::from(shown)).sum::<u64>();
            ensure!(trace.summary.connections == counted, "{filter:?}: {:?}", trace.summary);
        }
        Ok((shown[0], shown[1]))
    }

    fn play(&mut self) -> Result<()> {
        let (listener, _) = self.server.listen(self.ends.remote)?;
        let (near, ends) = self.client.connect(self.ends.remote)?;
        ensure!(ends == self.ends, "other ends: {ends:?}");
        let (far, _) = self.server.accept(listener)?;
        self.client.close(near)?;
        self.lab.reached(ends, "fin_wait_2")?;
        self.lab.reached(ends.turned(), "close_wait")?;
        self.server.close(far)?;
        self.lab.reached(ends.turned(), "closed")?;
        Ok(())
    }
}

/// Whether there is a life of `ends`; if so, it is a whole one.
fn has_life(lives: &Output, ends: Ends, path: &str) -> Result<bool> {
    let all = lives.records.iter().filter_map(|record| match record {
        Record::Life(life) if life.connection.is_between(ends) => Some(life),
        _ => None,
    });
    let all: Vec<_> = all.collect();
    let Some(life) = all.first() else { return Ok(false) };
    ensure!(all.len() == 1, "more than one life: {all:?}");
    ensure!(life.complete, "not complete: {life:?}");
    // A life ends with the full socket.
    let spent = |s: &&str| !["closed", "listen", "syn_received", "~time_wait"].contains(s);
    for state in path.split(" > ").filter(spent) {
        let known = life.states.get(state).copied().flatten().is_some();
        ensure!(known, "the time in {state} is not known: {life:?}");
    }
    Ok(true)
}

/// If `ends` are shown, the moves shown are the last ones of `path`, or some of them, each with its time.
fn check_moves(trace: &Output, ends: Ends, path: &str, shown: bool) -> Result<()> {
    let ids = tcplife_tests::verdict::ids(&trace.records, ends);
    ensure!(ids.len() == usize::from(shown), "{} connections in the trace", ids.len());
    let Some(id) = ids.first() else { return Ok(()) };
    for step in Story::of(&trace.records, id).moves {
        let states: Vec<&str> = path.split(" > ").map(|s| s.trim_start_matches('~')).collect();
        let right = states.windows(2).any(|pair| pair == [step.from.as_str(), step.to.as_str()]);
        ensure!(right, "{} -> {} is not in {path}", step.from, step.to);
        let begins = ["closed", "listen", "syn_received"].contains(&step.from.as_str());
        ensure!(begins || step.elapsed_ns.is_some(), "the time in {} is not known", step.from);
    }
    Ok(())
}

fn ports(family: Family) -> Result<()> {
    ensure!(Scene::new(family)?.shown(&["-L", "7000"])? == (false, true), "-L of the server");
    ensure!(Scene::new(family)?.shown(&["-D", "6000-6500,7000"])? == (true, false), "-D of the client");
    ensure!(Scene::new(family)?.shown(&["-L", "39999-40001"])? == (true, false), "-L of the client");
    ensure!(Scene::new(family)?.shown(&["-L", "7001"])? == (false, false), "-L of nobody");
    Ok(())
}

fn processes(family: Family) -> Result<()> {
    let scene = Scene::new(family)?;
    let pid = scene.client.pid().to_string();
    ensure!(scene.shown(&["-p", &pid])? == (true, false), "-p of the client");
    let scene = Scene::new(family)?;
    let pid = scene.server.pid().to_string();
    ensure!(scene.shown(&["-p", &pid])? == (false, true), "-p of the server");
    ensure!(Scene::new(family)?.shown(&["--comm", "client"])? == (true, false), "--comm of the client");
    ensure!(Scene::new(family)?.shown(&["--comm", "server,x"])? == (false, true), "--comm of the server");
    ensure!(Scene::new(family)?.shown(&["--comm", "serv"])? == (false, false), "--comm of nobody");
    Ok(())
}

fn states(family: Family) -> Result<()> {
    let shown = Scene::new(family)?.shown(&["--state", "CLOSE-WAIT"])?;
    ensure!(shown == (false, true), "only the server's end is in CLOSE_WAIT");
    let shown = Scene::new(family)?.shown(&["--state", "FIN_WAIT2,closing"])?;
    ensure!(shown == (true, false), "only the client's end is in FIN_WAIT_2");
    ensure!(Scene::new(family)?.shown(&["--state", "estab"])? == (true, true), "both are in ESTABLISHED");
    Ok(())
}

fn families(family: Family) -> Result<()> {
    let v4 = family == Family::V4;
    ensure!(Scene::new(family)?.shown(&["-4"])? == (v4, v4), "-4");
    ensure!(Scene::new(family)?.shown(&["-6"])? == (!v4, !v4), "-6");
    Ok(())
}

fn combined(family: Family) -> Result<()> {
    let shown = Scene::new(family)?.shown(&["--comm", "server", "-D", "40000", "--state", "last_ack"])?;
    ensure!(shown == (false, true), "all three hold of the server's end");
    let shown = Scene::new(family)?.shown(&["--comm", "server", "-D", "7000"])?;
    ensure!(shown == (false, false), "no end has both");
    Ok(())
}
