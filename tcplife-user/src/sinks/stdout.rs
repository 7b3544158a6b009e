//! Standard output whose reader may take its time, and does not keep the end of the trace waiting.
//!
//! What comes in: bytes. What goes out: the bytes, in order, or an error if nobody takes them after a signal. What always holds:
//! until the end, a slow reader is waited for, and what is lost meanwhile is lost in the kernel's ring buffer, where it is
//! counted. From then on until the hooks are detached nothing waits, and what the reader does not take is kept.

use std::{
    cell::Cell,
    io::{self, Write},
    mem,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, Mode, OFlags, fstat, open},
    io::Errno,
    net::{SendFlags, send},
};

use crate::signals;

/// How long a reader may take nothing after a signal.
const GRACE: Duration = Duration::from_secs(1);
/// The end of the duration is looked for this often while a reader is waited for; a signal ends the wait at once.
const STEP: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How far a run is, for those who write of it.
#[derive(Default)]
pub struct Course {
    /// When it is to end by itself, once it has begun.
    pub deadline: Cell<Option<Instant>>,
    /// Its hooks are detached.
    pub is_detached: Cell<bool>,
}

/// How to write without waiting. Whether a file description blocks is shared with all who have it, such as the shell.
enum Way {
    /// By a file description of our own that never blocks.
    Own(OwnedFd),
    /// Standard output is a socket, and each call says that it is not to wait.
    Socket,
    /// Writing never waits for anybody, or the kernel gives no other way.
    Plain,
}

/// Standard output without the standard library's line buffer.
pub struct Stdout {
    way: Way,
    /// A signal asked for the end.
    asked: Arc<AtomicBool>,
    course: Rc<Course>,
    /// What is to be written once there is room.
    kept: Vec<u8>,
}

impl Stdout {
    /// This process's standard output.
    pub fn new(course: Rc<Course>) -> Self {
        let asked = Arc::default();
        for signal in signals::of_the_end() {
            // The engine listens for them too, and tells if that cannot be done.
            let _ = signal_hook::flag::register(signal, Arc::clone(&asked));
        }
        Self { way: way(), asked, course, kept: Vec::new() }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::Own(own) => own.as_fd(),
            Way::Socket | Way::Plain => rustix::stdio::stdout(),
        }
    }

    fn is_over(&self) -> bool {
        self.has_signal() || self.course.deadline.get().is_some_and(|end| Instant::now() >= end)
    }

    fn has_signal(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits for room, for one step. Returns whether there is some.
    fn wait(&self) -> io::Result<bool> {
        let mut polled = [PollFd::from_borrowed_fd(self.fd(), PollFlags::OUT)];
        match poll(&mut polled, Some(&STEP)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what there is room for; `None` if there is none.
    fn write_some(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let written = match self.way {
            Way::Socket => send(self.fd(), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Way::Own(_) | Way::Plain => rustix::io::write(self.fd(), bytes),
        };
        match written {
            Err(Errno::AGAIN) => Ok(None),
            done => Ok(Some(done?)),
        }
    }

    /// Writes something as soon as there is room.
    fn push(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut given_up = None;
        loop {
            if let Some(written) = self.write_some(bytes)? {
                return Ok(written);
            }
            if !self.wait()?
                && self.has_signal()
                && Instant::now() >= *given_up.get_or_insert(Instant::now() + GRACE)
            {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "its reader does not read"));
            }
        }
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.course.is_detached.get() {
            self.flush()?;
            return self.push(bytes);
        }
        while self.kept.is_empty() {
            if let Some(written) = self.write_some(bytes)? {
                return Ok(written);
            }
            if self.is_over() {
                break;
            }
            self.wait()?;
        }
        self.kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Writes what was kept.
    fn flush(&mut self) -> io::Result<()> {
        let kept = mem::take(&mut self.kept);
        let mut rest = &kept[..];
        while !rest.is_empty() {
            rest = &rest[self.push(rest)?..];
        }
        Ok(())
    }
}

/// Standard output is opened anew, if it is a pipe or a terminal.
fn way() -> Way {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match fstat(rustix::stdio::stdout()).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::Fifo | FileType::CharacterDevice) => {
            open("/proc/self/fd/1", flags, Mode::empty()).map_or(Way::Plain, Way::Own)
        }
        Ok(FileType::Socket) => Way::Socket,
        _ => Way::Plain,
    }
}
