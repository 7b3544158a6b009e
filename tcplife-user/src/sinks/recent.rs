//! Text about connections that is written again and again.
//!
//! A trace has five records of a short connection within some microseconds, and two thirds of each are the same: who talks to
//! whom, and whose it is. What comes in: connections, and how their text is made. What goes out: the text. What always
//! holds: a text is used again only while all that it tells of is as it was.

use tcplife_core::{
    connection::{ConnId, Connection, Ends, Role},
    owner::Owner,
};

/// How many texts are kept; a busy host has some dozen connections at a time that change state.
const PLACES: u64 = 256;

/// All that a text is made of. A connection never changes its network namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Told {
    id: ConnId,
    ends: Ends,
    role: Option<Role>,
    owner: Option<Owner>,
}

/// One text.
#[derive(Default)]
struct Entry {
    told: Option<Told>,
    text: Vec<u8>,
}

/// The texts made last.
pub struct Recent(Vec<Entry>);

impl Recent {
    /// None yet.
    pub fn new() -> Self {
        Self((0..PLACES).map(|_| Entry::default()).collect())
    }

    /// Appends what `write` appends for this connection and owner.
    #[inline]
    pub fn append(
        &mut self,
        out: &mut Vec<u8>,
        connection: &Connection,
        owner: Option<Owner>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let told = Told { id: connection.id(), ends: *connection.ends(), role: connection.role(), owner };
        let entry = usize::try_from(told.id.0 % PLACES).ok().and_then(|n| self.0.get_mut(n));
        let Some(entry) = entry else { return write(out) };
        if entry.told == Some(told) {
            return out.extend_from_slice(&entry.text);
        }
        let begin = out.len();
        write(out);
        entry.text.clear();
        entry.text.extend_from_slice(&out[begin..]);
        entry.told = Some(told);
    }
}
