//! Connections that are used and closed in every way, in any order, while segments are lost.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    os::fd::IntoRawFd,
    thread,
    time::Duration,
};

use fastrand::Rng;
use socket2::{SockAddr, SockFilter, Socket};

use crate::{
    bad, parse,
    sockets::{self, World},
};

/// How long a call may wait.
const PATIENCE: Duration = Duration::from_millis(300);
/// One of so many segments that come in is lost.
const LOST_OF: u32 = 12;

/// Does what `words` say.
pub(crate) fn perform(world: &World, words: &[&str]) -> io::Result<String> {
    match words {
        ["chaos-serve", handle, seed] => serve(world.socket(handle)?, Rng::with_seed(parse(seed)?)),
        ["chaos", seed, count, threads, targets @ ..] => {
            let targets: Vec<SocketAddr> = targets.iter().map(|t| parse(t)).collect::<io::Result<_>>()?;
            let (mut random, count, threads): (_, u64, u64) =
                (Rng::with_seed(parse(seed)?), parse(count)?, parse(threads)?);
            thread::scope(|scope| {
                for _ in 0..threads {
                    let (mut random, targets) = (random.fork(), &targets);
                    scope.spawn(move || {
                        for _ in 0..count / threads {
                            // What fails is part of it.
                            let _ = connect(targets, &mut random);
                        }
                    });
                }
            });
            Ok(String::new())
        }
        _ => Err(bad("unknown command")),
    }
}

/// Loses some of what comes in; a listener's connections inherit it.
pub(crate) fn lose(socket: &Socket) -> io::Result<()> {
    // Classic BPF of linux/filter.h. `BPF_LD | BPF_W | BPF_ABS` at `SKF_AD_OFF + SKF_AD_RANDOM` is a random number;
    // `BPF_JMP | BPF_JGE | BPF_K` passes over the loss where it is not less.
    const LOAD: u16 = 0x20;
    const RANDOM: u32 = 0xffff_f000 + 56;
    const JUMP_UNLESS_LESS: u16 = 0x35;
    const RETURN: u16 = 0x06;
    socket.attach_filter(&[
        SockFilter::new(LOAD, 0, 0, RANDOM),
        SockFilter::new(JUMP_UNLESS_LESS, 1, 0, u32::MAX / LOST_OF),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// Accepts until the process ends.
fn serve(listener: &Socket, mut random: Rng) -> io::Result<String> {
    loop {
        let (socket, _) = listener.accept()?;
        let mut random = random.fork();
        thread::spawn(move || play(socket, &mut random));
    }
}

fn connect(targets: &[SocketAddr], random: &mut Rng) -> io::Result<()> {
    let target = random.choice(targets).copied().ok_or_else(|| bad("no target"))?;
    let socket = sockets::open(if target.is_ipv4() { "4" } else { "6" })?;
    lose(&socket)?;
    let patience = if random.u8(..4) == 0 { PATIENCE / 100 } else { 10 * PATIENCE };
    socket.connect_timeout(&SockAddr::from(target), patience)?;
    play(socket, random);
    Ok(())
}

/// Uses a connection for a while, and closes it or leaves it open for as long as the process lives.
fn play(mut socket: Socket, random: &mut Rng) {
    let used = use_it(&mut socket, random);
    match random.u8(..8) {
        0 if used.is_ok() => {
            // Held without a name.
            let _ = socket.into_raw_fd();
        }
        // What cannot be set any more is closed as it is.
        1 => drop(socket.set_linger(Some(Duration::ZERO))),
        2 => drop(socket.read_to_end(&mut Vec::new())),
        _ => {}
    }
}

fn use_it(socket: &mut Socket, random: &mut Rng) -> io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    for _ in 0..random.u8(..5) {
        match random.u8(..12) {
            0..=2 => socket.write_all(b"x")?,
            3 => socket.write_all(&vec![b'x'; 200_000])?,
            4..=6 => drop(socket.read(&mut [0; 100])?),
            7 => socket.shutdown(Shutdown::Write)?,
            8 => socket.shutdown(Shutdown::Read)?,
            9 => socket.shutdown(Shutdown::Both)?,
            10 if random.u8(..4) == 0 => rustix::net::connect_unspec(&*socket)?,
            _ => thread::sleep(random.u32(..10) * PATIENCE / 10),
        }
    }
    Ok(())
}
