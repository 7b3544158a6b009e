//! The kernel's sockets at one moment, without a trace: the iterators alone.

use anyhow::Result;
use aya::Ebpf;
use tcplife_common::{settings::Settings, wire::Found};

use super::{
    dump::{self, Dumper, StateMask},
    kernel::Kernel,
    live,
    namespaces::Netns,
};

/// The loaded iterators.
pub struct Iterators {
    programs: Ebpf,
    dumper: Dumper,
}

impl Iterators {
    /// Loads the iterators; no hook is attached.
    ///
    /// # Errors
    /// This kernel does not take them.
    pub fn load(verbose: bool) -> Result<Self> {
        let Kernel { types, layout, btf, loader } = Kernel::look(dump::wanted())?;
        // Nothing is written to the ring buffer: the least that the kernel takes.
        let ring_bytes = u32::try_from(rustix::param::page_size())?;
        let mut programs = live::load(&types, &layout, loader, Settings::ALL, ring_bytes, verbose)?;
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
