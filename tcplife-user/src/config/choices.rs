//! Choices between ways to do a thing.

/// Which sockets that wait for a close are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspects {
    /// Leaks.
    Leaks,
    /// Also those that are none, with the reason.
    All,
}

/// How a look at the host's sockets is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// By BPF iterators, or without BPF where those are refused.
    Best,
    /// By BPF iterators.
    Bpf,
    /// Without BPF.
    SockDiag,
}
