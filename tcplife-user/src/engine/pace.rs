//! When the engine looks at the ring buffer, and what ends a run from outside.
//!
//! What comes in: the clock, wake-ups of the ring buffer, signals. What goes out: one wait at a time. What always holds:
//! nobody waits longer than [`READ_PERIOD`]; what asked for the end is not forgotten.

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
    consts::{SIGHUP, SIGINT, SIGTERM},
    low_level::{pipe, unregister},
};

/// The ring buffer is read this often; it wakes us in between when it fills faster (`Settings::wakeup_bytes`). A
/// wake-up for each record would cost more than everything else together.
const READ_PERIOD: Duration = Duration::from_millis(100);

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
}

impl Pace {
    /// Listens for signals, for a run of `duration` at the most.
    pub(super) fn listen(duration: Option<Duration>) -> io::Result<Self> {
        let (signals, rung) = UnixStream::pair()?;
        let register = |signal| pipe::register(signal, rung.try_clone()?);
        let registered = [SIGINT, SIGTERM, SIGHUP].into_iter().map(register).collect::<io::Result<_>>()?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &signals, EventData::new_u64(SIGNALS), EventFlags::IN)?;
        Ok(Self { epoll, _signals: signals, registered, duration, deadline: None, asked: false })
    }

    /// Listens for wake-ups of the ring buffer. Edge-triggered: that there is something in it is no reason to wake up.
    pub(super) fn hear(&self, ring: impl AsFd) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, ring, EventData::new_u64(RING), EventFlags::IN | EventFlags::ET)?)
    }

    /// The trace has begun: from now on the duration counts.
    pub(super) fn begin(&mut self) {
        self.deadline = self.duration.and_then(|duration| Instant::now().checked_add(duration));
    }

    /// Waits until it is time to read, or only looks if there is `more` to read already. False at the end.
    pub(super) fn wait(&mut self, more: bool) -> io::Result<bool> {
        let left = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
        let period =
            if more { Duration::ZERO } else { left.map_or(READ_PERIOD, |left| left.min(READ_PERIOD)) };
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
        let mut pace = Pace::listen(Some(Duration::from_millis(150))).unwrap();
        let begun = Instant::now();
        pace.begin();
        assert!(pace.wait(true).unwrap());
        let mut waits = 0;
        while pace.wait(false).unwrap() {
            waits += 1;
        }
        assert!(begun.elapsed() >= Duration::from_millis(150));
        assert!(waits >= 1);
        assert!(!pace.wait(true).unwrap(), "it is over for good");
    }

    #[test]
    fn what_is_there_wakes_once() {
        let mut pace = Pace::listen(None).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        pace.hear(&ours).unwrap();
        io::Write::write_all(&mut &theirs, b"x").unwrap();
        let begun = Instant::now();
        assert!(pace.wait(false).unwrap());
        assert!(begun.elapsed() < READ_PERIOD);
        let begun = Instant::now();
        assert!(pace.wait(false).unwrap());
        assert!(begun.elapsed() >= READ_PERIOD, "nobody read it, and nothing came");
    }
}
