//! What the object in the repository was built from, so that a change of one without the other is seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Toolchain;
use crate::workspace;

/// How cargo is called; part of what the object is built from.
pub(super) const BUILD: [&str; 9] = [
    "build",
    "--release",
    "--locked",
    "--target",
    "bpfel-unknown-none",
    "-Z",
    "build-std=core",
    "-p",
    "tcplife-ebpf",
];
/// The flags for rustc: BTF is made of debug information.
pub(super) const RUSTFLAGS: [&str; 2] = ["-Cdebuginfo=2", "-Clink-arg=--btf"];

/// A name of each thing that goes into the object, and its hash or version.
type Inputs = BTreeMap<String, String>;

/// What is written beside the object.
#[derive(Debug)]
pub(crate) struct Manifest {
    object: String,
    toolchain: Vec<String>,
    inputs: Inputs,
}

impl Manifest {
    /// The manifest of an object that was just built.
    pub(super) fn of(object: &[u8], inputs: Inputs, toolchain: &Toolchain) -> Self {
        Self { object: hash(object), toolchain: toolchain.versions(), inputs }
    }

    /// Reads the manifest that is kept in the repository.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("reading {}; `cargo xtask bpf` writes it", file.display()))?;
        let value: Value =
            serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("the manifest is malformed");
        let object = text(&value["object"]["sha256"])?;
        let toolchain = value["toolchain"].as_array().context("the manifest names no toolchain")?;
        let inputs = value["inputs"].as_object().context("the manifest names no inputs")?;
        Ok(Self {
            object,
            toolchain: toolchain.iter().map(text).collect::<Result<_>>()?,
            inputs: inputs
                .iter()
                .map(|(name, value)| Ok((name.clone(), text(value)?)))
                .collect::<Result<_>>()?,
        })
    }

    /// Writes the manifest.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let value = json!({
            "object": { "sha256": self.object },
            "toolchain": self.toolchain,
            "inputs": self.inputs,
        });
        let text = format!("{value:#}\n");
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }

    /// Fails when the object is another, or was built from other inputs.
    pub(super) fn check(&self, object: &[u8], inputs: &Inputs) -> Result<()> {
        let mut wrong = String::new();
        if hash(object) != self.object {
            writeln!(wrong, "  the object is not the one the manifest names")?;
        }
        let names: BTreeSet<&String> = self.inputs.keys().chain(inputs.keys()).collect();
        for name in names {
            match (self.inputs.get(name), inputs.get(name)) {
                (Some(old), Some(new)) if old == new => {}
                (Some(_), Some(_)) => writeln!(wrong, "  {name} has changed")?,
                (None, _) => writeln!(wrong, "  {name} is new")?,
                (_, None) => writeln!(wrong, "  {name} is gone")?,
            }
        }
        if !wrong.is_empty() {
            bail!("the BPF object does not belong to its sources; `cargo xtask bpf` rebuilds it:\n{wrong}");
        }
        Ok(())
    }

    /// Was the object built with this toolchain? Only then does a fresh build give the same bytes.
    pub(crate) fn built_with(&self, toolchain: &Toolchain) -> bool {
        self.toolchain == toolchain.versions()
    }
}

/// All that goes into the object: sources, build settings and the crates it depends on.
pub(super) fn inputs(root: &Path) -> Result<Inputs> {
    let mut inputs = Inputs::new();
    let mut files = workspace::files_below(&root.join("tcplife-ebpf"))?;
    files.extend(workspace::files_below(&root.join("tcplife-common/src"))?);
    files.push(root.join("tcplife-common/Cargo.toml"));
    for file in files {
        let name = file.strip_prefix(root)?.to_string_lossy().into_owned();
        let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        inputs.insert(name, hash(&bytes));
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("reading Cargo.toml")?;
    inputs.insert("Cargo.toml [profile.release]".to_owned(), hash(profile(&manifest).as_bytes()));
    inputs.insert("command".to_owned(), format!("{} cargo {}", RUSTFLAGS.join(" "), BUILD.join(" ")));
    inputs.extend(dependencies(&workspace::metadata()?)?);
    Ok(inputs)
}

/// The part of the workspace's Cargo.toml that says how a release is compiled, without its comments.
fn profile(manifest: &str) -> String {
    let mut inside = false;
    let mut text = String::new();
    for line in manifest.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            inside = line.starts_with("[profile.release");
        }
        if inside {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Name and version of each crate from the registry that the kernel programs are built with.
fn dependencies(metadata: &Value) -> Result<Inputs> {
    let nodes = metadata["resolve"]["nodes"].as_array().context("cargo metadata names no crates")?;
    let edges: BTreeMap<&str, &Value> =
        nodes.iter().filter_map(|node| Some((node["id"].as_str()?, &node["deps"]))).collect();
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let start = packages.iter().find(|package| package["name"] == "tcplife-ebpf");
    let mut open: Vec<&str> = start.and_then(|package| package["id"].as_str()).into_iter().collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !reached.insert(id) {
            continue;
        }
        let deps = edges.get(id).and_then(|deps| deps.as_array()).into_iter().flatten();
        open.extend(deps.filter(|dep| is_built(dep)).filter_map(|dep| dep["pkg"].as_str()));
    }
    let from_registry = packages.iter().filter(|package| {
        package["id"].as_str().is_some_and(|id| reached.contains(id)) && !package["source"].is_null()
    });
    let mut found = Inputs::new();
    for package in from_registry {
        let (Some(name), Some(version)) = (package["name"].as_str(), package["version"].as_str()) else {
            bail!("cargo metadata names a crate without its version");
        };
        // Two versions of one crate can be needed.
        let versions = found.entry(format!("crate {name}")).or_default();
        if !versions.is_empty() {
            versions.push_str(", ");
        }
        versions.push_str(version);
    }
    Ok(found)
}

/// Does the crate at the end of this edge get into the object, by itself or by a macro? One that is for tests, for
/// build scripts or for another platform does not.
fn is_built(dep: &Value) -> bool {
    let kinds = dep["dep_kinds"].as_array().into_iter().flatten();
    kinds.into_iter().any(|kind| kind["kind"].is_null() && kind["target"].is_null())
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(inputs: &[(&str, &str)]) -> Manifest {
        let inputs = inputs.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect();
        Manifest { object: hash(b"object"), toolchain: Vec::new(), inputs }
    }

    #[test]
    fn what_has_changed_is_named() {
        let kept = manifest(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let now = manifest(&[("a", "1"), ("b", "2"), ("d", "1")]).inputs;
        assert!(kept.check(b"object", &kept.inputs).is_ok());
        let said = kept.check(b"other", &now).unwrap_err().to_string();
        for part in ["the object is not", "b has changed", "c is gone", "d is new"] {
            assert!(said.contains(part), "{part} is missing in {said}");
        }
        assert!(!said.contains("a has changed"));
    }

    #[test]
    fn only_the_release_profile_counts() {
        let text = "[package]\nname = 1\n[profile.release]\n# why\nlto = true\n\n[profile.dev]\nopt = 1\n[profile.release.package.x]\ndebug = 2\n";
        assert_eq!(profile(text), "[profile.release]\nlto = true\n[profile.release.package.x]\ndebug = 2\n");
    }

    #[test]
    fn dependencies_are_followed_but_not_those_of_tests() {
        let metadata = json!({
            "packages": [
                {"name": "tcplife-ebpf", "id": "e", "version": "1.0.0", "source": null},
                {"name": "aya", "id": "a", "version": "2.0.0", "source": "registry"},
                {"name": "syn", "id": "s", "version": "3.0.0", "source": "registry"},
                {"name": "proptest", "id": "p", "version": "4.0.0", "source": "registry"},
            ],
            "resolve": {"nodes": [
                {"id": "e", "deps": [
                    {"pkg": "a", "dep_kinds": [{"kind": null, "target": null}]},
                    {"pkg": "p", "dep_kinds": [{"kind": "dev", "target": null}]},
                ]},
                {"id": "a", "deps": [{"pkg": "s", "dep_kinds": [{"kind": null, "target": null}]}]},
                {"id": "s", "deps": []},
                {"id": "p", "deps": []},
            ]},
        });
        let found = dependencies(&metadata).unwrap();
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["crate aya", "crate syn"]);
        assert_eq!(found["crate aya"], "2.0.0");
    }
}
