//! The programs of a case while it runs.

use std::{
    io::Write,
    path::Path,
    process::{Child, ChildStdin, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{deadline::until, feed::Feed, namespace::Namespace};

/// Longest wait for a program, many of which start at a time.
const PATIENCE: Duration = Duration::from_secs(30);
/// A program says so when the machine refuses what it needs.
const CANNOT: &str = "cannot: ";

/// A program of a case. It is killed with its [`Program`].
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    child: Child,
    input: ChildStdin,
    printed: Feed<String>,
}

/// The machine refused what a program needs.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl Program {
    /// Starts one in a namespace, in the folder of the programs.
    pub(crate) fn start(name: &str, command: &[String], netns: &Namespace, folder: &Path) -> Result<Self> {
        let (program, arguments) = command.split_first().context("no program")?;
        let mut child = netns
            .command(program)?
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{program} does not start"))?;
        let input = child.stdin.take().context("no standard input")?;
        let printed = Feed::new(child.stdout.take(), Ok)?;
        Ok(Self { name: name.to_owned(), child, input, printed })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has printed a line.
    pub(crate) fn says(&self, text: &str) -> Result<()> {
        let what = format!("{} says {text}", self.name);
        let refused = self.printed.wait_for(&what, PATIENCE, |lines: &[String]| {
            let refused = lines.iter().find_map(|line| line.strip_prefix(CANNOT));
            let said = lines.iter().any(|line| line == text);
            refused.map(|why| Some(why.to_owned())).or_else(|| said.then_some(None))
        })?;
        refused.map_or(Ok(()), |why| bail!(Refused(why)))
    }

    /// Gives it a line to read.
    pub(crate) fn tell(&mut self, text: &str) -> Result<()> {
        writeln!(self.input, "{text}").with_context(|| format!("{} is gone", self.name))
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn exits(&mut self) -> Result<()> {
        let child = &mut self.child;
        let status = until(&format!("the end of {}", self.name), PATIENCE, || Ok(child.try_wait()?))?;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nothing is left to do about a failure.
        let _ = self.kill();
    }
}
