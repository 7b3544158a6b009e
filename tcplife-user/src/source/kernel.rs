//! What the running kernel is like, as far as it decides how the programs are loaded.

use std::thread;

use anyhow::{Result, anyhow};
use aya::{Btf, EbpfLoader};
use rustix::{
    process::chroot,
    thread::{UnshareFlags, unshare_unsafe},
};
use tcplife_common::layout::Layout;

use super::{
    btf::{KernelTypes, Wanted},
    layout, live,
};
use crate::threads;

/// The running kernel's types, and a loader.
pub struct Kernel {
    /// As we look members up.
    pub types: KernelTypes,
    /// Where the members are that the programs need.
    pub layout: Layout,
    /// As aya finds what a program is attached to.
    pub btf: Btf,
    /// Knows what else the kernel can.
    pub loader: EbpfLoader<'static>,
}

impl Kernel {
    /// Reads the types. Programs can be attached to `attached`, and to nothing else.
    ///
    /// # Errors
    /// They cannot be read, or lack what there can be no trace without.
    pub fn look(attached: impl Iterator<Item = Wanted>) -> Result<Self> {
        let attached: Vec<Wanted> = attached.collect();
        thread::scope(|scope| {
            let loader = threads::start(scope, loader)?;
            let types =
                KernelTypes::read(layout::wanted().chain(live::wanted()).chain(attached.iter().cloned()))?;
            let layout = layout::resolve(&types)?;
            let btf = types.targets(&attached)?;
            let loader = loader.join().map_err(|_| anyhow!("the thread that looks at the kernel died"))?;
            Ok(Self { types, layout, btf, loader })
        })
    }
}

/// A loader that does not know the kernel's types; the object has no relocation that needs them. aya's makes a copy of them
/// all when it is made, unless there are none: this thread, which ends with it, sees none. Where that is forbidden, a start
/// takes longer.
fn loader() -> EbpfLoader<'static> {
    // It tries what the kernel can, the first time it is asked.
    aya::features();
    // SAFETY: only this thread gets a root folder of its own; no descriptor is concerned.
    let _ = unsafe { unshare_unsafe(UnshareFlags::FS) }.and_then(|()| chroot("/sys/kernel/btf"));
    EbpfLoader::new()
}
