//! `cargo xtask test`: installs what the tests need and runs them all, on this kernel and on others.
//!
//! The last line is `N passed, N failed`. A stage that cannot run counts as failed and says why; one that does not
//! apply to this machine is said to be left out. Nothing is left behind, or the run fails.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{ci, process, vm};

mod artifacts;
mod count;
mod leftovers;
mod needs;
mod programs;

pub(crate) use artifacts::{Artifacts, Build};
pub(crate) use count::Count;
use leftovers::Leftovers;
use programs::Programs;
pub(crate) use programs::is_load;

/// What `cargo xtask test` can be told.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these stages
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Stage>,
    /// Leave out the virtual machines
    #[arg(long)]
    no_vm: bool,
}

/// The stages, in their order.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Stage {
    /// What `cargo xtask ci` checks
    Checks,
    /// Tests within one crate, and the examples of the documentation
    Unit,
    /// The command line
    Cli,
    /// The running kernel, as root
    Live,
    /// What `leaks` says of programs that leak, and of programs that do not
    Corpus,
    /// A fresh build of the kernel object
    Fresh,
    /// The screen, in a real terminal
    Tui,
    /// Other kernels, in virtual machines
    Vm,
}

impl Stage {
    const ALL: [Self; 8] =
        [Self::Checks, Self::Unit, Self::Cli, Self::Live, Self::Corpus, Self::Fresh, Self::Tui, Self::Vm];

    /// Does it run programs that are built for the tests?
    const fn runs_programs(self) -> bool {
        !matches!(self, Self::Checks | Self::Vm)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Checks => "checks",
            Self::Unit => "unit tests",
            Self::Cli => "command line",
            Self::Live => "live kernel",
            Self::Corpus => "leak corpus",
            Self::Fresh => "fresh kernel object",
            Self::Tui => "terminal",
            Self::Vm => "other kernels",
        }
    }
}

/// What a stage came to.
struct Done {
    name: &'static str,
    count: Count,
    took: Duration,
}

/// The command.
pub(crate) fn run(args: &Args) -> ExitCode {
    let mut stages = Stage::ALL.to_vec();
    stages.retain(|stage| args.only.is_empty() || args.only.contains(stage));
    stages.retain(|stage| !(args.no_vm && *stage == Stage::Vm));
    let done = run_stages(&stages);
    let mut total = Count::default();
    println!();
    for Done { name, count, took } in &done {
        total += *count;
        println!("{name:<20} {count}   {:.0} s", took.as_secs_f64());
    }
    println!("{total}");
    if total.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs the stages, between a look at what is there before and one at what is left.
fn run_stages(stages: &[Stage]) -> Vec<Done> {
    let mut done = Vec::new();
    let found = time(&mut done, "packages", || {
        needs::install()?;
        Ok((Count::default(), Leftovers::before()?))
    });
    // Without what they need the tests would fail in ways that hide the reason.
    let Some(leftovers) = found else { return done };
    let (programs, others): (Vec<Stage>, Vec<Stage>) = stages.iter().partition(|stage| stage.runs_programs());
    if others.contains(&Stage::Checks) {
        time(&mut done, Stage::Checks.name(), || Ok((checks(), ())));
    }
    if !programs.is_empty() {
        let built = time(&mut done, "build", || Ok((Count::default(), Artifacts::build(&Build::default())?)));
        for stage in programs.iter().filter(|_| built.is_some()) {
            time(&mut done, stage.name(), || Ok((run_stage(*stage, built.as_ref(), &leftovers)?, ())));
        }
    }
    if others.contains(&Stage::Vm) {
        time(&mut done, Stage::Vm.name(), || Ok((vm::gate()?, ())));
    }
    time(&mut done, "nothing left behind", || {
        leftovers.check()?;
        Ok((Count { passed: 1, ..Count::default() }, ()))
    });
    done
}

/// Runs one stage, says what it came to, and keeps that.
fn time<T>(
    done: &mut Vec<Done>,
    name: &'static str,
    stage: impl FnOnce() -> Result<(Count, T)>,
) -> Option<T> {
    println!("\n=== {name}");
    process::keep_rights();
    let start = Instant::now();
    let (count, value) = match stage() {
        Ok((count, value)) => (count, Some(value)),
        Err(error) => {
            println!("{name} FAILED: {error:#}");
            (Count { failed: 1, ..Count::default() }, None)
        }
    };
    let took = start.elapsed();
    println!("=== {name}: {count} in {:.0} s", took.as_secs_f64());
    done.push(Done { name, count, took });
    value
}

/// Every rule that a program can check.
fn checks() -> Count {
    let outcome = ci::check_all();
    Count { passed: outcome.held, failed: outcome.broken, left_out: 0 }
}

/// Runs one of the stages whose programs were built.
fn run_stage(stage: Stage, built: Option<&Artifacts>, leftovers: &Leftovers) -> Result<Count> {
    let programs = Programs::new(built.context("the tests were not built")?, leftovers)?;
    match stage {
        Stage::Unit => programs.unit(),
        Stage::Cli => programs.cli(),
        Stage::Live => programs.live(),
        Stage::Corpus => programs.corpus(),
        Stage::Fresh => programs.fresh(),
        Stage::Tui => programs.tui(),
        Stage::Checks | Stage::Vm => bail!("this stage runs no programs of the tests"),
    }
}
