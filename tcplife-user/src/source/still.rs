//! The kernel's sockets at one moment, without a trace: the iterators alone.

use anyhow::Result;
use aya::Ebpf;
use tcplife_common::{settings::Settings, wire::Found};

use super::{
    dump::{Dumper, Netns, StateMask},
    hooks::Allowed,
    kernel::Kernel,
    live::{self, Options},
};

/// The loaded iterators.
pub struct Still {
    programs: Ebpf,
    dumper: Dumper,
}

impl Still {
    /// Loads the iterators; no hook is attached.
    ///
    /// # Errors
    /// This kernel does not take them.
    pub fn load(verbose: bool) -> Result<Self> {
        let Kernel { types, layout, btf, loader } = Kernel::look()?;
        let options = Options {
            settings: Settings::ALL,
            local_ports: &|_| true,
            remote_ports: &|_| true,
            ring_bytes: u32::try_from(rustix::param::page_size())?,
            allowed: Allowed::Nothing,
            verbose,
        };
        let mut programs = live::load(&types, &layout, loader, &options)?;
        let dumper = Dumper::load(&mut programs, &btf)?;
        Ok(Self { programs, dumper })
    }

    /// Sockets that processes hold; see [`Dumper::held`].
    ///
    /// # Errors
    /// The iterator cannot be read.
    pub fn held(&mut self, states: StateMask) -> Result<Vec<Found>> {
        self.dumper.held(&mut self.programs, states, &mut || {})
    }

    /// Sockets of namespaces; see [`Dumper::sockets`].
    ///
    /// # Errors
    /// The iterator cannot be read.
    pub fn sockets(&mut self, states: StateMask, netns: &[Netns]) -> Result<Vec<Found>> {
        self.dumper.sockets(&mut self.programs, states, netns, &mut || {})
    }
}
