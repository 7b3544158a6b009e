//! What a virtual machine boots into: busybox, the programs under test, and a script that runs them.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{cpio::Archive, kernels::Kernel};
use crate::test::is_load;

/// The first process.
const INIT: &str = include_str!("guest.sh");
/// Directories of the file system, besides those of mounts that the script makes.
const DIRECTORIES: [&str; 9] = ["bin", "dev", "etc", "modules", "proc", "programs", "run", "sys", "tmp"];

/// What is run in the machine.
pub(super) enum Job {
    /// These tests, each in its own process.
    Tests(Vec<String>),
    /// A shell command.
    Command(String),
}

/// The programs that go into the machine; none needs a library.
pub(super) struct Programs {
    /// The shell and what it runs.
    pub(super) busybox: PathBuf,
    /// tcplife itself.
    pub(super) tcplife: PathBuf,
    /// The test harness, where tests are to be run.
    pub(super) test: Option<PathBuf>,
    /// The applications that tests play with.
    pub(super) actor: PathBuf,
}

/// Writes the archive that a kernel boots with.
pub(super) fn write(
    file: &Path,
    kernel: &Kernel,
    programs: &Programs,
    job: &Job,
    hooks: Option<&str>,
) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
    let mut archive = Archive::create(file).with_context(|| format!("writing {}", file.display()))?;
    for name in DIRECTORIES {
        archive.directory(name)?;
    }
    // The kernel opens the console before there is a /dev.
    archive.device("dev/console", (5, 1))?;
    archive.file("init", 0o755, INIT.as_bytes())?;
    archive.file("bin/busybox", 0o755, &read(&programs.busybox)?)?;
    archive.file("bin/tcplife", 0o755, &read(&programs.tcplife)?)?;
    archive.file("programs/actor", 0o755, &read(&programs.actor)?)?;
    if let Some(test) = &programs.test {
        archive.file("programs/test", 0o755, &read(test)?)?;
    }
    archive.file("environment", 0o644, environment(hooks).as_bytes())?;
    for (number, module) in kernel.modules.iter().enumerate() {
        archive.file(&format!("modules/{number}.ko"), 0o644, &read(module)?)?;
    }
    match job {
        Job::Tests(names) => {
            let (alone, beside): (Vec<&str>, Vec<&str>) =
                names.iter().map(String::as_str).partition(|name| is_load(name));
            for (file, names) in [("tests", beside), ("alone", alone)] {
                archive.file(file, 0o644, names.join("\n").as_bytes())?;
            }
        }
        Job::Command(command) => archive.file("command", 0o644, command.as_bytes())?,
    }
    archive.finish().with_context(|| format!("writing {}", file.display()))
}

/// What tests need to know: how many seconds one may take, how many run at once, by how much deadlines are stretched.
fn environment(hooks: Option<&str>) -> String {
    let variables = [
        ("TCPLIFE_TEST_HOOKS", hooks.unwrap_or_default()),
        ("TEST_LIMIT", "300"),
        ("TEST_JOBS", "2"),
        ("TCPLIFE_BIN", "/bin/tcplife"),
        ("TCPLIFE_TEST_ACTOR", "/programs/actor"),
        ("TCPLIFE_TEST_SLOW", "4"),
        ("TCPLIFE_TEST_VM", "1"),
        ("RUST_LIB_BACKTRACE", "0"),
    ];
    variables.iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "export {name}={value}");
        text
    })
}
