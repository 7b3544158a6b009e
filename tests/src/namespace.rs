//! A network namespace without a name, with its loopback device up. It lives as long as the processes in it: the
//! one that made it, and the actors.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{actor::Actor, deadline::until};

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

    /// Sets a kernel parameter of this namespace, such as `net/ipv4/tcp_syn_retries`.
    ///
    /// # Errors
    ///
    /// The kernel has no such parameter for namespaces, or refuses the value.
    pub fn sysctl(&mut self, key: &str, value: &str) -> Result<()> {
        self.holder.call(&format!("sysctl {key} {value}")).with_context(|| format!("{key} = {value}"))?;
        Ok(())
    }

    /// Waits until every connection is closed, but for listeners and `TIME_WAIT`: the last packets of a close can still be
    /// on their way when the application is done.
    ///
    /// # Errors
    ///
    /// They are not closed in time.
    pub fn settled(&self) -> Result<()> {
        until("all connections are closed", Duration::from_secs(10), || {
            let mut open = 0;
            for table in ["tcp", "tcp6"] {
                let sockets = fs::read_to_string(format!("/proc/{}/net/{table}", self.holder.pid()))?;
                let states = sockets.lines().skip(1).filter_map(|line| line.split_whitespace().nth(3));
                open += states.filter(|state| !matches!(*state, "06" | "0A")).count();
            }
            Ok((open == 0).then_some(()))
        })
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
