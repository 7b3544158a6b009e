//! When the engine looks at the ring buffer, and what ends a run from outside.
//!
//! What comes in: the clock, wake-ups of the ring buffer, signals. What goes out: one wait at a time. What always holds:
//! nobody waits longer than [`QUIET_PERIOD`]; what asked for the end is not forgotten.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    fd::OwnedFd,
    io::Errno,
};
use signal_hook::{
    SigId,
    low_level::{pipe, unregister},
};

use crate::signals;

/// The ring buffer is read this often; it wakes us in between when it fills faster (`Settings::wakeup_bytes`). A
/// wake-up for each record would cost more than everything else together.
const READ_PERIOD: Duration = Duration::from_millis(100);
/// And this often once nothing has come for [`QUIET_WAITS`]: a wait that brings nothing is all that an idle run costs.
const QUIET_PERIOD: Duration = Duration::from_millis(200);
const QUIET_WAITS: u32 = 10;

/// What the last look at the ring buffer brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// As much as is taken at once: there is more.
    More,
    /// All there was.
    Some,
    /// Nothing.
    Nothing,
}

/// What epoll has to tell of.
const SIGNALS: u64 = 0;
const RING: u64 = 1;

/// The engine's clock and its ear.
pub(super) struct Pace {
    epoll: OwnedFd,
    /// Has a byte in it for each signal that asked for the end.
    _signals: UnixStream,
    registered: Vec<SigId>,
    duration: Option<Duration>,
    deadline: Option<Instant>,
    asked: bool,
    /// Whether somebody looks at a screen, and no wait may be long.
    is_watched: bool,
    /// Waits in a row that brought nothing.
    quiet: u32,
}

impl Pace {
    /// Listens for signals, for a run of `duration` at the most.
    pub(super) fn listen(duration: Option<Duration>) -> io::Result<Self> {
        let (signals, rung) = UnixStream::pair()?;
        let register = |signal| pipe::register(signal, rung.try_clone()?);
        let registered = signals::of_the_end().map(register).collect::<io::Result<_>>()?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &signals, EventData::new_u64(SIGNALS), EventFlags::IN)?;
        Ok(Self {
            epoll,
            _signals: signals,
            registered,
            duration,
            deadline: None,
            asked: false,
            is_watched: false,
            quiet: 0,
        })
    }

    /// Listens for wake-ups of the ring buffer. Edge-triggered: that there is something in it is no reason to wake up.
    pub(super) fn hear(&self, ring: impl AsFd) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, ring, EventData::new_u64(RING), EventFlags::IN | EventFlags::ET)?)
    }

    /// The trace has begun: from now on the duration counts. With `is_watched`, no wait is longer than others.
    pub(super) fn begin(&mut self, is_watched: bool) {
        self.is_watched = is_watched;
        self.deadline = self.duration.and_then(|duration| Instant::now().checked_add(duration));
    }

    /// How long to wait after what the last look brought.
    fn period(&mut self, drained: Drained) -> Duration {
        self.quiet = if drained == Drained::Nothing { self.quiet.saturating_add(1) } else { 0 };
        match drained {
            Drained::More => Duration::ZERO,
            Drained::Nothing if self.quiet > QUIET_WAITS && !self.is_watched => QUIET_PERIOD,
            Drained::Some | Drained::Nothing => READ_PERIOD,
        }
    }

    /// Waits until it is time to read again, after what the last look brought. False at the end.
    pub(super) fn wait(&mut self, drained: Drained) -> io::Result<bool> {
        let period = self.period(drained);
        let left = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
        let period = left.map_or(period, |left| left.min(period));
        let timeout = Timespec::try_from(period).map_err(io::Error::other)?;
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(RING) }; 2];
        let count = match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        self.asked |= events.iter().take(count).any(|event| event.data.u64() == SIGNALS);
        Ok(!self.asked && self.deadline.is_none_or(|end| Instant::now() < end))
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.registered.drain(..).for_each(|id| {
            unregister(id);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_not_long_and_ends_with_the_duration() {
        let mut pace = Pace::listen(Some(Duration::from_millis(500))).unwrap();
        let begun = Instant::now();
        pace.begin(false);
        assert!(pace.wait(Drained::More).unwrap());
        let mut waits = 0;
        while pace.wait(Drained::Nothing).unwrap() {
            waits += 1;
        }
        assert!(begun.elapsed() >= Duration::from_millis(500));
        assert!(waits >= 1);
        assert!(!pace.wait(Drained::More).unwrap(), "it is over for good");
    }

    #[test]
    fn what_is_there_wakes_once() {
        let mut pace = Pace::listen(None).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        pace.hear(&ours).unwrap();
        io::Write::write_all(&mut &theirs, b"x").unwrap();
        let begun = Instant::now();
        assert!(pace.wait(Drained::Nothing).unwrap());
        assert!(begun.elapsed() < READ_PERIOD);
        let begun = Instant::now();
        assert!(pace.wait(Drained::Nothing).unwrap());
        assert!(begun.elapsed() >= READ_PERIOD, "nobody read it, and nothing came");
    }

    #[test]
    fn quiet_waits_are_longer_unless_somebody_looks() {
        for (is_watched, at_last) in [(false, QUIET_PERIOD), (true, READ_PERIOD)] {
            let mut pace = Pace::listen(None).unwrap();
            pace.begin(is_watched);
            assert!((0..QUIET_WAITS).all(|_| pace.period(Drained::Nothing) == READ_PERIOD));
            assert_eq!(pace.period(Drained::Nothing), at_last);
            assert_eq!(pace.period(Drained::Some), READ_PERIOD);
            assert_eq!(pace.period(Drained::Nothing), READ_PERIOD, "something came");
            assert_eq!(pace.period(Drained::More), Duration::ZERO);
        }
    }
}
