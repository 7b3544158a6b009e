//! What tcplife costs where little or nothing happens: memory for each connection, the start, and being idle.

use std::{thread, time::Duration};

use anyhow::Result;

use super::{churn::as_f64, meter, running::Running, sample::Sample, tool::Tool};
use crate::{process, workspace};

/// How long idle tracers are watched.
const IDLE: Duration = Duration::from_secs(10);
/// From a tracer's start to its being idle.
const SETTLING: Duration = Duration::from_secs(2);

/// Memory for each connection, by the model alone.
pub(super) fn memory() -> Result<()> {
    println!("\n## Memory for each connection (the model alone)\n");
    for count in [100_000_u64, 1_000_000] {
        let mut cargo = process::cargo();
        cargo.current_dir(workspace::root()?).args(["run", "--quiet", "--release", "--locked"]);
        cargo.args(["--package", "tcplife-core", "--example", "memory", "--", &count.to_string()]);
        println!("{}", process::output(&mut cargo)?.trim());
    }
    Ok(())
}

/// From the start of the process to its ready line.
pub(super) fn start(tools: &[Tool], rounds: u32) -> Result<()> {
    println!("\n## Start to ready line, {rounds} rounds\n");
    println!("| tracer | ms | of that CPU, ms |");
    println!("|---|---|---|");
    for tool in tools.iter().filter(|tool| tool.is_ours()) {
        let (mut wall, mut cpu) = (Sample::default(), Sample::default());
        for _ in 0..rounds {
            let tracer = Running::start(tool)?;
            wall.push(tracer.ready_after.as_secs_f64() * 1e3);
            cpu.push(meter::cpu_seconds(tracer.pid())? * 1e3);
            tracer.stop(0)?;
        }
        println!("| {} | {} | {} |", tool.name, wall.shown(0), cpu.shown(0));
    }
    Ok(())
}

/// CPU time and memory while nothing happens. All tracers at once: they do not disturb each other then.
pub(super) fn idle(tools: &[Tool]) -> Result<()> {
    let mut running = Vec::new();
    for tool in tools {
        match Running::start(tool) {
            Ok(tracer) => running.push((tool.name, tracer)),
            Err(error) => println!("{}: {error:#}", tool.name),
        }
    }
    thread::sleep(SETTLING);
    let cpu = |(_, tracer): &(&str, Running)| meter::cpu_seconds(tracer.pid());
    let before = running.iter().map(cpu).collect::<Result<Vec<f64>>>()?;
    thread::sleep(IDLE);
    println!("\n## Idle for {} s\n", IDLE.as_secs());
    println!("| tracer | CPU, ms each second | memory, MiB |");
    println!("|---|---|---|");
    for (idle, before) in running.iter().zip(before) {
        let ms = (cpu(idle)? - before) * 1e3 / as_f64(IDLE.as_secs());
        println!("| {} | {ms:.2} | {:.1} |", idle.0, meter::resident_mib(idle.1.pid())?);
    }
    running.into_iter().try_for_each(|(_, tracer)| tracer.stop(0).map(drop))
}
