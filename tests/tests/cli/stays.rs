//! The numbers of `tcplife hist` against stays of known length, and its interval log against an independent reader.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    fs,
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use serde_json::Value;

use crate::run::{Ended, Running, end_of};

/// How long stays last, and the local port on which they do: none that the kernel gives to a client by default.
const LENGTHS: [(u64, u16); 4] = [(10, 21_010), (100, 21_100), (1_000, 21_101), (5_000, 21_105)];
/// Stays of each length.
const EACH: usize = 1_000;
/// From the begin of one stay to that of the next.
const STEP: Duration = Duration::from_micros(1_500);
const MS: u64 = 1_000_000;
/// The independent reader, <https://pypi.org/project/hdrhistogram/>: the versions that are there built for each Python.
const READER: [&str; 2] =
    ["hdrhistogram==0.10.8; python_version>='3.10'", "hdrhistogram==0.10.3; python_version<'3.10'"];

/// One connection; the server's end stays in CLOSE_WAIT from the client's shutdown to its own. A close would come later where another
/// test starts a process just then, which has a copy of each descriptor until it executes its program.
struct Pair {
    port: u16,
    client: TcpStream,
    server: TcpStream,
    /// Just before the client shut down, and just after the server could have known.
    begun: Option<(Instant, Instant)>,
    /// The stay is at least and at most as long, in nanoseconds, once it is over.
    bounds: (u64, u64),
}

fn open() -> Result<Vec<Pair>> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let mut pairs = Vec::with_capacity(EACH * LENGTHS.len());
    let listeners = LENGTHS.map(|(_, port)| TcpListener::bind(("127.0.0.1", port)));
    for (listener, (_, port)) in listeners.into_iter().zip(LENGTHS) {
        let listener = listener.with_context(|| format!("port {port}"))?;
        for _ in 0..EACH {
            let client = TcpStream::connect(listener.local_addr()?)?;
            let (server, _) = listener.accept()?;
            pairs.push(Pair { port, client, server, begun: None, bounds: (0, 0) });
        }
    }
    Ok(pairs)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Pair {
    fn begin(&mut self) -> Result<()> {
        let before = Instant::now();
        self.client.shutdown(Shutdown::Write)?;
        // The FIN may be on its way still: the stay has begun for certain once the end of the stream can be read.
        ensure!(self.server.peek(&mut [0])? == 0, "there is data before the end of the stream");
        self.begun = Some((before, Instant::now()));
        Ok(())
    }

    fn end(&mut self, (earliest, latest): (Instant, Instant)) -> Result<()> {
        let before = Instant::now();
        self.server.shutdown(Shutdown::Write)?;
        let (longest, shortest) = (earliest.elapsed(), before.saturating_duration_since(latest));
        self.bounds = (nanoseconds(shortest), nanoseconds(longest));
        Ok(())
    }
}

/// Every connection stays in CLOSE_WAIT for the length of its port.
fn stay() -> Result<Vec<Pair>> {
    let mut pairs = open()?;
    let mut due = BinaryHeap::new();
    for n in 0..pairs.len() {
        let (turn, of) = (u32::try_from(n % EACH)?, u32::try_from(n / EACH)?);
        due.push(Reverse((STEP * turn + STEP * of / 4, n)));
    }
    let start = Instant::now();
    while let Some(Reverse((at, n))) = due.pop() {
        thread::sleep(at.saturating_sub(start.elapsed()));
        let pair = &mut pairs[n];
        if let Some(begun) = pair.begun {
            pair.end(begun)?;
        } else {
            pair.begin()?;
            // A moment that came late does not make the stay shorter.
            due.push(Reverse((start.elapsed() + Duration::from_millis(LENGTHS[n / EACH].0), n)));
        }
    }
    Ok(pairs)
}

fn interrupted(mut running: Running) -> Result<Ended> {
    kill_process(Pid::from_child(running.child()), Signal::INT)?;
    let ended = running.end()?;
    ensure!(ended.status == Some(0), "{ended:?}");
    Ok(ended)
}

/// Records of CLOSE_WAIT.
fn close_waits(ended: &Ended) -> Result<Vec<Value>> {
    let records: Result<Vec<Value>, _> = ended.out.lines().map(serde_json::from_str).collect();
    let mut records = records?;
    ensure!(records.last().is_some_and(|summary| summary["lost"] == 0), "events were lost: {ended:?}");
    records.retain(|record| record["state"] == "close_wait");
    Ok(records)
}

/// The value that a share of the sorted values does not exceed, as HdrHistogram counts it.
fn quantile(sorted: &[u64], per_mille: usize) -> u64 {
    let rank = (sorted.len() * per_mille).div_ceil(1_000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

/// What is told of one length is within 1 % and 1 ms of what is certain.
fn is_accurate(record: &Value, pairs: &[&Pair], length: u64) -> Result<()> {
    let sorted = |of: fn(&Pair) -> u64| {
        let mut all: Vec<u64> = pairs.iter().map(|pair| of(pair)).collect();
        all.sort_unstable();
        all
    };
    let (least, most) = (sorted(|pair| pair.bounds.0), sorted(|pair| pair.bounds.1));
    ensure!(least[0] >= length * MS, "the stays are shorter than planned: {}", least[0]);
    ensure!(record["count"] == EACH, "{record}");
    for (field, per_mille) in
        [("min_ns", 1), ("p50_ns", 500), ("p90_ns", 900), ("p99_ns", 990), ("p999_ns", 999), ("max_ns", 1000)]
    {
        let told = record[field].as_u64().with_context(|| format!("no {field} in {record}"))?;
        let (least, most) = (quantile(&least, per_mille), quantile(&most, per_mille));
        println!("{length:>5} ms {field:<7} told {told:>11} known {least:>11} to {most:>11}");
        let is_near = told >= least - least / 100 - MS && told <= most + most / 100 + MS;
        ensure!(is_near, "{length} ms, {field}: {told} is not within 1 % and 1 ms of {least} to {most}");
    }
    Ok(())
}

/// Makes the independent reader there, in a directory that only it uses. Fails where that is not possible.
fn reader() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let place = folder.join("hdrhistogram-0.10.8");
    if !place.join("hdrh").is_dir() {
        let mut install = Command::new("python3");
        install.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        install.args(["--no-warn-script-location", "--target"]).arg(&place).args(READER);
        let ended = install.output().context("python3 does not run")?;
        ensure!(ended.status.success(), "pip cannot install {READER:?}: {ended:?}");
        // The test runs as root; whose folder it is can still remove it.
        let mut give = Command::new("chown");
        give.arg("--recursive").arg("--reference").arg(folder).arg(&place);
        let ended = give.output().context("chown does not run")?;
        ensure!(ended.status.success(), "{} cannot be given away: {ended:?}", place.display());
    }
    Ok(place)
}

fn read_log(log: &Path) -> Result<Value> {
    let mut read = Command::new("python3");
    read.env("PYTHONPATH", reader()?);
    read.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/read_hdr_log.py")).arg(log);
    read.stdin(std::process::Stdio::null());
    read.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let ended = end_of(read)?;
    ensure!(ended.status == Some(0), "the independent reader failed: {ended:?}");
    Ok(serde_json::from_str(&ended.out)?)
}

/// The interval log says the same as the record of all, to the last digit that both keep.
fn agrees(log: &Path, ended: &Ended) -> Result<()> {
    let read = read_log(log)?;
    let intervals = read["intervals"].as_u64().context("no intervals")?;
    ensure!(intervals > 10, "an interval each 500 ms was expected: {read}");
    let mut compared = 0;
    for line in ended.out.lines() {
        let record: Value = serde_json::from_str(line)?;
        let (Some(state), Some(count)) = (record["state"].as_str(), record["count"].as_u64()) else {
            continue;
        };
        let tag = &read["tags"][state];
        println!("tcplife {state}: {record}\nreader  {state}: {tag}");
        if count == 0 {
            ensure!(tag.is_null(), "{state}: {tag} and {record}");
            continue;
        }
        ensure!(tag["count"] == count, "{state}: {tag} and {record}");
        compared += 1;
        for field in ["p50_ns", "p90_ns", "p99_ns", "p999_ns"] {
            let (told, read) = (record[field].as_u64().unwrap_or(0), tag[field].as_u64().unwrap_or(0));
            ensure!(told.abs_diff(read) <= read / 1_000 + 1_000, "{state} {field}: {tag} and {record}");
        }
    }
    ensure!(compared >= 3, "few states had a stay: {ended:?}");
    Ok(())
}

#[test]
fn histograms_are_accurate_and_an_independent_reader_agrees() -> Result<()> {
    let ports: Vec<String> = LENGTHS.iter().map(|(_, port)| port.to_string()).collect();
    let ports = ports.join(",");
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stays-{}.hlog", std::process::id()));
    let path = log.to_str().context("a path that is not text")?;
    let all =
        Running::ready(&["hist", "-o", "json", "-L", &ports, "--hdr-log", path, "--interval", "500ms"])?;
    let by_port = Running::ready(&["hist", "-o", "json", "-L", &ports, "--by", "local-port"])?;
    let pairs = stay()?;
    let records = close_waits(&interrupted(by_port)?)?;
    let of: HashMap<Option<u64>, &Value> =
        records.iter().map(|record| (record["group"]["local_port"].as_u64(), record)).collect();
    for (length, port) in LENGTHS {
        let record = of.get(&Some(port.into())).with_context(|| format!("nothing of port {port}"))?;
        let stays: Vec<&Pair> = pairs.iter().filter(|pair| pair.port == port).collect();
        is_accurate(record, &stays, length)?;
    }
    let ended = interrupted(all)?;
    let agrees = agrees(&log, &ended);
    fs::remove_file(&log)?;
    agrees
}
