//! However a trace ends, it ends cleanly: what was seen is printed, the status is 0.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use tcplife_tests::{
    deadline::{PATIENCE, until},
    kernel_objects::Objects,
    namespace::{Family, Namespace},
    tcplife_binary,
};

use crate::run::{Ended, Running, connect_once, end_of, isolated, run, tcplife};

/// Every tracing command and output.
const ALL: [&[&str]; 7] = [
    &["trace"],
    &["trace", "-o", "json"],
    &["lives"],
    &["lives", "-o", "json"],
    &["lives", "-o", "csv"],
    &["hist"],
    &["hist", "-o", "json"],
];

#[test]
fn a_duration_ends_it() -> Result<()> {
    for arguments in ALL {
        let ended = run(&[arguments, &["-d", "50ms"]].concat())?;
        ensure!(ended.status == Some(0), "{arguments:?}: {ended:?}");
        let ready = ended.err.lines().filter(|line| line.starts_with("tcplife: tracing")).count();
        ensure!(ready == 1, "{arguments:?}: {ready} ready lines: {ended:?}");
    }
    Ok(())
}

#[test]
fn a_signal_ends_it_with_all_that_was_seen() -> Result<()> {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut running = Running::ready(&["trace", "-o", "json"])?;
        connect_once()?;
        kill_process(Pid::from_child(running.child()), signal)?;
        let ended = running.end()?;
        ensure!(ended.status == Some(0), "{signal:?}: {ended:?}");
        ensure!(ended.out.contains(r#""from":"syn_sent","to":"established""#), "{signal:?}: {ended:?}");
        let last = ended.out.lines().next_back().unwrap_or_default();
        ensure!(last.starts_with(r#"{"type":"summary""#), "{signal:?}: {last}");
    }
    Ok(())
}

/// What a user waits for in vain is said to be on its way.
#[test]
fn lives_that_go_on_in_time_wait_are_counted() -> Result<()> {
    for (more, notes) in [(&[][..], 1), (&["-q"], 0), (&["--state", "close_wait"], 0)] {
        let mut namespace = Namespace::new()?;
        let mut actor = namespace.actor("both ends")?;
        let (listener, at) = actor.listen(Family::V4.loopback())?;
        let (inode, port) = (namespace.inode().to_string(), at.port().to_string());
        let arguments = ["lives", "--time-wait", "-o", "json", "--netns", &inode, "-D", &port];
        let mut running = Running::ready(&[&arguments[..], more].concat())?;
        let (near, _) = actor.connect(at)?;
        let (far, _) = actor.accept(listener)?;
        actor.close(near)?;
        actor.close(far)?;
        until("TIME_WAIT", PATIENCE, || {
            let sockets = namespace.sockets()?;
            Ok(sockets.iter().any(|socket| socket.state == "time_wait").then_some(()))
        })?;
        kill_process(Pid::from_child(running.child()), Signal::INT)?;
        let ended = running.end()?;
        let told = ended.err.lines().filter(|line| line.ends_with("--time-wait waits for: 1 connection"));
        ensure!(told.count() == notes && ended.out.lines().count() == 1, "{more:?}: {ended:?}");
    }
    Ok(())
}

/// As `nohup tcplife trace &` in a script: the terminal's end is not its own, and SIGINT, which a shell without job
/// control has the process ignore as well, still is.
#[test]
fn a_hangup_that_is_ignored_does_not_end_it() -> Result<()> {
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' HUP INT; exec \"$@\"", "sh"])
        .arg(tcplife_binary()?)
        .args(["trace", "-o", "json"]);
    let mut running = Running::ready_of(isolated(command))?;
    let process = Pid::from_child(running.child());
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()))?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).context("no SigIgn")?;
    let ignored = u64::from_str_radix(mask.trim(), 16)?;
    let is_ignored = |signal: Signal| ignored & 1 << (signal.as_raw() - 1) != 0;
    ensure!(is_ignored(Signal::HUP) && !is_ignored(Signal::INT), "{status}");
    kill_process(process, Signal::HUP)?;
    connect_once()?;
    kill_process(process, Signal::INT)?;
    let ended = running.end()?;
    ensure!(ended.status == Some(0), "{ended:?}");
    ensure!(ended.out.contains(r#""from":"syn_sent","to":"established""#), "{ended:?}");
    Ok(())
}

/// As `tcplife trace | head -1`.
#[test]
fn a_reader_that_goes_ends_it_in_silence() -> Result<()> {
    for arguments in [&["trace", "-q"][..], &["trace", "-q", "-o", "json"]] {
        let mut running = Running::ready(arguments)?;
        let mut out = BufReader::new(running.child().stdout.take().context("no stdout")?);
        connect_once()?;
        let mut line = String::new();
        out.read_line(&mut line)?;
        ensure!(!line.is_empty(), "{arguments:?}: nothing was printed");
        drop(out);
        let ended = running.end()?;
        ensure!(ended.status == Some(0) && ended.err.is_empty(), "{arguments:?}: {ended:?}");
    }
    Ok(())
}

/// As `tcplife trace | sleep infinity`, also when its duration is over.
#[test]
fn a_reader_that_does_not_read_does_not_keep_it() -> Result<()> {
    let over: &[&str] = &["-d", "1s"];
    for (more, signal) in [(&[][..], Signal::INT), (&[], Signal::TERM), (over, Signal::TERM)] {
        let mut running = Running::ready(&[&["trace", "-q", "-o", "json"], more].concat())?;
        let unread = running.child().stdout.take().context("no stdout")?;
        // Far more than a pipe holds, which is 64 KiB.
        for _ in 0..200 {
            connect_once()?;
        }
        if !more.is_empty() {
            has_detached(running.child())?;
        }
        kill_process(Pid::from_child(running.child()), signal)?;
        let ended = running.end()?;
        drop(unread);
        let sentence = "cannot write the output: its reader does not read";
        ensure!(ended.sentence()? == sentence, "{more:?}, {signal:?}: {ended:?}");
    }
    Ok(())
}

/// Waits until a trace that was ready has no hooks any more, which it ends with.
fn has_detached(child: &Child) -> Result<()> {
    until("no hooks", PATIENCE, || Ok(Objects::of(child.id())?.links.is_empty().then_some(())))
}

/// As `tcplife trace -d 1s | less`: the hooks go when the time is up, and the output stays until it is read.
#[test]
fn a_reader_that_pauses_gets_all_of_it() -> Result<()> {
    let (pipe, to_pipe) = io::pipe()?;
    let (socket, to_socket) = UnixStream::pair()?;
    let ways: [(Box<dyn Read>, OwnedFd); 2] =
        [(Box::new(pipe), to_pipe.into()), (Box::new(socket), to_socket.into())];
    for (unread, writer) in ways {
        let mut command = tcplife(&["trace", "-q", "-o", "json", "-d", "1s"])?;
        command.stdout(writer);
        let mut running = Running::ready_of(command)?;
        // Far more than either holds.
        for _ in 0..500 {
            connect_once()?;
        }
        has_detached(running.child())?;
        thread::sleep(Duration::from_secs(2));
        let all = io::read_to_string(unread)?;
        let ended = running.end()?;
        ensure!(ended.status == Some(0), "{ended:?}");
        ensure!(all.len() > 500 << 10, "{} bytes", all.len());
        let last = all.lines().next_back().unwrap_or_default();
        ensure!(last.starts_with(r#"{"type":"summary""#), "{last}");
    }
    Ok(())
}

/// As a service whose log is a socket, and stands still.
#[test]
fn a_socket_whose_reader_does_not_read_does_not_keep_it() -> Result<()> {
    let (unread, writer) = UnixStream::pair()?;
    let mut command = tcplife(&["trace", "-q", "-o", "json"])?;
    command.stdout(OwnedFd::from(writer));
    let mut running = Running::ready_of(command)?;
    // Far more than it holds (`net.core.wmem_default`).
    for _ in 0..500 {
        connect_once()?;
    }
    kill_process(Pid::from_child(running.child()), Signal::TERM)?;
    let ended = running.end()?;
    drop(unread);
    ensure!(ended.sentence()? == "cannot write the output: its reader does not read", "{ended:?}");
    Ok(())
}

#[test]
fn a_reader_that_goes_is_noticed_without_a_connection() -> Result<()> {
    // Nothing happens in a namespace that nobody uses.
    let mut running = Running::ready(&["lives", "-q", "-o", "json", "--netns", "1"])?;
    drop(running.child().stdout.take());
    let ended = running.end()?;
    ensure!(ended.status == Some(0) && ended.err.is_empty(), "{ended:?}");
    Ok(())
}

/// As a service whose log is a socket.
#[test]
fn a_socket_whose_reader_goes_is_noticed_too() -> Result<()> {
    let mut command = tcplife(&["lives", "-q", "-o", "json", "--netns", "1"])?;
    let (reader, writer) = UnixStream::pair()?;
    command.stdout(OwnedFd::from(writer));
    drop(reader);
    let ended = end_of(command)?;
    ensure!(ended.status == Some(0), "{ended:?}");
    Ok(())
}

/// Runs `tcplife` for a reader that has gone.
fn without_reader(arguments: &[&str]) -> Result<Ended> {
    let mut command = tcplife(arguments)?;
    let (reader, writer) = io::pipe()?;
    drop(reader);
    command.stdout(writer);
    end_of(command)
}

#[test]
fn help_for_a_reader_that_has_gone_is_no_error() -> Result<()> {
    let ended = without_reader(&["--help"])?;
    ensure!(ended.status == Some(0) && ended.err.is_empty(), "{ended:?}");
    Ok(())
}

#[test]
fn leaks_that_nobody_reads_of_are_in_the_exit_status() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    // Nobody accepts it, and its other end is closed.
    drop(TcpStream::connect(at)?);
    let port = at.port().to_string();
    for more in [&[][..], &["-o", "json"], &["-d", "50ms"]] {
        let leaks = ["leaks", "-q", "--leak-after", "1ms", "-L", &port];
        for (tells, status) in [(&["--exit-code"][..], 1), (&[], 0)] {
            let ended = without_reader(&[&leaks, more, tells].concat())?;
            ensure!(ended.status == Some(status), "{more:?} {tells:?}: {ended:?}");
        }
    }
    Ok(())
}

#[test]
fn leaks_that_there_is_no_room_for_are_told_to_be_missing() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    // The listener and its child: two connections.
    drop(TcpStream::connect(at)?);
    let port = at.port().to_string();
    for more in [&[][..], &["-d", "50ms"]] {
        let leaks = ["leaks", "--leak-after", "1ms", "-L", &port, "--max-connections", "1"];
        let ended = run(&[&leaks, more].concat())?;
        ensure!(ended.status == Some(0), "{more:?}: {ended:?}");
        ensure!(
            ended.err.contains("forgotten: the table holds 1; see --max-connections"),
            "{more:?}: {ended:?}"
        );
    }
    Ok(())
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() -> Result<()> {
    for arguments in [&["hist", "-q", "-d", "50ms"][..], &["doctor"], &["--help"], &["--version"]] {
        let mut command = tcplife(arguments)?;
        command.stdout(fs::OpenOptions::new().write(true).open("/dev/full")?);
        let ended = end_of(command)?;
        ensure!(ended.status == Some(2), "{arguments:?}: {ended:?}");
        let sentence = ended.err.lines().next_back().unwrap_or_default();
        let expected = "tcplife: cannot write the output: No space left";
        ensure!(sentence.starts_with(expected), "{arguments:?}: {ended:?}");
    }
    Ok(())
}

#[test]
fn a_log_that_cannot_be_written_is_named_and_what_was_seen_is_told() -> Result<()> {
    let ended = run(&["hist", "-q", "-o", "json", "-d", "50ms", "--hdr-log", "/dev/full"])?;
    let sentence = ended.err.lines().next_back().unwrap_or_default();
    ensure!(ended.status == Some(2), "{ended:?}");
    ensure!(sentence.starts_with("tcplife: --hdr-log /dev/full: cannot write it: No space"), "{ended:?}");
    let last = ended.out.lines().next_back().unwrap_or_default();
    ensure!(last.starts_with(r#"{"type":"summary""#), "{ended:?}");
    Ok(())
}
