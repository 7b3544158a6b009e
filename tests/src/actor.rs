//! An application in a test, seen from the test: each call has the other process make one system call (or a few)
//! and tells when it began and ended there. The process dies with its [`Actor`], also when the test panics.

use std::{
    fmt,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    str::FromStr,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::{
    actor_binary,
    deadline::{PATIENCE, scaled},
};

/// A process that uses sockets as it is told.
#[derive(Debug)]
pub struct Actor {
    comm: String,
    child: Child,
    input: ChildStdin,
    replies: Receiver<String>,
}

/// A socket of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(u32);

/// Both ends of a connection, as one of them names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// This end.
    pub local: SocketAddr,
    /// The other one.
    pub remote: SocketAddr,
}

impl Ends {
    /// The same connection from the other side.
    #[must_use]
    pub const fn turned(self) -> Self {
        Self { local: self.remote, remote: self.local }
    }

    /// The same with IPv4-mapped addresses as the IPv4 addresses that they are.
    #[must_use]
    pub fn plain(self) -> Self {
        let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Self { local: plain(self.local), remote: plain(self.remote) }
    }
}

/// When a call was under way, in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Just before it.
    pub began: u64,
    /// Just after it.
    pub ended: u64,
}

impl Span {
    /// Whether an event at `time` can be the call's own doing.
    #[must_use]
    pub const fn contains(self, time: u64) -> bool {
        self.began <= time && time <= self.ended
    }
}

/// What a call answered, and when.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The answer; empty where there is none.
    pub answer: String,
    /// When the call was under way.
    pub span: Span,
}

/// A call failed in the other process.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The errno, 0 where there is none.
    pub errno: i32,
    /// The errno in words.
    pub text: String,
    /// When the call was under way.
    pub span: Span,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failed {}

impl Actor {
    /// Starts one whose process is named `comm` (15 bytes at most).
    ///
    /// # Errors
    ///
    /// The program is missing or does not start.
    pub fn start(comm: &str) -> Result<Self> {
        ensure!(comm.len() <= 15, "{comm} is too long for a process name");
        let program = actor_binary()?;
        let mut child = Command::new(&program)
            .args(["--name", comm])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        let (sender, replies) = channel();
        // Ends with the process.
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Self { comm: comm.to_owned(), child, input, replies })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The name of its process.
    pub fn comm(&self) -> &str {
        &self.comm
    }

    /// Has it do something and waits for the answer.
    ///
    /// # Errors
    ///
    /// [`Failed`] when the call failed there; anything else when there is no answer.
    pub fn call(&mut self, command: &str) -> Result<Reply> {
        self.begin(command)?;
        self.answer(PATIENCE)
    }

    /// Has it do something; [`Actor::answer`] gives the outcome.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn begin(&mut self, command: &str) -> Result<()> {
        writeln!(self.input, "{command}").with_context(|| format!("{} is gone", self.comm))
    }

    /// Waits for the answer to what was begun, for `patience` (scaled) at most.
    ///
    /// # Errors
    ///
    /// As [`Actor::call`].
    pub fn answer(&mut self, patience: Duration) -> Result<Reply> {
        let line = self.replies.recv_timeout(scaled(patience)).map_err(|error| match error {
            RecvTimeoutError::Timeout => anyhow!("{} gives no answer", self.comm),
            RecvTimeoutError::Disconnected => anyhow!("{} died", self.comm),
        })?;
        parse_reply(&line)
    }

    /// Has it do something that must fail with `errno`.
    ///
    /// # Errors
    ///
    /// It succeeds, or fails otherwise.
    pub fn fails(&mut self, command: &str, errno: rustix::io::Errno) -> Result<Span> {
        let outcome = self.call(command);
        expect_failure(command, outcome, errno)
    }

    /// A new socket: `4`, `6` or `mptcp`.
    ///
    /// # Errors
    ///
    /// As [`Actor::call`]; so for every method below.
    pub fn open(&mut self, kind: &str) -> Result<Handle> {
        self.call(&format!("open {kind}"))?.parse().map(Handle)
    }

    /// A socket that listens at `at`; the address tells the port.
    ///
    /// # Errors
    ///
    /// As [`Actor::call`].
    pub fn listen(&mut self, at: SocketAddr) -> Result<(Handle, SocketAddr)> {
        let socket = self.open(kind_of(at))?;
        let at = self.listen_with(socket, at, 128)?;
        Ok((socket, at))
    }

    /// Has a new socket listen at `at` with a queue of `backlog`.
    ///
    /// # Errors
    ///
    /// As [`Actor::call`].
    pub fn listen_with(&mut self, socket: Handle, at: SocketAddr, backlog: u32) -> Result<SocketAddr> {
        self.on(socket, &format!("bind {at}"))?;
        self.on(socket, &format!("listen {backlog}"))?;
        Ok(self.names(socket)?.0)
    }

    /// A new connection to `to`.
    ///
    /// # Errors
    ///
    /// As [`Actor::call`].
    pub fn connect(&mut self, to: SocketAddr) -> Result<(Handle, Ends)> {
        let socket = self.open(kind_of(to))?;
        self.on(socket, &format!("connect {to}"))?;
        Ok((socket, self.ends(socket)?))
    }

    /// The next connection that waits at `listener`.
    ///
    /// # Errors
    ///
    /// As [`Actor::call`].
    pub fn accept(&mut self, listener: Handle) -> Result<(Handle, Ends)> {
        let socket = self.on(listener, "accept")?.parse().map(Handle)?;
        Ok((socket, self.ends(socket)?))
    }

    /// Does something with a socket: the verb comes first, its arguments after it.
    ///
    /// # Errors
    ///
    /// As [`Actor::call`].
    pub fn on(&mut self, socket: Handle, words: &str) -> Result<Reply> {
        self.call(&with_handle(socket, words))
    }

    /// As [`Actor::on`], by a thread that is named `name`.
    ///
    /// # Errors
    ///
    /// As [`Actor::call`].
    pub fn on_thread(&mut self, name: &str, socket: Handle, words: &str) -> Result<Reply> {
        self.call(&format!("thread {name} {}", with_handle(socket, words)))
    }

    /// Does something with a socket that must fail with `errno`.
    ///
    /// # Errors
    ///
    /// As [`Actor::fails`].
    pub fn fails_on(&mut self, socket: Handle, words: &str, errno: rustix::io::Errno) -> Result<Span> {
        self.fails(&with_handle(socket, words), errno)
    }

    /// Begins something with a socket; [`Actor::answer`] gives the outcome.
    ///
    /// # Errors
    ///
    /// As [`Actor::begin`].
    pub fn begin_on(&mut self, socket: Handle, words: &str) -> Result<()> {
        self.begin(&with_handle(socket, words))
    }

    /// Closes a socket.
    ///
    /// # Errors
    ///
    /// As [`Actor::call`].
    pub fn close(&mut self, socket: Handle) -> Result<Span> {
        Ok(self.on(socket, "close")?.span)
    }

    /// Both ends of a connected socket.
    ///
    /// # Errors
    ///
    /// As [`Actor::call`]; it is not connected.
    pub fn ends(&mut self, socket: Handle) -> Result<Ends> {
        let (local, remote) = self.names(socket)?;
        Ok(Ends { local, remote: remote.context("it is not connected")? })
    }

    /// Its address, and the other end's if it is connected.
    ///
    /// # Errors
    ///
    /// As [`Actor::call`].
    pub fn names(&mut self, socket: Handle) -> Result<(SocketAddr, Option<SocketAddr>)> {
        let names = self.on(socket, "names")?.answer;
        let (local, remote) = names.split_once(' ').context("names makes no sense")?;
        Ok((local.parse()?, if remote == "-" { None } else { Some(remote.parse()?) }))
    }

    /// Ends the process at once, as `kill -9` does, and waits for it.
    ///
    /// # Errors
    ///
    /// It cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // Nothing is left to do about a failure.
        let _ = self.kill();
    }
}

impl Reply {
    /// The answer as a number, an address and so on.
    ///
    /// # Errors
    ///
    /// It is not one.
    pub fn parse<T: FromStr>(&self) -> Result<T> {
        self.answer.parse().map_err(|_| anyhow!("the answer {:?} makes no sense", self.answer))
    }
}

/// Checks that a call failed, and how.
///
/// # Errors
///
/// It succeeded, or failed otherwise.
pub fn expect_failure(what: &str, outcome: Result<Reply>, errno: rustix::io::Errno) -> Result<Span> {
    let Err(error) = outcome else { bail!("`{what}` succeeded, {errno} was expected") };
    let failed: Failed = error.downcast()?;
    ensure!(failed.errno == errno.raw_os_error(), "`{what}` failed with {failed}, {errno} was expected");
    Ok(failed.span)
}

const fn kind_of(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "4" } else { "6" }
}

fn with_handle(socket: Handle, words: &str) -> String {
    let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
    format!("{verb} {} {rest}", socket.0)
}

fn parse_reply(line: &str) -> Result<Reply> {
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().context("a short answer");
    let verdict = word()?;
    let span = Span { began: word()?.parse()?, ended: word()?.parse()? };
    let answer = word()?.to_owned();
    if verdict == "ok" {
        return Ok(Reply { answer, span });
    }
    let (errno, text) = answer.split_once(' ').context("a short failure")?;
    Err(Failed { errno: errno.parse()?, text: text.to_owned(), span }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read() {
        let reply = parse_reply("ok 5 7 1 2").unwrap();
        assert_eq!((reply.answer.as_str(), reply.span), ("1 2", Span { began: 5, ended: 7 }));
        assert!(reply.span.contains(5) && reply.span.contains(7) && !reply.span.contains(8));
        assert_eq!(parse_reply("ok 5 7 ").unwrap().answer, "");
        let failed: Failed = parse_reply("err 5 7 111 Connection refused").unwrap_err().downcast().unwrap();
        assert_eq!((failed.errno, failed.text.as_str()), (111, "Connection refused"));
        assert!(parse_reply("ok 5").is_err());
    }

    #[test]
    fn the_handle_comes_after_the_verb() {
        assert_eq!(with_handle(Handle(3), "bind [::1]:0"), "bind 3 [::1]:0");
        assert_eq!(with_handle(Handle(3), "close"), "close 3 ");
    }
}
