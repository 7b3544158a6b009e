//! The settings of the network namespaces, read beside the trace while the screen shows them.
//!
//! What comes in: the moment, and whether they are wanted. What goes out: the newest readings. What always holds: the
//! engine never waits for them: a thread of its own reads; one at a time, not more often than each few seconds, and seldom where
//! it takes long, as where a namespace has many sockets.

use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{clock::as_ns, facts::Reading, threads};

/// They are read anew after this, nanoseconds,
const PERIOD: u64 = 5_000_000_000;
/// or after so many times what it took.
const SHARE: u64 = 100;
/// Namespaces besides our own that are read at most.
const MOST: usize = 64;

/// Readings, and whoever makes the next.
#[derive(Default)]
pub struct Settings {
    known: Arc<[Reading]>,
    reader: Option<JoinHandle<(Arc<[Reading]>, Duration)>>,
    due: u64,
}

impl Settings {
    /// The newest readings; empty if there is none yet.
    pub fn known(&self) -> Arc<[Reading]> {
        Arc::clone(&self.known)
    }

    /// Takes what has been read, and has the next read if that is due and wanted.
    pub fn tend(&mut self, now: u64, wanted: bool) {
        if let Some(reader) = self.reader.take_if(|reader| reader.is_finished()) {
            let (known, took) = reader.join().unwrap_or_default();
            self.known = known;
            self.due = now.saturating_add(as_ns(took).saturating_mul(SHARE).max(PERIOD));
        }
        if wanted && self.reader.is_none() && now >= self.due {
            self.due = now.saturating_add(PERIOD);
            // Without one, the next time.
            self.reader = threads::detach(read_timed).ok();
        }
    }
}

fn read_timed() -> (Arc<[Reading]>, Duration) {
    let begun = Instant::now();
    (Reading::of_each(MOST).into(), begun.elapsed())
}
