//! What `-v` shows: log lines of the agent and of the kernel side, on standard error.

use std::io::{self, Write};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::escape;

struct Stderr;

impl Log for Stderr {
    /// Libraries are heard when they warn: the loader alone has a line for each relocation.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn || metadata.target().starts_with("tcplife")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // Nobody may listen there; the trace goes on.
            let _ = io::stderr().write_all(line(record).as_bytes());
        }
    }

    fn flush(&self) {}
}

fn line(record: &Record<'_>) -> String {
    let text = record.args().to_string();
    let (level, text) = (record.level().as_str().to_ascii_lowercase(), escape::printable(text.as_bytes()));
    format!("tcplife[{level}] {}: {text}\n", record.target())
}

/// Turns log lines on. A second call does nothing.
pub fn show() {
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_lines_are_shown_and_libraries_warnings() {
        let shown = |target, level| Stderr.enabled(&Metadata::builder().target(target).level(level).build());
        assert!(shown("tcplife_ebpf::hooks", Level::Debug));
        assert!(shown("tcplife::engine", Level::Info));
        assert!(shown("aya::bpf", Level::Warn));
        assert!(!shown("aya_obj::relocation", Level::Debug));
    }

    #[test]
    fn a_line_says_whose_it_is_and_is_one() {
        let record =
            Record::builder().target("tcplife_ebpf").level(Level::Debug).args(format_args!("a\nb")).build();
        assert_eq!(line(&record), "tcplife[debug] tcplife_ebpf: a\\x0ab\n");
    }
}
