//! Who owns the sockets that are stuck in CLOSE_WAIT: `tcplife leaks` and `ss -tanp`, start-up included.

use std::{
    env,
    ffi::OsStr,
    io::{self, BufRead as _, BufReader, Read as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use super::sample::Sample;
use crate::{process, run};

/// Processes that the sockets are spread over.
const PROCESSES: usize = 200;
/// How many sockets are stuck.
const SOCKETS: [usize; 3] = [200, 2_000, 20_000];
/// What is printed when all are.
const READY: &str = "stuck";

/// Measures both, in turns.
pub(super) fn compare(rounds: u32) -> Result<()> {
    let tcplife = run::build()?;
    println!("\n## Who owns sockets in CLOSE_WAIT, of {PROCESSES} processes, {rounds} rounds, ms\n");
    println!("| sockets | ss -tanp | tcplife leaks |");
    println!("|---|---|---|");
    for sockets in SOCKETS {
        let stuck = Stuck::make(sockets)?;
        let (mut ss, mut leaks) = (Sample::default(), Sample::default());
        for _ in 0..rounds {
            ss.push(stuck.time(["ss".as_ref(), "-tanp".as_ref()], sockets)?);
            let words =
                [tcplife.as_os_str(), "leaks".as_ref(), "-o".as_ref(), "json".as_ref(), "--all".as_ref()];
            leaks.push(stuck.time(words, sockets)?);
        }
        println!("| {sockets} | {} | {} |", ss.shown(0), leaks.shown(0));
    }
    Ok(())
}

/// Sockets in CLOSE_WAIT, in a network namespace of their own, as long as it lives.
struct Stuck(Child);

impl Stuck {
    fn make(sockets: usize) -> Result<Self> {
        let mut unshare = Command::new("unshare");
        unshare.arg("--net").arg(env::current_exe()?).args(["bench-helper", "stuck", &sockets.to_string()]);
        let mut child = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(child.stdout.take().context("a child without stdout")?);
        let stuck = Self(child);
        let mut line = String::new();
        said.read_line(&mut line)?;
        if line.trim() != READY {
            bail!("no sockets in CLOSE_WAIT");
        }
        Ok(stuck)
    }

    /// Milliseconds that a command takes in their namespace. It must name them all.
    fn time<const N: usize>(&self, words: [&OsStr; N], sockets: usize) -> Result<f64> {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--net=/proc/{}/ns/net", self.0.id())).args(words).stdin(Stdio::null());
        let begin = Instant::now();
        let output = nsenter.output()?;
        let took = begin.elapsed();
        let named = String::from_utf8_lossy(&output.stdout);
        let is_stuck = |line: &&str| line.contains("CLOSE-WAIT") || line.contains("close_wait");
        let named = named.lines().filter(is_stuck).count();
        if named < sockets {
            bail!("{} named {named} sockets of {sockets}: {}", words[0].display(), output.status);
        }
        Ok(took.as_secs_f64() * 1e3)
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It ends with its input.
        let _ = self.0.wait();
    }
}

/// Has other processes hold sockets whose other end is closed, until standard input ends.
pub(super) fn make(sockets: usize) -> Result<()> {
    process::run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let to = listener.local_addr()?.to_string();
    let mut holders = Vec::new();
    for n in 0..PROCESSES {
        let count = sockets / PROCESSES + usize::from(n < sockets % PROCESSES);
        let mut holder = Command::new(env::current_exe()?);
        holder.args(["bench-helper", "hold", &to, &count.to_string()]).stdin(Stdio::piped());
        holders.push(holder.spawn()?);
        for _ in 0..count {
            drop(listener.accept()?);
        }
    }
    println!("{READY}");
    io::stdin().read_to_end(&mut Vec::new())?;
    for mut holder in holders {
        drop(holder.stdin.take());
        holder.wait()?;
    }
    Ok(())
}

/// Holds so many connections until standard input ends.
pub(super) fn hold(to: SocketAddr, count: usize) -> Result<()> {
    let held = (0..count).map(|_| TcpStream::connect(to)).collect::<io::Result<Vec<TcpStream>>>()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(held);
    Ok(())
}
