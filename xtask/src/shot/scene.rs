//! What the picture shows: a server and its clients, real programs in namespaces of their own.
//!
//! All of it hangs on one pipe: when this process closes it, or goes, the scene's first process ends, and the kernel
//! ends with it whatever was started there.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::process;

/// What the scene is made of, by the names that its parts call each other.
const FILES: [(&str, &str); 5] = [
    ("world.sh", include_str!("scene/world.sh")),
    ("server.sh", include_str!("scene/server.sh")),
    ("nginx.conf", include_str!("scene/nginx.conf")),
    ("leak.py", include_str!("scene/leak.py")),
    ("idle.py", include_str!("scene/idle.py")),
];
/// How long the scene may take to come up; its own scripts give up after less.
const RISE: Duration = Duration::from_secs(40);
/// How long it may take to go.
const FALL: Duration = Duration::from_secs(10);

/// A scene; it is gone, with the terminal in its directory, when this is dropped.
pub(super) struct Scene {
    dir: PathBuf,
    world: Child,
    netns: u64,
}

impl Scene {
    /// Starts the server and the world around it, still without traffic.
    pub(super) fn raise() -> Result<Self> {
        let dir = env::temp_dir().join(format!("tcplife-shot-{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let world = start(&dir).inspect_err(|_| remove(&dir))?;
        let mut scene = Self { dir, world, netns: 0 };
        scene.netns = scene.said(RISE)?.parse().context("the scene names no network namespace")?;
        Ok(scene)
    }

    /// The first line that the world prints.
    fn said(&mut self, patience: Duration) -> Result<String> {
        let stdout = self.world.stdout.take().context("a child without stdout")?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            // Nobody is there to hear it when the scene was given up.
            let _ = sender.send(read.map(|_| line));
        });
        let line = receiver.recv_timeout(patience).context("the scene did not come up in time")??;
        if line.is_empty() {
            bail!("the scene did not come up");
        }
        Ok(line.trim().to_owned())
    }

    /// The inode of the server's network namespace.
    pub(super) const fn netns(&self) -> u64 {
        self.netns
    }

    /// Where the terminal's socket belongs.
    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("tmux")
    }

    /// Lets the clients begin.
    pub(super) fn begin(&self) -> Result<()> {
        let mut stdin: &ChildStdin = self.world.stdin.as_ref().context("the scene has ended")?;
        stdin.write_all(b"begin\n").context("the scene has ended")
    }

    /// Ends all of it, and fails when something is left.
    pub(super) fn end(mut self) -> Result<()> {
        self.strike()
    }

    fn strike(&mut self) -> Result<()> {
        drop(self.world.stdin.take());
        let deadline = Instant::now() + FALL;
        while self.world.try_wait().context("waiting for the end of the scene")?.is_none() {
            if Instant::now() > deadline {
                // With it goes the first process of the namespace.
                self.world.kill().context("ending the scene")?;
                self.world.wait().context("waiting for the end of the scene")?;
            }
            thread::sleep(Duration::from_millis(20));
        }
        if self.dir.exists() {
            remove(&self.dir);
            bail!("the scene left {} behind", self.dir.display());
        }
        Ok(())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // The error that led here says more.
        let _ = self.strike();
    }
}

/// Writes the scene's files and starts its first process.
fn start(dir: &Path) -> Result<Child> {
    for (name, text) in FILES {
        fs::write(dir.join(name), text).with_context(|| format!("writing {name}"))?;
    }
    process::as_root("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "sh"])
        .arg(dir.join("world.sh"))
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting unshare")
}

/// Removes what the scene would have removed; root may own some of it.
fn remove(dir: &Path) {
    process::succeeds(process::as_root("rm").arg("-rf").arg(dir));
}
