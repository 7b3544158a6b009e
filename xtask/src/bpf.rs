//! `cargo xtask bpf`: builds the kernel programs into the object that the agent embeds.
//!
//! The object is kept in the repository beside a manifest of what it was built from, so that a build of the agent
//! needs stable Rust only. `--check` fails when the two no longer belong together.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

mod manifest;
mod toolchain;

pub(crate) use manifest::Manifest;
pub(crate) use toolchain::Toolchain;

/// Where the object that the agent embeds is kept.
const OBJECT: &str = "tcplife-user/bpf/tcplife.o";
/// What it was built from.
const MANIFEST: &str = "tcplife-user/bpf/manifest.json";

/// Where cargo puts the agent's programs, below its target directory.
const AGENTS: &str = "bpfel-unknown-none/release/tcplife-ebpf";
/// Where cargo puts the programs that do next to nothing.
const FLOOR: &str = "bpfel-unknown-none/release/floor";
const FLOOR_OBJECT: &str = "floor.o";

/// What `cargo xtask bpf` can be told.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build nothing; fail when the object kept in the repository is not of the sources beside it
    #[arg(long)]
    check: bool,
}

/// The command.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.check { check() } else { rebuild() }
}

/// The object that the repository has.
pub(crate) fn kept() -> Result<Vec<u8>> {
    fs::read(workspace::root()?.join(OBJECT)).with_context(|| format!("reading {OBJECT}"))
}

/// The manifest that the repository has.
pub(crate) fn kept_manifest() -> Result<Manifest> {
    Manifest::read(&workspace::root()?.join(MANIFEST))
}

/// Fails when the object in the repository is not the one that its manifest names, or was built from other sources.
pub(crate) fn check() -> Result<()> {
    kept_manifest()?.check(&kept()?, &manifest::inputs(&workspace::root()?)?)
}

/// Builds the object, puts it into the repository and writes its manifest.
fn rebuild() -> Result<()> {
    let root = workspace::root()?;
    let toolchain = Toolchain::find_or_install()?;
    let inputs = manifest::inputs(&root)?;
    let built = build(&toolchain)?;
    if manifest::inputs(&root)? != inputs {
        bail!("the sources changed during the build; once more, please");
    }
    let object = fs::read(&built).with_context(|| format!("reading {}", built.display()))?;
    let kept = root.join(OBJECT);
    if let Some(dir) = kept.parent() {
        fs::create_dir_all(dir)?;
    }
    let same = fs::read(&kept).is_ok_and(|old| old == object);
    fs::write(&kept, &object).with_context(|| format!("writing {OBJECT}"))?;
    Manifest::of(&object, inputs, &toolchain).write(&root.join(MANIFEST))?;
    let change = if same { "unchanged" } else { "new" };
    println!("{OBJECT}: {} bytes, {change}, built with {}", object.len(), toolchain.versions().join(", "));
    Ok(())
}

/// Builds the programs that do next to nothing, of `cargo xtask bench`; nobody keeps their object.
pub(crate) fn build_floor(toolchain: &Toolchain) -> Result<PathBuf> {
    Ok(build(toolchain)?.with_file_name(FLOOR_OBJECT))
}

/// Builds the object below the target directory and returns where it is: the same bytes for the same sources and
/// toolchain, wherever the checkout is.
pub(crate) fn build(toolchain: &Toolchain) -> Result<PathBuf> {
    let root = workspace::root()?;
    let target = workspace::target()?.join("bpf");
    process::run(
        toolchain
            .cargo()
            .current_dir(&root)
            .env("CARGO_TARGET_DIR", &target)
            .env("CARGO_ENCODED_RUSTFLAGS", rustflags(&root, toolchain)?)
            .args(manifest::BUILD),
    )?;
    for (linked, object) in [(AGENTS, "tcplife.o"), (FLOOR, FLOOR_OBJECT)] {
        let (linked, object) = (target.join(linked), target.join(object));
        // The verifier's log and the loader use BTF; DWARF is fifteen times the size of the rest and names this machine.
        process::run(toolchain.objcopy().arg("--strip-debug").args([&linked, &object]))?;
    }
    Ok(target.join("tcplife.o"))
}

/// The flags for rustc in cargo's encoding; those that name a directory replace it by a name that is the same
/// everywhere.
fn rustflags(root: &Path, toolchain: &Toolchain) -> Result<OsString> {
    let registry = workspace::cargo_home()?.join("registry/src");
    let mut flags: Vec<OsString> = manifest::RUSTFLAGS.iter().map(OsString::from).collect();
    // rustc takes the last one that fits, so what holds another comes first.
    let mut mapped = vec![(root.to_path_buf(), ".".to_owned())];
    mapped.push((registry.clone(), "/registry".to_owned()));
    for index in fs::read_dir(&registry).into_iter().flatten().flatten() {
        mapped.push((index.path(), "/registry".to_owned()));
    }
    mapped.push((toolchain.library()?, "/rust".to_owned()));
    for (from, to) in mapped {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    }
    Ok(flags.join(OsString::from("\u{1f}").as_os_str()))
}
