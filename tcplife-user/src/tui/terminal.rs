//! The terminal, taken over and given back.
//!
//! What comes in: what to draw. What goes out: a full screen in raw mode, with the mouse. What always holds: however
//! the screen ends - dropped at the end or on an error, or by a panic in any thread - the terminal is given back once,
//! before anything else is written to it.

use std::{
    io::{self, Stdout},
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor, event, execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};

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
        execute!(io::stdout(), EnterAlternateScreen, event::EnableMouseCapture, cursor::Hide)?;
        self.terminal.clear()
    }

    /// Takes the terminal over once more, after the process was stopped and continued.
    ///
    /// # Errors
    /// As [`Screen::open`].
    pub fn retake(&mut self) -> io::Result<()> {
        disable_raw_mode()?;
        self.take()
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
        let _ = execute!(io::stdout(), event::DisableMouseCapture, LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}
