//! tcplife's developer commands: `cargo xtask COMMAND`, one file each.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bpf;
mod packages;
mod process;
mod workspace;

/// tcplife's developer commands
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the kernel programs and put the object where the agent embeds it
    Bpf(bpf::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Bpf(args) => bpf::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
