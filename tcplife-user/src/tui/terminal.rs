//! The terminal, taken over and given back.
//!
//! What comes in: what to draw. What goes out: a full screen in raw mode, with the mouse and with pastes told apart
//! from keys. What always holds: however the screen ends - dropped at the end or on an error, or by a panic in any
//! thread - the terminal is given back once, before anything else is written to it.

use std::{
    io::{self, Stdout, Write},
    mem, panic, ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor, event, execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
    layout::{Rect, Size},
};
use rustix::process::{Signal, kill_current_process_group};

/// Whether the terminal is ours at the moment. There is one terminal, and a panic hook has no owner to ask.
static TAKEN: AtomicBool = AtomicBool::new(false);

type Hook = dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync;

/// The terminal while it is ours.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    hook_before: Arc<Hook>,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// The terminal cannot do what is needed; it is left as it was.
    pub fn open() -> io::Result<Self> {
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let hook_before: Arc<Hook> = panic::take_hook().into();
        let hook = Arc::clone(&hook_before);
        panic::set_hook(Box::new(move |info| {
            give_back();
            hook(info);
        }));
        // From here on, dropping it gives back whatever was taken.
        let mut screen = Self { terminal, hook_before };
        screen.take()?;
        Ok(screen)
    }

    fn take(&mut self) -> io::Result<()> {
        TAKEN.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        execute!(
            io::stdout(),
            EnterAlternateScreen,
            event::EnableMouseCapture,
            event::EnableBracketedPaste,
            cursor::Hide
        )?;
        // Clears and draws all anew. `Terminal::clear` would ask the terminal where its cursor is and wait for an
        // answer that our own reader of the input may swallow.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::new(0, 0, size.width, size.height))
    }

    /// How large the terminal is now.
    ///
    /// # Errors
    /// The terminal cannot tell.
    pub fn size(&self) -> io::Result<Size> {
        self.terminal.size()
    }

    /// Takes the terminal over once more, after the process was stopped and continued.
    ///
    /// # Errors
    /// As [`Screen::open`].
    pub fn retake(&mut self) -> io::Result<()> {
        disable_raw_mode()?;
        self.take()
    }

    /// Gives the terminal back, stops the process, and takes the terminal over again when the process goes on.
    ///
    /// # Errors
    /// As [`Screen::open`].
    pub fn stop(&mut self) -> io::Result<()> {
        give_back();
        stop_process()?;
        self.take()
    }

    /// Asks the terminal to copy a text (OSC 52); one that cannot does nothing.
    ///
    /// # Errors
    /// Writing to the terminal failed.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        let out = self.terminal.backend_mut();
        write!(out, "\x1b]52;c;{}\x07", BASE64.encode(text))?;
        Write::flush(out)
    }

    /// Draws, unless a panic has given the terminal back already.
    ///
    /// # Errors
    /// Writing to the terminal failed.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if TAKEN.load(Ordering::SeqCst) {
            self.terminal.draw(draw)?;
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
        // A panicking thread may not change the hook, and has no use for it.
        if !std::thread::panicking() {
            let hook = Arc::clone(&self.hook_before);
            panic::set_hook(Box::new(move |info| hook(info)));
        }
    }
}

/// Gives the terminal back, the first time it is called. What fails is of no use to anyone: the terminal is gone.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(
            io::stdout(),
            event::DisableBracketedPaste,
            event::DisableMouseCapture,
            LeaveAlternateScreen,
            cursor::Show
        );
        let _ = disable_raw_mode();
    }
}

/// Asks every process of our group to stop, as the terminal does for Ctrl-Z when it is not in raw mode: a script or a
/// pipeline that we are part of stops as a whole.
///
/// # Errors
/// No process could be asked.
pub fn stop_group() -> io::Result<()> {
    Ok(kill_current_process_group(Signal::TSTP)?)
}

/// Stops this process as if nobody listened to SIGTSTP, until it is continued. Where no shell could continue it, the
/// kernel stops nothing (`is_current_pgrp_orphaned` in `get_signal`), and unlike SIGSTOP it hangs no session.
fn stop_process() -> io::Result<()> {
    let done = |result| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: all zeroes is a sigaction, that of SIG_DFL; the pointers are of values that live here; what is put back is
    // what the kernel gave.
    unsafe {
        let default: libc::sigaction = mem::zeroed();
        let mut ours: libc::sigaction = mem::zeroed();
        done(libc::sigaction(libc::SIGTSTP, &raw const default, &raw mut ours))?;
        let stopped = done(libc::raise(libc::SIGTSTP));
        done(libc::sigaction(libc::SIGTSTP, &raw const ours, ptr::null_mut()))?;
        stopped
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    const ENTER: &str = "\x1b[?1049h";
    const LEAVE: &str = "\x1b[?1049l";
    /// A paste comes in brackets; it comes as if it was typed.
    const BRACKETS: (&str, &str) = ("\x1b[?2004h", "\x1b[?2004l");

    /// Runs one of the tests below in a pseudo-terminal, with the terminal's settings before and after it.
    fn in_a_terminal(test: &str) -> String {
        in_a_terminal_of("{run}", test)
    }

    /// The same, with what a shell does about it.
    fn in_a_terminal_of(script: &str, test: &str) -> String {
        let this = std::env::current_exe().unwrap();
        let run = format!("'{}' --ignored --nocapture --exact tui::terminal::tests::{test}", this.display());
        let run = script.replace("{run}", &run);
        let output = Command::new("script")
            .env("SHELL", "/bin/sh")
            .args(["--quiet", "--return", "--command"])
            .arg(format!("stty rows 24 cols 80; stty -a; {run}; stty -a"))
            .arg("/dev/null")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The terminal was ours, has been given back once and as it was, and before the message.
    fn was_given_back(output: &str, message: &str) {
        let settings: Vec<&str> = output.lines().filter(|line| line.contains("icanon")).collect();
        assert_eq!(settings.len(), 2, "{output}");
        assert_eq!(settings[0], settings[1]);
        assert!(output.contains(ENTER), "{output}");
        let (before, after) = output.split_once(LEAVE).unwrap();
        assert!(before.contains(BRACKETS.0) && before.contains(BRACKETS.1), "{output}");
        assert!(!before.contains(message), "told on the screen that went away: {output}");
        assert!(after.contains(message) && !after.contains(LEAVE), "{output}");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_speaks() {
        was_given_back(&in_a_terminal("panics"), "on purpose");
    }

    #[test]
    fn so_does_a_panic_in_another_thread() {
        was_given_back(&in_a_terminal("panics_elsewhere"), "elsewhere on purpose");
    }

    #[test]
    fn dropping_the_screen_gives_the_terminal_back() {
        was_given_back(&in_a_terminal("ends"), "after the end");
    }

    /// The shell that runs it goes on, finds the terminal as it was, and continues it.
    #[test]
    fn stopping_gives_the_terminal_back_until_it_goes_on() {
        let output = in_a_terminal_of("set -m; {run}; stty -a; echo 'while it is stopped'; fg", "stops");
        let settings: Vec<&str> = output.lines().filter(|line| line.contains("icanon")).collect();
        assert_eq!(settings.len(), 3, "{output}");
        assert!(settings.iter().all(|line| *line == settings[0]), "{output}");
        let parts: Vec<&str> = output.split(LEAVE).collect();
        assert_eq!(parts.len(), 3, "{output}");
        assert!(parts[0].contains(ENTER) && parts[1].contains(ENTER), "{output}");
        assert!(parts[1].contains("while it is stopped") && parts[2].contains("after the end"), "{output}");
    }

    #[test]
    fn where_no_shell_could_continue_it_it_does_not_stop() {
        let output = in_a_terminal("stops");
        assert!(output.split(LEAVE).count() == 3 && output.contains("after the end"), "{output}");
    }

    #[test]
    #[ignore = "run by the tests above, in a terminal"]
    fn stops() {
        let mut screen = Screen::open().unwrap();
        screen.stop().unwrap();
        drop(screen);
        println!("after the end");
    }

    #[test]
    #[ignore = "run by the tests above, in a terminal"]
    fn panics() {
        let mut screen = Screen::open().unwrap();
        screen.draw(|frame| assert!(frame.area().is_empty(), "on purpose")).unwrap();
    }

    #[test]
    #[ignore = "run by the tests above, in a terminal"]
    fn panics_elsewhere() {
        let mut screen = Screen::open().unwrap();
        let _ = std::thread::spawn(|| panic!("elsewhere on purpose")).join();
        screen.draw(|frame| frame.render_widget("drawn after the panic", frame.area())).unwrap();
    }

    #[test]
    #[ignore = "run by the tests above, in a terminal"]
    fn ends() {
        drop(Screen::open().unwrap());
        println!("after the end");
    }
}
