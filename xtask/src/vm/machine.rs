//! A virtual machine: QEMU without KVM, since a gate often runs in a virtual machine itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::process;

/// Memory of a machine in MiB.
pub(super) const MEMORY: u64 = 1024;
/// How long a machine may run.
const LIMIT: Duration = Duration::from_mins(30);

/// Boots a kernel with an archive as its file system and waits until it turns itself off; returns what it wrote to its second
/// serial line. Its console is kept in the same directory.
pub(super) fn boot(kernel: &Path, archive: &Path, dir: &Path) -> Result<String> {
    let qemu = process::which("qemu-system-x86_64").context("there is no qemu (Debian's qemu-system-x86)")?;
    let (console, said) = (dir.join("console.log"), dir.join("said.log"));
    for file in [&console, &said] {
        fs::write(file, "").with_context(|| format!("writing {}", file.display()))?;
    }
    let serial = |file: &PathBuf| format!("file:{}", file.display());
    // A machine must not outlive us, however we end.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(qemu)
        .args(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", &MEMORY.to_string()])
        .args(["-nodefaults", "-display", "none", "-no-reboot"])
        .args(["-serial", &serial(&console), "-serial", &serial(&said)])
        .args(["-append", "console=ttyS0 panic=-1 loglevel=5 rdinit=/init"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(archive)
        .stdin(Stdio::null());
    let qemu = Running(command.spawn().context("starting qemu")?);
    let ended = qemu.wait();
    let said = String::from_utf8_lossy(&fs::read(&said)?).replace('\r', "");
    if let Err(error) = ended {
        bail!("{error:#}\n{}", last_lines(&console, 15));
    }
    if !said.lines().any(|line| line == "@end") {
        bail!("the machine stopped before its end:\n{}\n{}", last_lines(&console, 30), last(&said, 15));
    }
    Ok(said)
}

/// A QEMU that is ended when nobody waits for it any more.
struct Running(Child);

impl Running {
    /// Waits for its end.
    fn wait(mut self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.0.try_wait().context("waiting for qemu")? {
                if !status.success() {
                    bail!("qemu failed: {status}");
                }
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the machine did not end within {} s", LIMIT.as_secs());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is gone already when it ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The end of what is in a file.
fn last_lines(file: &Path, count: usize) -> String {
    let bytes = fs::read(file).unwrap_or_default();
    last(&String::from_utf8_lossy(&bytes), count)
}

fn last(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
