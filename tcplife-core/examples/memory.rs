//! How much memory a connection takes, and how long a record: `cargo run --release --example memory -- 1000000`.
//!
//! Connections of a hundred clients are opened and established through the table, without a kernel.

#![forbid(unsafe_code)]

use std::{env, error::Error, fs, time::Instant};

use tcplife_common::wire::{Head, Move, Record, Task, Tuple, flag, kind};
use tcplife_core::table::{Config, Table};

const CLOSE: u8 = 7;
const SYN_SENT: u8 = 2;
const ESTABLISHED: u8 = 1;
const AF_INET: u16 = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let count: u64 = env::args().nth(1).ok_or("how many connections?")?.parse()?;
    let mut table = Table::new(Config::default());
    let before = resident()?;
    let begin = Instant::now();
    for n in 0..count {
        table.apply(&Record::Move(moves(n, CLOSE, SYN_SENT)?), &mut ());
        table.apply(&Record::Move(moves(n, SYN_SENT, ESTABLISHED)?), &mut ());
    }
    let ns = begin.elapsed().as_nanos() / u128::from(2 * count.max(1));
    let bytes = (resident()? - before) / count.max(1);
    println!("{} connections: {bytes} bytes for each, {ns} ns for a record", table.len());
    Ok(())
}

/// A move of the connection number `n`.
fn moves(n: u64, old: u8, new: u8) -> Result<Move, Box<dyn Error>> {
    let owner = u32::try_from(n % 100)?;
    Ok(Move {
        head: Head {
            kind: kind::MOVE,
            flags: if new == SYN_SENT { flag::BY_TASK } else { 0 },
            old,
            new,
            netns: 1,
            time_ns: 1_000_000_000 + 10_000 * n + u64::from(new),
            sock: 0xffff_8880_0000_0000 + 2048 * n,
            cookie: n + 1,
        },
        tuple: Tuple {
            local: address([10, 0, 0, 1]),
            remote: address([10, 1, u8::try_from(n / 60_000 % 256)?, 1]),
            local_port: if new == SYN_SENT { 0 } else { u16::try_from(n % 60_000 + 1024)? },
            remote_port: 80,
            err: 0,
            family: AF_INET,
        },
        task: Task { tgid: 1000 + owner, reserved: 0, start_ns: 1, comm: *b"client\0\0\0\0\0\0\0\0\0\0" },
    })
}

fn address(v4: [u8; 4]) -> [u8; 16] {
    std::net::Ipv4Addr::from(v4).to_ipv6_mapped().octets()
}

/// Memory of this process, in bytes.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
