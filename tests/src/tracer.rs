//! A running `tcplife` that prints NDJSON, and what it has printed so far. It is killed with its [`Tracer`], also
//! when the test panics.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    deadline::{PATIENCE, scaled, until},
    record::{Record, Summary},
    tcplife_binary,
};

/// How the line begins that says that everything is attached.
pub const READY: &str = "tcplife: tracing";

/// A running tcplife.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
    printed: Arc<Printed>,
    notes: Arc<Printed>,
    readers: Vec<JoinHandle<()>>,
}

/// What one stream brought so far.
#[derive(Debug, Default)]
struct Printed {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    records: Vec<Record>,
    text: Vec<String>,
    /// The first line that is not as it should be.
    wrong: Option<String>,
    ended: bool,
}

impl Printed {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.lock());
        self.more.notify_all();
    }

    /// Waits until `probe` finds something; looks again after each line.
    fn wait<T>(
        &self,
        what: &str,
        patience: Duration,
        mut probe: impl FnMut(&Lines) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + scaled(patience);
        let mut lines = self.lock();
        loop {
            if let Some(wrong) = &lines.wrong {
                bail!("while waiting for {what}: {wrong}");
            }
            if let Some(found) = probe(&lines) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!lines.ended, "{what}: the output ended before{}", listing(&lines));
            ensure!(!left.is_zero(), "{what}: not within {:?}{}", scaled(patience), listing(&lines));
            (lines, _) = self.more.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What was printed, for the reader of a failed test.
fn listing(lines: &Lines) -> String {
    let records = lines.records.iter().map(|r| format!("\n  {}", brief(r)));
    let text = lines.text.iter().map(|line| format!("\n  {line}"));
    let all: Vec<String> = records.chain(text).collect();
    let hidden = all.len().saturating_sub(60);
    let tail: String = all.iter().skip(hidden).map(String::as_str).collect();
    if hidden > 0 { format!("\n  ({hidden} lines before){tail}") } else { tail }
}

/// One record in a line.
fn brief(record: &Record) -> String {
    let about = record.connection().map_or_else(String::new, |c| {
        let ends = c.ends();
        let owner = c.owner.as_ref().map_or_else(String::new, |o| format!(" {}/{}/{}", o.pid, o.comm, o.via));
        format!("{:?} {}-{}{owner}: ", c.id, ends.local, ends.remote)
    });
    match record {
        Record::Transition(t) => format!("{about}{} -> {} at {}", t.from, t.to, t.mono_ns),
        Record::Retransmit(r) => format!("{about}retransmit {} in {}", r.kind, r.state),
        Record::Reset(r) => format!("{about}reset {} in {}", r.direction, r.state),
        Record::Life(l) => format!("{about}life, first {}, end {}", l.first_close, l.end),
        Record::Lost(_) | Record::Summary(_) => format!("{record:?}"),
    }
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
        let (printed, notes) = (Arc::<Printed>::default(), Arc::<Printed>::default());
        let readers = vec![
            read(child.stdout.take(), Arc::clone(&printed), |lines, line| match Record::parse(&line) {
                Ok(record) => lines.records.push(record),
                Err(error) => lines.wrong = lines.wrong.take().or_else(|| Some(format!("{error:#}"))),
            })?,
            read(child.stderr.take(), Arc::clone(&notes), |lines, line| lines.text.push(line))?,
        ];
        let tracer = Self { child, printed, notes, readers };
        let first = tracer.notes.wait("the ready line", PATIENCE, |lines| lines.text.first().cloned())?;
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
        mut probe: impl FnMut(&[Record]) -> Option<T>,
    ) -> Result<T> {
        self.printed.wait(what, patience, |lines| probe(&lines.records))
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
        for reader in self.readers.drain(..) {
            ensure!(reader.join().is_ok(), "a reader panicked");
        }
        let notes = std::mem::take(&mut self.notes.lock().text);
        ensure!(status.success(), "tcplife ended with {status}: {}", notes.join("\n"));
        let mut lines = self.printed.lock();
        if let Some(wrong) = lines.wrong.take() {
            bail!(wrong);
        }
        let mut records = std::mem::take(&mut lines.records);
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

fn read(
    stream: Option<impl Read + Send + 'static>,
    into: Arc<Printed>,
    take: fn(&mut Lines, String),
) -> Result<JoinHandle<()>> {
    let stream = BufReader::new(stream.context("no pipe")?);
    Ok(thread::spawn(move || {
        for line in stream.lines().map_while(Result::ok) {
            into.add(|lines| take(lines, line));
        }
        into.add(|lines| lines.ended = true);
    }))
}
