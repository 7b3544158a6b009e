//! Many short connections, and exactly as many as were asked for.
//!
//! The first byte of a connection says how it ends: `c` the client shuts down first, `s` the server closes first,
//! `o` the client closes first and is gone, `r` the client resets it. No side begins another one before the other
//! has taken part in the last, so no queue overflows.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use socket2::{SockAddr, Socket};

use crate::{
    bad, parse,
    sockets::{self, World},
};

/// Does what `words` say; the answer is the number of connections.
pub(crate) fn perform(world: &World, words: &[&str]) -> io::Result<String> {
    match words {
        ["serve", handle, count, threads] => {
            let listener = world.socket(handle)?;
            share(parse(count)?, parse(threads)?, |_| serve(listener.accept()?.0))
        }
        ["churn", count, threads, endings, targets @ ..] => {
            let targets: Vec<SocketAddr> = targets.iter().map(|t| parse(t)).collect::<io::Result<_>>()?;
            if targets.is_empty() || endings.is_empty() {
                return Err(bad("nowhere to connect to, or no way to end"));
            }
            let pick = |n: u64, of: usize| usize::try_from(n).unwrap_or(0) % of;
            share(parse(count)?, parse(threads)?, |n| {
                let target = targets.get(pick(n, targets.len())).copied();
                let ending = endings.as_bytes().get(pick(n, endings.len())).copied();
                connect(target.ok_or_else(|| bad("no target"))?, ending.unwrap_or(b'c'))
            })
        }
        _ => Err(bad("unknown command")),
    }
}

/// Has `threads` threads do `one` `count` times in all.
fn share(count: u64, threads: usize, one: impl Fn(u64) -> io::Result<()> + Sync) -> io::Result<String> {
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                return Ok(());
            }
            one(n)?;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|w| w.join().unwrap_or_else(|_| Err(bad("a thread panicked"))))
    })?;
    Ok(count.to_string())
}

fn serve(mut socket: Socket) -> io::Result<()> {
    let mut byte = [0];
    socket.read_exact(&mut byte)?;
    match &byte {
        b"c" => to_the_end(socket),
        b"s" => Ok(()),
        _ => {
            socket.write_all(&byte)?;
            match to_the_end(socket) {
                Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
                _ => Ok(()),
            }
        }
    }
}

fn connect(target: SocketAddr, ending: u8) -> io::Result<()> {
    let mut socket = sockets::open(if target.is_ipv4() { "4" } else { "6" })?;
    socket.connect(&SockAddr::from(target))?;
    socket.write_all(&[ending])?;
    match ending {
        b'c' => {
            socket.shutdown(Shutdown::Write)?;
            to_the_end(socket)
        }
        b's' => to_the_end(socket),
        _ => {
            socket.read_exact(&mut [0])?;
            socket.set_linger((ending == b'r').then_some(Duration::ZERO))
        }
    }
}

fn to_the_end(mut socket: Socket) -> io::Result<()> {
    socket.read_to_end(&mut Vec::new()).map(drop)
}
