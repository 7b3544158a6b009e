//! The programs of a machine besides ours: Debian's busybox with all libraries in it, kept below the target directory.
//!
//! The one of this system may need libraries, and its package excludes the one that does not.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use super::{debian::Releases, kernels::remove};
use crate::workspace;

/// The release of Debian that it is taken from.
const RELEASE: &str = "bookworm";
const PACKAGE: &str = "busybox-static";

/// The program; fetched where it is not there yet, and anew when `update` is set.
pub(super) fn get(update: bool) -> Result<PathBuf> {
    let dir = workspace::target()?.join("vm");
    let kept = dir.join("busybox");
    if update || !kept.is_file() {
        println!("fetching {PACKAGE} of Debian {RELEASE}");
        let unpacked = dir.join("unpacked").join(PACKAGE);
        remove(&unpacked)?;
        Releases::find(&dir)?.open(RELEASE)?.unpack(PACKAGE, &unpacked)?;
        fs::rename(unpacked.join("bin/busybox"), &kept).with_context(|| format!("unpacking {PACKAGE}"))?;
        remove(&unpacked)?;
    }
    Ok(kept)
}
