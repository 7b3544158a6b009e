//! The command line, exactly as typed; [`crate::config`] says what it means. What follows an option that takes a number is its
//! value, even with a hyphen in front: of `-p -1` it is said that it is no process id, not that there is no option `-1`.

#![expect(clippy::doc_markdown, reason = "the comments are the help's text, where states have no backticks")]

use std::{num::NonZeroUsize, ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::{Arg, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use tcplife_core::state::State;

#[cfg(test)]
mod tests;
mod values;

use values::{comm, connections, duration, pid, ports, positive_duration, refresh, size, state};

const EXAMPLES: &str = "\
Examples:
  tcplife watch                             what is open now, oldest first
  tcplife trace -D 443 --comm curl          each state change of curl's connections
  tcplife lives -o json -d 1m > lives.json  each connection that ends in a minute
  tcplife hist --state close_wait -p 1234   how long process 1234 leaves sockets open
  tcplife leaks --leak-after 5m             who has not closed for five minutes
  tcplife doctor                            can this host trace, what is missing

Durations: 250ms, 10s, 5m, 2h. Lists: 80,443 and 8000-8100.
States: listen syn_sent syn_received established fin_wait_1 fin_wait_2 close_wait
        closing last_ack time_wait closed, in any common spelling.
Exit status: 0 fine, 1 leaks found (leaks --exit-code), 2 an error (one sentence on stderr).
Tracing needs root, or the capabilities CAP_BPF and CAP_PERFMON; to list the sockets of other
network namespaces, CAP_SYS_ADMIN and CAP_SYS_PTRACE as well.";

const IN_SHORT: &str = "Durations: 250ms, 10s, 5m, 2h. Lists: 80,443 and 8000-8100. More: tcplife --help";

/// How long each TCP socket of this host has been in each state, and whose it is
#[derive(Parser, Debug)]
#[command(name = "tcplife", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(disable_help_subcommand = true, arg_required_else_help = false)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands. Of an option that is given twice the last one counts, so that what a script or an alias has can be
/// overridden behind it; lists add up.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Live screen: each connection, its state, for how long, and whose it is
    #[command(after_help = IN_SHORT, args_override_self = true)]
    Watch(Watch),
    /// One line for each state change, retransmit and reset
    #[command(after_help = IN_SHORT, args_override_self = true)]
    Trace(Trace),
    /// One line for each finished connection, with its time in each state
    #[command(after_help = IN_SHORT, args_override_self = true)]
    Lives(Lives),
    /// Histograms of the time spent in each state, at the end of the run
    #[command(after_help = IN_SHORT, args_override_self = true)]
    Hist(Hist),
    /// Which processes leak which sockets, with the evidence
    #[command(after_help = IN_SHORT, args_override_self = true)]
    #[command(mut_args(of_leaks))]
    Leaks(Leaks),
    /// Check whether this host can be traced and each hook works
    #[command(args_override_self = true)]
    Doctor(Doctor),
}

/// `tcplife watch`.
#[derive(Args, Debug)]
pub struct Watch {
    /// Refresh interval of the screen, at least 20ms
    #[arg(long, value_name = "DUR", default_value = "500ms", value_parser = refresh, allow_hyphen_values = true)]
    pub refresh: Duration,
    /// How long a socket must be in CLOSE_WAIT, or held in FIN_WAIT_2, to be a possible leak
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = duration, allow_hyphen_values = true)]
    pub leak_after: Duration,
    /// What every tracing command takes.
    #[command(flatten)]
    pub tracing: Tracing,
}

/// `tcplife trace`.
#[derive(Args, Debug)]
pub struct Trace {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: TextOrJson,
    /// What every tracing command takes.
    #[command(flatten)]
    pub tracing: Tracing,
}

/// `tcplife lives`.
#[derive(Args, Debug)]
pub struct Lives {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: TextJsonOrCsv,
    /// Report each connection after its TIME_WAIT, with the time spent in it
    #[arg(long)]
    pub time_wait: bool,
    /// What every tracing command takes.
    #[command(flatten)]
    pub tracing: Tracing,
}

/// `tcplife hist`.
#[derive(Args, Debug)]
pub struct Hist {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: TextOrJson,
    /// Group the stays by this: the 20 largest groups, and the rest as `other`
    #[arg(long, value_name = "KIND")]
    pub by: Option<By>,
    /// Draw the distribution of each state below the table
    #[arg(long)]
    pub plot: bool,
    /// Also write an HdrHistogram interval log (V2), in nanoseconds, with a tag per state
    #[arg(long, value_name = "FILE")]
    pub hdr_log: Option<PathBuf>,
    /// Length of the intervals of --hdr-log [default: 1s]
    #[arg(long, value_name = "DUR", value_parser = positive_duration, allow_hyphen_values = true)]
    pub interval: Option<Duration>,
    /// What every tracing command takes.
    #[command(flatten)]
    pub tracing: Tracing,
}

/// `tcplife leaks`.
#[derive(Args, Debug)]
pub struct Leaks {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: TextOrJson,
    /// How long a socket must be in CLOSE_WAIT, or held in FIN_WAIT_2, to be a possible leak
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = duration, allow_hyphen_values = true)]
    pub leak_after: Duration,
    /// Also show sockets that are not leaks, with the reason
    #[arg(long)]
    pub all: bool,
    /// Where the evidence comes from, without -d [default: bpf, or sock_diag where the kernel refuses bpf]
    #[arg(long, value_name = "SOURCE")]
    pub evidence: Option<Evidence>,
    /// Exit with status 1 if there are leaks
    #[arg(long)]
    pub exit_code: bool,
    /// What every tracing command takes.
    #[command(flatten)]
    pub tracing: Tracing,
}

/// What the options of a trace are to `leaks`, which reports once and traces only if it observes first.
fn of_leaks(option: Arg) -> Arg {
    match option.get_id().as_str() {
        "duration" => option.help(
            "Observe for this time first: exact ages, and how fast they grow [default: report at once]",
        ),
        "ring_size" | "hooks" => option.help_heading("Options with -d"),
        "states" => option.help("TCP states to look at: close_wait, fin_wait_2, closed"),
        _ => option,
    }
}

/// `tcplife doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: TextOrJson,
    /// No notes on stderr
    #[arg(short, long)]
    pub quiet: bool,
    /// Diagnostics on stderr, including those of the BPF programs
    #[arg(short, long)]
    pub verbose: bool,
}

/// What every tracing command takes.
#[derive(Args, Debug, Default)]
pub struct Tracing {
    /// Stop after this time [default: on Ctrl-C]
    #[arg(short, long, value_name = "DUR", value_parser = positive_duration, allow_hyphen_values = true)]
    pub duration: Option<Duration>,
    /// No notes on stderr; losses are still reported
    #[arg(short, long)]
    pub quiet: bool,
    /// Diagnostics on stderr, including those of the BPF programs
    #[arg(short, long)]
    pub verbose: bool,
    /// Size of the ring buffer between kernel and agent in bytes, a power of two [default: 8M]
    #[arg(long, value_name = "SIZE", value_parser = size, allow_hyphen_values = true)]
    pub ring_size: Option<u64>,
    /// Maximum number of connections to track [default: 1000000]
    #[arg(long, value_name = "N", value_parser = connections, allow_hyphen_values = true)]
    pub max_connections: Option<NonZeroUsize>,
    /// How to follow TIME_WAIT, accept and handshakes [default: the best possible]
    #[arg(long, value_name = "KIND")]
    pub hooks: Option<Hooks>,
    /// What to show.
    #[command(flatten)]
    pub filters: Filters,
}

/// Kinds of groups: by owner, local port, remote address, or the container that the owner runs in.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Process,
    LocalPort,
    Remote,
    Container,
}

/// Ways to list the kernel's sockets and who holds them.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    Bpf,
    #[value(name = "sock_diag", alias = "sock-diag")]
    SockDiag,
}

/// Mechanisms on kernel functions: trampolines, breakpoints, or none, with mini-sockets listed each second instead.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    Fentry,
    Kprobe,
    Dump,
}

/// Which connections to show. A connection has to pass every filter that is given.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// Process ids (thread-group ids)
    #[arg(short, long = "pid", value_name = "PID,..", value_delimiter = ',', value_parser = pid)]
    #[arg(allow_hyphen_values = true)]
    pub pids: Vec<u32>,
    /// Local ports, with ranges such as 8000-8100
    #[arg(short = 'L', long = "local-port", value_name = "PORT,..", value_delimiter = ',', value_parser = ports)]
    #[arg(allow_hyphen_values = true)]
    pub local_ports: Vec<RangeInclusive<u16>>,
    /// Remote ports, with ranges such as 8000-8100
    #[arg(short = 'D', long = "remote-port", value_name = "PORT,..", value_delimiter = ',', value_parser = ports)]
    #[arg(allow_hyphen_values = true)]
    pub remote_ports: Vec<RangeInclusive<u16>>,
    /// IPv4 only
    #[arg(short = '4', long)]
    pub ipv4: bool,
    /// IPv6 only; an IPv4-mapped address counts as IPv4
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// TCP states, such as close_wait (trace: from or to; lives: any that it was in)
    #[arg(long = "state", value_name = "STATE,..", value_delimiter = ',', value_parser = state)]
    pub states: Vec<State>,
    /// Process names, as ps -o comm shows them (\x2c for a comma)
    #[arg(long = "comm", value_name = "NAME,..", value_delimiter = ',', value_parser = comm)]
    pub comms: Vec<String>,
    /// Network namespaces, by inode, name under /run/netns, or path
    #[arg(long, value_name = "NETNS,..", value_delimiter = ',', allow_hyphen_values = true)]
    pub netns: Vec<String>,
}

/// Output of commands that print events or a table: columns for people, or one object a line.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextOrJson {
    Text,
    Json,
}

/// Output of `lives`: as [`TextOrJson`], or comma-separated values with a header line.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextJsonOrCsv {
    Text,
    Json,
    Csv,
}

/// The command line of this process.
///
/// # Errors
/// Help and version, which go to stdout as they are, and usage errors; see [`usage_sentence`].
pub fn parse() -> Result<Cli, clap::Error> {
    Cli::try_parse()
}

/// A usage error in one line: what is wrong with these arguments, and where help is.
pub fn usage_sentence(error: &clap::Error, arguments: impl Iterator<Item = String>) -> String {
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim);
    let mut sentence = String::new();
    for line in lines.by_ref().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
    {
        let line = line.trim_start_matches("error: ").trim_start_matches("tip: ");
        let gap = if sentence.is_empty() || line.is_empty() {
            ""
        } else if line.starts_with('[') || sentence.ends_with(':') {
            " "
        } else {
            "; "
        };
        sentence.push_str(gap);
        sentence.push_str(line);
    }
    format!("{sentence}; see {} --help", command_of(&text, arguments))
}

/// The command, and not its arguments: of the usage line that some errors show, or the one that was typed.
fn command_of(text: &str, mut typed: impl Iterator<Item = String>) -> String {
    let Some(usage) = text.lines().find_map(|line| line.strip_prefix("Usage: ")) else {
        let all = Cli::command();
        let known = typed.find(|word| all.find_subcommand(word).is_some());
        return known.map_or_else(|| "tcplife".to_owned(), |command| format!("tcplife {command}"));
    };
    usage.split(' ').take_while(|word| !word.starts_with(['[', '<', '-'])).collect::<Vec<_>>().join(" ")
}
