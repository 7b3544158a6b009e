//! What `-v` shows: log lines of the agent and of the kernel side, on standard error.

use std::io::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};

use crate::escape;

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        let (level, text) =
            (record.level().as_str().to_ascii_lowercase(), escape::printable(text.as_bytes()));
        let line = format!("tcplife[{level}] {}: {text}\n", record.target());
        // Nobody may listen there; the trace goes on.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// Turns log lines on. A second call does nothing.
pub fn show() {
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}
