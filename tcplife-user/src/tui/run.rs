//! Runs the screen: threads, channels, signals.
//!
//! What comes in: the configuration. What goes out: nothing but the screen. What always holds: the engine has a thread
//! of its own and ends when the screen does, and the other way round; keys are looked at before data; the screen is
//! drawn only after something has changed; the terminal is not touched before the trace has begun.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use ratatui::{crossterm::terminal, layout::Size};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep_until},
};

use super::{
    app::{App, Setup},
    bridge::{Bridge, Channels},
    draw::draw,
    input::Input,
    terminal::{Screen, stop_group},
    theme::Theme,
    update::{Event, Next, update},
};
use crate::{
    clock::{Clock, as_ns, monotonic_ns},
    config::{Config, absent},
    engine, netns, signals, threads,
};

/// A little after the full second, so that each second is drawn once.
const AFTER_SECOND: u64 = 10_000_000;
const SECOND: u64 = 1_000_000_000;

/// Shows the live screen until the user, a signal or `config.duration` ends it.
///
/// # Errors
/// Tracing is not possible here, or the terminal failed.
pub fn run(config: &Config) -> Result<()> {
    let (width, height) = terminal::size().context("cannot ask the terminal for its size")?;
    let mut app = App::new(setup(config), Size { width, height });
    let (mut bridge, channels) = Bridge::new(app.request(), config.refresh);
    thread::scope(|scope| {
        let engine = threads::start(scope, move || engine::run(config, &mut bridge))?;
        // The screen's ends of the bridge go with it, and that ends the engine.
        let shown = show(&mut app, channels);
        let traced = engine
            .join()
            .map_err(|_| anyhow!("the tracing thread ended by a defect of tcplife, told above"))?;
        traced.and(shown)
    })
}

fn setup(config: &Config) -> Setup {
    let system = rustix::system::uname();
    Setup {
        host: system.nodename().to_string_lossy().into_owned(),
        netns: netns::own(),
        kernel: system.release().to_string_lossy().into_owned(),
        theme: Theme::from_no_color(std::env::var_os("NO_COLOR").as_deref()),
        clock: Clock::sample(),
        filter: config.filter.clone(),
        absent: absent(&config.filter),
        leak_after: as_ns(config.leak_after),
    }
}

fn show(app: &mut App, channels: Channels) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the screen's event loop")?;
    runtime.block_on(follow(app, channels)).context("cannot draw on the terminal")
}

/// What comes from outside the terminal and the engine.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None where it is ignored.
    hangup: Option<Signal>,
    /// It would end the process at once and leave the terminal as it is.
    quit: Signal,
    stop: Signal,
    resume: Signal,
}

/// What a signal asks for.
enum Asked {
    End,
    Stop,
    Retake,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signals::hangup().map(SignalKind::from_raw).map(signal).transpose()?,
            quit: signal(SignalKind::quit())?,
            stop: signal(SignalKind::from_raw(libc::SIGTSTP))?,
            resume: signal(SignalKind::from_raw(libc::SIGCONT))?,
        })
    }

    async fn asked(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::End,
            _ = self.terminate.recv() => Asked::End,
            Some(()) = next(self.hangup.as_mut()) => Asked::End,
            _ = self.quit.recv() => Asked::End,
            _ = self.stop.recv() => Asked::Stop,
            _ = self.resume.recv() => Asked::Retake,
        }
    }
}

/// The next signal of a kind, if it is listened for.
async fn next(signal: Option<&mut Signal>) -> Option<()> {
    signal?.recv().await
}

/// What the loop goes on with.
enum Step {
    Update(Event),
    Stop,
    Retake,
    End,
}

async fn follow(app: &mut App, mut channels: Channels) -> Result<()> {
    let mut signals = Signals::listen()?;
    // The engine's first frame says that the trace has begun. If it ends before, it says why, on a terminal that
    // nobody has touched.
    if channels.frames.changed().await.is_err() {
        return Ok(());
    }
    if io::stderr().is_terminal() {
        // Lines of the log would be written over the screen.
        log::set_max_level(log::LevelFilter::Off);
    }
    let mut screen = Screen::open()?;
    let mut input = Input::start()?;
    let first = channels.frames.borrow_and_update().clone();
    let mut next = update(app, Event::Data(first));
    loop {
        // Fails when the terminal is gone, which ends the run at the next second at the latest.
        let size = screen.size()?;
        if size != app.size {
            // The terminal tells so as well, but not if it happened before we listened.
            next = update(app, Event::Resize(size));
        }
        ask(app, &channels);
        if let Some(text) = app.clipboard.take() {
            screen.copy(&text)?;
        }
        if next == Next::Draw {
            screen.draw(|frame| draw(app, monotonic_ns(), frame))?;
        }
        next = match step(app, &mut channels, &mut input, &mut signals).await {
            Step::Update(event) => update_all(app, event, &mut input),
            Step::Stop => {
                screen.stop()?;
                Next::Draw
            }
            Step::Retake => {
                screen.retake()?;
                Next::Draw
            }
            Step::End => Next::Quit,
        };
        match next {
            Next::Quit => return Ok(()),
            Next::Stop => stop_group()?,
            Next::Wait | Next::Draw => {}
        }
    }
}

async fn step(app: &App, channels: &mut Channels, input: &mut Input, signals: &mut Signals) -> Step {
    tokio::select! {
        biased;
        asked = signals.asked() => match asked {
            Asked::End => Step::End,
            Asked::Stop => Step::Stop,
            Asked::Retake => Step::Retake,
        },
        event = input.next() => event.map_or(Step::End, Step::Update),
        changed = channels.frames.changed() => match changed {
            Ok(()) => Step::Update(Event::Data(Arc::clone(&channels.frames.borrow_and_update()))),
            Err(_) => Step::End,
        },
        () = sleep_until(next_second(app)) => Step::Update(Event::Tick),
    }
}

/// Takes in what was typed meanwhile as well, so that a held key is never behind the screen.
fn update_all(app: &mut App, first: Event, input: &mut Input) -> Next {
    let mut next = update(app, first);
    while matches!(next, Next::Wait | Next::Draw)
        && let Some(event) = input.ready()
    {
        next = match (update(app, event), next) {
            (Next::Wait, before) => before,
            (after, _) => after,
        };
    }
    next
}

/// Asks the engine for what the screen now wants, if that is something else than before.
fn ask(app: &App, channels: &Channels) {
    let wanted = app.request();
    channels.requests.send_if_modified(|asked| {
        let is_new = *asked != wanted;
        if is_new {
            *asked = wanted;
        }
        is_new
    });
}

/// When the uptime shows its next second.
fn next_second(app: &App) -> Instant {
    let up = monotonic_ns().saturating_sub(app.frame.started.saturating_add(AFTER_SECOND));
    Instant::now() + Duration::from_nanos(SECOND - up % SECOND)
}
