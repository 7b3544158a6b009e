//! tcplife's developer commands: `cargo xtask COMMAND`, one file each.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod bpf;
mod ci;
mod frames;
mod packages;
mod process;
mod run;
mod shot;
mod test;
mod vm;
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
    /// Measure what tcplife costs, beside other tracers; takes ten minutes on a machine that does nothing else
    Bench(bench::Args),
    /// What `bench` starts itself as
    #[command(hide = true, subcommand)]
    BenchHelper(bench::Helper),
    /// Build the kernel programs and put the object where the agent embeds it
    Bpf(bpf::Args),
    /// Build tcplife as it is released and start it as root: `watch`, or what is given
    Run(run::Args),
    /// Check every rule of the code that a program can check
    Ci,
    /// Install what the tests need and run all of them
    Test(test::Args),
    /// Measure what a frame of the live screen costs
    Frames,
    /// Take the pictures of the documentation, of tcplife as it runs; takes two minutes
    Shot,
    /// Run the live tests on other kernels, in virtual machines
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::BenchHelper(helper) => bench::help(&helper),
        Command::Bpf(args) => bpf::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Ci => ci::run(),
        Command::Frames => frames::run(),
        Command::Shot => shot::run(),
        Command::Vm(args) => vm::run(&args),
        // Says by itself what failed, before its closing line.
        Command::Test(args) => return test::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
