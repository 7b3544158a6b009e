//! What the README shows works as written.

use std::{fs, path::Path};

use anyhow::{Result, ensure};

use crate::run::run;

fn readme() -> Result<String> {
    Ok(fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))?)
}

/// The arguments of a command line, with any duration cut short and without its remark.
fn arguments(line: &str) -> Vec<&str> {
    let command = line.split_once(" #").map_or(line, |(command, _)| command);
    let mut words: Vec<&str> = command.split_whitespace().collect();
    if let Some(n) = words.iter().position(|word| *word == "-d")
        && let Some(duration) = words.get_mut(n + 1)
    {
        *duration = "50ms";
    }
    words
}

#[test]
fn every_command_line_runs() -> Result<()> {
    let readme = readme()?;
    let lines: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("$ sudo tcplife ")).collect();
    ensure!(lines.len() >= 3, "the README shows {} command lines", lines.len());
    for line in lines {
        let ended = run(&arguments(line))?;
        ensure!(ended.status == Some(0), "{line}: {ended:?}");
    }
    Ok(())
}

#[test]
fn every_command_of_the_table_exists() -> Result<()> {
    let readme = readme()?;
    let commands: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `tcplife ")?.split_once('`'))
        .map(|(command, _)| command)
        .collect();
    ensure!(commands.len() >= 5, "the README lists {commands:?}");
    for command in commands {
        let ended = run(&[command, "--help"])?;
        ensure!(ended.status == Some(0), "{command}: {ended:?}");
    }
    Ok(())
}
