//! What the running kernel is like: its types, read once for each library that wants them, all at the same time. Reading
//! them is a third of a start.

use std::thread;

use anyhow::{Context, Result, anyhow};
use aya::{Btf, EbpfLoader};
use tcplife_common::layout::Layout;

use super::{btf::KernelTypes, layout};

/// The running kernel's types, and a loader that knows them.
pub struct Kernel {
    /// As we look members up.
    pub types: KernelTypes,
    /// Where the members are that the programs need.
    pub layout: Layout,
    /// As aya finds what a program is attached to.
    pub btf: Btf,
    /// Reads the types by itself, whatever it is given.
    pub loader: EbpfLoader<'static>,
}

impl Kernel {
    /// Reads the types.
    ///
    /// # Errors
    /// They cannot be read, or lack what there can be no trace without.
    pub fn look() -> Result<Self> {
        thread::scope(|scope| {
            let btf = scope.spawn(Btf::from_sys_fs);
            let loader = scope.spawn(EbpfLoader::new);
            let types = KernelTypes::read()?;
            let layout = layout::resolve(&types)?;
            let died = |_| anyhow!("the thread that reads the kernel's types died");
            let btf = btf.join().map_err(died)?.context("cannot read the kernel's types")?;
            Ok(Self { types, layout, btf, loader: loader.join().map_err(died)? })
        })
    }
}
