//! `tcplife`: a live tracer of TCP connection lifecycles.

use std::process::ExitCode;

mod advice;
mod cli;
mod clock;
mod config;
mod diagnostics;
mod doctor;
mod engine;
mod escape;
mod exit;
mod facts;
mod health;
mod memory;
mod netns;
mod paper;
mod process;
mod signals;
mod sink;
mod sinks;
mod source;
mod stays;
mod threads;
mod tui;

use cli::Cli;
use config::{Config, Job};
use exit::Outcome;

fn main() -> ExitCode {
    match cli::parse() {
        Ok(cli) => exit::status(run(cli)),
        Err(stopped) => exit::usage(&stopped),
    }
}

fn run(cli: Cli) -> anyhow::Result<Outcome> {
    let (job, config) = Config::resolve(cli)?;
    if config.verbose {
        diagnostics::show();
    }
    let done = match job {
        Job::Watch => exit::needs_terminal().and_then(|()| tui::run(&config)),
        Job::Trace(output) => sinks::trace(&config, output),
        Job::Lives(output) => sinks::lives(&config, output),
        Job::Hist(options) => sinks::hist(&config, &options),
        Job::Doctor(output) => doctor::run(&config, output),
        Job::Leaks(output, tells) => {
            let leaks = sinks::leaks(&config, output)?;
            return Ok(if tells && leaks > 0 { Outcome::Leaks } else { Outcome::Fine });
        }
    };
    done.map(|()| Outcome::Fine)
}
