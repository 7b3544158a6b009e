//! From bytes to a record.

use core::{fmt, mem::offset_of};

use super::{Born, End, End4, End4By, Field, Handle, Head, MiniNote, Move, Move4, Move4By, Note, kind};

/// One record of a ring buffer. What dumps find ([`super::Found`]) is longer, and not among them.
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
pub(super) fn exact<T: Field>(bytes: &[u8], size: usize) -> Result<T, Malformed> {
    let wrong = Malformed::Length { found: bytes.len() };
    if bytes.len() != size {
        return Err(wrong);
    }
    T::read(bytes, 0).ok_or(wrong)
}

/// When what a record tells was, without decoding the rest; `None` if it is too short to be one.
#[inline]
#[must_use]
pub fn time_of(record: &[u8]) -> Option<u64> {
    u64::read(record, offset_of!(Head, time_ns))
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
