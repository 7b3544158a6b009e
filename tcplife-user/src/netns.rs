//! How a command of a user's gets into a network namespace.

use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::OnceLock};

/// Where `ip netns` keeps namespaces that have a name.
pub const NAMED: &str = "/run/netns";

/// The inode of the namespace that a path leads to.
pub fn inode(path: impl AsRef<Path>) -> Option<u32> {
    u32::try_from(fs::metadata(path).ok()?.ino()).ok()
}

/// The inode of this process's network namespace, which its first thread never leaves.
pub fn own() -> Option<u32> {
    static OWN: OnceLock<Option<u32>> = OnceLock::new();
    *OWN.get_or_init(|| inode("/proc/self/ns/net"))
}

/// What goes before a command that is to run in the network namespace `netns`: nothing if it is `here`, or else `nsenter` by the
/// process, if that is where it lives, or by the namespace's name. `None` where no way in is known.
pub fn inside(here: Option<u32>, netns: u32, process: Option<u32>) -> Option<String> {
    if here == Some(netns) {
        return Some(String::new());
    }
    if let Some(pid) = process
        && inode(format!("/proc/{pid}/ns/net")) == Some(netns)
    {
        return Some(format!("nsenter -t {pid} -n "));
    }
    let mut named = fs::read_dir(NAMED).into_iter().flatten().flatten();
    named.find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        // Others a shell would read in another way.
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let leads_there = is_plain && inode(entry.path()) == Some(netns);
        leads_there.then(|| format!("nsenter --net={NAMED}/{name} "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_needs_no_way_in_and_an_unknown_one_has_none() {
        let (here, process) = (own().unwrap(), std::process::id());
        assert_eq!(inside(Some(here), here, None).as_deref(), Some(""));
        assert_eq!(inside(Some(1), here, Some(process)), Some(format!("nsenter -t {process} -n ")));
        assert_eq!(inside(Some(here), 1, Some(process)), None, "it lives in another one");
    }
}
