//! `--help` is a promise: its text is kept in `help/`, and a change of it is seen in review.
//! `TCPLIFE_UPDATE_HELP=1` writes the texts anew.

use std::{env, fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::run::run;

const COMMANDS: [&str; 6] = ["watch", "trace", "lives", "hist", "leaks", "doctor"];

fn check(name: &str, arguments: &[&str]) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cli/help/{name}.txt"));
    let help = run(arguments)?;
    ensure!(help.status == Some(0) && help.err.is_empty(), "help is no error: {help:?}");
    if env::var_os("TCPLIFE_UPDATE_HELP").is_some() {
        fs::write(&path, &help.out)?;
    }
    let kept = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    ensure!(
        help.out == kept,
        "{} differs; TCPLIFE_UPDATE_HELP=1 writes it anew:\n{}",
        path.display(),
        help.out
    );
    let widest = kept.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    ensure!(widest <= 100, "{name}: a line of {widest} columns");
    Ok(())
}

#[test]
fn the_help_is_the_one_that_is_kept() -> Result<()> {
    check("tcplife", &["--help"])?;
    COMMANDS.iter().try_for_each(|command| check(command, &[command, "--help"]))
}

#[test]
fn short_and_long_help_are_the_same() -> Result<()> {
    for command in COMMANDS {
        ensure!(run(&[command, "-h"])?.out == run(&[command, "--help"])?.out, "{command}");
    }
    ensure!(run(&["-h"])?.out == run(&["--help"])?.out, "tcplife");
    Ok(())
}

#[test]
fn every_command_is_in_the_help_and_no_other() -> Result<()> {
    let help = run(&["--help"])?.out;
    let listed: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    ensure!(listed == COMMANDS, "{listed:?}");
    Ok(())
}

#[test]
fn the_version_is_the_packages() -> Result<()> {
    let version = run(&["--version"])?;
    ensure!(version.status == Some(0), "{version:?}");
    ensure!(version.out == concat!("tcplife ", env!("CARGO_PKG_VERSION"), "\n"), "{version:?}");
    Ok(())
}
