//! What a test run may leave behind, and must not: processes, network namespaces, mounts, pinned kernel objects and
//! temporary files.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{process as run, workspace};

/// A variable that everything started by this run has in its environment.
const MARK: &str = "TCPLIFE_TEST_RUN";
/// How long the last processes of a run may take to go.
const PATIENCE: Duration = Duration::from_secs(10);
/// Kinds of mounts that tests could make; others come and go on a machine in use.
const MOUNTS: [&str; 5] = ["nsfs", "bpf", "tracefs", "debugfs", "cgroup2"];

/// What was there before the run, and what belongs to the run.
pub(super) struct Leftovers {
    mark: String,
    temporary: PathBuf,
    before: BTreeSet<String>,
}

impl Leftovers {
    /// Looks at what is there, and makes a directory for the run's temporary files.
    pub(super) fn before() -> Result<Self> {
        let mark = process::id().to_string();
        let all = workspace::target()?.join("test-tmp");
        let temporary = all.join(&mark);
        // What a run that was ended left there; that of one that still goes on stays.
        let is_over = |run: &String| *run == mark || !Path::new("/proc").join(run).exists();
        for run in names_in(&all).filter(is_over) {
            remove(&all.join(run))?;
        }
        fs::create_dir_all(&temporary).with_context(|| format!("making {}", temporary.display()))?;
        Ok(Self { mark, temporary, before: kept_by_the_system()? })
    }

    /// What the programs of this run have in their environment.
    pub(super) fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![(MARK, self.mark.clone().into()), ("TMPDIR", self.temporary.clone().into())]
    }

    /// Fails when something of this run is still there.
    pub(super) fn check(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut processes = self.processes()?;
        while !processes.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(100));
            processes = self.processes()?;
        }
        let mut left: Vec<String> = processes;
        left.extend(kept_by_the_system()?.difference(&self.before).cloned());
        left.extend(names_in(&self.temporary).map(|name| format!("temporary file {name}")));
        remove(&self.temporary)?;
        if !left.is_empty() {
            bail!("the tests left something behind:\n  {}", left.join("\n  "));
        }
        println!("no process, network namespace, mount, pinned kernel object or temporary file is left");
        Ok(())
    }

    /// The processes of this run that still are there; as root, since others' environment cannot be read.
    fn processes(&self) -> Result<Vec<String>> {
        let pattern = format!("{MARK}={}", self.mark);
        // grep's status is 1 when it finds nothing and 2 when a process went away meanwhile.
        let script = "grep -lzxF -- \"$1\" /proc/[0-9]*/environ 2>/dev/null || true";
        let found = run::output(run::as_root("sh").args(["-c", script, "sh", &pattern]))?;
        let pids = found.lines().filter_map(|file| Path::new(file).parent()?.file_name()?.to_str());
        Ok(pids.map(described).collect())
    }
}

/// A process by its number and what it was started as.
fn described(pid: &str) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    format!("process {pid}: {}", line.trim_end())
}

/// What outlives the process that made it: named network namespaces, mounts and pinned kernel objects.
fn kept_by_the_system() -> Result<BTreeSet<String>> {
    let mut kept: BTreeSet<String> =
        names_in(Path::new("/run/netns")).map(|name| format!("network namespace {name}")).collect();
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading the mounts")?;
    for mount in mounts.lines() {
        let mut words = mount.split(' ').skip(1);
        if let (Some(place), Some(kind)) = (words.next(), words.next())
            && MOUNTS.contains(&kind)
        {
            kept.insert(format!("mount of {kind} on {place}"));
        }
    }
    let pins =
        run::output(run::as_root("sh").args(["-c", "find /sys/fs/bpf -mindepth 1 2>/dev/null || true"]))?;
    kept.extend(pins.lines().map(|pin| format!("pinned kernel object {pin}")));
    Ok(kept)
}

/// Removes what tests made, as root, since some run as root.
fn remove(dir: &Path) -> Result<()> {
    run::run(run::as_root("rm").arg("-rf").arg(dir))
}

/// The names of what is in a directory; none when there is no such directory.
fn names_in(dir: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}
