//! The programs that cargo builds: tcplife, the tests, and what the tests run.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{process, workspace};

/// How the programs are built.
#[derive(Default)]
pub(crate) struct Build {
    /// Leave out the tests.
    pub(crate) no_tests: bool,
    /// The packages; the whole workspace when there are none.
    pub(crate) packages: Vec<&'static str>,
    /// Arguments for cargo besides those that say what is built.
    pub(crate) args: Vec<&'static str>,
    /// Variables set for cargo.
    pub(crate) env: Vec<(&'static str, &'static str)>,
}

/// A program that was built.
pub(crate) struct Artifact {
    /// The package it is of.
    pub(crate) package: String,
    /// The directory of that package.
    pub(crate) dir: PathBuf,
    /// `lib`, `bin` or `test`.
    pub(crate) kind: String,
    /// The name of the target.
    pub(crate) name: String,
    /// Is it a test harness?
    pub(crate) is_test: bool,
    /// The program.
    pub(crate) path: PathBuf,
}

/// All programs of one build.
pub(crate) struct Artifacts {
    all: Vec<Artifact>,
}

impl Artifacts {
    /// Builds it all at once: with one set of features, so that no dependency is built twice.
    pub(crate) fn build(build: &Build) -> Result<Self> {
        let mut cargo = process::cargo();
        cargo
            .current_dir(workspace::root()?)
            .args(["build", "--lib", "--bins", "--locked"])
            .args(["--message-format", "json-render-diagnostics"])
            .args(&build.args)
            .envs(build.env.iter().copied())
            .stderr(Stdio::inherit());
        if !build.no_tests {
            cargo.arg("--tests");
        }
        if build.packages.is_empty() {
            cargo.arg("--workspace");
        }
        for package in &build.packages {
            cargo.args(["--package", package]);
        }
        let printed = process::output(&mut cargo)?;
        let messages = printed.lines().map(serde_json::from_str::<Value>);
        let mut all = Vec::new();
        for message in messages {
            all.extend(artifact(&message.context("reading what cargo build printed")?));
        }
        Ok(Self { all })
    }

    /// The test harnesses.
    pub(crate) fn tests(&self) -> impl Iterator<Item = &Artifact> {
        self.all.iter().filter(|artifact| artifact.is_test)
    }

    /// An ordinary program.
    pub(crate) fn program(&self, name: &str) -> Result<&Path> {
        let found = self.all.iter().find(|artifact| !artifact.is_test && artifact.name == name);
        Ok(&found.with_context(|| format!("cargo built no program {name}"))?.path)
    }
}

/// The program that a message of cargo is about, if it is about one.
fn artifact(message: &Value) -> Option<Artifact> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let manifest = PathBuf::from(message["manifest_path"].as_str()?);
    let dir = manifest.parent()?.to_path_buf();
    // `path+file:///…/dir#name@version`, or `…/name#version` where the directory has the package's name.
    let id = message["package_id"].as_str()?;
    let (location, fragment) = id.rsplit_once('#')?;
    let package =
        fragment.split_once('@').map_or_else(|| location.rsplit('/').next(), |(name, _)| Some(name))?;
    Some(Artifact {
        package: package.to_owned(),
        dir,
        kind: text(&message["target"]["kind"][0])?,
        name: text(&message["target"]["name"])?,
        is_test: message["profile"]["test"].as_bool()?,
        path: PathBuf::from(message["executable"].as_str()?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn programs_are_read_from_messages() {
        let mut message = json!({
            "reason": "compiler-artifact",
            "package_id": "path+file:///src/tcplife-user#tcplife@0.1.0",
            "manifest_path": "/src/tcplife-user/Cargo.toml",
            "target": {"kind": ["bin"], "name": "tcplife"},
            "profile": {"test": true},
            "executable": "/target/debug/deps/tcplife-1",
        });
        let found = artifact(&message).unwrap();
        assert_eq!(
            (found.package.as_str(), found.name.as_str(), found.is_test),
            ("tcplife", "tcplife", true)
        );
        assert_eq!(found.dir, Path::new("/src/tcplife-user"));
        message["package_id"] = json!("path+file:///src/xtask#0.1.0");
        assert_eq!(artifact(&message).unwrap().package, "xtask");
        message["executable"] = Value::Null;
        assert!(artifact(&message).is_none());
    }
}
