//! An application in a test: does with sockets what its standard input says, line by line, and answers each line
//! with one on standard output: `ok BEGAN ENDED [ANSWER]` or `err BEGAN ENDED ERRNO TEXT`, times in nanoseconds of
//! `CLOCK_MONOTONIC`. It ends with its input. See `tcplife_tests::actor` for the other side.
//!
//! `--name NAME` sets the name that the kernel knows it by; `--heir` makes it hold what it inherited until its
//! input ends, and nothing else; `--in NETNS PROGRAM ARGUMENT..` makes it another program in that network namespace,
//! which ends with the thread that started it.

#![forbid(unsafe_code)]

mod chaos;
mod churn;
mod destroy;
mod network;
mod parcel;
mod poke;
mod sockets;

use std::{
    env,
    ffi::CString,
    io::{self, BufRead, Read, Write},
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
    thread,
};

use rustix::process::{Signal, set_parent_process_death_signal};
use tcplife_tests::clock::mono_ns;

use sockets::World;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tcplife-test-actor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> io::Result<()> {
    // Blocked in accept, it would not see its input end.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    match arguments {
        ["--heir"] => {
            set_name("heir")?;
            io::stdin().read_to_end(&mut Vec::new()).map(drop)
        }
        ["--name", name] => {
            set_name(name)?;
            play()
        }
        ["--in", netns, program, arguments @ ..] => {
            network::enter(netns)?;
            let error = Command::new(program).args(arguments).exec();
            Err(io::Error::new(error.kind(), format!("{program}: {error}")))
        }
        _ => Err(bad("expected --name NAME, --heir or --in NETNS PROGRAM")),
    }
}

fn play() -> io::Result<()> {
    let mut world = World::default();
    let mut out = io::stdout();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let began = mono_ns();
        let answer = perform(&mut world, &words);
        let ended = mono_ns();
        match answer {
            Ok(answer) => writeln!(out, "ok {began} {ended} {answer}")?,
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0);
                writeln!(out, "err {began} {ended} {errno} {error}")?;
            }
        }
        out.flush()?;
    }
    Ok(())
}

/// Does one thing. A prefix `thread NAME` has it done by another thread of that name.
fn perform(world: &mut World, words: &[&str]) -> io::Result<String> {
    match words {
        ["thread", name, words @ ..] => thread::scope(|scope| {
            let other = scope.spawn(|| set_name(name).and_then(|()| perform(world, words)));
            other.join().unwrap_or_else(|_| Err(bad("the thread panicked")))
        }),
        ["netns" | "unshare" | "lo" | "sysctl" | "table", ..] => network::perform(words),
        ["inbox" | "hand" | "unpack", ..] => parcel::perform(world, words),
        ["destroy", local, remote] => destroy::socket(parse(local)?, parse(remote)?),
        ["poke", from, to] => poke::segment(parse(from)?, parse(to)?),
        ["chaos" | "chaos-serve", ..] => chaos::perform(world, words),
        ["churn" | "serve", ..] => churn::perform(world, words),
        _ => sockets::perform(world, words),
    }
}

/// Names the calling thread, which names the process if it is the first.
fn set_name(name: &str) -> io::Result<()> {
    Ok(rustix::thread::set_name(&CString::new(name)?)?)
}

/// A command that makes no sense.
fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// A word of a command as a number, an address and so on.
fn parse<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_| bad(&format!("{word} makes no sense")))
}
