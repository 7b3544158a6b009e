//! Running the tests' programs and counting what they say.

use std::{ffi::OsString, fs, process::Command};

use anyhow::{Context, Result, ensure};

use super::{
    artifacts::{Artifact, Artifacts},
    count::Count,
    leftovers::Leftovers,
};
use crate::{
    bpf::{self, Toolchain},
    process, workspace,
};

/// The package of the tests that cross crates.
const TESTS: &str = "tcplife-tests";
/// Parts of the names of live tests that make a load.
const LOADS: [&str; 6] =
    ["chaos::", "churn::", "under_load", "resync::", "short_server_connections", "thousands_to_the_end"];

/// Whether a live test makes a load.
pub(crate) fn is_load(name: &str) -> bool {
    LOADS.iter().any(|load| name.contains(load))
}

/// How long one test program may run: many times what the slowest takes.
const LIMIT: &str = "1200";

/// The programs of one build, and the environment they run in.
pub(super) struct Programs<'a> {
    artifacts: &'a Artifacts,
    env: Vec<(&'static str, OsString)>,
}

impl<'a> Programs<'a> {
    /// The programs of a build; what they leave behind can be recognised by their environment.
    pub(super) fn new(artifacts: &'a Artifacts, leftovers: &Leftovers) -> Result<Self> {
        let mut env = leftovers.environment();
        env.push(("TCPLIFE_BIN", artifacts.program("tcplife")?.into()));
        // For a panic, not for every error that a test returns.
        env.push(("RUST_BACKTRACE", "1".into()));
        env.push(("RUST_LIB_BACKTRACE", "0".into()));
        Ok(Self { artifacts, env })
    }

    /// Tests within a crate, and the examples in the documentation.
    pub(super) fn unit(&self) -> Result<Count> {
        let mut count = Count::default();
        for test in self.artifacts.tests().filter(|test| test.package != TESTS || test.kind != "test") {
            count += self.run(test, Rights::User, &[], &[])?;
        }
        let args = ["test", "--doc", "--workspace", "--locked", "--no-fail-fast", "--quiet"];
        count += counted(process::cargo().current_dir(workspace::root()?).args(args))?;
        Ok(count)
    }

    /// Tests of the command line: all of the package that have no stage of their own.
    pub(super) fn cli(&self) -> Result<Count> {
        self.crossing(|name| !["live", "corpus", "tui"].contains(&name), &[], &[])
    }

    /// Tests on the running kernel.
    pub(super) fn live(&self) -> Result<Count> {
        self.live_with(&[])
    }

    /// The tests that make a load have the machine to themselves: beside others they measure the others.
    fn live_with(&self, more: &[(&'static str, OsString)]) -> Result<Count> {
        let skip: Vec<&str> = LOADS.iter().flat_map(|load| ["--skip", load]).collect();
        let alone: Vec<&str> = LOADS.iter().copied().chain(["--test-threads=1"]).collect();
        let mut count = self.crossing(|name| name == "live", more, &skip)?;
        count += self.crossing(|name| name == "live", more, &alone)?;
        Ok(count)
    }

    /// Programs that leak sockets, and programs that do not.
    pub(super) fn corpus(&self) -> Result<Count> {
        self.crossing(|name| name == "corpus", &[], &[])
    }

    /// Tests of the screen in a real terminal.
    pub(super) fn tui(&self) -> Result<Count> {
        self.crossing(|name| name == "tui", &[], &[])
    }

    /// The kernel object, built anew: the very bytes that the repository has, or else the live tests hold for it too.
    pub(super) fn fresh(&self) -> Result<Count> {
        let passed = Count { passed: 1, ..Count::default() };
        let toolchain = match Toolchain::find() {
            Some(found) => found,
            None if std::env::var_os("CI").is_some() => Toolchain::find_or_install()?,
            None => {
                println!("left out: no toolchain for kernel programs here (`cargo xtask bpf` sets one up)");
                return Ok(Count { left_out: 1, ..Count::default() });
            }
        };
        let object = bpf::build(&toolchain)?;
        let fresh = fs::read(&object).with_context(|| format!("reading {}", object.display()))?;
        if fresh == bpf::kept()? {
            println!("a fresh build gives the bytes that the repository has, which the live tests ran with");
            return Ok(passed);
        }
        ensure!(
            !bpf::kept_manifest()?.built_with(&toolchain),
            "a fresh build with the same toolchain gives another object than the repository has"
        );
        println!("built with {}: other bytes than the repository has", toolchain.versions().join(", "));
        self.live_with(&[("TCPLIFE_BPF_OBJECT", object.into())])
    }

    /// Runs those tests of the package that cross crates whose names fit; there must be some.
    fn crossing(
        &self,
        fits: fn(&str) -> bool,
        more: &[(&'static str, OsString)],
        args: &[&str],
    ) -> Result<Count> {
        let mut count = Count::default();
        let mut found = false;
        for test in self.artifacts.tests().filter(|test| test.package == TESTS && test.kind == "test") {
            if fits(&test.name) {
                found = true;
                count += self.run(test, Rights::Root, more, args)?;
            }
        }
        ensure!(found, "there is no such test program");
        Ok(count)
    }

    /// Runs one test program and counts its tests.
    fn run(
        &self,
        test: &Artifact,
        rights: Rights,
        more: &[(&'static str, OsString)],
        args: &[&str],
    ) -> Result<Count> {
        println!("--- {} {} {}", test.package, test.kind, test.name);
        let env = self.env.iter().chain(more);
        let mut command = rights.command(env.map(|(name, value)| (*name, value)));
        // timeout has a process group of its own, which Ctrl-C in a terminal does not reach: it ends when we do, or when sudo
        // does that started it.
        command.args(["setpriv", "--pdeathsig", "TERM"]);
        command.args(["timeout", "--kill-after=10", LIMIT]).arg(&test.path).args(args);
        command.current_dir(&test.dir).env("CARGO_MANIFEST_DIR", &test.dir);
        counted(&mut command)
    }
}

/// Who a test program runs as.
#[derive(Clone, Copy)]
enum Rights {
    /// Whoever runs this.
    User,
    Root,
}

impl Rights {
    /// `env NAME=VALUE…`, through sudo when that is needed; sudo passes no variables on by itself.
    fn command<'v>(self, env: impl Iterator<Item = (&'static str, &'v OsString)>) -> Command {
        let mut command = match self {
            Self::User => Command::new("env"),
            Self::Root => process::as_root("env"),
        };
        // A run that a terminal does not end, or that nohup started, has signals that its programs would ignore too.
        command.arg("--default-signal");
        for (name, value) in env {
            let mut assignment = OsString::from(name);
            assignment.push("=");
            assignment.push(value);
            command.arg(assignment);
        }
        command
    }
}

/// Runs a command that prints what Rust's test harness prints. One that fails without saying that a test did has
/// crashed, or ran out of time: that is a failure too.
fn counted(command: &mut Command) -> Result<Count> {
    let mut count = Count::default();
    let status = process::stream(command, |line| count.read(line))?;
    if !status.success() && count.failed == 0 {
        println!("failed without a test that failed: {status}");
        count.failed += 1;
    }
    Ok(count)
}
