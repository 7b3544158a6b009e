//! What a tracer adds to a state change by itself: those of a listener that comes and goes, which no packet comes with, in every
//! cache. Ours tell each with the process that makes it. Full churn has all the rest of a connection in it, and its numbers scatter
//! by more than this.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    thread,
    time::Instant,
};

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, Shutdown, SocketType, bind, listen, shutdown, socket};

use super::{
    churn::{PAUSE, as_f64},
    load::{PORT, alone},
    running::Running,
    sample::Sample,
    tool::{Kind, Tool},
    turns::in_turns,
};
use crate::process;

/// State changes of one round.
const CHANGES: u64 = 600_000;
/// So many before it are not measured.
const FIRST: u64 = 2_000;

/// Time that each state change takes longer, in turns with runs without a tracer.
pub(super) fn added(tools: &[Tool], rounds: u32) -> Result<()> {
    let mut base = Sample::default();
    let without = || measure().inspect(|&ns| base.push(ns));
    let all = in_turns(tools, rounds, without, |tool, ns, added: &mut Added| added.take(tool, ns))?;
    println!(
        "\n## Added to each state change of a listener, without packets: {CHANGES} changes, {rounds} rounds\n"
    );
    println!("Without a tracer: {} ns, system call included.\n", base.shown(0));
    println!("| tracer | ns added to each state change | events lost |");
    println!("|---|---|---|");
    for (tool, added) in tools.iter().zip(&all) {
        match added {
            Err(failure) => println!("| {} | {failure} |", tool.name),
            Ok(Added { ns, lost }) => println!("| {} | {} | {} |", tool.name, ns.shown(0), lost.shown(0)),
        }
    }
    Ok(())
}

/// What a tracer's rounds came to.
#[derive(Default)]
struct Added {
    ns: Sample,
    /// Of those that count their losses.
    lost: Sample,
}

impl Added {
    /// One run with a tracer.
    fn take(&mut self, tool: &Tool, without: f64) -> Result<()> {
        let tracer = Running::start(tool)?;
        let with = measure()?;
        tracer.calm_down()?;
        let lost = tracer.stop(0)?;
        self.ns.push(with - without);
        if let (Kind::Floor | Kind::Ours, Some(lost)) = (tool.kind, lost) {
            self.lost.push(as_f64(lost));
        }
        Ok(())
    }
}

/// Nanoseconds for each state change, in a new network namespace.
fn measure() -> Result<f64> {
    thread::sleep(PAUSE);
    let told = process::output(&mut alone(&["changes"])?).context("the state changes")?;
    told.trim().parse().context("reading how long the state changes took")
}

/// Changes the state of a socket again and again, and says how many nanoseconds each took.
pub(super) fn make() -> Result<()> {
    change(FIRST)?;
    let begin = Instant::now();
    change(CHANGES)?;
    println!("{:.1}", begin.elapsed().as_secs_f64() * 1e9 / as_f64(CHANGES));
    Ok(())
}

/// `listen` brings a socket from CLOSE to LISTEN, `shutdown` of a listener back.
fn change(count: u64) -> Result<()> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT))?;
    for _ in 0..count / 2 {
        listen(&socket, 1)?;
        shutdown(&socket, Shutdown::Read)?;
    }
    Ok(())
}
