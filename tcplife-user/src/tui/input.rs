//! Keys, pastes and the mouse, from a thread of their own.
//!
//! What comes in: the terminal's input. What goes out: [`Event`]s, in order. What always holds: nothing else reads the
//! terminal; nobody waits for the thread, which stops soon after its [`Input`] is dropped. Crossterm's reader waits for
//! the rest of a sequence of which it has got a part, and never comes back from a terminal that is gone (`read` gives
//! nothing, again and again); the screen finds that out by itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use ratatui::{crossterm::event, layout::Size};
use tokio::sync::mpsc;

use super::update::Event;
use crate::threads;

/// How soon the thread notices that it is to end.
const POLL: Duration = Duration::from_millis(100);
/// Events that wait at most; a terminal keeps what comes beyond.
const WAITING: usize = 256;

/// The reader of the terminal.
pub struct Input {
    events: mpsc::Receiver<Event>,
    stop: Arc<AtomicBool>,
}

impl Input {
    /// Starts to read.
    ///
    /// # Errors
    /// The system allows no more threads.
    pub fn start() -> Result<Self> {
        let (sender, events) = mpsc::channel(WAITING);
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        threads::detach(move || read(&asked, &sender))?;
        Ok(Self { events, stop })
    }

    /// The next event; `None` when the terminal cannot be read.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The next event, if it is there already.
    pub fn ready(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn read(stop: &AtomicBool, events: &mpsc::Sender<Event>) {
    while !stop.load(Ordering::Relaxed) {
        let event = match event::poll(POLL) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let Ok(event) = event else { return };
        if let Some(event) = translate(event)
            && events.blocking_send(event).is_err()
        {
            return;
        }
    }
}

fn translate(event: event::Event) -> Option<Event> {
    match event {
        event::Event::Key(key) => Some(Event::Key(key)),
        event::Event::Mouse(mouse) => Some(Event::Mouse(mouse)),
        event::Event::Paste(text) => Some(Event::Paste(text)),
        event::Event::Resize(width, height) => Some(Event::Resize(Size { width, height })),
        event::Event::FocusGained | event::Event::FocusLost => None,
    }
}
