//! Where things are: the workspace's root, its target directory, its files, and what cargo knows of it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// The root of the checkout this command runs for.
pub(crate) fn root() -> Result<PathBuf> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
    let parent = Path::new(&manifest).parent().context("the xtask package has no parent directory")?;
    Ok(parent.to_path_buf())
}

/// Where cargo puts what it builds. Its environment and its configuration have a say in that, so it is asked, once.
pub(crate) fn target() -> Result<PathBuf> {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    if let Some(known) = TARGET.get() {
        return Ok(known.clone());
    }
    let metadata = metadata_with(&["--no-deps"])?;
    let dir = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(TARGET.get_or_init(|| PathBuf::from(dir)).clone())
}

/// Where cargo keeps what it downloads.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(home) => Ok(PathBuf::from(home)),
        None => Ok(env::home_dir().context("no home directory")?.join(".cargo")),
    }
}

/// What `cargo metadata` says of the workspace and all it depends on.
pub(crate) fn metadata() -> Result<Value> {
    metadata_with(&[])
}

fn metadata_with(more: &[&str]) -> Result<Value> {
    let mut cargo = process::cargo();
    cargo.current_dir(root()?).args(["metadata", "--locked", "--format-version=1"]).args(more);
    let json = process::output(&mut cargo)?;
    serde_json::from_str(&json).context("reading what cargo metadata printed")
}

/// The crates of the workspace, as `cargo metadata` describes them.
pub(crate) fn members(metadata: &Value) -> Result<Vec<&Value>> {
    let ids = metadata["workspace_members"].as_array().context("cargo metadata names no members")?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    Ok(packages.iter().filter(|package| ids.contains(&package["id"])).collect())
}

/// Every file below `dir`, in the order of their paths.
pub(crate) fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
