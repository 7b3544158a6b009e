//! A real terminal: a tmux server of its own, with one program in its one pane.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::screen::Screen;
use crate::process;

/// Between two looks at the screen.
const STEP: Duration = Duration::from_millis(50);
/// Printed when the program has ended, so that what it said stays to be read.
const ENDED: &str = "ended with";
/// The name of the host in the picture: the machine's own is nobody's business.
const HOST: &str = "web-1";

/// A terminal in which a program runs; it ends with the scene whose directory has its socket.
pub(super) struct Terminal {
    socket: PathBuf,
    columns: u16,
    lines: u16,
}

impl Terminal {
    /// Runs a program in a new terminal.
    pub(super) fn run(socket: PathBuf, columns: u16, lines: u16, program: &Path, args: &str) -> Result<Self> {
        let terminal = Self { socket, columns, lines };
        let script = format!(
            "echo {HOST} >/proc/sys/kernel/hostname; '{}' {args}; echo {ENDED} $?; read -r _",
            program.display()
        );
        let mut tmux = terminal.tmux();
        tmux.args(["new-session", "-d", "-x", &columns.to_string(), "-y", &lines.to_string()]);
        tmux.args(["unshare", "--uts", "sh", "-c", &script]);
        process::output(&mut tmux)?;
        Ok(terminal)
    }

    /// tmux, away from the user's own and his settings.
    fn tmux(&self) -> Command {
        let mut tmux = process::as_root("env");
        tmux.args(["-u", "TMUX", "-u", "NO_COLOR", "LC_ALL=C.UTF-8", "TERM=xterm-256color"]);
        tmux.args(["tmux", "-f", "/dev/null", "-S"]).arg(&self.socket);
        tmux
    }

    /// What is on the screen.
    pub(super) fn screen(&self) -> Result<Screen> {
        let text = process::output(self.tmux().args(["capture-pane", "-e", "-N", "-p"]))?;
        Screen::read(&text, self.columns, self.lines)
    }

    /// Types a key, by tmux's name of it.
    pub(super) fn press(&self, key: &str) -> Result<()> {
        process::output(self.tmux().args(["send-keys", key])).map(drop)
    }

    /// Waits until the screen is as it should be, and returns it.
    pub(super) fn wait(
        &self,
        patience: Duration,
        what: &str,
        fits: impl Fn(&Screen) -> bool,
    ) -> Result<Screen> {
        let deadline = Instant::now() + patience;
        loop {
            let screen = self.screen()?;
            if fits(&screen) {
                return Ok(screen);
            }
            if screen.has(ENDED) {
                bail!("the program ended before there was {what}; the screen is\n{}", screen.text());
            }
            if Instant::now() > deadline {
                bail!("no {what} within {} s; the screen is\n{}", patience.as_secs(), screen.text());
            }
            thread::sleep(STEP);
        }
    }

    /// Ends the program by its key, and waits for its end.
    pub(super) fn quit(&self, patience: Duration) -> Result<()> {
        self.press("q")?;
        let is_over = |screen: &Screen| screen.has(&format!("{ENDED} 0"));
        self.wait(patience, "end of the program", is_over).map(drop).context("after the pictures were taken")
    }
}
