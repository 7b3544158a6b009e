//! Whose socket it is, and how we know.

use std::fmt;

use tcplife_common::wire::Task;

/// A process: its thread-group id in the root pid namespace, when it started, and its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Thread-group id.
    pub pid: u32,
    /// Start, in nanoseconds of `CLOCK_BOOTTIME`: with `pid` it names a process for good; 0 if not known.
    pub start_ns: u64,
    /// The kernel's name of the thread group's leader (`comm`), padded with zeroes; any bytes.
    pub comm: [u8; 16],
}

impl Process {
    /// Pid and start: what stays the same under another name (`execve`, `prctl`).
    pub const fn identity(&self) -> (u32, u64) {
        (self.pid, self.start_ns)
    }

    /// The name's bytes up to the first zero.
    pub fn comm_bytes(&self) -> &[u8] {
        comm_bytes(&self.comm)
    }

    /// The name as text: what is not UTF-8 becomes U+FFFD. Control characters are kept; a sink escapes them.
    pub fn comm_text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.comm_bytes())
    }
}

/// A name's bytes up to the first zero: all of them, if there is none.
pub fn comm_bytes(comm: &[u8; 16]) -> &[u8] {
    let end = comm.iter().position(|&b| b == 0).unwrap_or(comm.len());
    &comm[..end]
}

impl From<&Task> for Process {
    fn from(task: &Task) -> Self {
        let &Task { tgid, start_ns, comm, .. } = task;
        Self { pid: tgid, start_ns, comm }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.comm_text(), self.pid)
    }
}

/// How an owner is known, the strongest evidence first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// It called connect.
    Connect,
    /// It called accept.
    Accept,
    /// It was found with the descriptor.
    Holder,
    /// It closed the socket, or shut it down.
    Close,
    /// It listens where the connection came in; who accepted is not known.
    Listener,
}

impl Via {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Accept => "accept",
            Self::Holder => "holder",
            Self::Close => "close",
            Self::Listener => "listener",
        }
    }
}

/// A socket's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The process.
    pub process: Process,
    /// How we know.
    pub via: Via,
}

#[cfg(test)]
mod tests {
    use super::comm_bytes;

    #[test]
    fn a_name_ends_at_the_first_zero_or_fills_its_room() {
        assert_eq!(comm_bytes(b"curl\0\0\0\0\0\0\0\0\0\0\0\0"), b"curl");
        assert_eq!(comm_bytes(b"curl\0old name\0\0\0"), b"curl");
        assert_eq!(comm_bytes(&[b'x'; 16]), [b'x'; 16]);
        assert_eq!(comm_bytes(&[0; 16]), b"");
    }
}
