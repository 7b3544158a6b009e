//! `cargo xtask run`: builds tcplife as it is released and starts it as root.

use std::{env, os::unix::process::CommandExt as _, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// What `cargo xtask run` can be told.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What tcplife is told; `watch` when nothing is
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Variables that change what tcplife shows, and that sudo does not pass on.
const PASSED_ON: [&str; 3] = ["NO_COLOR", "TERM", "COLORTERM"];

/// The command. It returns only when something failed: this process becomes tcplife, which so gets the signals
/// and gives the exit status.
pub(crate) fn run(args: &Args) -> Result<()> {
    let program = build()?;
    let mut tcplife = process::as_root("env");
    for name in PASSED_ON {
        if let Ok(value) = env::var(name) {
            tcplife.arg(format!("{name}={value}"));
        }
    }
    tcplife.arg(program);
    if args.args.is_empty() {
        tcplife.arg("watch");
    }
    tcplife.args(&args.args);
    let error = tcplife.exec();
    if !process::is_root() && process::which("sudo").is_none() {
        bail!("tcplife must be root to load its programs, and there is no sudo; run this as root");
    }
    Err(error).context("starting tcplife")
}

/// Builds tcplife as it is released; returns where it is.
pub(crate) fn build() -> Result<PathBuf> {
    let args = ["build", "--release", "--locked", "--package", "tcplife"];
    process::run(process::cargo().current_dir(workspace::root()?).args(args))?;
    Ok(workspace::target()?.join("release/tcplife"))
}
