//! What went while the kernel's sockets were being listed.
//!
//! What comes in: sockets that end, and requests that become full sockets, between [`Table::expect_census`] and the census.
//! What goes out: whether a socket in the list is one of them. What always holds: outside of that time nothing is kept.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use tcplife_common::wire::Head;

use super::Table;
use crate::connection::Ends;

/// Sockets and mini-sockets by address and cookie: an address can be used again at once.
#[derive(Debug, Default)]
pub(super) struct Departed {
    listing: bool,
    gone: HashSet<(u64, u64), RandomState>,
    /// Their addresses.
    addresses: HashSet<u64, RandomState>,
    born: HashSet<(u32, Ends), RandomState>,
}

impl Departed {
    /// A socket, or a mini-socket, is gone.
    pub(super) fn note(&mut self, address: u64, cookie: u64) {
        if self.listing && address != 0 {
            self.gone.insert((address, cookie));
            self.addresses.insert(address);
        }
    }

    /// A request became a full socket, which is known by now.
    pub(super) fn note_born(&mut self, netns: u32, ends: &Ends) {
        if self.listing {
            self.born.insert((netns, *ends));
        }
    }

    /// Whether the request with a tuple is a full socket by now.
    pub(super) fn was_born(&self, netns: u32, ends: &Ends) -> bool {
        !self.born.is_empty() && self.born.contains(&(netns, *ends))
    }

    /// Whether what was listed is gone by now. A socket that was there before the trace may get its cookie after it was listed, for its
    /// end; and kernels that give no cookies give 0 to all.
    pub(super) fn has(&self, listed: &Head) -> bool {
        match listed.cookie {
            0 => self.addresses.contains(&listed.sock),
            cookie => [cookie, 0].iter().any(|&cookie| self.gone.contains(&(listed.sock, cookie))),
        }
    }

    /// The list was taken into account.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Table {
    /// The kernel's sockets were listed, or are about to be: what ends from now to the next [`Table::take_census`] is
    /// in that list perhaps, and is not to be taken for something new. To be called before records are applied that
    /// were made since the listing began.
    pub fn expect_census(&mut self) {
        self.departed.forget();
        self.departed.listing = true;
    }

    /// There is no list, and no [`Table::take_census`].
    pub fn give_up_census(&mut self) {
        self.departed.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_without_a_cookie_may_have_had_one_when_it_went() {
        let listed = |sock, cookie| Head { sock, cookie, ..Head::default() };
        let mut departed = Departed { listing: true, ..Departed::default() };
        departed.note(1, 100);
        departed.note(2, 0);
        for (sock, cookie, is_gone) in
            [(1, 100, true), (1, 0, true), (1, 7, false), (2, 7, true), (3, 0, false)]
        {
            assert_eq!(departed.has(&listed(sock, cookie)), is_gone, "{sock} {cookie}");
        }
    }
}
