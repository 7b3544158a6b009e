//! The load: short connections over loopback, as fast as they go, and exactly as many as were asked for: one byte there,
//! one byte back.
//!
//! Both ends are on this host, so each connection is ten state changes: the client opens it and closes first, the server
//! closes when it has seen that. Connections are spread over source addresses and ports, so that those in TIME_WAIT never
//! use up the ports; the network namespace is new for each run, so every run begins alike.

use std::{
    env,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use serde::{Deserialize, Serialize};

use crate::process;

/// Pairs of a client's and a server's thread, each with a port of its own.
pub(super) const PAIRS: u64 = 4;
/// Connections that a client has open at once.
const BATCH: u64 = 8;
/// Addresses that the clients connect from.
const SOURCES: u64 = 64;
/// The first port that is listened on.
pub(super) const PORT: u16 = 7000;
/// State changes of each connection, both ends together.
pub(super) const CHANGES: u64 = 10;

/// What a run of the load came to.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Load {
    /// Connections made, each of them to its end.
    pub(super) connections: u64,
    /// How long that took.
    pub(super) seconds: f64,
    /// CPU time of both ends, with what the kernel did for them.
    pub(super) cpu_seconds: f64,
}

/// A helper ([`super::Helper`]) in a new network namespace.
pub(super) fn alone(words: &[&str]) -> Result<Command> {
    let mut unshare = Command::new("unshare");
    unshare.arg("--net").arg(env::current_exe()?).arg("bench-helper").args(words);
    Ok(unshare)
}

/// Makes connections in a new network namespace.
pub(super) fn run(connections: u64) -> Result<Load> {
    let told = process::output(&mut alone(&["load", &connections.to_string()])?).context("the load")?;
    serde_json::from_str(&told).context("reading what the load said")
}

/// Makes connections in this network namespace, and says what that came to.
pub(super) fn make(connections: u64) -> Result<()> {
    process::run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    let each = connections.div_ceil(PAIRS);
    let (begin, cpu) = (Instant::now(), own_cpu());
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for (pair, port) in (0..PAIRS).zip(PORT..) {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
            workers.push(scope.spawn(move || serve(&listener, each)));
            workers.push(scope.spawn(move || ask(pair, port, each)));
        }
        for worker in workers {
            worker.join().unwrap_or_else(|_| bail!("a thread of the load panicked"))?;
        }
        anyhow::Ok(())
    })?;
    let load = Load {
        connections: each * PAIRS,
        seconds: begin.elapsed().as_secs_f64(),
        cpu_seconds: own_cpu().saturating_sub(cpu).as_secs_f64(),
    };
    println!("{}", serde_json::to_string(&load)?);
    Ok(())
}

fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// The server's end: answers, and closes each connection when the client has closed it.
fn serve(listener: &TcpListener, connections: u64) -> Result<()> {
    for _ in 0..connections {
        let mut stream = listener.accept()?.0;
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        stream.write_all(&byte)?;
        to_its_end(stream)?;
    }
    Ok(())
}

/// The client's end: some connections at a time, of which each is closed before the next ones are opened.
fn ask(pair: u64, port: u16, connections: u64) -> Result<()> {
    let mut made = 0;
    while made < connections {
        let batch = BATCH.min(connections - made);
        let open = (made..made + batch).map(|n| open(pair, port, n)).collect::<Result<Vec<TcpStream>>>()?;
        for mut stream in &open {
            stream.write_all(&[1])?;
        }
        for mut stream in &open {
            stream.read_exact(&mut [0])?;
            stream.shutdown(Shutdown::Write)?;
        }
        open.into_iter().try_for_each(to_its_end)?;
        made += batch;
    }
    Ok(())
}

/// The connection number `n` of a pair, from one of the source addresses.
fn open(pair: u64, port: u16, n: u64) -> Result<TcpStream> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // The port is picked by `connect`, which knows the other end: then it only has to be free towards that.
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    let source = Ipv4Addr::new(127, 1, u8::try_from(pair)?, u8::try_from(n % SOURCES + 1)?);
    bind(&socket, &SocketAddrV4::new(source, 0))?;
    connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).context("cannot connect")?;
    Ok(socket.into())
}

/// Waits until the other end has closed, and closes.
fn to_its_end(mut stream: TcpStream) -> Result<()> {
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => bail!("nobody sends anything more"),
    }
}
