//! Network namespaces as users name them.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use rustix::fs::{FsWord, fstatfs};

use crate::netns::NAMED;

/// `NSFS_MAGIC` of include/uapi/linux/magic.h: the file system of namespaces.
const NSFS_MAGIC: FsWord = 0x6e73_6673;
/// `NS_GET_NSTYPE` of include/uapi/linux/nsfs.h.
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;

/// The inode of the network namespace that is named by inode, name or path.
pub fn inode(typed: &str) -> Result<u32> {
    if typed.is_empty() {
        bail!("--netns: a name is empty");
    }
    if let Ok(inode) = typed.parse() {
        return Ok(inode);
    }
    let path = if typed.contains('/') { PathBuf::from(typed) } else { Path::new(NAMED).join(typed) };
    match of_file(&path) {
        Ok(Some(inode)) => Ok(inode),
        Ok(None) => bail!(
            "--netns {typed}: {} is not a network namespace; give an inode number, a name under {NAMED}, or a path such as \
             /proc/1234/ns/net",
            path.display()
        ),
        Err(error) => {
            bail!("--netns {typed}: cannot open {}: {error}; `ip netns` lists the names", path.display())
        }
    }
}

/// The inode of the network namespace that a path leads to, by a link of /proc or by a mount; `None` if it is something else.
fn of_file(path: &Path) -> io::Result<Option<u32>> {
    // Without O_NONBLOCK a FIFO would wait for its writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !is_namespace(&file)? || !is_of_network(&file) {
        return Ok(None);
    }
    Ok(u32::try_from(file.metadata()?.ino()).ok())
}

fn is_namespace(file: &File) -> io::Result<bool> {
    Ok(fstatfs(file)?.f_type == NSFS_MAGIC)
}

fn is_of_network(namespace: &File) -> bool {
    // SAFETY: takes no argument, writes nothing, and the file is a namespace, which knows this request.
    let kind = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_NSTYPE) };
    kind == libc::CLONE_NEWNET
}
