//! A reader that does not read: what is lost of full churn, and whether all of it is accounted for.

use std::{collections::HashSet, fs::File, io::BufRead as _, io::BufReader, thread, time::Duration};

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::Value;

use super::{load, running::Running, tool::Tool};

/// How long the tracer is stopped, and how long the load runs before.
const SECOND: Duration = Duration::from_secs(1);

/// Stops `lives -o json` for a second under full churn.
pub(super) fn stall(tools: &[Tool], rounds: u32, connections: u64) -> Result<()> {
    let Some(tool) = tools.iter().find(|tool| tool.name == "lives -o json") else { return Ok(()) };
    println!("\n## Stopped for 1 s under full churn: {connections} connections\n");
    println!(
        "| events | lost | accounted for | lives told of {} | told twice | with a gap | resyncs |",
        2 * connections
    );
    println!("|---|---|---|---|---|---|---|");
    for _ in 0..rounds {
        let tracer = Running::start(tool)?;
        let load = thread::spawn(move || load::run(connections));
        thread::sleep(SECOND);
        tracer.signal(Signal::STOP)?;
        thread::sleep(SECOND);
        tracer.signal(Signal::CONT)?;
        load.join().ok().context("the load panicked")??;
        tracer.calm_down()?;
        let output = tracer.output.clone();
        let summary = tracer.end()?;
        let number = |key: &str| summary[key].as_u64().unwrap_or(0);
        let cause = |key: &str| summary["lost_by_cause"][key].as_u64().unwrap_or(0);
        // Losses of other causes are in no hook's hits.
        let in_hits = cause("ring_full") + cause("malformed");
        let balanced = number("hits") == number("events") + number("filtered") + in_hits;
        let lives = Lives::read(&output)?;
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            number("events"),
            number("lost"),
            if balanced { "all" } else { "NOT ALL" },
            lives.told,
            lives.told - lives.ids,
            lives.gaps,
            number("resyncs"),
        );
    }
    Ok(())
}

/// The lives in an output.
struct Lives {
    told: usize,
    ids: usize,
    gaps: usize,
}

impl Lives {
    fn read(output: &std::path::Path) -> Result<Self> {
        let mut ids = HashSet::new();
        let (mut told, mut gaps) = (0, 0);
        for line in BufReader::new(File::open(output)?).lines() {
            let record: Value = serde_json::from_str(&line?)?;
            if record["type"] == "life" {
                told += 1;
                gaps += usize::from(record["complete"] == false);
                ids.insert(record["id"].as_u64());
            }
        }
        Ok(Self { told, ids: ids.len(), gaps })
    }
}
