//! What a process keeps in the kernel: BPF programs, maps and links; and whether they are still there when the
//! process is not.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use aya::{
    maps::loaded_maps,
    programs::{links::LinkInfo, loaded_links, loaded_programs},
};

/// Where pinned objects are.
const PINS: &str = "/sys/fs/bpf";

/// BPF objects, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Programs.
    pub programs: BTreeSet<u32>,
    /// Maps.
    pub maps: BTreeSet<u32>,
    /// Links.
    pub links: BTreeSet<u32>,
}

impl Objects {
    /// Those that the process `pid` holds a descriptor of.
    ///
    /// # Errors
    ///
    /// There is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let mut found = Self::default();
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).context("no such process")? {
            // A descriptor may be closed in the meantime.
            let text = fs::read_to_string(entry?.path()).unwrap_or_default();
            let has = |key| number(&text, key);
            if let Some(id) = has("link_id:") {
                found.links.insert(id);
            } else if let Some(id) = has("prog_id:") {
                found.programs.insert(id);
            }
            if let Some(id) = has("map_id:") {
                found.maps.insert(id);
            }
        }
        Ok(found)
    }

    /// All that are in the kernel.
    ///
    /// # Errors
    ///
    /// No right to see them.
    pub fn loaded() -> Result<Self> {
        Ok(Self {
            programs: loaded_programs().filter_map(Result::ok).map(|p| p.id()).collect(),
            maps: loaded_maps().filter_map(Result::ok).map(|m| m.id()).collect(),
            links: loaded_links().filter_map(Result::ok).map(|l: LinkInfo| l.id()).collect(),
        })
    }

    /// Those of these that `others` has too.
    #[must_use]
    pub fn also_in(&self, others: &Self) -> Self {
        let both = |a: &BTreeSet<u32>, b| a.intersection(b).copied().collect();
        Self {
            programs: both(&self.programs, &others.programs),
            maps: both(&self.maps, &others.maps),
            links: both(&self.links, &others.links),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.programs.is_empty() && self.maps.is_empty() && self.links.is_empty()
    }
}

/// The number after `key` in what `/proc/PID/fdinfo` says.
fn number(text: &str, key: &str) -> Option<u32> {
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

/// Everything that is pinned in the BPF file system, if one is mounted.
pub fn pins() -> BTreeSet<PathBuf> {
    fn visit(folder: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                visit(&path, found);
            } else {
                found.insert(path);
            }
        }
    }
    let mut found = BTreeSet::new();
    visit(Path::new(PINS), &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found() {
        let text = "pos:\t0\nlink_type:\ttracing\nlink_id:\t12\nprog_tag:\tab\nprog_id:\t34\n";
        assert_eq!(number(text, "link_id:"), Some(12));
        assert_eq!(number(text, "prog_id:"), Some(34));
        assert_eq!(number(text, "map_id:"), None);
    }
}
