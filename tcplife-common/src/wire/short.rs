//! Changes of state of IPv4 connections, which are most records: in less room, and without room for what is not told.

use super::{End, Field, Head, Mini, Move, Stats, Task, Tuple};

wire! {
    /// Both ends of an IPv4 connection.
    pub struct Pair(16) {
        /// Local address, its bytes as on the network.
        pub local: u32 = 0,
        /// Remote address, its bytes as on the network.
        pub remote: u32 = 4,
        /// As [`Tuple::local_port`].
        pub local_port: u16 = 8,
        /// As [`Tuple::remote_port`].
        pub remote_port: u16 = 10,
        /// As [`Tuple::err`].
        pub err: u16 = 12,
        /// As [`Tuple::family`].
        pub family: u16 = 14,
    }
}

wire! {
    /// [`Move`] that no task is named for.
    pub struct Move4(48) {
        /// See [`Head`].
        pub head: Head = 0,
        /// See [`Pair`].
        pub pair: Pair = 32,
    }
}

wire! {
    /// [`Move`] that a task is named for.
    pub struct Move4By(80) {
        /// See [`Head`].
        pub head: Head = 0,
        /// See [`Pair`].
        pub pair: Pair = 32,
        /// See [`Task`].
        pub task: Task = 48,
    }
}

wire! {
    /// [`End`] that no task is named for.
    pub struct End4(104) {
        /// See [`Head`].
        pub head: Head = 0,
        /// See [`Pair`].
        pub pair: Pair = 32,
        /// See [`Stats`].
        pub stats: Stats = 48,
        /// See [`Mini`].
        pub mini: Mini = 72,
    }
}

wire! {
    /// [`End`] without a mini-socket.
    pub struct End4By(104) {
        /// See [`Head`].
        pub head: Head = 0,
        /// See [`Pair`].
        pub pair: Pair = 32,
        /// See [`Stats`].
        pub stats: Stats = 48,
        /// See [`Task`].
        pub task: Task = 72,
    }
}

/// An IPv4 address as IPv4-mapped IPv6.
fn mapped(address: u32) -> [u8; 16] {
    let mut bytes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
    bytes[12..].copy_from_slice(&address.to_ne_bytes());
    bytes
}

impl From<Pair> for Tuple {
    #[inline]
    fn from(pair: Pair) -> Self {
        let Pair { local, remote, local_port, remote_port, err, family } = pair;
        Self { local: mapped(local), remote: mapped(remote), local_port, remote_port, err, family }
    }
}

impl From<Move4> for Move {
    #[inline]
    fn from(Move4 { head, pair }: Move4) -> Self {
        Self { head, tuple: pair.into(), task: Task::default() }
    }
}

impl From<Move4By> for Move {
    #[inline]
    fn from(Move4By { head, pair, task }: Move4By) -> Self {
        Self { head, tuple: pair.into(), task }
    }
}

impl From<End4> for End {
    #[inline]
    fn from(End4 { head, pair, stats, mini }: End4) -> Self {
        Self { head, tuple: pair.into(), task: Task::default(), stats, mini }
    }
}

impl From<End4By> for End {
    #[inline]
    fn from(End4By { head, pair, stats, task }: End4By) -> Self {
        Self { head, tuple: pair.into(), task, stats, mini: Mini::default() }
    }
}
