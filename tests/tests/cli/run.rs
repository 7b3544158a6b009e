//! Running `tcplife` to its end, or until it is ready.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tcplife_tests::{deadline::until, tcplife_binary};

/// Longest time that a run may take that ends by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a run that has ended left.
#[derive(Debug)]
pub struct Ended {
    /// Exit status; `None` after a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ended {
    /// Checks that the run failed as every failure should, and returns the sentence.
    pub fn sentence(&self) -> Result<&str> {
        ensure!(self.status == Some(2), "exit status 2 was expected: {self:?}");
        ensure!(self.err.lines().count() == 1, "one line on stderr was expected: {self:?}");
        let sentence = self.err.trim_end().strip_prefix("tcplife: ");
        sentence.with_context(|| format!("the sentence does not say whose it is: {self:?}"))
    }
}

/// `tcplife` with `arguments`, no input, and an environment in which nothing depends on the terminal.
pub fn tcplife<A: AsRef<OsStr>>(arguments: &[A]) -> Result<Command> {
    let mut command = Command::new(tcplife_binary()?);
    command.args(arguments);
    Ok(isolated(command))
}

/// Without input, and with both outputs to be read.
pub fn isolated(mut command: Command) -> Command {
    command.env_remove("COLUMNS").env_remove("NO_COLOR");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command that ends by itself.
pub fn end_of(mut command: Command) -> Result<Ended> {
    let child = command.spawn().with_context(|| format!("{command:?} does not run"))?;
    Running { child, err: None }.end()
}

/// Runs `tcplife` with `arguments` that end it by themselves.
pub fn run(arguments: &[&str]) -> Result<Ended> {
    end_of(tcplife(arguments)?)
}

/// A run that has not ended. Killed when it is dropped before it has.
pub struct Running {
    child: Child,
    err: Option<BufReader<ChildStderr>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Runs `tcplife` with `arguments` until it says that it traces.
    pub fn ready(arguments: &[&str]) -> Result<Self> {
        Self::ready_of(tcplife(arguments)?)
    }

    /// Runs a command that becomes `tcplife` until that says that it traces.
    pub fn ready_of(mut command: Command) -> Result<Self> {
        let mut child = command.spawn()?;
        let mut err = BufReader::new(child.stderr.take().context("no stderr")?);
        let mut line = String::new();
        err.read_line(&mut line)?;
        let running = Self { child, err: Some(err) };
        ensure!(line.starts_with("tcplife: tracing"), "not ready: {line} (is this root?)");
        Ok(running)
    }

    /// The process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for its end and takes what it printed since; all that has not been taken yet.
    pub fn end(mut self) -> Result<Ended> {
        // Both pipes are drained while it runs, so that it never waits for us.
        let out = self.child.stdout.take().map(drain);
        let err = match self.err.take() {
            Some(err) => Some(drain(err)),
            None => self.child.stderr.take().map(drain),
        };
        let status = until("the end of tcplife", PATIENCE, || Ok(self.child.try_wait()?))?;
        let text = |reader: Option<std::thread::JoinHandle<_>>| match reader {
            Some(reader) => reader.join().unwrap_or_else(|_| Ok(String::new())),
            None => Ok(String::new()),
        };
        Ok(Ended { status: status.code(), out: text(out)?, err: text(err)? })
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<std::io::Result<String>> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text)?;
        Ok(text)
    })
}

/// Opens and closes a connection on the loopback device.
pub fn connect_once() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    drop((client, server));
    Ok(())
}
