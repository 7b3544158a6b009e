//! `tcplife leaks`: what its records have in them, filters, exit status, its end, and leaks under a load. The corpus has
//! the verdicts on real programs.

use std::{fs, net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tcplife_tests::{
    actor::{Actor, Ends, Handle},
    deadline::{PATIENCE, until},
    lab::watch,
    namespace::{Family, Namespace},
    suspect::{Report, Suspect, suspects},
    tcplife_binary,
};

use crate::kinds::has_mptcp;

on_both_families! {
    fields_and_evidence
    filters
    exit_status
}

/// What every record of a suspect has, by the contract.
const FIELDS: [&str; 19] = [
    "type",
    "id",
    "netns",
    "family",
    "local_addr",
    "local_port",
    "remote_addr",
    "remote_port",
    "role",
    "owner",
    "state",
    "age_ns",
    "verdict",
    "leak",
    "recv_queue",
    "send_queue",
    "holders",
    "listener",
    "reason",
];

/// A server that leaks in four ways and a client that waits for it.
pub(crate) struct Scene {
    pub(crate) namespace: Namespace,
    pub(crate) server: Actor,
    pub(crate) client: Actor,
    pub(crate) listener: Handle,
    pub(crate) at: SocketAddr,
}

impl Scene {
    pub(crate) fn new(family: Family) -> Result<Self> {
        let namespace = Namespace::new()?;
        let (mut server, client) = (namespace.actor("leaky")?, namespace.actor("caller")?);
        let (listener, at) = server.listen(family.loopback())?;
        Ok(Self { namespace, server, client, listener, at })
    }

    /// A connection that the client closes after having sent `count` bytes; the server's end.
    fn closed_by_client(&mut self, count: usize) -> Result<(Handle, Ends)> {
        let (near, _) = self.client.connect(self.at)?;
        let accepted = self.server.accept(self.listener)?;
        self.client.on(near, &format!("send {count}"))?;
        self.client.close(near)?;
        Ok(accepted)
    }

    /// One that the server has read to its end.
    pub(crate) fn unclosed(&mut self) -> Result<(Handle, Ends)> {
        let (far, ends) = self.closed_by_client(10)?;
        self.server.on(far, "drain")?;
        Ok((far, ends))
    }

    /// Waits until as many of the kernel's sockets are in a state.
    pub(crate) fn await_state(&mut self, state: &str, count: usize) -> Result<()> {
        until(&format!("{count} sockets in {state}"), PATIENCE, || {
            let sockets = self.namespace.sockets()?;
            Ok((sockets.iter().filter(|socket| socket.state == state).count() == count).then_some(()))
        })
    }

    /// What `leaks` reports at once, however young.
    fn report(&self, more: &[&str]) -> Result<Report> {
        self.report_after("0s", more)
    }

    fn report_after(&self, leak_after: &str, more: &[&str]) -> Result<Report> {
        let inode = self.namespace.inode().to_string();
        Report::once(&[&["--netns", &inode, "--leak-after", leak_after], more].concat())
    }

    /// The same from a pid namespace that has none of the processes.
    pub(crate) fn report_from_pid_namespace(&self, more: &[&str]) -> Result<Report> {
        let mut command = self.namespace.command("unshare")?;
        command.args(["--pid", "--fork", "--mount-proc", "--"]).arg(tcplife_binary()?);
        let inode = self.namespace.inode().to_string();
        let filter = ["--netns", &inode, "--leak-after", "0s", "--exit-code"];
        Report::of(command, &[&filter, more].concat())
    }

    /// What people are told, however young.
    fn told(&self, more: &[&str]) -> Result<String> {
        let inode = self.namespace.inode().to_string();
        let mut leaks = Command::new(tcplife_binary()?);
        leaks.args(["leaks", "--leak-after", "0s", "--netns", &inode]).args(more);
        let output = leaks.output()?;
        ensure!(output.status.success(), "{leaks:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The ends of what `leaks` reports.
    fn reported(&self, more: &[&str]) -> Result<Vec<Ends>> {
        let report = self.report(more)?;
        ensure!(report.status == Some(0), "{report:?}");
        let mut ends: Vec<Ends> =
            suspects(&report.records).iter().map(|suspect| suspect.connection.ends()).collect();
        ends.sort_by_key(|ends| (ends.local, ends.remote));
        Ok(ends)
    }
}

pub(crate) fn one<'a>(suspects: &[&'a Suspect], ends: Ends) -> Result<&'a Suspect> {
    let mut found = suspects.iter().filter(|suspect| suspect.connection.is_between(ends));
    let one = found.next().with_context(|| format!("{ends:?} is not reported: {suspects:?}"))?;
    ensure!(found.next().is_none(), "{ends:?} is reported twice");
    Ok(one)
}

/// The descriptors by which a process is said to hold a socket are sockets of that process.
fn check_holders(suspect: &Suspect, pids: &[u32]) -> Result<()> {
    let mut holding: Vec<u32> = suspect.holders.iter().map(|holder| holder.pid).collect();
    holding.sort_unstable();
    let mut pids = pids.to_vec();
    pids.sort_unstable();
    ensure!(holding == pids, "{pids:?} hold it: {suspect:?}");
    let mut sockets = suspect.holders.iter().map(|holder| {
        fs::read_link(format!("/proc/{}/fd/{}", holder.pid, holder.fd)).context("no such descriptor")
    });
    let first = sockets.next().context("nobody holds it")??;
    ensure!(first.to_string_lossy().starts_with("socket:"), "{} is no socket", first.display());
    for other in sockets {
        ensure!(other? == first, "the holders hold different sockets: {suspect:?}");
    }
    Ok(())
}

fn check_form(report: &Report) -> Result<()> {
    for line in report.text.lines().filter(|line| line.starts_with(r#"{"type":"suspect""#)) {
        let record: Value = serde_json::from_str(line)?;
        for field in FIELDS {
            ensure!(record.get(field).is_some(), "there is no {field}: {line}");
        }
    }
    Ok(())
}

/// Each field of a record is what the applications did.
fn fields_and_evidence(family: Family) -> Result<()> {
    let mut scene = Scene::new(family)?;
    let (read, read_ends) = scene.unclosed()?;
    let (_, unread_ends) = scene.closed_by_client(5)?;
    let (near, _) = scene.client.connect(scene.at)?;
    let waiting_ends = scene.client.ends(near)?.turned();
    scene.client.close(near)?;
    scene.await_state("close_wait", 3)?;
    let heir: u32 = scene.server.on(read, "heir")?.parse()?;
    let report = scene.report(&[])?;
    check_form(&report)?;
    let found = suspects(&report.records);
    ensure!(found.len() == 3, "three sockets leak: {found:?}");
    for suspect in &found {
        let c = &suspect.connection;
        ensure!(c.netns == scene.namespace.inode() && c.family == family.name(), "{suspect:?}");
        ensure!(suspect.send_queue == 0 && !suspect.peer_gone, "{suspect:?}");
        ensure!(
            suspect.age_ns.max.is_some_and(|max| max < 60_000_000_000),
            "it is not that old: {suspect:?}"
        );
    }
    let pid = scene.server.pid();
    let unclosed = one(&found, read_ends)?;
    ensure!(unclosed.verdict == "unclosed" && unclosed.recv_queue == 0, "{unclosed:?}");
    check_holders(unclosed, &[pid, heir])?;
    let unread = one(&found, unread_ends)?;
    ensure!(unread.verdict == "data_unread" && unread.recv_queue == 6, "{unread:?}");
    check_holders(unread, &[pid])?;
    let waiting = one(&found, waiting_ends)?;
    ensure!(waiting.verdict == "never_accepted", "{waiting:?}");
    let listener = waiting.listener.as_ref().context("nobody should accept it")?;
    ensure!((listener.pid, listener.comm.as_str()) == (pid, "leaky"), "{listener:?}");
    ensure!((listener.queue, listener.limit) == (1, 128), "{listener:?}");
    scene.server.call(&format!("bury {heir}"))?;
    Ok(())
}

/// Go's servers listen for Multipath TCP, and TCP's clients come to a listener below that, which no descriptor is for.
#[test]
fn never_accepted_by_a_listener_for_mptcp() -> Result<()> {
    if !has_mptcp()? {
        return Ok(());
    }
    let mut scene = Scene::new(Family::V4)?;
    let listener = scene.server.open("mptcp")?;
    let at = scene.server.listen_with(listener, Family::V4.loopback(), 8)?;
    let (near, ends) = scene.client.connect(at)?;
    scene.client.close(near)?;
    scene.await_state("close_wait", 1)?;
    let pid = scene.server.pid();
    let report = scene.report(&["-p", &pid.to_string()])?;
    let found = suspects(&report.records);
    let waiting = one(&found, ends.turned())?;
    ensure!(waiting.verdict == "never_accepted" && waiting.holders.is_empty(), "{waiting:?}");
    let listener = waiting.listener.as_ref().context("nobody should accept it")?;
    ensure!((listener.pid, listener.queue, listener.limit) == (pid, 1, 8), "{listener:?}");
    let owner = waiting.connection.owner.as_ref().context("nobody's")?;
    ensure!((owner.pid, owner.via.as_str()) == (pid, "listener"), "{owner:?}");
    Ok(())
}

/// A filter selects by the socket and by who holds it.
fn filters(family: Family) -> Result<()> {
    let mut scene = Scene::new(family)?;
    let (near, ends) = scene.client.connect(scene.at)?;
    let (far, _) = scene.server.accept(scene.listener)?;
    scene.client.on(near, "shutdown")?;
    scene.server.on(far, "drain")?;
    scene.await_state("fin_wait_2", 1)?;
    let (halved, unclosed) = (ends, ends.turned());
    let (pid, port) = (scene.server.pid().to_string(), scene.at.port().to_string());
    let other = scene.client.pid().to_string();
    let (this, that) = if family == Family::V4 { ("-4", "-6") } else { ("-6", "-4") };
    let mut both = [halved, unclosed];
    both.sort_by_key(|ends| (ends.local, ends.remote));
    let cases: [(&[&str], &[Ends]); 12] = [
        (&[], &both),
        (&["-p", &pid], &[unclosed]),
        (&["-p", &other], &[halved]),
        (&["--comm", "leaky"], &[unclosed]),
        (&["--comm", "nobody,caller"], &[halved]),
        (&["-L", &port], &[unclosed]),
        (&["-D", &port], &[halved]),
        (&["--state", "CLOSE-WAIT"], &[unclosed]),
        (&["--state", "fin_wait2"], &[halved]),
        (&[this], &both),
        (&[that], &[]),
        (&["-p", &pid, "-D", &port], &[]),
    ];
    for (filter, expected) in cases {
        ensure!(scene.reported(filter)? == expected, "{filter:?} is to select {expected:?}");
    }
    Ok(())
}

/// `--exit-code`: 0 without a leak, 1 with one, 2 when it cannot look. Without it, a leak is no failure.
fn exit_status(family: Family) -> Result<()> {
    let mut scene = Scene::new(family)?;
    let status = |scene: &Scene, more: &[&str]| anyhow::Ok(scene.report(more)?.status);
    ensure!(status(&scene, &["--exit-code"])? == Some(0), "nothing leaks");
    scene.unclosed()?;
    scene.await_state("close_wait", 1)?;
    ensure!(status(&scene, &["--exit-code"])? == Some(1), "one leaks");
    ensure!(status(&scene, &[])? == Some(0), "the exit status was not asked for");
    ensure!(status(&scene, &["--exit-code", "--comm", "nobody"])? == Some(0), "nobody leaks");
    ensure!(scene.report_after("1h", &["--exit-code"])?.status == Some(0), "it is young");
    let refused = Report::once(&["--exit-code", "--netns", "/nowhere"])?;
    ensure!(refused.status == Some(2) && refused.said.lines().count() == 1, "{refused:?}");
    Ok(())
}

/// Ctrl-C ends an observation before its time, and the report comes all the same, with the growth since it began.
#[test]
fn ctrl_c_ends_an_observation_with_its_report() -> Result<()> {
    let mut scene = Scene::new(Family::V4)?;
    let (_, before) = scene.unclosed()?;
    let leaks = watch(&scene.namespace, "leaks", &["-d", "1h", "--leak-after", "0s"])?;
    let (_, meanwhile) = scene.unclosed()?;
    scene.await_state("close_wait", 2)?;
    let output = leaks.stop_with(Signal::INT)?;
    let found = suspects(&output.records);
    ensure!(found.len() == 2, "two leak: {found:?}");
    one(&found, before)?;
    let age = one(&found, meanwhile)?.age_ns;
    ensure!(age.max == Some(age.min), "its entry was seen: {age:?}");
    let grown = output.records.iter().find_map(|record| match record {
        tcplife_tests::record::Record::Leaker(leaker) if leaker.leaks == 2 => leaker.growth_per_minute,
        _ => None,
    });
    ensure!(grown.is_some_and(|grown| grown > 0.0), "there is one more than before: {grown:?}");
    Ok(())
}

/// The report for people names the process, the verdict and the descriptor.
#[test]
fn people_are_told_who_leaks() -> Result<()> {
    let mut scene = Scene::new(Family::V4)?;
    scene.unclosed()?;
    scene.await_state("close_wait", 1)?;
    // Its FIN may be acknowledged later.
    scene.await_state("fin_wait_2", 1)?;
    let text = scene.told(&[])?;
    let name = format!("leaky[{}]: 1 unclosed\n", scene.server.pid());
    ensure!(text.starts_with(&name), "expected {name}{text}");
    let end = "\n1 leaked socket in 1 owner\nnot leaks: 1 peer_unclosed (--all shows them)\n";
    ensure!(text.ends_with(end), "{text}");
    Ok(())
}

/// Orphans that are only counted are selected by the same filters as suspects.
#[test]
fn people_are_told_how_many_orphans_a_filter_selects() -> Result<()> {
    let mut scene = Scene::new(Family::V4)?;
    scene.unclosed()?;
    scene.await_state("fin_wait_2", 1)?;
    let port = scene.at.port().to_string();
    let cases: [(&[&str], bool); 7] = [
        (&[], true),
        (&["-D", &port], true),
        (&["-L", &port], false),
        (&["-4"], true),
        (&["-6"], false),
        (&["--state", "fin-wait-2"], true),
        (&["--state", "close-wait"], false),
    ];
    for evidence in ["bpf", "sock_diag"] {
        for (filter, selected) in cases {
            let text = scene.told(&[&["--evidence", evidence], filter].concat())?;
            let counted = text.contains("not leaks: 1 peer_unclosed");
            ensure!(counted == selected, "{evidence} {filter:?}: {text}");
        }
    }
    Ok(())
}

/// As many connections as come about, and a ring that is too small for them: the leaks are reported, all of them and
/// nothing else.
#[test]
fn fifty_leaks_under_load() -> Result<()> {
    let mut scene = Scene::new(Family::V4)?;
    let mut expected = Vec::new();
    for _ in 0..25 {
        expected.push(scene.unclosed()?.1);
    }
    let (mut server, mut client) =
        (scene.namespace.actor("busy-server")?, scene.namespace.actor("busy-client")?);
    let (listener, at) = server.listen("0.0.0.0:0".parse()?)?;
    let targets: Vec<String> = (1..=16).map(|n| format!("127.0.0.{n}:{}", at.port())).collect();
    let limits = ["-d", "5s", "--leak-after", "2s", "--ring-size", "4096"];
    let mut leaks = watch(&scene.namespace, "leaks", &limits)?;
    // More than can come about.
    server.begin_on(listener, "serve 100000000 2")?;
    client.begin(&format!("churn 100000000 2 csor {}", targets.join(" ")))?;
    for _ in 25..50 {
        expected.push(scene.unclosed()?.1);
    }
    let output = leaks.ended(Duration::from_secs(30))?;
    let summary = &output.summary;
    ensure!(summary.lost_by_cause.ring_full > 0, "this ring cannot hold them all: {summary:?}");
    let found = suspects(&output.records);
    for ends in &expected {
        let suspect = one(&found, *ends)?;
        ensure!(suspect.verdict == "unclosed", "{suspect:?}");
        check_holders(suspect, &[scene.server.pid()])?;
    }
    ensure!(found.len() == expected.len(), "{} are reported, 50 leak: {found:?}", found.len());
    Ok(())
}
