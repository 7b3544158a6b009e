//! Full churn: what a tracer costs while connections come and go as fast as they can.

use std::{thread, time::Duration};

use anyhow::{Context, Result};

use super::{
    load::{self, CHANGES, Load},
    meter,
    programs::{self, Counting},
    running::Running,
    sample::Sample,
    tool::Tool,
    turns::in_turns,
};

/// The kernel clears away the network namespace of the last load.
pub(super) const PAUSE: Duration = Duration::from_millis(300);

/// What a tracer's rounds came to.
#[derive(Default)]
struct Costs {
    throughput: Sample,
    added_us: Sample,
    agent: Sample,
    peak: Sample,
    lost: Sample,
}

/// Throughput, CPU time, memory and losses, in turns with runs without a tracer.
pub(super) fn costs(tools: &[Tool], rounds: u32, connections: u64) -> Result<()> {
    let mut base = (Sample::default(), Sample::default());
    let without = || {
        let without = load(connections)?;
        base.0.push(rate(without));
        base.1.push(cpu_us(without));
        Ok(without)
    };
    let all = in_turns(tools, rounds, without, measure)?;
    println!(
        "\n## Full churn: {connections} connections, {rounds} rounds, each right after a run without a tracer\n"
    );
    println!(
        "Without a tracer: {} connections/s, {} us of CPU for each.\n",
        base.0.shown(0),
        base.1.shown(1)
    );
    println!(
        "| tracer | throughput ratio | all added CPU, us/conn | tracer CPU s/100k conn | peak MiB | events lost |"
    );
    println!("|---|---|---|---|---|---|");
    for (tool, costs) in tools.iter().zip(&all) {
        match costs {
            Err(failure) => println!("| {} | {failure} |", tool.name),
            Ok(Costs { throughput, added_us, agent, peak, lost }) => println!(
                "| {} | {} | {} | {} | {} | {} |",
                tool.name,
                throughput.shown(3),
                added_us.shown(1),
                agent.shown(3),
                peak.shown(1),
                lost.shown(0),
            ),
        }
    }
    Ok(())
}

/// One run with a tracer.
fn measure(tool: &Tool, without: Load, costs: &mut Costs) -> Result<()> {
    let tracer = Running::start(tool)?;
    let before = meter::cpu_seconds(tracer.pid())?;
    let with = load(without.connections)?;
    tracer.calm_down()?;
    let agent = meter::cpu_seconds(tracer.pid())? - before;
    let peak = meter::peak_mib(tracer.pid())?;
    let lost = tracer.stop(with.connections)?;
    let connections = as_f64(with.connections);
    costs.throughput.push(rate(with) / rate(without));
    costs.agent.push(agent / connections * 1e5);
    costs.added_us.push(cpu_us(with) - cpu_us(without) + agent / connections * 1e6);
    costs.peak.push(peak);
    if let Some(lost) = lost {
        costs.lost.push(as_f64(lost));
    }
    Ok(())
}

/// Time in the kernel programs, as the kernel counts it; that costs by itself, so it is a run apart.
pub(super) fn kernel(tools: &[Tool], rounds: u32, connections: u64) -> Result<()> {
    let _counting = Counting::begin()?;
    println!(
        "\n## In the kernel programs (`kernel.bpf_stats_enabled`): {connections} connections, {rounds} rounds\n"
    );
    println!(
        "| tracer | ns for each run of a program | runs for each state change | ns for each state change |"
    );
    println!("|---|---|---|---|");
    for tool in tools {
        let (mut each, mut runs, mut ns) = (Sample::default(), Sample::default(), Sample::default());
        for _ in 0..rounds {
            match kernel_runs(tool, connections) {
                Ok((all, changes)) => {
                    each.push(as_f64(all.ns) / as_f64(all.count.max(1)));
                    runs.push(as_f64(all.count) / changes);
                    ns.push(as_f64(all.ns) / changes);
                }
                Err(error) => {
                    println!("| {} | {error:#} |", tool.name);
                    break;
                }
            }
        }
        if ns.median().is_some() {
            println!("| {} | {} | {} | {} |", tool.name, each.shown(0), runs.shown(2), ns.shown(0));
        }
    }
    Ok(())
}

/// The runs of a tracer's programs under the load, and how many state changes that has.
fn kernel_runs(tool: &Tool, connections: u64) -> Result<(programs::Runs, f64)> {
    let tracer = Running::start(tool)?;
    let before = programs::runs(tracer.pid())?;
    let load = load(connections)?;
    let after = programs::runs(tracer.pid())?;
    tracer.stop(load.connections)?;
    let runs = programs::Runs { ns: after.ns - before.ns, count: after.count - before.count, ..after };
    Ok((runs, as_f64(load.connections * CHANGES)))
}

fn load(connections: u64) -> Result<Load> {
    thread::sleep(PAUSE);
    load::run(connections).context("the load failed")
}

fn rate(load: Load) -> f64 {
    as_f64(load.connections) / load.seconds
}

fn cpu_us(load: Load) -> f64 {
    load.cpu_seconds * 1e6 / as_f64(load.connections)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
pub(super) fn as_f64(count: u64) -> f64 {
    count as f64
}
