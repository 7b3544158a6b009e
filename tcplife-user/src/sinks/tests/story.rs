//! Records of made-up connections, as the kernel side would send them.

use std::net::SocketAddr;

use tcplife_common::wire::{End, Head, Mini, Move, Note, Record, Stats, Task, Tuple, flag, kind};

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;

// The kernel's numbers, include/net/tcp_states.h.
pub const ESTABLISHED: u8 = 1;
pub const SYN_SENT: u8 = 2;
pub const SYN_RECV: u8 = 3;
pub const FIN_WAIT1: u8 = 4;
pub const FIN_WAIT2: u8 = 5;
pub const TIME_WAIT: u8 = 6;
pub const CLOSE: u8 = 7;
pub const CLOSE_WAIT: u8 = 8;
pub const LAST_ACK: u8 = 9;
pub const LISTEN: u8 = 10;

/// One end of a connection.
pub struct Socket {
    sock: u64,
    tuple: Tuple,
    task: Task,
}

fn mapped(end: SocketAddr) -> [u8; 16] {
    match end {
        SocketAddr::V4(v4) => v4.ip().to_ipv6_mapped().octets(),
        SocketAddr::V6(v6) => v6.ip().octets(),
    }
}

impl Socket {
    /// Of process `pid`, whose name is `comm`.
    pub fn new(sock: u64, local: &str, remote: &str, pid: u32, comm: &[u8]) -> Self {
        let (local, remote): (SocketAddr, SocketAddr) = (local.parse().unwrap(), remote.parse().unwrap());
        let mut task = Task { tgid: pid, start_ns: 1, ..Task::default() };
        task.comm[..comm.len()].copy_from_slice(comm);
        let tuple = Tuple {
            local: mapped(local),
            remote: mapped(remote),
            local_port: local.port(),
            remote_port: remote.port(),
            err: 0,
            family: if local.is_ipv4() { 2 } else { 10 },
        };
        Self { sock, tuple, task }
    }

    fn head(&self, kind: u8, flags: u8, at: u64, (old, new): (u8, u8)) -> Head {
        Head { kind, flags, old, new, netns: 4_026_531_840, time_ns: at, sock: self.sock, cookie: self.sock }
    }

    /// A move that the process makes.
    pub fn acts(&self, at: u64, old: u8, new: u8) -> Record {
        let head = self.head(kind::MOVE, flag::BY_TASK, at, (old, new));
        Record::Move(Move { head, tuple: self.tuple, task: self.task })
    }

    /// A move that the network makes.
    pub fn moves(&self, at: u64, old: u8, new: u8) -> Record {
        let head = self.head(kind::MOVE, 0, at, (old, new));
        Record::Move(Move { head, tuple: self.tuple, task: Task::default() })
    }

    /// The end, after 1500 bytes sent and 3000 received, with a mini-socket in TIME_WAIT if so.
    pub fn ends(&self, at: u64, old: u8, time_wait: bool) -> Record {
        let flags = flag::ORPHAN | if time_wait { flag::MINI } else { 0 };
        let mini = Mini {
            address: self.sock + 1,
            expires: 15_000,
            jiffies: 0,
            substate: TIME_WAIT.into(),
            touch: 0,
        };
        Record::End(End {
            head: self.head(kind::END, flags, at, (old, CLOSE)),
            tuple: self.tuple,
            task: Task::default(),
            stats: Stats { bytes_sent: 1500, bytes_received: 3001, retransmits: 1, srtt_us: 300 },
            mini: if time_wait { mini } else { Mini::default() },
        })
    }

    /// A segment is sent again.
    pub fn retransmits(&self, at: u64, state: u8) -> Record {
        let head = self.head(kind::RETRANSMIT, 0, at, (state, state));
        Record::Retransmit(Note { head, tuple: self.tuple })
    }

    /// A reset arrives.
    pub fn is_reset(&self, at: u64, state: u8) -> Record {
        let head = self.head(kind::RESET, 0, at, (state, state));
        Record::Reset(Note { head, tuple: self.tuple })
    }
}

/// A client that closes first: 1 ms of handshake, 9 of data with a retransmission, 1 of FIN, then TIME_WAIT.
pub fn client() -> Vec<Record> {
    let unbound = Socket::new(100, "10.0.0.1:0", "10.0.0.2:443", 7, b"curl");
    let bound = Socket::new(100, "10.0.0.1:40000", "10.0.0.2:443", 7, b"curl");
    vec![
        unbound.acts(MS, CLOSE, SYN_SENT),
        bound.moves(2 * MS, SYN_SENT, ESTABLISHED),
        bound.retransmits(5 * MS, ESTABLISHED),
        bound.acts(11 * MS, ESTABLISHED, FIN_WAIT1),
        bound.moves(12 * MS, FIN_WAIT1, FIN_WAIT2),
        bound.ends(12 * MS + 5_000, FIN_WAIT2, true),
    ]
}

/// A server on IPv6, by a process of a hostile name, that closes last.
pub fn server() -> Vec<Record> {
    let socket = Socket::new(200, "[fd00::1]:80", "[fd00::2]:50000", 8, "\u{1b}[31m\u{202e},\"".as_bytes());
    vec![
        socket.moves(MS, LISTEN, SYN_RECV),
        socket.moves(MS + 5_000, SYN_RECV, ESTABLISHED),
        socket.moves(3 * MS, ESTABLISHED, CLOSE_WAIT),
        socket.acts(63 * MS, CLOSE_WAIT, LAST_ACK),
        socket.ends(64 * MS, LAST_ACK, false),
    ]
}
