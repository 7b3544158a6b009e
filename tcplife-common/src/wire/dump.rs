//! What iterators tell of a socket.

use super::{Field, Head, Malformed, Stats, Task, Tuple, exact, kind};

/// Bits of [`Gauge::marks`]: those of `skc_flags` (enum sock_flags of include/net/sock.h).
pub mod mark {
    /// `SOCK_DONE`: the peer's FIN was received (`tcp_fin`).
    pub const FIN_IN: u32 = 1 << 1;
    /// `SOCK_KEEPOPEN`: `SO_KEEPALIVE` is on.
    pub const KEEPALIVE: u32 = 1 << 3;
}

wire! {
    /// What a socket's queues and clocks are at one moment. Clocks have 32 bits, as the kernel keeps them; those of full sockets are in
    /// jiffies.
    pub struct Gauge(56) {
        /// The kernel's 64-bit jiffies.
        pub jiffies: u64 = 0,
        /// Request: when its SYN-ACK was first sent. Mini-socket: when the last segment with a timestamp came, rounded
        /// down to a second. Full socket in CLOSE: when its last segment or timer came, or data was read since
        /// (`tcp_sock.tcp_mstamp`). Nanoseconds of `CLOCK_MONOTONIC`; 0 for not known.
        pub stamp_ns: u64 = 8,
        /// Mini-socket: `tw_timer.expires`, in 64-bit jiffies.
        pub expires: u64 = 16,
        /// Bytes that the application has not read; a FIN counts as one. Listener: connections not accepted yet.
        pub recv_queue: u32 = 24,
        /// Bytes not acknowledged, unsent ones included. Listener: the most connections that may wait.
        pub send_queue: u32 = 28,
        /// When the last ACK was received (`tcp_sock.rcv_tstamp`). Mini-socket: when it was brought into its state, or the full
        /// socket's clock was set last before, milliseconds of `CLOCK_MONOTONIC` (`tw_entry_stamp`); 0 for not known.
        pub last_ack: u32 = 32,
        /// When the last data was received (`icsk_ack.lrcvtime`); 0 for never.
        pub last_data: u32 = 36,
        /// When the last data was sent (`tcp_sock.lsndtime`).
        pub last_sent: u32 = 40,
        /// Set of [`mark`].
        pub marks: u32 = 44,
        /// The holder's descriptor; see [`super::flag::HELD`].
        pub fd: u32 = 48,
        /// Mini-socket: `tcp_fin_timeout` of its network namespace, in jiffies; 0 for not known.
        pub fin_timeout: u32 = 52,
    }
}

wire! {
    /// A socket as a dump found it. One that several descriptors hold is found once for each.
    pub struct Found(184) {
        /// See [`Head`]; `old` is the protocol's state (of a mini-socket its substate), `new` the kernel object's: a request
        /// is in `SYN_RECV` for the one and in `NEW_SYN_RECV` for the other.
        pub head: Head = 0,
        /// See [`Tuple`].
        pub tuple: Tuple = 32,
        /// See [`Task`]: the holder.
        pub task: Task = 72,
        /// See [`Stats`].
        pub stats: Stats = 104,
        /// See [`Gauge`].
        pub gauge: Gauge = 128,
    }
}

impl Found {
    /// Decodes one.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes' length or kind is not that of one.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.first() {
            Some(&kind::FOUND) => exact(bytes, Self::SIZE),
            Some(&other) => Err(Malformed::Kind(other)),
            None => Err(Malformed::Length { found: 0 }),
        }
    }
}
