//! A connection's stays, packed.
//!
//! What comes in: entries into states, seen or bracketed. What goes out: [`Stay`]s and the time spent in each state.
//! What always holds: entry times never decrease; no legal path has more stays than there is room for, and on an
//! illegal one (only lost events make it look so) the oldest stays are forgotten.

use crate::{
    state::State,
    timeline::{Since, Stay},
};

/// The longest path: `SYN_SENT`, `SYN_RECEIVED`, ESTABLISHED, `FIN_WAIT_1`, CLOSING, `TIME_WAIT`, CLOSED.
const ROOM: usize = 7;
/// In an entry's code: the move into the state was not seen; `entered` is the latest possible time.
const LOOSE: u8 = 0x80;

/// Stays in order; never empty.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// When each state was entered, or at the latest.
    entered: [u64; ROOM],
    /// When the newest loose entry was at the earliest; 0 for no bound. Older loose entries fall back to the stay
    /// before them.
    earliest: u64,
    /// State index, with [`LOOSE`].
    codes: [u8; ROOM],
    len: u8,
}

const fn decode(code: u8) -> State {
    State::ALL[(code & !LOOSE) as usize % State::COUNT]
}

impl History {
    /// Begins in a state.
    pub(crate) fn new(state: State, since: Since) -> Self {
        let mut history = Self { entered: [0; ROOM], earliest: 0, codes: [0; ROOM], len: 0 };
        history.enter(state, since);
        history
    }

    /// Enters a state; the stay before ends. Returns whether an old stay had to be forgotten.
    pub(crate) fn enter(&mut self, state: State, since: Since) -> bool {
        let full = self.len() == ROOM;
        if full {
            self.entered.copy_within(1.., 0);
            self.codes.copy_within(1.., 0);
            self.len -= 1;
        }
        let n = self.len();
        let floor = if n == 0 { 0 } else { self.entered[n - 1] };
        let (at, code) = match since {
            Since::Seen(at) => (at, 0),
            Since::Between { earliest, latest } => {
                self.earliest = earliest.unwrap_or(0);
                (latest, LOOSE)
            }
        };
        self.entered[n] = at.max(floor);
        self.codes[n] = state as u8 | code;
        self.len += 1;
        full
    }

    /// The entry into the present state was seen after all, earlier.
    pub(crate) fn amend(&mut self, at: u64) {
        let n = self.last();
        let floor = if n == 0 { 0 } else { self.entered[n - 1] };
        self.entered[n] = self.entered[n].min(at).max(floor);
        self.codes[n] &= !LOOSE;
    }

    const fn len(&self) -> usize {
        self.len as usize
    }

    const fn last(&self) -> usize {
        self.len().saturating_sub(1)
    }

    pub(crate) const fn state(&self) -> State {
        decode(self.codes[self.last()])
    }

    /// The state before the present one, if that is remembered.
    pub(crate) fn left(&self) -> Option<State> {
        self.last().checked_sub(1).map(|n| decode(self.codes[n]))
    }

    /// When the present state was entered, or at the latest.
    pub(crate) const fn latest(&self) -> u64 {
        self.entered[self.last()]
    }

    /// When the first state was entered, or at the latest.
    pub(crate) const fn first(&self) -> u64 {
        self.entered[0]
    }

    pub(crate) fn since(&self) -> Since {
        self.since_of(self.last())
    }

    fn since_of(&self, n: usize) -> Since {
        let latest = self.entered[n];
        if self.codes[n] & LOOSE == 0 {
            return Since::Seen(latest);
        }
        let newest = self.codes[n + 1..self.len()].iter().all(|code| code & LOOSE == 0);
        let bound = if newest && self.earliest != 0 {
            Some(self.earliest)
        } else if n > 0 {
            Some(self.entered[n - 1])
        } else {
            None
        };
        Since::Between { earliest: bound.map(|at| at.min(latest)), latest }
    }

    pub(crate) fn stays(&self) -> impl Iterator<Item = Stay> + '_ {
        (0..self.len()).map(|n| Stay {
            state: decode(self.codes[n]),
            since: self.since_of(n),
            until: (n < self.last()).then(|| self.entered[n + 1]),
        })
    }

    /// The first entry that was seen: of the first stay, or of the second if that of the first was not.
    pub(crate) fn begin(&self) -> Option<u64> {
        self.stays().take(2).find_map(|stay| stay.since.seen())
    }

    /// Time spent in each state until `until`, nanoseconds; `None` for a state it was not in, or for which the begin
    /// or the end was not seen. CLOSED is not a state to be in, nor is `TIME_WAIT` unless asked for.
    pub(crate) fn spent(&self, until: u64, with_time_wait: bool) -> [Option<u64>; State::COUNT] {
        let mut spent = [None; State::COUNT];
        for n in 0..self.len() {
            let state = decode(self.codes[n]);
            let left = if n < self.last() { self.entered[n + 1].min(until) } else { until };
            let exact = (self.codes[n] | if n < self.last() { self.codes[n + 1] } else { 0 }) & LOOSE == 0;
            let counts = state != State::Closed && (with_time_wait || state != State::TimeWait);
            if exact && counts {
                let slot = &mut spent[state.index()];
                *slot = Some(slot.unwrap_or(0u64).saturating_add(left.saturating_sub(self.entered[n])));
            }
        }
        spent
    }
}
