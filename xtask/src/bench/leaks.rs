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

use super::{load::alone, sample::Sample};
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
    println!("| sockets | ss -tanp | tcplife leaks | tcplife leaks -o json --all |");
    println!("|---|---|---|---|");
    for sockets in SOCKETS {
        let stuck = Stuck::make(sockets)?;
        let (mut ss, mut leaks, mut every) = (Sample::default(), Sample::default(), Sample::default());
        // Whose line names one of them, and whose names how many there are.
        let (of_ss, of_json) = (sockets_with("CLOSE-WAIT"), sockets_with("close_wait"));
        let total = format!("{sockets} leaked sockets in {PROCESSES} owners");
        let of_text = |text: &str| if text.contains(&total) { sockets } else { 0 };
        for _ in 0..rounds {
            ss.push(stuck.time("ss", &["-tanp"], sockets, &of_ss)?);
            leaks.push(stuck.time(&tcplife, &["leaks", "--leak-after", "1ms"], sockets, &of_text)?);
            every.push(stuck.time(&tcplife, &["leaks", "-o", "json", "--all"], sockets, &of_json)?);
        }
        println!("| {sockets} | {} | {} | {} |", ss.shown(0), leaks.shown(0), every.shown(0));
    }
    Ok(())
}

/// Counts the lines that have a word.
fn sockets_with(word: &str) -> impl Fn(&str) -> usize {
    move |text| text.lines().filter(|line| line.contains(word)).count()
}

/// Sockets in CLOSE_WAIT, in a network namespace of their own, as long as it lives.
struct Stuck(Child);

impl Stuck {
    fn make(sockets: usize) -> Result<Self> {
        let mut stuck = alone(&["stuck", &sockets.to_string()])?;
        let mut child = stuck.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(child.stdout.take().context("a child without stdout")?);
        let stuck = Self(child);
        let mut line = String::new();
        said.read_line(&mut line)?;
        if line.trim() != READY {
            bail!("no sockets in CLOSE_WAIT");
        }
        Ok(stuck)
    }

    /// Milliseconds that a command takes in their namespace. It must tell of them all.
    fn time(
        &self,
        program: impl AsRef<OsStr>,
        words: &[&str],
        sockets: usize,
        told: &dyn Fn(&str) -> usize,
    ) -> Result<f64> {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--net=/proc/{}/ns/net", self.0.id())).arg(&program).args(words);
        nsenter.stdin(Stdio::null());
        let begin = Instant::now();
        let output = nsenter.output()?;
        let took = begin.elapsed();
        let told = told(&String::from_utf8_lossy(&output.stdout));
        if told < sockets {
            bail!("{} told of {told} sockets of {sockets}: {}", program.as_ref().display(), output.status);
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
