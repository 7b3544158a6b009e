//! A running `tcplife` that prints NDJSON, and what it has printed so far. It is killed with its [`Tracer`], also
//! when the test panics.

use std::{
    env,
    ffi::OsStr,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    deadline::{PATIENCE, until},
    feed::Feed,
    record::{Record, Summary},
    tcplife_binary,
};

/// How the line begins that says that everything is attached.
pub const READY: &str = "tcplife: tracing";

/// The arguments that limit tcplife to the hooks that the environment names, if it names some.
pub fn hooks() -> Vec<String> {
    match env::var("TCPLIFE_TEST_HOOKS") {
        Ok(hooks) if !hooks.is_empty() => vec!["--hooks".to_owned(), hooks],
        _ => Vec::new(),
    }
}

/// A running tcplife.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
    printed: Feed<Record>,
    notes: Feed<String>,
}

/// Everything that a tracer printed in its life.
#[derive(Debug)]
pub struct Output {
    /// All records but the last.
    pub records: Vec<Record>,
    /// The last one.
    pub summary: Summary,
    /// What it said on standard error.
    pub notes: Vec<String>,
}

impl Output {
    /// Whether a hook tells of moves inside timewait mini-sockets.
    pub fn hooks_mini_sockets(&self) -> bool {
        let hook = self.summary.hooks.get("time_wait_from_fin_wait_2");
        hook.and_then(|hook| hook.as_str()).is_some_and(|hook| hook.starts_with('f') || hook.starts_with('k'))
    }
}

impl Tracer {
    /// Starts `tcplife ARGUMENTS`, which must print NDJSON, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// It does not start, or says something else than that it is ready.
    pub fn start<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Self> {
        let program = tcplife_binary()?;
        let mut child = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let printed = Feed::new(child.stdout.take(), |line| Record::parse(&line))?;
        let notes = Feed::new(child.stderr.take(), Ok)?;
        let tracer = Self { child, printed, notes };
        let first = tracer.notes.wait_for("the ready line", PATIENCE, |lines| lines.first().cloned())?;
        ensure!(first.starts_with(READY), "tcplife says: {first}");
        Ok(tracer)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `probe` finds something in what was printed so far.
    ///
    /// # Errors
    ///
    /// Not in time, or a line is not as it should be.
    pub fn wait_for<T>(&self, what: &str, probe: impl FnMut(&[Record]) -> Option<T>) -> Result<T> {
        self.wait_long_for(what, PATIENCE, probe)
    }

    /// As [`Tracer::wait_for`], for what takes its time.
    ///
    /// # Errors
    ///
    /// As [`Tracer::wait_for`].
    pub fn wait_long_for<T>(
        &self,
        what: &str,
        patience: Duration,
        probe: impl FnMut(&[Record]) -> Option<T>,
    ) -> Result<T> {
        self.printed.wait_for(what, patience, probe)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal).context("tcplife is gone")
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// Not in time.
    pub fn exit(&mut self, patience: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        until("tcplife's end", patience, || Ok(child.try_wait()?))
    }

    /// Ends it as Ctrl-C does and takes what it printed: exit status 0, the summary last.
    ///
    /// # Errors
    ///
    /// It does not end well.
    pub fn stop(self) -> Result<Output> {
        self.stop_with(Signal::INT)
    }

    /// As [`Tracer::stop`], with another signal.
    ///
    /// # Errors
    ///
    /// As [`Tracer::stop`].
    pub fn stop_with(mut self, signal: Signal) -> Result<Output> {
        self.signal(signal)?;
        self.ended(PATIENCE)
    }

    /// Waits for its own end and takes what it printed: exit status 0, the summary last.
    ///
    /// # Errors
    ///
    /// It does not end, or not well.
    pub fn ended(&mut self, patience: Duration) -> Result<Output> {
        let status = self.exit(patience)?;
        let notes = self.notes.rest()?;
        ensure!(status.success(), "tcplife ended with {status}: {}", notes.join("\n"));
        let mut records = self.printed.rest()?;
        let Some(Record::Summary(summary)) = records.pop() else { bail!("the last record is no summary") };
        let summaries = records.iter().filter(|r| matches!(r, Record::Summary(_))).count();
        ensure!(summaries == 0, "more than one summary");
        Ok(Output { records, summary, notes })
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Nothing is left to do about a failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
