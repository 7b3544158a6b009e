//! The kernel's sockets at one moment without BPF: `sock_diag` for the sockets, `/proc/PID/fd` for who holds them.
//!
//! What comes in: network namespaces. What goes out: the same records that the iterators make, so that nobody behind it
//! can tell. What always holds: if the descriptors of a process cannot be read, it might hold any socket; that is an error
//! where more rights would help, or else it is told. Slower than the iterators: a system call for each descriptor of the host.

mod message;

use std::{
    collections::HashMap,
    fs::{self, DirEntry},
    io::{self, ErrorKind},
    path::Path,
};

use anyhow::{Context, Result, bail};
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
    process, threads,
};

/// Room for one reply; the kernel fills at most 32 KiB at a time (netlink_dump).
const REPLY_BYTES: usize = 64 << 10;

/// What this process was refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refused {
    /// To enter a network namespace.
    netns: bool,
    /// To read a process's descriptors, although it has the capability for that.
    pub descriptors: bool,
}

/// What lists the sockets, from a pid namespace with this sight.
pub fn hook(sight: Sight, refused: Refused) -> Hook {
    let sockets = if refused.netns { " of this network namespace (of others: CAP_SYS_ADMIN)" } else { "" };
    let descriptors = match (sight, refused.descriptors) {
        (Sight::Some, _) => " of this pid namespace",
        (Sight::Every, true) => " of most processes",
        (Sight::Every, false) => "",
    };
    let limits =
        [(sight == Sight::Some, OTHER_PIDS), (refused.descriptors, PROTECTED), (refused.netns, ONLY_OPEN)];
    Hook {
        limits: limits.into_iter().filter(|&(holds, _)| holds).map(|(_, limit)| limit).collect(),
        ..Hook::on(HookKind::Dump, format!("sock_diag{sockets} + /proc/PID/fd{descriptors}"))
    }
}

/// What is not seen where the kernel protects a process from root.
const PROTECTED: &str = "some processes let nobody read their descriptors, so it is not known what they hold";

/// What a process without all rights does not see.
const ONLY_OPEN: &str = "the sockets of other network namespaces are not listed: run it as root of the host, or with CAP_SYS_ADMIN as well";

const NEEDS_ROOT: &str = "without BPF, leaks needs root of the host to see who holds a socket";

/// A process and one of its descriptors.
struct Holding {
    task: Task,
    fd: u32,
}

/// Every socket in one of the states in the given network namespaces, once by itself and once for each descriptor. `may_read`:
/// this process has what it takes to read every descriptor. What it is refused all the same is noted.
///
/// # Errors
/// The kernel refuses to list its sockets, or the descriptors of a process cannot be read without more rights.
pub fn dump(
    states: StateMask,
    netns: &[Netns],
    may_read: bool,
    refused: &mut Refused,
) -> Result<Vec<Vec<Found>>> {
    let holdings = holdings(may_read, &mut refused.descriptors)?;
    // The network namespace is a thread's, so nobody else's changes.
    let listed = threads::apart(|| {
        let mut listed = Vec::new();
        for netns in netns {
            match netns.enter() {
                Ok(()) => list(states, netns.inode, &mut listed)?,
                Err(_) if !netns.is_there() => {}
                Err(error) if error.kind() == ErrorKind::PermissionDenied => refused.netns = true,
                Err(error) => bail!("cannot enter the network namespace {}: {error}", netns.inode),
            }
        }
        Ok(listed)
    })??;
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
fn holdings(may_read: bool, refused: &mut bool) -> Result<HashMap<u32, Vec<Holding>>> {
    let mut holdings: HashMap<u32, Vec<Holding>> = HashMap::new();
    // Where it is mounted with `hidepid`, it has no folders of processes that are closed to this one; the first is nearly always.
    match (Path::new("/proc/1").exists(), may_read) {
        (true, _) => {}
        (false, true) => *refused = true,
        (false, false) => bail!("/proc does not show every process; {NEEDS_ROOT}"),
    }
    let processes = fs::read_dir("/proc").context("cannot list processes in /proc")?;
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let folder = process.path();
        match held(pid, &folder) {
            Ok(held) => {
                for (inode, holding) in held {
                    holdings.entry(inode).or_default().push(holding);
                }
            }
            // One that has just ended may not be read about (`proc_fd_access_allowed`).
            Err(_) if !folder.exists() => {}
            Err(error) if may_read && error.kind() == ErrorKind::PermissionDenied => *refused = true,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                bail!("cannot read the descriptors of process {pid}: {error}; {NEEDS_ROOT}")
            }
            Err(error) => bail!("cannot read the descriptors of process {pid}: {error}"),
        }
    }
    Ok(holdings)
}

/// The sockets that a process holds: the inode of each one's file, and the descriptor.
fn held(pid: u32, folder: &Path) -> io::Result<Vec<(u32, Holding)>> {
    let (mut held, mut task) = (Vec::new(), None);
    for descriptor in descriptors(folder)? {
        if let Some((fd, inode)) = socket(&descriptor)? {
            let task = *task.get_or_insert_with(|| describe(pid, folder));
            held.push((inode, Holding { task, fd }));
        }
    }
    Ok(held)
}

/// The descriptors of a process. Those of another thread where the first has ended, which has none any more (`exit_files`).
fn descriptors(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let of = |folder: &Path| -> io::Result<Vec<DirEntry>> {
        let entries = unless_gone(fs::read_dir(folder.join("fd")))?.into_iter().flatten();
        entries.filter_map(|entry| unless_gone(entry).transpose()).collect()
    };
    let own = of(folder)?;
    if !own.is_empty() {
        return Ok(own);
    }
    for thread in unless_gone(fs::read_dir(folder.join("task")))?.into_iter().flatten().flatten() {
        let shared = of(&thread.path())?;
        if !shared.is_empty() {
            return Ok(shared);
        }
    }
    Ok(own)
}

/// `None` of a process that has ended or a descriptor that was closed meanwhile.
fn unless_gone<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    let is_gone =
        |error: &io::Error| error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH);
    match read {
        Err(error) if is_gone(&error) => Ok(None),
        read => read.map(Some),
    }
}

/// A descriptor's number and inode, if it is a socket: `socket:[INODE]`.
fn socket(descriptor: &DirEntry) -> io::Result<Option<(u32, u32)>> {
    let target = unless_gone(fs::read_link(descriptor.path()))?;
    let inode =
        target.as_deref().and_then(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']'));
    let number = |text: &str| text.parse().ok();
    Ok(descriptor.file_name().to_str().and_then(number).zip(inode.and_then(number)))
}

fn describe(pid: u32, folder: &Path) -> Task {
    let mut comm = [0; 16];
    let name = fs::read(folder.join("comm")).unwrap_or_default();
    for (slot, &byte) in comm.iter_mut().take(15).zip(name.strip_suffix(b"\n").unwrap_or(&name)) {
        *slot = byte;
    }
    Task { tgid: pid, start_ns: process::start_ns(folder).unwrap_or(0), comm, ..Task::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_told() {
        let limits = |sight, netns, descriptors| hook(sight, Refused { netns, descriptors }).limits;
        assert!(limits(Sight::Every, false, false).is_empty());
        assert_eq!(limits(Sight::Every, true, true), [PROTECTED, ONLY_OPEN]);
        assert_eq!(limits(Sight::Some, true, false), [OTHER_PIDS, ONLY_OPEN]);
    }

    #[test]
    fn what_is_gone_is_no_error_and_what_is_closed_is_one() {
        let read = |errno| unless_gone::<()>(Err(io::Error::from_raw_os_error(errno)));
        for errno in [libc::ENOENT, libc::ESRCH] {
            assert!(read(errno).is_ok_and(|read| read.is_none()), "{errno}");
        }
        for errno in [libc::EACCES, libc::EMFILE] {
            assert!(read(errno).is_err(), "{errno}");
        }
        assert!(unless_gone(Ok(())).is_ok_and(|read| read.is_some()));
    }

    /// Has a socket, and a thread that waits; the first thread ends.
    const WITHOUT_FIRST_THREAD: &str = "
import ctypes, socket, sys, threading
unclosed = socket.socket()
threading.Thread(target=sys.stdin.read).start()
ctypes.CDLL(None).pthread_exit(None)
";

    #[test]
    fn a_process_whose_first_thread_has_ended_holds_what_the_others_do() {
        let mut python = std::process::Command::new("/usr/bin/python3")
            .args(["-c", WITHOUT_FIRST_THREAD])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let folder = Path::new("/proc").join(python.id().to_string());
        let has_ended = || fs::read_to_string(folder.join("stat")).unwrap().contains(") Z ");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !has_ended() && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let found = held(python.id(), &folder).map(|held| held.len());
        drop(python.stdin.take());
        python.wait().unwrap();
        assert_eq!(found.unwrap(), 1);
    }

    #[test]
    fn our_own_sockets_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = u32::try_from(std::os::fd::AsRawFd::as_raw_fd(&listener)).unwrap();
        let held = held(std::process::id(), Path::new("/proc/self")).unwrap();
        assert!(held.iter().any(|(_, holding)| holding.fd == fd && holding.task.tgid == std::process::id()));
    }
}
