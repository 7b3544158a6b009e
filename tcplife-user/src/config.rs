//! What the command line means on this host.
//!
//! What comes in: a [`Cli`]. What goes out: the job, the filters for the kernel side and for the agent, the limits. What
//! always holds: every value has been checked; nothing later asks the command line again.

use std::{path::PathBuf, time::Duration};

mod absent;
mod choices;
mod netns;
#[cfg(test)]
mod tests;

pub use absent::absent;
pub use choices::{Evidence, Suspects};

use anyhow::{Result, ensure};
use tcplife_common::settings::{FAMILY_V4, FAMILY_V6, MAX_NETNS, Settings};
use tcplife_core::{
    filter::{Families, Filter},
    state::State,
};

use crate::{
    cli::{self, Cli, Command, Filters, Hist, Hooks, Leaks, TextJsonOrCsv, TextOrJson, Tracing},
    escape,
    source::Allowed,
    stays::By,
};

const DEFAULT_RING_BYTES: u32 = 8 << 20;
/// The kernel takes no larger power of two (`RINGBUF_MAX_DATA_SZ`, kernel/bpf/ringbuf.c, and a u32 size).
const MAX_RING_BYTES: u32 = 1 << 31;
const DEFAULT_CONNECTIONS: usize = 1_000_000;
const DEFAULT_LEAK_AFTER: Duration = Duration::from_secs(30);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_REFRESH: Duration = Duration::from_millis(500);
/// Longest process name that the kernel keeps (`TASK_COMM_LEN` without its zero).
const COMM_BYTES: usize = 15;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// The live screen.
    Watch,
    /// State changes, retransmits and resets as they come.
    Trace(TextOrJson),
    /// Finished connections as they end.
    Lives(TextJsonOrCsv),
    /// Histograms at the end.
    Hist(HistOptions),
    /// Who leaks sockets; whether the exit status is to say so.
    Leaks(TextOrJson, bool),
    /// The report on this host.
    Doctor(TextOrJson),
}

/// How histograms are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistOptions {
    /// What to print.
    pub output: TextOrJson,
    /// What stays are grouped by, if at all.
    pub by: Option<By>,
    /// With plots; text only.
    pub plot: bool,
    /// Where an interval log goes.
    pub log: Option<PathBuf>,
    /// Length of its intervals.
    pub interval: Duration,
}

/// Whether connections are followed into their timewait mini-sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minis {
    /// No: a life is over before, and nothing else is told.
    Ignored,
    /// Yes, as far as they are told.
    Followed,
    /// Yes, and a life is not over before they are.
    OfLife,
}

/// How it is to be done.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the kernel side filters by itself.
    pub settings: Settings,
    /// All that was selected.
    pub filter: Filter,
    /// Stop by itself after this.
    pub duration: Option<Duration>,
    /// Bytes of the ring buffer: a power of two of at least one page.
    pub ring_bytes: u32,
    /// Connections remembered at most; at least 1.
    pub max_connections: usize,
    /// What is asked about mini-sockets.
    pub minis: Minis,
    /// Which mechanisms may be used on kernel functions.
    pub allowed: Allowed,
    /// No notes on stderr.
    pub quiet: bool,
    /// Diagnostics on stderr.
    pub verbose: bool,
    /// Time between two screens.
    pub refresh: Duration,
    /// Time in its state from which a socket can be a leak.
    pub leak_after: Duration,
    /// How a look at the host is taken.
    pub evidence: Evidence,
    /// Which suspects are told.
    pub suspects: Suspects,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            settings: Settings::ALL,
            filter: Filter::default(),
            duration: None,
            ring_bytes: DEFAULT_RING_BYTES,
            max_connections: DEFAULT_CONNECTIONS,
            minis: Minis::Followed,
            allowed: Allowed::Best,
            quiet: false,
            verbose: false,
            refresh: DEFAULT_REFRESH,
            leak_after: DEFAULT_LEAK_AFTER,
            evidence: Evidence::Best,
            suspects: Suspects::Leaks,
        }
    }
}

impl Config {
    /// What `cli` asks for, on this host.
    ///
    /// # Errors
    /// One sentence for the first value that means nothing here.
    pub fn resolve(cli: Cli) -> Result<(Job, Self)> {
        Ok(match cli.command {
            Command::Watch(watch) => {
                let (refresh, leak_after) = (watch.refresh, watch.leak_after);
                (Job::Watch, Self { refresh, leak_after, ..Self::of(watch.tracing)? })
            }
            Command::Trace(trace) => (Job::Trace(trace.output), Self::of(trace.tracing)?),
            Command::Lives(lives) => {
                let minis = if lives.time_wait { Minis::OfLife } else { Minis::Ignored };
                (Job::Lives(lives.output), Self { minis, ..Self::of(lives.tracing)? })
            }
            Command::Hist(hist) => {
                let (options, tracing) = hist_options(hist)?;
                (Job::Hist(options), Self::of(tracing)?)
            }
            Command::Leaks(leaks) => {
                let (output, exit_code) = (leaks.output, leaks.exit_code);
                (Job::Leaks(output, exit_code), Self::of_leaks(leaks)?)
            }
            Command::Doctor(doctor) => {
                let cli::Doctor { output, quiet, verbose } = doctor;
                (Job::Doctor(output), Self { quiet, verbose, ..Self::default() })
            }
        })
    }

    fn of(tracing: Tracing) -> Result<Self> {
        let filter = filter(tracing.filters)?;
        Ok(Self {
            settings: kernel_side(&filter),
            filter,
            duration: tracing.duration,
            ring_bytes: tracing.ring_size.map_or(Ok(DEFAULT_RING_BYTES), ring_bytes)?,
            max_connections: tracing.max_connections.map_or(DEFAULT_CONNECTIONS, Into::into),
            allowed: match tracing.hooks {
                None => Allowed::Best,
                Some(Hooks::Fentry) => Allowed::Trampolines,
                Some(Hooks::Kprobe) => Allowed::Probes,
                Some(Hooks::Dump) => Allowed::Nothing,
            },
            quiet: tracing.quiet,
            verbose: tracing.verbose,
            ..Self::default()
        })
    }

    fn of_leaks(leaks: Leaks) -> Result<Self> {
        let evidence = match leaks.evidence {
            Some(cli::Evidence::SockDiag) => Evidence::SockDiag,
            Some(cli::Evidence::Bpf) => Evidence::Bpf,
            None => Evidence::Best,
        };
        if leaks.tracing.duration.is_some() {
            ensure!(
                evidence != Evidence::SockDiag,
                "--evidence sock_diag looks once and -d observes, which needs BPF; leave one of them out"
            );
        } else {
            let of_a_trace = [
                ("--hooks", leaks.tracing.hooks.is_some()),
                ("--ring-size", leaks.tracing.ring_size.is_some()),
            ];
            for (option, is_given) in of_a_trace {
                ensure!(
                    !is_given,
                    "{option} is for observing, and without -d leaks looks once; add -d DUR, or leave {option} out"
                );
            }
        }
        let states = leaks.tracing.filters.states.as_slice();
        ensure!(
            evidence != Evidence::SockDiag
                || states.is_empty()
                || states.iter().any(|state| state.waits_for_close()),
            "sock_diag does not list closed sockets; leave --evidence sock_diag out, or select close_wait or fin_wait_2"
        );
        let suspects = if leaks.all { Suspects::All } else { Suspects::Leaks };
        let leak_after = leaks.leak_after;
        let config = Self { leak_after, evidence, suspects, ..Self::of(leaks.tracing)? };
        ensure!(
            State::ALL.into_iter().any(|state| state.is_judged() && config.filter.wants_state(state)),
            "leaks looks at sockets in close_wait, fin_wait_2 and closed, and --state selects none of them; leave it out, or \
             use tcplife watch or hist for other states"
        );
        Ok(config)
    }
}

fn hist_options(hist: Hist) -> Result<(HistOptions, Tracing)> {
    ensure!(!hist.plot || hist.output == TextOrJson::Text, "--plot draws text; leave it or -o json out");
    ensure!(
        hist.interval.is_none() || hist.hdr_log.is_some(),
        "--interval is the length of the intervals of --hdr-log; add --hdr-log FILE, or leave it out"
    );
    let Hist { output, by, plot, hdr_log: log, interval, tracing } = hist;
    let by = by.map(|by| match by {
        cli::By::Process => By::Process,
        cli::By::LocalPort => By::LocalPort,
        cli::By::Remote => By::Remote,
        cli::By::Container => By::Container,
    });
    let interval = interval.unwrap_or(DEFAULT_INTERVAL);
    Ok((HistOptions { output, by, plot, log, interval }, tracing))
}

fn filter(typed: Filters) -> Result<Filter> {
    Ok(Filter {
        pids: typed.pids,
        comms: typed.comms.iter().map(|name| kernel_comm(name)).collect(),
        states: typed.states.into_iter().collect(),
        local_ports: typed.local_ports.into_iter().collect(),
        remote_ports: typed.remote_ports.into_iter().collect(),
        families: match (typed.ipv4, typed.ipv6) {
            (true, false) => Families::V4,
            (false, true) => Families::V6,
            (true, true) | (false, false) => Families::Both,
        },
        netns: typed.netns.iter().map(|netns| netns::inode(netns)).collect::<Result<_>>()?,
    })
}

/// The part of a process name that the kernel keeps, be it within a character (`__set_task_comm`).
fn kernel_comm(name: &str) -> Vec<u8> {
    let mut name = escape::meant(name);
    name.truncate(COMM_BYTES);
    name
}

/// What the kernel side can decide: it sees addresses and ports, not owners.
fn kernel_side(filter: &Filter) -> Settings {
    let mut settings = Settings {
        families: match filter.families {
            Families::Both => FAMILY_V4 | FAMILY_V6,
            Families::V4 => FAMILY_V4,
            Families::V6 => FAMILY_V6,
        },
        by_local_port: u32::from(!filter.local_ports.is_empty()),
        by_remote_port: u32::from(!filter.remote_ports.is_empty()),
        ..Settings::ALL
    };
    if let Ok(count) = u32::try_from(filter.netns.len())
        && filter.netns.len() <= MAX_NETNS
    {
        settings.netns_count = count;
        for (slot, inode) in settings.netns.iter_mut().zip(&filter.netns) {
            *slot = *inode;
        }
    }
    settings
}

fn ring_bytes(size: u64) -> Result<u32> {
    let page = rustix::param::page_size() as u64;
    let good = size.is_power_of_two() && size >= page && size <= u64::from(MAX_RING_BYTES);
    ensure!(
        good,
        "--ring-size {size} is not possible: the kernel takes a power of two from {page} to {MAX_RING_BYTES}; \
         the next is {}",
        size.clamp(page, u64::from(MAX_RING_BYTES)).next_power_of_two()
    );
    Ok(u32::try_from(size)?)
}
