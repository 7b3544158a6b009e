//! Which crate may know which: common <- ebpf; common <- core <- the agent; and what each crate's root must say.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace;

/// What the crates that are meant to stay pure or small may depend on, besides what their tests use.
const ALLOWED: [(&str, &[&str]); 3] = [
    ("tcplife-common", &[]),
    ("tcplife-core", &["tcplife-common", "foldhash", "hashbrown", "hdrhistogram"]),
    ("tcplife-ebpf", &["tcplife-common", "aya-ebpf", "aya-log-ebpf"]),
];
/// Crates at the top: nothing may depend on them, and they may depend on anything, but for those that stand alone.
const TOPS: [&str; 3] = ["tcplife", "tcplife-tests", "xtask"];
/// Crates that run the binary, and may not know of what it is made.
const ALONE: [&str; 2] = ["tcplife-tests", "xtask"];
/// Crates without any unsafe code.
const SAFE: [&str; 4] = ["tcplife-common", "tcplife-core", "tcplife-tests", "xtask"];

/// Fails when a crate depends on one that it may not.
pub(super) fn check() -> Result<()> {
    let metadata = workspace::metadata()?;
    let mut wrong = Vec::new();
    for package in workspace::members(&metadata)? {
        let name = package["name"].as_str().unwrap_or_default();
        let allowed = ALLOWED.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, allowed)| *allowed);
        if allowed.is_none() && !TOPS.contains(&name) {
            wrong.push(format!("{name} is in no layer; xtask/src/ci/layers.rs names them"));
        }
        wrong.extend(
            forbidden(package, allowed).into_iter().map(|other| format!("{name} depends on {other}")),
        );
    }
    fail_if_any(&wrong, "the layers are broken")
}

/// The dependencies of a crate that it may not have; `None` as `allowed` means that all but the tops are, and ours for who stands
/// alone.
fn forbidden<'a>(package: &'a Value, allowed: Option<&[&str]>) -> Vec<&'a str> {
    let is_alone = package["name"].as_str().is_some_and(|name| ALONE.contains(&name));
    let is_ours = |name: &&str| TOPS.contains(name) || ALLOWED.iter().any(|(ours, _)| ours == name);
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    dependencies
        .filter(|dependency| dependency["kind"] != "dev")
        .filter_map(|dependency| dependency["name"].as_str())
        .filter(|name| {
            let is_refused = if is_alone { is_ours(name) } else { TOPS.contains(name) };
            is_refused || allowed.is_some_and(|allowed| !allowed.contains(name))
        })
        .collect()
}

/// Fails when a crate does not inherit the lint table, or a root of a safe one does not forbid unsafe code.
pub(super) fn roots() -> Result<()> {
    let metadata = workspace::metadata()?;
    let mut wrong = Vec::new();
    for package in workspace::members(&metadata)? {
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
        let text =
            fs::read_to_string(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
        if !text.contains("[lints]\nworkspace = true\n") {
            wrong.push(format!("{} does not inherit the workspace's lints", manifest.display()));
        }
        if package["name"].as_str().is_some_and(|name| SAFE.contains(&name)) {
            wrong.extend(unsafe_roots(package)?);
        }
    }
    fail_if_any(&wrong, "crate roots")
}

/// The roots of a crate's targets that do not forbid unsafe code.
fn unsafe_roots(package: &Value) -> Result<Vec<String>> {
    let targets = package["targets"].as_array().into_iter().flatten();
    let roots = targets.filter_map(|target| target["src_path"].as_str());
    let mut wrong = Vec::new();
    for root in roots {
        let text = fs::read_to_string(Path::new(root)).with_context(|| format!("reading {root}"))?;
        if !text.contains("#![forbid(unsafe_code)]") {
            wrong.push(format!("{root} does not forbid unsafe code"));
        }
    }
    Ok(wrong)
}

fn fail_if_any(wrong: &[String], what: &str) -> Result<()> {
    if !wrong.is_empty() {
        bail!("{what}:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_layer_may_not_know_is_named() {
        let package = json!({"dependencies": [
            {"name": "foldhash", "kind": null},
            {"name": "tokio", "kind": null},
            {"name": "cc", "kind": "build"},
            {"name": "proptest", "kind": "dev"},
        ]});
        assert_eq!(forbidden(&package, Some(&["foldhash"])), ["tokio", "cc"]);
        assert!(forbidden(&package, None).is_empty());
    }

    #[test]
    fn nothing_depends_on_a_top() {
        let package = json!({"dependencies": [{"name": "xtask", "kind": null}]});
        assert_eq!(forbidden(&package, None), ["xtask"]);
    }

    #[test]
    fn who_runs_the_binary_knows_nothing_of_its_parts() {
        let package = serde_json::json!({
            "name": "tcplife-tests",
            "dependencies": [{ "name": "tcplife-core", "kind": null }, { "name": "anyhow", "kind": null }],
        });
        assert_eq!(forbidden(&package, None), ["tcplife-core"]);
    }
}
