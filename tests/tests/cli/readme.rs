//! What the README shows works as written, and what scripts can read is explained.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::run::{Running, connect_once, run};

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

/// The names of the fields of an object and of those in it, but for those whose fields are names of states, hooks or causes.
fn fields(value: &serde_json::Value, names: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                names.insert(name.clone());
                if !["states", "hooks", "lost_by_cause"].contains(&name.as_str()) {
                    fields(value, names);
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| fields(value, names)),
        _ => {}
    }
}

#[test]
fn every_field_is_explained() -> Result<()> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/output.md"))?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    // Somebody leaks: what is not accepted is in CLOSE_WAIT.
    drop(std::net::TcpStream::connect(listener.local_addr()?)?);
    let commands: [(&[&str], bool); 5] = [
        (&["trace", "-o", "json"], true),
        (&["lives", "-o", "json"], true),
        (&["hist", "-o", "json"], true),
        (&["leaks", "--all", "--leak-after", "1ms", "-o", "json"], false),
        (&["doctor", "-o", "json"], false),
    ];
    for (command, traces) in commands {
        let ended = if traces {
            let mut running = Running::ready(command)?;
            for _ in 0..3 {
                connect_once()?;
            }
            kill_process(Pid::from_child(running.child()), Signal::INT)?;
            running.end()?
        } else {
            run(command)?
        };
        let mut names = BTreeSet::new();
        for line in ended.out.lines() {
            let record: serde_json::Value = serde_json::from_str(line)?;
            names.extend(record["type"].as_str().map(str::to_owned));
            fields(&record, &mut names);
        }
        let missing: Vec<&String> =
            names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
        ensure!(names.len() > 10 && missing.is_empty(), "{command:?}: {missing:?} of {names:?}");
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
