//! A tracer at work: when it is ready, what it uses, and what it lost.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read, Seek as _, SeekFrom},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use serde_json::Value;

use super::{
    floor,
    load::{PAIRS, PORT},
    meter, programs,
    tool::{Kind, Tool},
};
use crate::workspace;

/// A tracer has to be ready, or has to end, within this.
const PATIENCE: Duration = Duration::from_secs(30);
/// From a peer's having loaded its programs to its being at work.
const SETTLING: Duration = Duration::from_secs(1);
/// Between two looks at something that is waited for.
const STEP: Duration = Duration::from_millis(10);

/// A running tracer; it is killed when it is dropped before [`Running::stop`].
pub(super) struct Running {
    child: Child,
    kind: Kind,
    /// Where its output is.
    pub(super) output: PathBuf,
    said: Receiver<String>,
    /// From its start to its being ready, where it says so.
    pub(super) ready_after: Duration,
}

impl Running {
    /// Starts a tracer and waits until it is at work; its output goes to a file.
    pub(super) fn start(tool: &Tool) -> Result<Self> {
        let folder = workspace::target()?.join("bench");
        fs::create_dir_all(&folder)?;
        let output = folder.join(tool.name.replace([' ', ':'], "-"));
        let stdout = File::create(&output)?;
        let [program, args @ ..] = tool.command.as_slice() else { bail!("a tool without a program") };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
        if tool.kind == Kind::Screen {
            let terminal = terminal()?;
            command.stdin(terminal.try_clone()?).stdout(terminal);
        }
        let begin = Instant::now();
        let mut child = command.spawn().with_context(|| format!("starting {}", tool.name))?;
        let said = lines_of(child.stderr.take());
        let mut running = Self { child, kind: tool.kind, output, said, ready_after: Duration::ZERO };
        match tool.kind {
            Kind::Floor => running.wait_for_line(floor::READY)?,
            Kind::Ours => running.wait_for_line("tcplife: tracing")?,
            Kind::Screen | Kind::Peer(_) => running.wait_for_programs()?,
        }
        running.ready_after = begin.elapsed();
        if matches!(tool.kind, Kind::Screen | Kind::Peer(_)) {
            thread::sleep(SETTLING);
        }
        Ok(running)
    }

    fn wait_for_line(&self, what: &str) -> Result<()> {
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) if line.starts_with(what) => return Ok(()),
                // Notes of other kinds come before it.
                Ok(line) if line.starts_with("tcplife: error") => bail!("{line}"),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("it does not get ready"),
                Err(RecvTimeoutError::Disconnected) => bail!("it ends before it is ready"),
            }
        }
    }

    fn wait_for_programs(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !programs::has_some(self.pid()).unwrap_or(false) {
            if let Some(status) = self.child.try_wait()? {
                let said: Vec<String> = self.said.try_iter().collect();
                bail!("it ends with {status}: {}", said.last().map_or("", String::as_str));
            }
            ensure!(Instant::now() < deadline, "it loads no programs");
            thread::sleep(STEP);
        }
        Ok(())
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Waits until it has nothing to do: the last records of a load are read.
    pub(super) fn calm_down(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = meter::cpu_seconds(self.pid())?;
        loop {
            thread::sleep(Duration::from_millis(250));
            let now = meter::cpu_seconds(self.pid())?;
            if now - before < 0.005 || Instant::now() > deadline {
                return Ok(());
            }
            before = now;
        }
    }

    /// Ends it. Returns how many events it lost of those of `connections` connections, if that can be known.
    pub(super) fn stop(mut self, connections: u64) -> Result<Option<u64>> {
        self.wait_for_end()?;
        match self.kind {
            Kind::Floor | Kind::Ours => Ok(self.last_record()?["lost"].as_u64()),
            Kind::Peer(each) => Ok(Some((each * connections).saturating_sub(self.lines_of_load()?))),
            Kind::Screen => Ok(None),
        }
    }

    /// Ends one of ours. Returns its summary.
    pub(super) fn end(mut self) -> Result<Value> {
        self.wait_for_end()?;
        self.last_record()
    }

    fn wait_for_end(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        if self.kind != Kind::Floor {
            self.signal(Signal::INT)?;
        }
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "it does not end");
            thread::sleep(STEP);
        }
        Ok(())
    }

    /// The last line of its output.
    fn last_record(&self) -> Result<Value> {
        let mut file = File::open(&self.output)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(1 << 16)))?;
        let mut end = String::new();
        file.read_to_string(&mut end).context("its output is no text")?;
        let last = end.lines().last().context("it printed nothing")?;
        serde_json::from_str(last).with_context(|| format!("its last line is {last:?}"))
    }

    /// Lines of its output that name a port of the load.
    fn lines_of_load(&self) -> Result<u64> {
        let ports: Vec<String> = (PORT..).take(PAIRS.try_into()?).map(|port| port.to_string()).collect();
        let mut lines = 0;
        for line in BufReader::new(File::open(&self.output)?).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            lines += u64::from(line.split_whitespace().any(|word| ports.iter().any(|port| port == word)));
        }
        Ok(lines)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, or something failed that is told.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines as they come, so that the writer never waits.
fn lines_of(from: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(from) = from {
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                // Nobody has to listen.
                let _ = sender.send(line);
            }
        });
    }
    receiver
}

/// The program's end of a new terminal, whose other end swallows what is shown.
fn terminal() -> Result<OwnedFd> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let size = Winsize { ws_row: 50, ws_col: 160, ws_xpixel: 0, ws_ypixel: 0 };
    let theirs = File::options().read(true).write(true).open(name.to_str()?)?;
    tcsetwinsize(&ours, size)?;
    let mut ours = File::from(ours);
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        // Fails when the program has ended.
        while ours.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    Ok(theirs.into())
}
