//! The host's network namespaces, and how a thread gets into one.

use std::{
    collections::{BTreeSet, HashSet},
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind},
    os::{
        fd::AsFd,
        unix::{ffi::OsStringExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::netns::{self, NAMED, inode};

/// A network namespace that can be entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netns {
    /// Its inode number.
    pub inode: u32,
    path: PathBuf,
}

impl Netns {
    /// The one that a path leads to.
    pub fn at(path: PathBuf) -> Option<Self> {
        Some(Self { inode: inode(&path)?, path })
    }

    /// Whether the path still leads to it.
    pub fn is_there(&self) -> bool {
        inode(&self.path) == Some(self.inode)
    }

    /// The one that this process is in.
    ///
    /// # Errors
    /// There is no /proc.
    pub fn own() -> io::Result<Self> {
        Self::at("/proc/self/ns/net".into()).ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Moves the current thread into it. A thread that is there already needs no rights for that.
    ///
    /// # Errors
    /// It is gone, or this process may not.
    pub fn enter(&self) -> io::Result<()> {
        if Self::at("/proc/thread-self/ns/net".into()).is_some_and(|here| here.inode == self.inode) {
            return Ok(());
        }
        let namespace = File::open(&self.path)?;
        // The path may lead to another one by now.
        if namespace.metadata()?.ino() != u64::from(self.inode) {
            return Err(ErrorKind::NotFound.into());
        }
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(())
    }
}

/// Every network namespace that a process lives in or that has a name, each once. This process's comes first: no other is as likely
/// to be the one with the most sockets.
pub fn all() -> Vec<Netns> {
    let of_processes = entries(Path::new("/proc")).map(|process| process.join("ns/net"));
    let named = entries(Path::new(NAMED));
    let mut all: Vec<Netns> = of_processes.chain(named).filter_map(Netns::at).collect();
    let own = netns::own();
    all.sort_by_key(|netns| (Some(netns.inode) != own, netns.inode));
    all.dedup_by_key(|netns| netns.inode);
    all
}

/// Those of the given network namespaces that only a thread is in, or that somebody has open or mounted: where they can
/// be entered. A look at every descriptor of every process.
pub fn elsewhere(inodes: &HashSet<u32>) -> Vec<Netns> {
    if inodes.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<Netns> = entries(Path::new("/proc"))
        .filter(|process| process.join("fd").exists())
        .flat_map(|process| {
            let (tasks, descriptors) = (process.join("task"), process.join("fd"));
            let threads = entries(&tasks).map(|thread| thread.join("ns/net"));
            let open = entries(&descriptors).filter(|path| is_netns(path));
            threads.chain(open).chain(mounted(&process)).collect::<Vec<PathBuf>>()
        })
        .filter_map(Netns::at)
        .filter(|netns| inodes.contains(&netns.inode))
        .collect();
    found.sort_by_key(|netns| netns.inode);
    found.dedup_by_key(|netns| netns.inode);
    found
}

/// The network namespaces with the given inodes, wherever they can be entered.
pub fn find(inodes: &[u32]) -> Vec<Netns> {
    let mut unknown: HashSet<u32> = inodes.iter().copied().collect();
    if unknown.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<Netns> = all().into_iter().filter(|netns| unknown.remove(&netns.inode)).collect();
    found.extend(elsewhere(&unknown));
    found
}

/// Those of the given inodes that no network namespace has, as far as this process may look; in ascending order.
pub fn absent(inodes: &[u32]) -> Vec<u32> {
    let mut absent: BTreeSet<u32> = inodes.iter().copied().collect();
    for netns in find(inodes) {
        absent.remove(&netns.inode);
    }
    absent.into_iter().collect()
}

/// Whether a descriptor is a network namespace.
fn is_netns(descriptor: &Path) -> bool {
    fs::read_link(descriptor).is_ok_and(|to| to.as_os_str().as_encoded_bytes().starts_with(b"net:["))
}

/// Where network namespaces are mounted, in the sight of a process.
fn mounted(process: &Path) -> Vec<PathBuf> {
    let root = process.join("root");
    // What others mounted elsewhere may have any name.
    let mounts = fs::read(process.join("mountinfo")).unwrap_or_default();
    mount_points(&mounts).map(|place| root.join(place)).collect()
}

/// Where a list of mounts has network namespaces, without the first `/`; a line is `ID PARENT DEVICE ROOT MOUNTPOINT ..`.
fn mount_points(mounts: &[u8]) -> impl Iterator<Item = PathBuf> {
    mounts.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut words = line.split(|&byte| byte == b' ').skip(3);
        words.next().filter(|root| root.starts_with(b"net:["))?;
        let place = unescaped(words.next()?);
        Some(OsString::from_vec(place.strip_prefix(b"/").unwrap_or(&place).to_vec()).into())
    })
}

/// A name as it is: the kernel writes blanks and backslashes in it as `\` and three octal digits (`show_path`, `mangle_path`).
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'\\', [high @ b'0'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7', ..]) => {
                Some((high - b'0') << 6 | (middle - b'0') << 3 | (low - b'0'))
            }
            _ => None,
        };
        plain.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    plain
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespace_comes_first_and_once() {
        let own = Netns::own().expect("a process has a network namespace");
        assert_eq!(all()[0].inode, own.inode);
        assert_eq!(all().iter().filter(|netns| netns.inode == own.inode).count(), 1);
    }

    #[test]
    fn a_path_that_leads_elsewhere_by_now_is_not_entered() {
        let elsewhere = Netns { inode: 1, ..Netns::own().unwrap() };
        assert_eq!(elsewhere.enter().unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn an_inode_that_none_has_is_absent() {
        let own = Netns::own().unwrap().inode;
        assert_eq!(absent(&[own, 1, 2]), [1, 2]);
        assert!(absent(&[own]).is_empty() && absent(&[]).is_empty());
    }

    #[test]
    fn a_mount_with_blanks_in_its_name_is_where_it_is() {
        let mounts = b"36 35 98:0 / /mnt rw - ext4 /dev/sda rw\n\
            40 35 0:4 net:[4026532177] /run/my\\040nets/a\\134b rw - nsfs nsfs rw\n\
            41 35 0:4 mnt:[4026532178] /run/mnt rw - nsfs nsfs rw\n\
            42 35 0:4 net:[4026532179] /run/\\08\\ rw - nsfs nsfs rw\n";
        let places: Vec<PathBuf> = mount_points(mounts).collect();
        assert_eq!(places, [PathBuf::from("run/my nets/a\\b"), PathBuf::from("run/\\08\\")]);
    }

    #[test]
    fn one_that_is_only_open_is_found() {
        let open = File::open("/proc/self/ns/net").unwrap();
        let inode = u32::try_from(open.metadata().unwrap().ino()).unwrap();
        assert!(elsewhere(&HashSet::new()).is_empty());
        let found = elsewhere(&HashSet::from([inode, 1]));
        assert_eq!(found.iter().map(|netns| netns.inode).collect::<Vec<_>>(), [inode]);
    }
}
