//! `tcplife hist --hdr-log`: an HdrHistogram interval log (V2, compressed), for the tools of the HdrHistogram project.
//!
//! What comes in: finished stays and the time. What goes out: one line for each state that had any, for each interval,
//! tagged with the state's name. What always holds: every stay of known length is in exactly one line; lengths are in
//! nanoseconds and within the histograms' range.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use hdrhistogram::serialization::{
    V2DeflateSerializer,
    interval_log::{IntervalLogWriterBuilder, Tag},
};
use tcplife_core::{histogram::Histograms, state::State};

use crate::clock::{Clock, as_ns};

/// An interval log that is being written.
pub struct HdrLog {
    path: PathBuf,
    file: BufWriter<File>,
    clock: Clock,
    interval_ns: u64,
    /// When the log began and when its last interval ended, nanoseconds of `CLOCK_MONOTONIC`.
    times: Option<(u64, u64)>,
    stays: Histograms,
}

impl HdrLog {
    /// A log at `path`, with a line for each state each `interval`. What is in the file goes when the log begins: there may be no trace.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, interval: Duration, clock: Clock) -> Result<Self> {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("--hdr-log {}: cannot write it", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            clock,
            interval_ns: as_ns(interval).max(1),
            times: None,
            stays: Histograms::default(),
        })
    }

    /// A stay has ended.
    pub fn record(&mut self, state: State, length: Option<u64>) {
        self.stays.record(state, length);
    }

    /// Begins the log, or writes the interval that is over.
    ///
    /// # Errors
    /// Writing failed.
    pub fn tick(&mut self, now: u64) -> io::Result<()> {
        let written = match self.times {
            None => self.begin(now),
            Some((_, last)) if now.saturating_sub(last) >= self.interval_ns => self.write(now),
            Some(_) => Ok(()),
        };
        written.map_err(|error| self.named(&error))
    }

    /// Writes the last interval, however short.
    ///
    /// # Errors
    /// Writing failed.
    pub fn end(&mut self, now: u64) -> io::Result<()> {
        let begun = if self.times.is_none() { self.begin(now) } else { Ok(()) };
        begun.and_then(|()| self.write(now)).map_err(|error| self.named(&error))
    }

    /// An error that says where; of no kind, since a reader of the log that has gone is none of the output.
    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::other(format!("--hdr-log {}: cannot write it: {error}", self.path.display()))
    }

    fn begin(&mut self, now: u64) -> io::Result<()> {
        self.times = Some((now, now));
        // A pipe has nothing to cut.
        if self.file.get_ref().metadata()?.is_file() {
            self.file.get_ref().set_len(0)?;
        }
        let start = UNIX_EPOCH + Duration::from_nanos(self.clock.wall_ns(now));
        writeln!(self.file, "#[Histogram log format version 1.3]")?;
        let mut serializer = V2DeflateSerializer::new();
        IntervalLogWriterBuilder::new()
            .add_comment("tcplife: nanoseconds in each TCP state; one tag for each state")
            .with_start_time(start)
            .with_base_time(start)
            .begin_log_with(&mut self.file, &mut serializer)?;
        writeln!(
            self.file,
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
        )?;
        self.file.flush()
    }

    fn write(&mut self, now: u64) -> io::Result<()> {
        let Some((start, last)) = self.times.replace((self.times.map_or(now, |(start, _)| start), now))
        else {
            return Ok(());
        };
        let (since, took) =
            (Duration::from_nanos(last - start), Duration::from_nanos(now.saturating_sub(last)));
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new().begin_log_with(&mut self.file, &mut serializer)?;
        for state in State::ALL {
            if let Some(lengths) = self.stays.lengths(state) {
                log.write_histogram(lengths, since, took, Tag::new(state.lower()))
                    .map_err(|error| io::Error::other(error.to_string()))?;
            }
        }
        self.stays.clear();
        self.file.flush()
    }
}
