//! The system's packages: what is missing is installed by apt on Debian and its kin, and named elsewhere.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::process;

/// Is this a system whose packages apt installs?
pub(crate) fn has_apt() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let kin = |line: &str| {
        (line.starts_with("ID=") || line.starts_with("ID_LIKE="))
            && (line.contains("debian") || line.contains("ubuntu"))
    };
    release.lines().any(kin) && process::which("apt-get").is_some()
}

/// Installs those programs (each with Debian's package of it) that are missing; where that cannot be done they are
/// named. `what` needs them.
pub(crate) fn require(programs: &[(&str, &str)], what: &str) -> Result<()> {
    let missing: Vec<_> = programs.iter().filter(|(program, _)| process::which(program).is_none()).collect();
    if missing.is_empty() {
        println!("everything that {what} need is there");
        return Ok(());
    }
    if !has_apt() {
        let names: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
        bail!(
            "{what} need programs that are not here, and there is no apt to install them: {}",
            names.join(", ")
        );
    }
    let names: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    install(&names)
}

/// Installs packages by apt, through sudo when not root; nothing installed is ever removed for it.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if !process::is_root() && process::which("sudo").is_none() {
        bail!("installing {} needs root, and there is no sudo", packages.join(" "));
    }
    println!("installing {}", packages.join(" "));
    let apt = |args: &[&str]| {
        process::output(
            process::as_root("env").args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]).args(args),
        )
    };
    // A stale list is the usual reason for a package that cannot be had; another source that cannot be reached is
    // no reason to stop.
    if let Err(error) = apt(&["update"]) {
        println!("going on with the package lists there are: {error:#}");
    }
    let mut args = vec!["install", "-y", "--no-remove", "--no-install-recommends"];
    args.extend(packages);
    apt(&args).map(drop).with_context(|| format!("installing {}", packages.join(" ")))
}
