//! The kernel's sockets at one moment without BPF: `sock_diag` for the sockets, `/proc/PID/fd` for who holds them.
//!
//! What comes in: network namespaces. What goes out: the same records that the iterators make, so that nobody behind it
//! can tell. What always holds: if the descriptors of a process cannot be read, that is an error: it might hold any socket.
//! Slower than the iterators: a system call for each descriptor of the host.

mod message;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};
use tcplife_common::wire::{Found, Task, flag};
use tcplife_core::suspect::Sight;

pub use message::HZ;

use message::{AF_INET, AF_INET6, Listed, Reply};

use super::{
    dump::{OTHER_PIDS, StateMask},
    namespaces::Netns,
};
use crate::{
    clock,
    health::{Hook, HookKind},
    process,
};

/// Room for one reply; the kernel fills at most 32 KiB at a time (netlink_dump).
const REPLY_BYTES: usize = 64 << 10;

/// What lists the sockets.
pub fn hook(sight: Sight) -> Hook {
    let (descriptors, limit) = match sight {
        Sight::Every => ("", None),
        Sight::Some => (" of this pid namespace", Some(OTHER_PIDS)),
    };
    Hook {
        limits: limit.into_iter().collect(),
        ..Hook::on(HookKind::Dump, format!("sock_diag + /proc/PID/fd{descriptors}"))
    }
}

/// A process and one of its descriptors.
struct Holding {
    task: Task,
    fd: u32,
}

/// Every socket in one of the states in the given network namespaces, once by itself and once for each descriptor.
///
/// # Errors
/// The kernel refuses to list its sockets, or the descriptors of a process cannot be read.
pub fn dump(states: StateMask, netns: &[Netns]) -> Result<Vec<Vec<Found>>> {
    let holdings = holdings()?;
    let listed = thread::scope(|scope| {
        // The network namespace is a thread's, so nobody else's changes.
        let worker = scope.spawn(|| {
            let mut listed = Vec::new();
            for netns in netns {
                if netns.enter().is_ok() {
                    list(states, netns.inode, &mut listed)?;
                }
            }
            Ok(listed)
        });
        worker.join().unwrap_or_else(|_| Err(anyhow!("the thread that lists the sockets died")))
    })?;
    let mut found = Vec::with_capacity(2 * listed.len());
    for Listed { found: socket, inode } in listed {
        found.push(socket);
        for holding in holdings.get(&inode).into_iter().flatten() {
            let mut held = socket;
            held.head.flags |= flag::HELD;
            held.task = holding.task;
            held.gauge.fd = holding.fd;
            found.push(held);
        }
    }
    Ok(vec![found])
}

/// The sockets of the present thread's network namespace.
fn list(states: StateMask, netns: u32, listed: &mut Vec<Listed>) -> Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )
    .context("cannot open a sock_diag socket")?;
    let mut bytes = vec![0; REPLY_BYTES];
    for family in [AF_INET, AF_INET6] {
        send(&socket, &message::request(family, states), SendFlags::empty())
            .context("cannot ask sock_diag for TCP sockets")?;
        loop {
            let (_, length) = recv(&socket, bytes.as_mut_slice(), RecvFlags::empty())
                .context("cannot read what sock_diag tells")?;
            let now = clock::monotonic_ns();
            match message::take(&bytes[..length.min(REPLY_BYTES)], now, netns, &mut |socket| {
                listed.push(socket);
            }) {
                Some(Reply::More) => {}
                Some(Reply::Done) => break,
                Some(Reply::Refused(errno)) => {
                    let error = io::Error::from_raw_os_error(errno);
                    bail!("sock_diag does not list TCP sockets: {error}; the module tcp_diag may be missing");
                }
                None => bail!("sock_diag tells something that is no list of TCP sockets"),
            }
        }
    }
    Ok(())
}

/// Who holds which socket, by the inode of its file.
fn holdings() -> Result<HashMap<u32, Vec<Holding>>> {
    let mut holdings: HashMap<u32, Vec<Holding>> = HashMap::new();
    let processes = fs::read_dir("/proc").context("cannot list processes in /proc")?;
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let folder = process.path();
        let descriptors = match fs::read_dir(folder.join("fd")) {
            Ok(descriptors) => descriptors,
            Err(error) if has_ended(&error) => continue,
            Err(error) => bail!(
                "cannot read the descriptors of process {pid}: {error}; without BPF, leaks needs root to see who holds a \
                 socket"
            ),
        };
        let mut task = None;
        for (fd, inode) in descriptors.flatten().filter_map(|entry| socket(&entry.path())) {
            let task = *task.get_or_insert_with(|| describe(pid, &folder));
            holdings.entry(inode).or_default().push(Holding { task, fd });
        }
    }
    Ok(holdings)
}

fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// A descriptor's number and inode, if it is a socket: `socket:[INODE]`.
fn socket(descriptor: &Path) -> Option<(u32, u32)> {
    let target: PathBuf = fs::read_link(descriptor).ok()?;
    let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    let fd = descriptor.file_name()?.to_str()?;
    Some((fd.parse().ok()?, inode.parse().ok()?))
}

fn describe(pid: u32, folder: &Path) -> Task {
    let mut comm = [0; 16];
    let name = fs::read(folder.join("comm")).unwrap_or_default();
    for (slot, &byte) in comm.iter_mut().take(15).zip(name.strip_suffix(b"\n").unwrap_or(&name)) {
        *slot = byte;
    }
    Task { tgid: pid, start_ns: process::start_ns(folder).unwrap_or(0), comm, ..Task::default() }
}
