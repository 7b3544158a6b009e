//! What another process prints, line by line, read at once and looked at when somebody asks: a reader that is slower
//! than the process would change what is tested.

use std::{
    fmt,
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::deadline::scaled;

/// Lines shown of a feed in which something did not come.
const SHOWN: usize = 60;

/// A stream of lines, each understood as an `L`.
pub struct Feed<L> {
    stream: Arc<Stream>,
    reader: Option<JoinHandle<()>>,
    seen: Mutex<Vec<L>>,
    understand: fn(String) -> Result<L>,
}

#[derive(Default)]
struct Stream {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    fresh: Vec<String>,
    ended: bool,
}

impl Stream {
    fn add(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
        self.more.notify_all();
    }

    /// What came since the last call, and whether nothing comes any more; waits for either until `deadline`.
    fn take(&self, deadline: Instant) -> (Vec<String>, bool) {
        let mut state = lock(&self.state);
        while state.fresh.is_empty() && !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (state, _) = self.more.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        (std::mem::take(&mut state.fresh), state.ended)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<L: fmt::Display> Feed<L> {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// There is no pipe.
    pub fn new(
        pipe: Option<impl Read + Send + 'static>,
        understand: fn(String) -> Result<L>,
    ) -> Result<Self> {
        let pipe = BufReader::new(pipe.context("no pipe")?);
        let stream = Arc::<Stream>::default();
        let to = Arc::clone(&stream);
        let reader = thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                to.add(|state| state.fresh.push(line));
            }
            to.add(|state| state.ended = true);
        });
        Ok(Self { stream, reader: Some(reader), seen: Mutex::default(), understand })
    }

    /// Waits until `probe` finds something in all that came so far.
    ///
    /// # Errors
    ///
    /// Not within `patience` (scaled), or a line makes no sense.
    pub fn wait_for<T>(
        &self,
        what: &str,
        patience: Duration,
        mut probe: impl FnMut(&[L]) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + scaled(patience);
        let mut seen = lock(&self.seen);
        loop {
            if let Some(found) = probe(&seen) {
                return Ok(found);
            }
            let (fresh, ended) = self.stream.take(deadline);
            ensure!(!ended || !fresh.is_empty(), "{what}: the output ended before{}", listing(&seen));
            ensure!(!fresh.is_empty(), "{what}: not within {:?}{}", scaled(patience), listing(&seen));
            for line in fresh {
                seen.push((self.understand)(line)?);
            }
        }
    }

    /// All that came, after the process has ended.
    ///
    /// # Errors
    ///
    /// A line makes no sense.
    pub fn rest(&mut self) -> Result<Vec<L>> {
        if let Some(reader) = self.reader.take() {
            ensure!(reader.join().is_ok(), "the reader panicked");
        }
        let mut all = std::mem::take(&mut *lock(&self.seen));
        for line in self.stream.take(Instant::now()).0 {
            all.push((self.understand)(line)?);
        }
        Ok(all)
    }
}

/// What came last, for the reader of a failed test.
fn listing<L: fmt::Display>(lines: &[L]) -> String {
    let hidden = lines.len().saturating_sub(SHOWN);
    let shown = lines.iter().skip(hidden).map(|line| format!("\n  {line}"));
    let shown: String = shown.collect();
    if hidden > 0 { format!("\n  ({hidden} lines before){shown}") } else { shown }
}

impl<L> fmt::Debug for Feed<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}
