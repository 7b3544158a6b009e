//! What the tests need on this machine.

use anyhow::Result;

use crate::{packages, process};

/// A program, or a file by its path, and Debian's package of it.
const PROGRAMS: [(&str, &str); 16] = [
    ("cc", "gcc"),
    ("curl", "curl"),
    ("go", "golang-go"),
    ("ip", "iproute2"),
    ("jq", "jq"),
    ("nft", "nftables"),
    ("nginx", "nginx-light"),
    ("node", "nodejs"),
    ("python3", "python3"),
    ("/usr/bin/python3", "python3"),
    ("/usr/lib/python3/dist-packages/urllib3/__init__.py", "python3-urllib3"),
    ("pip3", "python3-pip"),
    ("script", "bsdutils"),
    ("tmux", "tmux"),
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
    packages::require(&PROGRAMS, "the tests")
}
