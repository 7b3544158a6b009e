//! `cargo xtask bench`: what tcplife costs, beside programs that do next to nothing and other tracers.
//!
//! What is compared is run in turns (A B A B), each tracer right after a run without one, so that what else the machine does
//! falls on both; what is told is the median of the rounds with the least and the most. Peers that are not installed are
//! named as absent.

use anyhow::{Result, bail};

use crate::process;

mod churn;
mod event;
mod floor;
mod leaks;
mod load;
mod meter;
mod programs;
mod quiet;
mod running;
mod sample;
mod stall;
mod tool;
mod turns;

/// What `cargo xtask bench` can be told.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure only these
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Only these tracers, by the names in the tables
    #[arg(long, value_delimiter = ',')]
    tools: Vec<String>,
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Connections of one run
    #[arg(long, default_value_t = 60_000)]
    connections: u64,
}

/// What can be measured by itself.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Throughput, CPU time, memory and losses under full churn
    Churn,
    /// Time added to each state change of a listener, without packets
    Event,
    /// Time in the kernel programs for each state change, under full churn
    Kernel,
    /// What is lost by a reader that is stopped for a second
    Stall,
    /// CPU time and memory while nothing happens
    Idle,
    /// From the start to the ready line
    Start,
    /// Memory for each connection
    Memory,
    /// `leaks` beside `ss -tanp`
    Leaks,
}

impl Part {
    const ALL: [Self; 8] = [
        Self::Churn,
        Self::Event,
        Self::Kernel,
        Self::Stall,
        Self::Idle,
        Self::Start,
        Self::Memory,
        Self::Leaks,
    ];
}

/// Rounds of what varies little.
const FEW: u32 = 3;

/// The command.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !process::is_root() {
        bail!("tracers and network namespaces need root; run this as root");
    }
    let parts = if args.parts.is_empty() { &Part::ALL[..] } else { &args.parts };
    let tools = tool::all(&args.tools)?;
    for part in parts {
        match part {
            Part::Churn => churn::costs(&tools, args.rounds, args.connections)?,
            Part::Event => event::added(&tools, args.rounds)?,
            Part::Kernel => churn::kernel(&tools, args.rounds.min(FEW), args.connections)?,
            Part::Stall => stall::stall(&tools, args.rounds.min(FEW), 2 * args.connections)?,
            Part::Idle => quiet::idle(&tools)?,
            Part::Start => quiet::start(&tools, args.rounds)?,
            Part::Memory => quiet::memory()?,
            Part::Leaks => leaks::compare(args.rounds)?,
        }
    }
    Ok(())
}

/// What the command starts itself as, each in a process of its own.
#[derive(clap::Subcommand)]
pub(crate) enum Helper {
    /// The load, in the network namespace that it is started in
    Load {
        /// How many connections to make
        connections: u64,
    },
    /// State changes without packets, in the network namespace that it is started in
    Changes,
    /// A tracer that does next to nothing, until its standard input ends
    Floor {
        /// The object with its programs
        object: std::path::PathBuf,
        /// Which of them
        program: String,
    },
    /// Sockets in CLOSE_WAIT, until its standard input ends
    Stuck {
        /// How many
        sockets: usize,
    },
    /// Connections, until its standard input ends
    Hold {
        /// The other end
        to: std::net::SocketAddr,
        /// How many
        count: usize,
    },
}

/// Does what a helper does.
pub(crate) fn help(helper: &Helper) -> Result<()> {
    match helper {
        Helper::Load { connections } => load::make(*connections),
        Helper::Changes => event::make(),
        Helper::Floor { object, program } => floor::trace(object, program),
        Helper::Stuck { sockets } => leaks::make(*sockets),
        Helper::Hold { to, count } => leaks::hold(*to, *count),
    }
}
