//! The beginning of most tests: one connection between two processes, open on both ends.

use std::net::SocketAddr;

use anyhow::Result;

use crate::{
    actor::{Actor, Ends, Handle},
    lab::Lab,
    namespace::Family,
};

/// A connection between two processes.
#[derive(Debug)]
pub struct Pair {
    /// Where it is, and who watches.
    pub lab: Lab,
    /// The process that connected.
    pub client: Actor,
    /// The process that listened and accepted.
    pub server: Actor,
    /// The client's end.
    pub near: Handle,
    /// The server's end.
    pub far: Handle,
    /// The server's listener.
    pub listener: Handle,
    /// Where it listens.
    pub at: SocketAddr,
    /// Both ends as the client names them.
    pub ends: Ends,
}

impl Pair {
    /// Opens one and waits until `trace` has told so.
    ///
    /// # Errors
    ///
    /// It does not come about.
    pub fn open(family: Family) -> Result<Self> {
        Self::open_in(Lab::new(family)?)
    }

    /// As [`Pair::open`], in a lab that was made before.
    ///
    /// # Errors
    ///
    /// It does not come about.
    pub fn open_in(lab: Lab) -> Result<Self> {
        let (mut server, mut client) = (lab.actor("server")?, lab.actor("client")?);
        let (listener, at) = server.listen(lab.family.loopback())?;
        let (near, ends) = client.connect(at)?;
        let (far, _) = server.accept(listener)?;
        lab.reached(ends, "established")?;
        lab.reached(ends.turned(), "established")?;
        Ok(Self { lab, client, server, near, far, listener, at, ends })
    }
}
