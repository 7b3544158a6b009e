//! The agent itself: how it ends, and what it leaves behind.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tcplife_tests::{
    actor::Actor,
    deadline::{PATIENCE, scaled, until},
    kernel_objects::{Objects, pins},
    lab::watch,
    namespace::{Family, Namespace, in_our_machine},
    record::{Record, Transition},
    tcplife_binary,
    tracer::{Output, READY, hooks},
};

/// More connections than a test waits for.
const ENDLESS: u64 = 10_000_000;

/// What a slow reader does between two reads.
const PAUSE: Duration = Duration::from_millis(5);

/// Two processes that connect without end.
fn load(namespace: &Namespace) -> Result<[Actor; 2]> {
    let (mut server, mut client) = (namespace.actor("load-server")?, namespace.actor("load-client")?);
    let (listener, at) = server.listen(Family::V4.loopback())?;
    server.begin_on(listener, &format!("serve {ENDLESS} 2"))?;
    client.begin(&format!("churn {ENDLESS} 2 r {at}"))?;
    Ok([server, client])
}

/// Waits until the kernel has none of `objects` any more.
fn gone(objects: &Objects) -> Result<()> {
    until("the end of all programs, maps and links", PATIENCE, || {
        Ok(objects.also_in(&Objects::loaded()?).is_empty().then_some(()))
    })
    .with_context(|| format!("{objects:?}"))
}

/// The other tests take what is there: that a kernel which has fentry and kprobes is traced by them is seen here. All of our machines'
/// kernels have both; of any other one it is only told what is used.
#[test]
fn functions_are_hooked_as_asked_for() -> Result<()> {
    let output = watch(&Namespace::new()?, "trace", &[])?.stop()?;
    let used =
        |kind: &str| output.summary.hooks.get(kind).and_then(|hook| hook.as_str()).context("no such hook");
    let asked = hooks().pop().unwrap_or_default();
    for (kind, is_return) in [("time_wait_cause", false), ("accept", true), ("syn_received", false)] {
        let mechanism = match (asked.as_str(), is_return) {
            ("dump", _) => "off: ",
            _ if !in_our_machine() => "",
            ("kprobe", false) => "kprobe/",
            ("kprobe", true) => "kretprobe/",
            (_, false) => "fentry/",
            (_, true) => "fexit/",
        };
        ensure!(used(kind)?.starts_with(mechanism), "{kind} is {}, and not {mechanism}", used(kind)?);
    }
    Ok(())
}

/// `kill -9` under load: the kernel cleans up, for nothing is pinned.
#[test]
fn killed_under_load_leaves_nothing() -> Result<()> {
    let before = pins();
    let namespace = Namespace::new()?;
    let mut trace = watch(&namespace, "trace", &[])?;
    let _load = load(&namespace)?;
    trace.wait_for("some records", |records| (records.len() > 1000).then_some(()))?;
    let objects = Objects::of(trace.pid())?;
    ensure!(!objects.programs.is_empty() && !objects.maps.is_empty(), "it holds only {objects:?}");
    ensure!(objects.also_in(&Objects::loaded()?) == objects, "the kernel does not know {objects:?}");
    ensure!(pins().is_subset(&before), "something is pinned: {:?}", pins());
    trace.signal(Signal::KILL)?;
    trace.exit(PATIENCE)?;
    gone(&objects)?;
    ensure!(pins().is_subset(&before), "something is pinned: {:?}", pins());
    Ok(())
}

fn ends_cleanly_by(signal: Signal) -> Result<()> {
    let namespace = Namespace::new()?;
    let trace = watch(&namespace, "trace", &[])?;
    let _load = load(&namespace)?;
    trace.wait_for("some records", |records| (records.len() > 1000).then_some(()))?;
    let objects = Objects::of(trace.pid())?;
    let output = trace.stop_with(signal)?;
    ensure!(output.summary.connections > 0, "{:?}", output.summary);
    gone(&objects)
}

#[test]
fn sigint_under_load() -> Result<()> {
    ends_cleanly_by(Signal::INT)
}

#[test]
fn sigterm_under_load() -> Result<()> {
    ends_cleanly_by(Signal::TERM)
}

/// Its reader is slower than the connections come, so the ring buffer never runs dry: a signal ends it all the same.
#[test]
fn sigint_with_a_slow_reader() -> Result<()> {
    let namespace = Namespace::new()?;
    let inode = namespace.inode().to_string();
    let mut child = Command::new(tcplife_binary()?)
        .args(["trace", "-o", "json", "--netns", &inode])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut output = child.stdout.take().context("no pipe")?;
    let _load = load(&namespace)?;
    // A tenth of what there would be to read.
    let mut block = vec![0; 1 << 16];
    let mut read_slowly = || {
        std::thread::sleep(PAUSE);
        output.read(&mut block)
    };
    for _ in 0..400 {
        ensure!(read_slowly()? > 0, "the output ended by itself");
    }
    kill_process(Pid::from_child(&child), Signal::INT)?;
    let status = until("the end", 3 * PATIENCE, || {
        read_slowly()?;
        Ok(child.try_wait()?)
    });
    child.kill()?;
    ensure!(status?.success(), "ended with an error");
    Ok(())
}

/// Whether nothing was told but what the programs missed on the host: of that nobody knows whose it was.
fn nothing_seen(output: &Output) -> bool {
    output.records.iter().all(Record::is_of_misses)
}

/// `-d`: it ends by itself.
#[test]
fn duration() -> Result<()> {
    let namespace = Namespace::new()?;
    let mut trace = watch(&namespace, "trace", &["-d", "300ms"])?;
    let output = trace.ended(PATIENCE)?;
    ensure!(nothing_seen(&output), "nobody did anything: {:?}", output.records);
    Ok(())
}

/// `-v`: the kernel side's programs write a log then, on ways that the verifier does not see without.
#[test]
fn verbose_loads_too() -> Result<()> {
    let output = Command::new(tcplife_binary()?)
        .args(["trace", "-v", "-d", "50ms"])
        .args(hooks())
        .stdin(Stdio::null())
        .output()?;
    let notes = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "ended with {}: {notes}", output.status);
    for begin in [READY, "tcplife[debug] "] {
        ensure!(notes.lines().any(|line| line.starts_with(begin)), "no line {begin:?}: {notes}");
    }
    Ok(())
}

/// `tcplife trace | head -1`: the reader is gone, which is a good reason to end.
#[test]
fn closed_stdout() -> Result<()> {
    let namespace = Namespace::new()?;
    let mut child = Command::new(tcplife_binary()?)
        .args(["trace", "-o", "json", "--netns", &namespace.inode().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut notes = BufReader::new(child.stderr.take().context("no pipe")?);
    let mut first = String::new();
    notes.read_line(&mut first)?;
    ensure!(first.starts_with(READY), "tcplife says: {first}");
    let _load = load(&namespace)?;
    let mut output = BufReader::new(child.stdout.take().context("no pipe")?);
    output.read_line(&mut String::new())?;
    drop(output);
    let status = until("the end", PATIENCE, || Ok(child.try_wait()?));
    child.kill()?;
    ensure!(status?.success(), "ended with an error");
    let mut rest = String::new();
    notes.read_to_string(&mut rest)?;
    // What the kernel ran no program for is told whoever reads.
    let is_of_misses = |line: &str| line.contains("events lost (recursion)") || line.contains("resynced");
    ensure!(rest.lines().all(is_of_misses), "it was not silent: {rest}");
    Ok(())
}

/// A list of the kernel's sockets takes descriptors. The tracer that has none left says so, and goes on with what it is told.
#[test]
fn without_descriptors_the_trace_goes_on() -> Result<()> {
    let namespace = Namespace::new()?;
    let trace = watch(&namespace, "trace", &[])?;
    let (mut server, mut client) = (namespace.actor("server")?, namespace.actor("client")?);
    let (listener, at) = server.listen(Family::V4.loopback())?;
    let pid = Pid::from_raw(trace.pid().try_into()?).context("no pid")?;
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(3), maximum: Some(3) })?;
    // From the first one on, mini-sockets are listed each second where no hook tells of their ends.
    for pause in [scaled(Duration::from_secs(1)); 3] {
        let (near, ends) = client.connect(at)?;
        let (far, _) = server.accept(listener)?;
        client.close(near)?;
        server.close(far)?;
        // If the kernel acknowledged the client's FIN before the server closed, its TIME_WAIT is seen by lists only.
        let closed = |t: &Transition| t.connection.is_between(ends.turned()) && t.to == "closed";
        trace.wait_for("the server's end", |records| {
            records.iter().any(|record| matches!(record, Record::Transition(t) if closed(t))).then_some(())
        })?;
        std::thread::sleep(pause);
    }
    let output = trace.stop()?;
    let notes: Vec<&String> =
        output.notes.iter().filter(|note| note.contains("could not be listed")).collect();
    ensure!(notes.len() == 1 && notes[0].contains("Too many open files"), "{:?}", output.notes);
    Ok(())
}

/// Two tracers of one namespace do not disturb each other, and one that filters by the namespace sees nothing of
/// another.
#[test]
fn another_namespace_is_not_seen() -> Result<()> {
    let (busy, quiet) = (Namespace::new()?, Namespace::new()?);
    let (seen, unseen) = (watch(&busy, "trace", &[])?, watch(&quiet, "trace", &[])?);
    let _load = load(&busy)?;
    seen.wait_for("some records", |records| (records.len() > 1000).then_some(()))?;
    let output = unseen.stop()?;
    ensure!(nothing_seen(&output), "{:?}", output.records);
    ensure!(output.summary.filtered > 0, "who has filtered? {:?}", output.summary);
    seen.stop()?;
    Ok(())
}
