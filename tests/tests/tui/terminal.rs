//! A real terminal: a tmux server of its own, with one pane in which a shell runs one command.

use std::{
    env, fs,
    path::PathBuf,
    process::{self, Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tcplife_tests::deadline::{PATIENCE, until};

/// A terminal with a command in it. Both are gone when it is dropped, also when the test panics, and a second after this
/// process was killed.
#[derive(Debug)]
pub struct Terminal {
    /// Where the shell notes what a test has to know, and where the tmux server's own socket is.
    notes: PathBuf,
}

impl Terminal {
    /// Runs `command` in a terminal of `size` (columns, lines).
    pub fn run(size: (u16, u16), command: &str) -> Result<Self> {
        Self::run_for(process::id(), size, command)
    }

    /// As [`Terminal::run`], for as long as there is a process `owner`.
    fn run_for(owner: u32, size: (u16, u16), command: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let notes = env::temp_dir().join(format!("tcplife-test-{}-{number}", process::id()));
        fs::create_dir(&notes).with_context(|| format!("cannot make {}", notes.display()))?;
        let terminal = Self { notes };
        // Nothing of it depends on the shell's own settings; `exec` keeps the process id that was noted.
        let script = terminal.note("script");
        // The server is no child of ours: what kills this process does not kill it. `$TMUX` is socket,server,session.
        let text = format!(
            "cd '{0}' || exit\nserver=${{TMUX#*,}}\n\
             (while kill -0 {owner}; do sleep 1; done; rm -r '{0}'; kill \"${{server%,*}}\") 2>/dev/null &\n\
             stty -g >before\necho 'a line from before'\n\
             sh -c 'echo $$ >pid; exec \"$@\"' sh {command}\necho \"ended with $?\"\nstty -g >after\nexec sleep 600\n",
            terminal.notes.display()
        );
        fs::write(&script, text)?;
        let (columns, lines) = (size.0.to_string(), size.1.to_string());
        terminal.tmux(&[
            // Copies that programs ask for go to the server's buffer.
            "set-option",
            "-s",
            "set-clipboard",
            "on",
            ";",
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &lines,
            "sh",
            &script.to_string_lossy(),
        ])?;
        Ok(terminal)
    }

    fn note(&self, name: &str) -> PathBuf {
        self.notes.join(name)
    }

    fn call(&self, arguments: &[&str]) -> Result<Output> {
        Command::new("tmux")
            .arg("-S")
            .arg(self.note("tmux"))
            .args(["-f", "/dev/null"])
            .args(arguments)
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .context("tmux does not run (apt-get install tmux)")
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let output = self.call(arguments)?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tmux {}: {error}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What the terminal shows.
    pub fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Types keys, by tmux's names: `j`, `Enter`, `C-c`.
    pub fn press(&self, keys: &[&str]) -> Result<()> {
        self.tmux(&[&["send-keys"], keys].concat()).map(drop)
    }

    /// Gives the terminal another size.
    pub fn resize(&self, columns: u16, lines: u16) -> Result<()> {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]).map(drop)
    }

    fn within<T>(
        &self,
        patience: Duration,
        what: &str,
        mut probe: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let mut last = String::new();
        until(what, patience, || {
            last = self.screen()?;
            Ok(probe(&last))
        })
        .with_context(|| format!("the screen is\n{last}"))
    }

    /// Waits until `probe` finds something on the screen.
    pub fn wait_for<T>(&self, what: &str, probe: impl FnMut(&str) -> Option<T>) -> Result<T> {
        self.within(PATIENCE, what, probe)
    }

    /// Waits until the screen shows a text for the first time: the command has to start, beside other tests.
    pub fn shows_after_start(&self, text: &str) -> Result<()> {
        self.within(PATIENCE * 3, &format!("{text:?} on the screen"), |screen| {
            screen.contains(text).then_some(())
        })
    }

    /// Waits until the screen shows a text.
    pub fn shows(&self, text: &str) -> Result<()> {
        self.wait_for(&format!("{text:?} on the screen"), |screen| screen.contains(text).then_some(()))
    }

    /// Waits until the screen does not show a text any more.
    pub fn hides(&self, text: &str) -> Result<()> {
        self.wait_for(&format!("no {text:?} on the screen"), |screen| (!screen.contains(text)).then_some(()))
    }

    /// A line of the screen that has all of the texts.
    pub fn line(&self, texts: &[&str]) -> Result<String> {
        self.wait_for(&format!("a line with {texts:?}"), |screen| {
            screen.lines().find(|line| texts.iter().all(|text| line.contains(text))).map(str::to_owned)
        })
    }

    /// Waits until the terminal was given a text to copy (OSC 52) that has `part` in it.
    pub fn has_copied(&self, part: &str) -> Result<()> {
        until(&format!("{part:?} in the terminal's buffer"), PATIENCE, || {
            // There is no buffer before the first copy.
            let buffer = self.call(&["show-buffer"])?;
            Ok(String::from_utf8_lossy(&buffer.stdout).contains(part).then_some(()))
        })
    }

    /// The process of the command, while there is one.
    pub fn process(&self) -> Option<Pid> {
        let pid: i32 = fs::read_to_string(self.note("pid")).ok()?.trim().parse().ok()?;
        // The number may be another's by now.
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        Pid::from_raw(pid).filter(|_| arguments.split('\0').any(|word| word == "watch"))
    }

    /// Sends the command a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.process().context("the command is gone")?, signal)?;
        Ok(())
    }

    /// Takes the terminal away and waits for the command to end by itself.
    pub fn vanish(&self) -> Result<()> {
        ensure!(self.process().is_some(), "the command is gone already");
        self.tmux(&["kill-server"])?;
        until("the end of the command", PATIENCE, || Ok(self.process().is_none().then_some(())))
    }

    /// Whether the terminal is on its second screen, reports the mouse, shows its cursor.
    fn modes(&self) -> Result<String> {
        let modes = "#{alternate_on} #{mouse_any_flag} #{cursor_flag}";
        Ok(self.tmux(&["display-message", "-p", modes])?.trim().to_owned())
    }

    /// The command has the terminal for itself.
    pub fn is_taken(&self) -> Result<()> {
        let modes = self.modes()?;
        ensure!(modes.starts_with("1 1"), "the screen is not taken over: {modes}");
        Ok(())
    }

    /// The command ended with `status`, and the terminal is as it was before.
    pub fn is_given_back(&self, status: u8) -> Result<()> {
        self.shows(&format!("ended with {status}"))?;
        let settings = |name| {
            until(name, PATIENCE, || Ok(fs::read_to_string(self.note(name)).ok().filter(|t| !t.is_empty())))
        };
        let (before, after) = (settings("before")?, settings("after")?);
        ensure!(before == after, "the terminal's settings were\n{before}\nand are\n{after}");
        let modes = self.modes()?;
        ensure!(modes == "0 0 1", "the screen, the mouse or the cursor are not given back: {modes}");
        let screen = self.screen()?;
        ensure!(screen.contains("a line from before"), "what was there before is gone:\n{screen}");
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // What fails here was gone already.
        let _ = self.call(&["kill-server"]);
        let _ = self.signal(Signal::KILL);
        let _ = fs::remove_dir_all(&self.notes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_the_process_that_it_is_for() -> Result<()> {
        let mut owner = Command::new("sleep").arg("600").spawn()?;
        let terminal = Terminal::run_for(owner.id(), (80, 24), "sleep 600");
        let started = terminal.and_then(|terminal| terminal.shows("a line from before").map(|()| terminal));
        owner.kill()?;
        owner.wait()?;
        let terminal = started?;
        until("the end of the terminal", PATIENCE, || {
            let is_over = !terminal.notes.exists() && !terminal.call(&["list-sessions"])?.status.success();
            Ok(is_over.then_some(()))
        })
    }
}
