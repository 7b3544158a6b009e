//! The line-oriented outputs, one file for each command and format.
//!
//! What comes in: the job and the configuration. What goes out: a run of the engine into the right [`stream::Format`].

mod columns;
mod hist;
mod hist_json;
mod hist_log;
mod hist_plot;
mod hist_text;
pub mod json;
mod json_line;
mod leaks;
mod lives_csv;
mod lives_json;
mod lives_text;
mod notes;
pub mod out;
mod recent;
mod select;
mod stdout;
mod stream;
#[cfg(test)]
mod tests;
mod trace_json;
mod trace_text;

use anyhow::Result;

use crate::{
    cli::{TextJsonOrCsv, TextOrJson},
    clock::Clock,
    config::{Config, HistOptions},
    engine,
};
use hist::Hist;
use stream::{Format, Stream};

fn run(config: &Config, format: impl Format) -> Result<()> {
    let selector = select::Selector::new(config.filter.clone());
    let mut stream =
        Stream::new(format, out::Out::stdout(config.duration), notes::Notes::stderr(config), selector);
    engine::run(config, &mut stream)
}

/// Prints changes as they come.
///
/// # Errors
/// Tracing is not possible here, or writing failed.
pub fn trace(config: &Config, output: TextOrJson) -> Result<()> {
    let clock = Clock::sample();
    match output {
        TextOrJson::Text => run(config, trace_text::TraceText::new(clock)),
        TextOrJson::Json => run(config, trace_json::TraceJson::new(clock)),
    }
}

/// Prints connections as they end.
///
/// # Errors
/// As [`trace`].
pub fn lives(config: &Config, output: TextJsonOrCsv) -> Result<()> {
    let clock = Clock::sample();
    match output {
        TextJsonOrCsv::Text => run(config, lives_text::LivesText::new()),
        TextJsonOrCsv::Json => run(config, lives_json::LivesJson::new(clock)),
        TextJsonOrCsv::Csv => run(config, lives_csv::LivesCsv::new(clock)),
    }
}

/// Prints histograms at the end.
///
/// # Errors
/// As [`trace`], or the interval log cannot be written.
pub fn hist(config: &Config, options: &HistOptions) -> Result<()> {
    let clock = Clock::sample();
    let log =
        options.log.as_ref().map(|path| hist_log::HdrLog::create(path, options.interval, clock.clone()));
    let hist = Hist::new(config.filter.states, options.by, log.transpose()?);
    match options.output {
        TextOrJson::Text => run(config, hist_text::HistText::new(hist, options.plot)),
        TextOrJson::Json => run(config, hist_json::HistJson::new(hist, clock)),
    }
}

/// Prints who leaks sockets. Returns how many leaks there are.
///
/// # Errors
/// As [`trace`]; and the kernel's sockets cannot be listed.
pub fn leaks(config: &Config, output: TextOrJson) -> Result<usize> {
    leaks::run(config, output)
}
