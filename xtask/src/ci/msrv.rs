//! The oldest Rust that builds tcplife: the one that the workspace states.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{process, workspace};

/// A version of Rust: major, minor, patch.
type Version = (u32, u32, u32);

/// Fails when a dependency needs a newer Rust than the workspace states, or the Rust in use is older than that.
pub(super) fn check() -> Result<()> {
    let metadata = workspace::metadata()?;
    let members = workspace::members(&metadata)?;
    let stated = members.first().and_then(|package| rust_version(package));
    let stated = stated.context("the workspace states no rust-version")?;
    if let Some(other) = members.iter().find(|package| rust_version(package) != Some(stated)) {
        bail!("{} states another rust-version than the rest of the workspace", other["name"]);
    }
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let newer: Vec<String> = packages
        .filter(|package| rust_version(package).is_some_and(|needed| needed > stated))
        .map(|package| {
            format!("{} {} needs {}", package["name"], package["version"], package["rust_version"])
        })
        .collect();
    if !newer.is_empty() {
        bail!("dependencies need a newer Rust than the workspace states:\n  {}", newer.join("\n  "));
    }
    let rustc = process::output(process::rustc().arg("--version"))?;
    let in_use = rustc.split(' ').nth(1).and_then(parse).context("rustc says no version")?;
    if in_use < stated {
        bail!("this Rust is older than the workspace states: {}", rustc.trim());
    }
    Ok(())
}

fn rust_version(package: &Value) -> Option<Version> {
    parse(package["rust_version"].as_str()?)
}

/// `1.95`, `1.95.0`, `1.97.0-nightly`.
fn parse(text: &str) -> Option<Version> {
    let text = text.split('-').next()?;
    let mut parts = text.split('.').map(|part| part.trim().parse::<u32>());
    let major = parts.next()?.ok()?;
    let mut rest = || parts.next().map_or(Some(0), Result::ok);
    Some((major, rest()?, rest()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse("1.95"), Some((1, 95, 0)));
        assert_eq!(parse("1.97.0-nightly"), Some((1, 97, 0)));
        assert!(parse("1.100") > parse("1.95.1"));
        assert_eq!(parse("new"), None);
        assert_eq!(parse("1.x"), None);
    }
}
