//! Standard output, for lines.
//!
//! What comes in: bytes in a buffer, and the moment to write them. What goes out: the bytes, in order, in few writes.
//! What always holds: nothing waits in the buffer after a flush; an output that was closed by its reader is noticed
//! even while there is nothing to write.

use std::{
    io::{self, Write},
    os::fd::BorrowedFd,
    rc::Rc,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::stdout::{Course, Stdout};
use crate::paper;

/// A buffer beyond this is written at once, so that a burst does not grow it without bound.
const FULL: usize = 256 << 10;

/// Where lines go.
pub struct Out {
    /// What is to be written next.
    pub buffer: Vec<u8>,
    /// Columns of a line of text, unless a word or a command is longer.
    pub columns: usize,
    writer: Box<dyn Write>,
    watched: Option<BorrowedFd<'static>>,
    failed: Option<io::Error>,
    duration: Option<Duration>,
    course: Rc<Course>,
}

impl Out {
    /// This process's standard output, for a run of `duration`. Not line-buffered: what a flush writes is complete lines.
    pub fn stdout(duration: Option<Duration>) -> Self {
        let course = Rc::<Course>::default();
        let writer = Box::new(Stdout::new(Rc::clone(&course)));
        let (watched, columns) = (Some(rustix::stdio::stdout()), paper::columns());
        Self { columns, watched, duration, course, ..Self::to(writer) }
    }

    /// The run has begun: from now on the duration counts.
    pub fn begin(&self) {
        self.course.deadline.set(self.duration.and_then(|duration| Instant::now().checked_add(duration)));
    }

    /// The hooks are detached: from now on a reader may take its time.
    pub fn detached(&self) {
        self.course.is_detached.set(true);
    }

    /// Any writer.
    pub fn to(writer: Box<dyn Write>) -> Self {
        Self {
            buffer: Vec::with_capacity(FULL),
            columns: paper::WIDEST,
            writer,
            watched: None,
            failed: None,
            duration: None,
            course: Rc::default(),
        }
    }

    /// Writes the buffer if it is large. What fails is told by the next [`Out::flush`].
    pub fn relieve(&mut self) {
        if self.buffer.len() < FULL {
            return;
        }
        if self.failed.is_some() {
            // Once is enough to know, and may have taken its time.
            self.buffer.clear();
        } else if let Err(error) = self.write() {
            self.failed = Some(error);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let written = self.writer.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| cannot_write(&error))
    }

    /// Writes all that waits.
    ///
    /// # Errors
    /// What writing failed with; [`io::ErrorKind::BrokenPipe`] also when the reader has gone and nothing waits.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if !self.buffer.is_empty() {
            return self.write();
        }
        if self.watched.is_some_and(reader_is_gone) { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// The end: writes all that waits, also for a reader that takes its time.
    ///
    /// # Errors
    /// As [`Out::flush`], and when a signal came and the reader takes nothing.
    pub fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.writer.flush().map_err(|error| cannot_write(&error))
    }
}

/// What a reader that has gone did not read is no error, and changes nothing about what was found.
///
/// # Errors
/// Writing failed for another reason.
pub fn reader_may_go(written: io::Result<()>) -> io::Result<()> {
    written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

/// Writing to standard output failed, in words.
pub fn cannot_write(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write the output: {error}"))
}

/// Without a reader, a pipe polls as an error (`pipe_poll`, fs/pipe.c), and a unix socket as hung up (`unix_poll`,
/// net/unix/af_unix.c).
fn reader_is_gone(fd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).is_ok()
        && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

#[cfg(test)]
pub mod tests {
    use std::{
        cell::RefCell,
        os::{fd::AsFd, unix::net::UnixStream},
        rc::Rc,
    };

    use super::*;

    /// A writer whose text can be looked at.
    #[derive(Clone, Default)]
    pub struct Shared(Rc<RefCell<Vec<u8>>>);

    impl Shared {
        pub fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_is_written_before_the_flush_unless_it_is_much() {
        let shared = Shared::default();
        let mut out = Out::to(Box::new(shared.clone()));
        out.buffer.extend_from_slice(b"one\n");
        out.relieve();
        assert_eq!(shared.text(), "");
        out.flush().unwrap();
        assert_eq!(shared.text(), "one\n");
        out.buffer.resize(FULL, b'x');
        out.relieve();
        assert_eq!(shared.text().len(), 4 + FULL);
    }

    #[test]
    fn a_failure_in_a_burst_is_told_by_the_flush() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Out::to(Box::new(Closed));
        out.buffer.resize(FULL, b'x');
        out.relieve();
        assert_eq!(out.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_reader_that_has_gone_is_noticed_without_writing() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(!reader_is_gone(writer.as_fd()));
        drop(reader);
        assert!(reader_is_gone(writer.as_fd()));
        let (reader, writer) = UnixStream::pair().unwrap();
        assert!(!reader_is_gone(writer.as_fd()));
        drop(reader);
        assert!(reader_is_gone(writer.as_fd()));
    }
}
