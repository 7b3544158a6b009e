//! Processes that show the same fault, in the report for people.

use std::{
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    net::sockopt::set_socket_linger,
    process::{Pid, Resource, Rlimit, prlimit},
};
use tcplife_tests::deadline::until;

use crate::run::run;

/// How a connection comes to its end.
#[derive(Clone, Copy)]
enum By {
    /// The peer closes it, and it is in CLOSE_WAIT.
    Close,
    /// The peer resets it, and nothing but the descriptor is left.
    Reset,
}

/// Processes whose standard input is a socket that they have to close. They are killed when dropped.
struct Workers {
    listener: TcpListener,
    children: Vec<Child>,
}

impl Workers {
    fn new() -> Result<Self> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0")?, children: Vec::new() })
    }

    fn port(&self) -> Result<String> {
        Ok(self.listener.local_addr()?.port().to_string())
    }

    /// Starts another one.
    fn start(&mut self, command: &[&str]) -> Result<u32> {
        self.start_with(By::Close, command)
    }

    fn start_with(&mut self, by: By, command: &[&str]) -> Result<u32> {
        let peer = TcpStream::connect(self.listener.local_addr()?)?;
        let (accepted, _) = self.listener.accept()?;
        if matches!(by, By::Reset) {
            set_socket_linger(&peer, Some(Duration::ZERO))?;
        }
        drop(peer);
        let child = Command::new(command[0]).args(&command[1..]).stdin(OwnedFd::from(accepted)).spawn()?;
        let pid = child.id();
        self.children.push(child);
        Ok(pid)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Fails only if it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The lines of `leaks` about a port, once it tells of so many processes.
fn told_of(owners: usize, port: &str, more: &[&str]) -> Result<Vec<String>> {
    told_once(&format!(" in {owners} owner"), port, more)
}

/// The same, once it has these words.
fn told_once(words: &str, port: &str, more: &[&str]) -> Result<Vec<String>> {
    let leaks = [&["leaks", "--leak-after", "1ms", "-L", port], more].concat();
    until("all of them leak", Duration::from_secs(10), || {
        let ended = run(&leaks)?;
        ensure!(ended.status == Some(0), "{ended:?}");
        let all = ended.out.contains(words);
        Ok(all.then(|| ended.out.lines().map(str::to_owned).collect()))
    })
}

/// What is the same for all is told of one, and the others have a line each, up to a number.
#[test]
fn of_those_that_are_alike_one_is_told_of_in_full() -> Result<()> {
    let mut workers = Workers::new()?;
    let other = workers.start(&["tail", "-f", "/dev/null"])?;
    // Their commands differ by digits only.
    let alike = (60..83).map(|n| workers.start(&["sleep", &n.to_string()])).collect::<Result<Vec<u32>>>()?;
    let port = workers.port()?;
    let lines = told_of(24, &port, &[])?;
    let at = |what: &str| {
        let place = lines.iter().position(|line| line.starts_with(what));
        place.with_context(|| format!("no {what:?} in {lines:#?}"))
    };
    let mut pids = alike;
    pids.sort_unstable();
    let (first, list) =
        (at(&format!("sleep[{}]: 1 eof_unread", pids[0]))?, at("  22 more like it: 22 eof_unread")?);
    for (n, pid) in pids[1..21].iter().enumerate() {
        let line = &lines[list + 1 + n];
        let parts = [format!("    sleep[{pid}]: 1 eof_unread; at least "), " in use, these: 0".to_owned()];
        ensure!(line.starts_with(&parts[0]) && line.ends_with(&parts[1]), "{line}, not {parts:?}");
    }
    ensure!(lines[list + 21] == "    and 2 more: 2 eof_unread (--all shows each)", "{lines:#?}");
    let unlike = at(&format!("tail[{other}]: 1 eof_unread"))?;
    ensure!(first < list && list < unlike, "those that leak the most in all come first: {lines:#?}");
    ensure!(lines.iter().filter(|line| line.contains(" command ")).count() == 2, "{lines:#?}");
    Ok(())
}

#[test]
fn with_all_each_is_told_of_in_full() -> Result<()> {
    let mut workers = Workers::new()?;
    for _ in 0..3 {
        workers.start(&["sleep", "60"])?;
    }
    let lines = told_of(3, &workers.port()?, &["--all"])?;
    ensure!(lines.iter().filter(|line| line.contains(" command ")).count() == 3, "{lines:#?}");
    Ok(())
}

/// Another verdict asks for another advice, and another port for other commands.
#[test]
fn those_with_another_fault_are_not_alike() -> Result<()> {
    let (mut near, mut far) = (Workers::new()?, Workers::new()?);
    for workers in [&mut near, &mut far] {
        workers.start(&["sleep", "60"])?;
    }
    // It reads up to the end, and stays.
    near.start(&["sh", "-c", "cat; exec sleep 60"])?;
    let ports = [near.port()?, far.port()?].join(",");
    let lines = told_of(3, &ports, &[])?;
    ensure!(!lines.iter().any(|line| line.contains("more like it")), "{lines:#?}");
    Ok(())
}

/// No socket is stuck: what is left of connections is told of by process all the same, and is no leak by the exit status.
#[test]
fn those_with_descriptors_of_connections_that_are_over_are_told_of() -> Result<()> {
    let mut workers = Workers::new()?;
    for _ in 0..2 {
        workers.start_with(By::Reset, &["sleep", "60"])?;
    }
    let total = "2 sockets not closed after the connection ended, in 2 owners; ss does not list them";
    let lines = told_once(total, &workers.port()?, &["--exit-code"])?;
    let first = lines.first().context("nothing")?;
    ensure!(first.starts_with("sleep[") && first.ends_with("]: 1 ended_unclosed"), "{lines:#?}");
    for line in ["  1 more like it: 1 ended_unclosed", total] {
        ensure!(lines.iter().any(|told| told == line), "no {line:?} in {lines:#?}");
    }
    ensure!(lines.last().is_some_and(|line| line.starts_with("no leaks: ")), "{lines:#?}");
    let more = workers.start(&["sleep", "60"])?;
    let lines = told_of(1, &workers.port()?, &[])?;
    let first = format!("sleep[{more}]: 1 eof_unread");
    ensure!(lines.first() == Some(&first), "a leak comes first: {lines:#?}");
    Ok(())
}

/// What a process does not do because it cannot is said: it is stopped, or has no descriptor left.
#[test]
fn what_keeps_a_process_from_closing_is_told() -> Result<()> {
    let mut workers = Workers::new()?;
    let stopped = workers.start(&["sh", "-c", "kill -STOP $$"])?;
    let full = workers.start(&["sleep", "60"])?;
    let port = workers.port()?;
    let told = |pid: u32, what: &str| -> Result<()> {
        until(what, Duration::from_secs(10), || {
            let lines = told_of(2, &port, &[])?;
            let block = lines.iter().skip_while(|line| !line.contains(&format!("[{pid}]: "))).take(12);
            // Lines are as long as the machine's names make them.
            let words: Vec<&str> = block.flat_map(|line| line.split_whitespace()).collect();
            Ok(words.join(" ").contains(what).then_some(()))
        })
    };
    told(stopped, ", but stopped by a signal: it does nothing")?;
    let limit = Rlimit { current: Some(1), maximum: Some(1) };
    prlimit(Pid::from_raw(full.try_into()?), Resource::Nofile, limit)?;
    told(full, " of 1 in use: accept, socket and open fail (EMFILE), these: 0")
}
