//! The kernel's sockets at one moment, without a trace: the iterators alone.

use anyhow::Result;
use aya::Ebpf;
use tcplife_common::{settings::Settings, wire::Found};
use tcplife_core::suspect::Sight;

use super::{
    dump::{self, Dumper, StateMask},
    hooks::Allowed,
    kernel::Kernel,
    live::{self, Options},
    namespaces::Netns,
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
        let Kernel { types, layout, btf, loader } = Kernel::look(dump::wanted())?;
        let options = Options {
            settings: Settings::ALL,
            local_ports: &|_| true,
            remote_ports: &|_| true,
            ring_bytes: u32::try_from(rustix::param::page_size())?,
            allowed: Allowed::Nothing,
            follows_minis: true,
            all_namespaces: true,
            sight: Sight::Every,
            verbose,
        };
        let mut programs = live::load(&types, &layout, loader, &options)?;
        let dumper = Dumper::load(&mut programs, &btf)?;
        Ok(Self { programs, dumper })
    }

    /// Sockets that processes hold and sockets of namespaces; see [`Dumper::both`].
    ///
    /// # Errors
    /// The iterators cannot be read.
    pub fn look(&mut self, states: StateMask, netns: &[Netns]) -> Result<(Vec<Vec<Found>>, Vec<u32>)> {
        self.dumper.both(&mut self.programs, states, netns)
    }
}
