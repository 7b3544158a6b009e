//! Records that the kernel programs put into the ring buffer, and their decoding.
//!
//! Each record begins with a [`Head`]; its `kind` decides the rest. Integers are in the machine's byte order,
//! ports in host order, times in nanoseconds of `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`).

use core::fmt;

/// A value that can be read from bytes at an offset.
trait Field: Sized {
    fn read(bytes: &[u8], at: usize) -> Option<Self>;
}

macro_rules! integer_field {
    ($($t:ty)*) => {$(
        impl Field for $t {
            #[inline]
            fn read(bytes: &[u8], at: usize) -> Option<Self> {
                Some(<$t>::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?))
            }
        }
    )*};
}
integer_field!(u8 u16 u32 u64);

impl<const N: usize> Field for [u8; N] {
    #[inline]
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        bytes.get(at..)?.first_chunk().copied()
    }
}

/// Defines a struct of the ABI with its size asserted and no hidden padding, and its decoding.
macro_rules! wire {
    ($(#[$doc:meta])* pub struct $name:ident($size:literal) {
        $($(#[$fdoc:meta])* pub $field:ident: $t:ty = $at:literal,)*
    }) => {
        $(#[$doc])*
        // All sizes are multiples of 8: the kernel side copies whole words, not two bytes at a time.
        #[repr(C, align(8))]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: $t,)*
        }

        const _: () = {
            assert!(size_of::<$name>() == $size);
            $(assert!(core::mem::offset_of!($name, $field) == $at);)*
            // No padding: the kernel refuses to publish bytes that were never written.
            assert!($size == 0 $(+ size_of::<$t>())*);
        };

        impl Field for $name {
            #[inline]
            fn read(bytes: &[u8], at: usize) -> Option<Self> {
                let bytes: &[u8; $size] = bytes.get(at..)?.first_chunk()?;
                Some(Self { $($field: <$t as Field>::read(bytes, $at)?,)* })
            }
        }

        impl $name {
            /// Bytes of one on the wire.
            pub const SIZE: usize = $size;
        }
    };
}

/// `Head::kind` of each record.
pub mod kind {
    /// [`super::Move`]: a socket changed its state, and still is a full socket.
    pub const MOVE: u8 = 1;
    /// [`super::End`]: a full socket went to CLOSE.
    pub const END: u8 = 2;
    /// [`super::Note`]: a segment or SYN-ACK was sent again.
    pub const RETRANSMIT: u8 = 3;
    /// [`super::Note`]: a reset was sent or received.
    pub const RESET: u8 = 4;
    /// [`super::Handle`]: the application let go of a socket that was in CLOSE before.
    pub const GONE: u8 = 5;
    /// [`super::Handle`]: an application accepted a connection.
    pub const ACCEPTED: u8 = 6;
    /// [`super::Born`]: a request became a full socket.
    pub const BORN: u8 = 7;
    /// [`super::MiniNote`]: a mini-socket's timer was set again; in `TIME_WAIT`, that is where it is from now on.
    pub const MINI_ARMED: u8 = 8;
    /// [`super::MiniNote`]: a mini-socket ended.
    pub const MINI_GONE: u8 = 9;
    /// [`super::Found`]: a socket in a dump; never in the ring buffer.
    pub const FOUND: u8 = 10;
    /// [`super::Move4`]
    pub const MOVE_4: u8 = 11;
    /// [`super::Move4By`]
    pub const MOVE_4_BY: u8 = 12;
    /// [`super::End4`]
    pub const END_4: u8 = 13;
    /// [`super::End4By`]
    pub const END_4_BY: u8 = 14;
}

/// Bits of `Head::flags`.
pub mod flag {
    /// Move, End, Handle: the current task holds the socket's lock, and `task` tells who it is.
    pub const BY_TASK: u8 = 1;
    /// Move, End: `sk->sk_socket` is null: no application has a handle on the socket (it was closed, or not accepted yet).
    pub const ORPHAN: u8 = 2;
    /// End: a timewait mini-socket took over; `mini` describes it.
    pub const MINI: u8 = 4;
    /// Retransmit: a SYN-ACK (`tcp_retransmit_synack`); `sock` is the request's address.
    pub const SYN_ACK: u8 = 8;
    /// End, out of `FIN_WAIT_2` and without a mini-socket: the peer's FIN was received (`tcp_fin`).
    pub const FIN_IN: u8 = 8;
    /// Reset: sent by this end (`tcp_send_reset`); otherwise received (`tcp_receive_reset`).
    pub const SENT: u8 = 16;
    /// Move to `SYN_RECV` out of LISTEN: remote port and cookie are not the child's yet.
    pub const TUPLE_PENDING: u8 = 32;
    /// `MiniNote` of an end: it ended before its timer did.
    pub const EARLY: u8 = 64;
    /// Found: `task` holds the socket by the descriptor `fd`.
    pub const HELD: u8 = 128;
}

/// `Mini::touch`, of a mini-socket that ends: what it met last.
pub mod touch {
    /// Nothing that is known.
    pub const NONE: u32 = 0;
    /// A reset came in.
    pub const RESET_IN: u32 = 1;
    /// A segment came in FIN_WAIT_2 that nobody is there for: it is answered with a reset.
    pub const RESET_OUT: u32 = 2;
    /// A SYN came in `TIME_WAIT`, or a connect takes its addresses and ports.
    pub const REUSE: u32 = 3;
    /// Somebody destroys it (`SOCK_DESTROY`).
    pub const DESTROY: u32 = 4;
    /// Its network namespace goes away.
    pub const NETNS: u32 = 5;
}

wire! {
    /// What every record begins with.
    pub struct Head(32) {
        /// One of [`kind`].
        pub kind: u8 = 0,
        /// Set of [`flag`].
        pub flags: u8 = 1,
        /// State before, in the kernel's numbers (`TCP_*` of include/net/tcp_states.h). For notes: the state now.
        pub old: u8 = 2,
        /// State after, in the kernel's numbers. For notes: the state now.
        pub new: u8 = 3,
        /// Inode of the socket's network namespace.
        pub netns: u32 = 4,
        /// When, in nanoseconds of `CLOCK_MONOTONIC`.
        pub time_ns: u64 = 8,
        /// Address of the `struct sock`: names the socket until it is freed, and is reused at once afterwards.
        pub sock: u64 = 16,
        /// The socket's cookie: unique while the machine runs; 0 when it has none (yet).
        pub cookie: u64 = 24,
    }
}

impl Head {
    /// Whether `flag`, one of [`flag`], is set.
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

wire! {
    /// Both ends of a connection.
    pub struct Tuple(40) {
        /// Local address; IPv4 as IPv4-mapped IPv6.
        pub local: [u8; 16] = 0,
        /// Remote address; IPv4 as IPv4-mapped IPv6.
        pub remote: [u8; 16] = 16,
        /// Local port in host order; 0 while none is bound (CLOSE -> `SYN_SENT`).
        pub local_port: u16 = 32,
        /// Remote port in host order; 0 for listeners.
        pub remote_port: u16 = 34,
        /// `sk->sk_err`: an errno, 0 for none.
        pub err: u16 = 36,
        /// `AF_INET` or `AF_INET6`, the socket's family (a mapped address may live on an `AF_INET6` socket).
        pub family: u16 = 38,
    }
}

wire! {
    /// The process that made the move; zeroes unless [`flag::BY_TASK`].
    pub struct Task(32) {
        /// Thread-group id, in the root pid namespace.
        pub tgid: u32 = 0,
        /// Not used: 0.
        pub reserved: u32 = 4,
        /// The thread group's start, nanoseconds of `CLOCK_BOOTTIME`: tells a reused pid from the old one; 0 if unknown.
        pub start_ns: u64 = 8,
        /// The thread group leader's name, padded with zeroes.
        pub comm: [u8; 16] = 16,
    }
}

wire! {
    /// What the socket had done by its end.
    pub struct Stats(24) {
        /// Payload sent, in bytes, each byte once.
        pub bytes_sent: u64 = 0,
        /// Payload received, in bytes; 1 more when a FIN was received.
        pub bytes_received: u64 = 8,
        /// Segments sent again.
        pub retransmits: u32 = 16,
        /// Smoothed round-trip time in microseconds; 0 for not measured.
        pub srtt_us: u32 = 20,
    }
}

wire! {
    /// The timewait mini-socket that took over; zeroes unless [`flag::MINI`].
    pub struct Mini(32) {
        /// Address of the `struct inet_timewait_sock`.
        pub address: u64 = 0,
        /// `tw_timer.expires` in jiffies.
        pub expires: u64 = 8,
        /// The kernel's 64-bit jiffies at the record's time.
        pub jiffies: u64 = 16,
        /// `tw_substate`, in the kernel's numbers: `TCP_FIN_WAIT2` or `TCP_TIME_WAIT`.
        pub substate: u32 = 24,
        /// What it met last; one of [`touch`].
        pub touch: u32 = 28,
    }
}

wire! {
    /// A socket changed its state.
    pub struct Move(104) {
        /// See [`Head`].
        pub head: Head = 0,
        /// See [`Tuple`].
        pub tuple: Tuple = 32,
        /// See [`Task`].
        pub task: Task = 72,
    }
}

wire! {
    /// A full socket went to CLOSE.
    pub struct End(160) {
        /// See [`Head`].
        pub head: Head = 0,
        /// See [`Tuple`].
        pub tuple: Tuple = 32,
        /// See [`Task`].
        pub task: Task = 72,
        /// See [`Stats`].
        pub stats: Stats = 104,
        /// See [`Mini`].
        pub mini: Mini = 128,
    }
}

wire! {
    /// Something happened on a connection without a change of state.
    pub struct Note(72) {
        /// See [`Head`].
        pub head: Head = 0,
        /// See [`Tuple`].
        pub tuple: Tuple = 32,
    }
}

wire! {
    /// An application got a handle on a socket, or let go of it.
    pub struct Handle(64) {
        /// See [`Head`].
        pub head: Head = 0,
        /// See [`Task`].
        pub task: Task = 32,
    }
}

wire! {
    /// A request became a full socket: the handshake of a passive open is over.
    pub struct Born(80) {
        /// See [`Head`]; the child's.
        pub head: Head = 0,
        /// See [`Tuple`]; the request's, which are the child's.
        pub tuple: Tuple = 32,
        /// When the request was made, in nanoseconds of `CLOCK_MONOTONIC`; 0 if not known. To the microsecond.
        pub begun_ns: u64 = 72,
    }
}

wire! {
    /// Something happened to a timewait mini-socket.
    pub struct MiniNote(104) {
        /// See [`Head`]; `sock` is the mini-socket's address, `old` and `new` its substate.
        pub head: Head = 0,
        /// See [`Tuple`].
        pub tuple: Tuple = 32,
        /// See [`Mini`].
        pub mini: Mini = 72,
    }
}

mod dump;
mod short;

pub use dump::{Found, Gauge, mark};
pub use short::{End4, End4By, Move4, Move4By, Pair};

/// One record of the ring buffer. What dumps find ([`Found`]) is longer, and not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A change of state.
    Move(Move),
    /// The full socket's last change of state.
    End(End),
    /// A retransmission.
    Retransmit(Note),
    /// A reset.
    Reset(Note),
    /// The application's handle is gone.
    Gone(Handle),
    /// An application has a handle now.
    Accepted(Handle),
    /// A request became a full socket.
    Born(Born),
    /// A mini-socket's timer was set again.
    MiniArmed(MiniNote),
    /// A mini-socket ended.
    MiniGone(MiniNote),
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer or more bytes than the record's kind has.
    Length {
        /// Bytes seen.
        found: usize,
    },
    /// No record has this kind.
    Kind(u8),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => write!(f, "a record of {found} bytes has the wrong length"),
            Self::Kind(kind) => write!(f, "no record has the kind {kind}"),
        }
    }
}

impl core::error::Error for Malformed {}

#[inline]
fn exact<T: Field>(bytes: &[u8], size: usize) -> Result<T, Malformed> {
    let wrong = Malformed::Length { found: bytes.len() };
    if bytes.len() != size {
        return Err(wrong);
    }
    T::read(bytes, 0).ok_or(wrong)
}

impl Record {
    /// Decodes one record.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes' length or kind is not one of this ABI.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let kind = *bytes.first().ok_or(Malformed::Length { found: 0 })?;
        match kind {
            kind::MOVE => exact(bytes, Move::SIZE).map(Self::Move),
            kind::MOVE_4 => exact(bytes, Move4::SIZE).map(|short: Move4| Self::Move(short.into())),
            kind::MOVE_4_BY => exact(bytes, Move4By::SIZE).map(|short: Move4By| Self::Move(short.into())),
            kind::END => exact(bytes, End::SIZE).map(Self::End),
            kind::END_4 => exact(bytes, End4::SIZE).map(|short: End4| Self::End(short.into())),
            kind::END_4_BY => exact(bytes, End4By::SIZE).map(|short: End4By| Self::End(short.into())),
            kind::RETRANSMIT => exact(bytes, Note::SIZE).map(Self::Retransmit),
            kind::RESET => exact(bytes, Note::SIZE).map(Self::Reset),
            kind::GONE => exact(bytes, Handle::SIZE).map(Self::Gone),
            kind::ACCEPTED => exact(bytes, Handle::SIZE).map(Self::Accepted),
            kind::BORN => exact(bytes, Born::SIZE).map(Self::Born),
            kind::MINI_ARMED => exact(bytes, MiniNote::SIZE).map(Self::MiniArmed),
            kind::MINI_GONE => exact(bytes, MiniNote::SIZE).map(Self::MiniGone),
            other => Err(Malformed::Kind(other)),
        }
    }

    /// The part that all records have.
    #[must_use]
    pub const fn head(&self) -> &Head {
        match self {
            Self::Move(r) => &r.head,
            Self::End(r) => &r.head,
            Self::Retransmit(r) | Self::Reset(r) => &r.head,
            Self::Gone(r) | Self::Accepted(r) => &r.head,
            Self::Born(r) => &r.head,
            Self::MiniArmed(r) | Self::MiniGone(r) => &r.head,
        }
    }
}
