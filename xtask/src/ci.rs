//! `cargo xtask ci`: every rule of the code that a program can check.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{bpf, process, workspace};

mod files;
mod layers;
mod links;
mod msrv;

/// A rule: what it is called, and what fails when it is broken.
type Check = (&'static str, fn() -> Result<()>);

/// All rules, cheap ones first.
const CHECKS: [Check; 9] = [
    ("lock file", lock_file),
    ("format", format),
    ("layers", layers::check),
    ("crate roots", layers::roots),
    ("minimum Rust", msrv::check),
    ("kernel object", bpf::check),
    ("files", files::check),
    ("links", links::check),
    ("clippy", clippy),
];

/// How many rules held and how many did not.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Those that held.
    pub(crate) held: u64,
    /// Those that did not.
    pub(crate) broken: u64,
}

/// The command.
pub(crate) fn run() -> Result<()> {
    let outcome = check_all();
    if outcome.broken > 0 {
        bail!("{} of {} checks failed", outcome.broken, outcome.held + outcome.broken);
    }
    Ok(())
}

/// Checks every rule; each that is broken is said on stderr.
pub(crate) fn check_all() -> Outcome {
    let mut outcome = Outcome::default();
    for (name, check) in CHECKS {
        let start = Instant::now();
        match check() {
            Ok(()) => {
                outcome.held += 1;
                println!("check {name} ... ok ({:.1} s)", start.elapsed().as_secs_f64());
            }
            Err(error) => {
                outcome.broken += 1;
                println!("check {name} ... FAILED");
                eprintln!("{name}: {error:#}");
            }
        }
    }
    outcome
}

/// Cargo.lock says what Cargo.toml asks for.
fn lock_file() -> Result<()> {
    workspace::metadata().map(drop)
}

fn format() -> Result<()> {
    process::run(process::cargo().current_dir(workspace::root()?).args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    let args =
        ["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--keep-going", "--", "-Dwarnings"];
    process::run(process::cargo().current_dir(workspace::root()?).args(args))
}
