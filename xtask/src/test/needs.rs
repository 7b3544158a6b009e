//! What the tests need on this machine.

use anyhow::{Result, bail};

use crate::{packages, process};

/// A program, and Debian's package of it.
const PROGRAMS: [(&str, &str); 10] = [
    ("cc", "gcc"),
    ("curl", "curl"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nginx", "nginx-light"),
    ("python3", "python3"),
    ("tmux", "tmux"),
    ("busybox", "busybox-static"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("xz", "xz-utils"),
];

/// Installs what is missing; where that cannot be done it is named.
pub(super) fn install() -> Result<()> {
    if !process::is_root() {
        // Asks for the password now, not in the middle of the run.
        process::run(process::as_root("true").stdout(std::process::Stdio::null()))?;
    }
    for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !process::succeeds(process::cargo().args([tool, "--version"])) {
            process::run(std::process::Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| process::which(program).is_none()).collect();
    if missing.is_empty() {
        println!("everything that the tests need is there");
        return Ok(());
    }
    if !packages::has_apt() {
        let names: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
        bail!(
            "the tests need programs that are not here, and there is no apt to install them: {}",
            names.join(", ")
        );
    }
    let names: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages::install(&names)
}
