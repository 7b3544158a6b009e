//! A network namespace without a name, with its loopback device up. It lives as long as the processes in it: the
//! one that made it, and the actors.

use std::{
    env,
    ffi::OsStr,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{
    actor::Actor,
    actor_binary,
    deadline::until,
    kernel_table::{self, KernelSocket},
};

/// Which internet protocol a test is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The loopback address, with a port that the kernel picks.
    pub const fn loopback(self) -> SocketAddr {
        match self {
            Self::V4 => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            Self::V6 => SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
        }
    }

    /// The actors' word for a socket of it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::V4 => "4",
            Self::V6 => "6",
        }
    }

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

/// A network namespace of a test.
#[derive(Debug)]
pub struct Namespace {
    holder: Actor,
    inode: u64,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// No right to do so.
    pub fn new() -> Result<Self> {
        let mut holder = Actor::start("netns-holder")?;
        let inode = holder.call("unshare").context("no new network namespace (is this root?)")?.parse()?;
        holder.call("lo up")?;
        Ok(Self { holder, inode })
    }

    /// Has each segment on loopback acknowledged by the socket that gets it, within the call of the sender's that sends it (the
    /// routes' `RTAX_QUICKACK`, `tcp_in_quickack_mode`), for connections that begin afterwards. A FIN alone is acknowledged by a timer
    /// otherwise (`tcp_send_delayed_ack`), in a softirq on top of whatever runs then; in our machines, where no tracer misses that,
    /// it still is.
    ///
    /// Not for many connections at once: where the other FIN comes just when a mini-socket takes over from the client's socket, it
    /// was now and then seen that the server's end was gone and the mini-socket stayed in `FIN_WAIT_2`.
    ///
    /// # Errors
    ///
    /// There is no program `ip`, or it fails.
    pub fn acknowledge_at_once(&self) -> Result<()> {
        if in_our_machine() {
            return Ok(());
        }
        // An IPv6 route cannot be changed to that.
        let routes = "ip route change local 127.0.0.0/8 dev lo table local src 127.0.0.1 quickack 1 &&
            ip route change local 127.0.0.1 dev lo table local src 127.0.0.1 quickack 1 &&
            ip -6 route delete local ::1 dev lo table local && ip -6 route add local ::1 dev lo table local quickack 1";
        done(self.command("sh")?.args(["-c", routes]))
    }

    /// Its number, as in `/proc/PID/ns/net`.
    pub const fn inode(&self) -> u64 {
        self.inode
    }

    /// The path by which others enter it.
    pub fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.pid())
    }

    /// Starts an application in it.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn actor(&self, comm: &str) -> Result<Actor> {
        let mut actor = Actor::start(comm)?;
        actor.call(&format!("netns {}", self.path()))?;
        Ok(actor)
    }

    /// A command that runs a program in it. The process ends at the latest with the thread that starts it.
    ///
    /// # Errors
    ///
    /// The program that enters the namespace is missing.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        let mut command = Command::new(actor_binary()?);
        command.args(["--in", &self.path()]).arg(program);
        Ok(command)
    }

    /// Connects it with another one: a pair of devices, with an address (and the length of its prefix) each.
    ///
    /// # Errors
    ///
    /// There is no program `ip`, or it fails.
    pub fn wire(&self, address: &str, other: &Self, other_address: &str) -> Result<()> {
        let (here, there) = (self.holder.pid().to_string(), other.holder.pid().to_string());
        let peer = ["type", "veth", "peer", "name", "wire", "netns", &there];
        done(Command::new("ip").args(["link", "add", "wire", "netns", &here]).args(peer))?;
        for (end, address) in [(self, address), (other, other_address)] {
            done(end.command("ip")?.args(["address", "add", address, "dev", "wire"]))?;
            done(end.command("ip")?.args(["link", "set", "wire", "up"]))?;
        }
        Ok(())
    }

    /// The kernel's TCP sockets in it.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    pub fn sockets(&mut self) -> Result<Vec<KernelSocket>> {
        kernel_table::sockets(&mut self.holder)
    }

    /// The processes in it, but for the one that made it.
    ///
    /// # Errors
    ///
    /// There is no `/proc`.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let mut all = processes_in(self.inode)?;
        all.retain(|&pid| pid != self.holder.pid());
        Ok(all)
    }

    /// Sets a kernel parameter of this namespace, such as `net/ipv4/tcp_syn_retries`.
    ///
    /// # Errors
    ///
    /// The kernel has no such parameter for namespaces, or refuses the value.
    pub fn sysctl(&mut self, key: &str, value: &str) -> Result<()> {
        self.holder.call(&format!("sysctl {key} {value}")).with_context(|| format!("{key} = {value}"))?;
        Ok(())
    }

    /// Waits until every connection is closed, but for listeners and mini-sockets: the last packets of a close can still be
    /// on their way when the application is done. The answer is the number of orphans left in `FIN_WAIT_2`: their other ends are
    /// closed, and the FIN never arrived but was answered by a reset. In 13 million connections there was one (docs/kernels.md).
    ///
    /// # Errors
    ///
    /// They are not closed in time.
    pub fn settled(&self) -> Result<u64> {
        let mut open = Vec::new();
        let settled = until("all connections are closed", Duration::from_secs(10), || {
            open = self.table()?;
            // get_tcp4_sock, get_timewait4_sock (net/ipv4/tcp_ipv4.c): the state, and a mini-socket's timer.
            open.retain(|line| word(line, 3) != "0A" && !word(line, 5).starts_with("03:"));
            Ok(open.is_empty().then_some(()))
        });
        settled.with_context(|| {
            format!("{} are open, such as {:#?}", open.len(), open.iter().take(3).collect::<Vec<_>>())
        })?;
        // Read once more: before, an orphan may have been read earlier than the end of its other end.
        Ok(self.table()?.iter().filter(|line| word(line, 3) == "05").count().try_into()?)
    }

    /// Its sockets as `/proc` tells them.
    fn table(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for name in ["tcp", "tcp6"] {
            let table = fs::read_to_string(format!("/proc/{}/net/{name}", self.holder.pid()))?;
            lines.extend(table.lines().skip(1).map(str::to_owned));
        }
        Ok(lines)
    }

    /// Takes the loopback device up or down.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn set_loopback(&mut self, up: bool) -> Result<()> {
        self.holder.call(if up { "lo up" } else { "lo down" }).map(drop)
    }
}

/// The word with this number in a line.
fn word(line: &str, number: usize) -> &str {
    line.split_whitespace().nth(number).unwrap_or_default()
}

/// Whether this is a virtual machine of ours. On some hosts a timer's softirq now and then runs no BPF program, of anybody's: on top
/// of process 1, where that is protected. Nothing in the kernel counts that. In our machines nothing may be missed.
pub fn in_our_machine() -> bool {
    env::var_os("TCPLIFE_TEST_VM").is_some()
}

/// The processes in the network namespace that has a number now: a new one may have that of one that is gone.
///
/// # Errors
///
/// There is no `/proc`.
pub fn processes_in(inode: u64) -> Result<Vec<u32>> {
    let name = format!("net:[{inode}]");
    let here = |pid: &u32| {
        let link = fs::read_link(format!("/proc/{pid}/ns/net"));
        link.is_ok_and(|link| link.as_os_str() == name.as_str())
    };
    let entries = fs::read_dir("/proc").context("reading /proc")?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(here).collect())
}

/// Runs a command that must succeed.
fn done(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?} does not run"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
