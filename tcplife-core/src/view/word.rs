//! A plain word of a search: whether it is in anything that a row shows.

use std::{
    cell::Cell,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use super::{
    search::Subject,
    short_text::{Needle, Text},
};
use crate::{filter::StateSet, state::State};

/// A word as typed, and where it can be at all.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// In lower case.
    needle: Needle,
    /// The states that have it in their name.
    states: StateSet,
    /// Whether it can be in a number.
    in_number: bool,
    /// Whether it can be in an IPv4 address.
    in_v4: bool,
    /// Whether it can be in an IPv6 address that has no IPv4 address in it.
    in_v6: bool,
    /// What the port has to begin with for the word to be across it and the address; `None` if it cannot be.
    port: Option<String>,
    /// The local address that was looked at last: most connections of a host have the same.
    last: Cell<Option<(IpAddr, bool)>>,
}

impl Word {
    pub(super) fn new(typed: &str) -> Self {
        let word = typed.to_ascii_lowercase();
        let has_only = |also: &str| word.chars().all(|c| c.is_ascii_digit() || also.contains(c));
        Self {
            states: State::ALL.into_iter().filter(|state| state.lower().contains(&word)).collect(),
            in_number: has_only(""),
            in_v4: has_only("."),
            in_v6: has_only("abcdef:"),
            port: word.rsplit_once(':').filter(|_| has_only("abcdef:.")).map(|(_, port)| port.to_owned()),
            needle: Needle::new(word.as_bytes()),
            last: Cell::new(None),
        }
    }

    /// Whether it is in the state, the owner's name or pid, one of the ends or the namespace.
    pub(super) fn is_in(&self, subject: &Subject) -> bool {
        let process = subject.owner.map(|owner| owner.process);
        self.states.intersects(subject.states)
            || process.is_some_and(|process| {
                Text::lower(process.comm_bytes()).has(&self.needle) || self.is_in_number(process.pid)
            })
            || self.is_in_remote(subject.remote)
            || self.is_in_local(subject.local)
            || self.is_in_number(subject.netns)
    }

    fn is_in_number(&self, number: u32) -> bool {
        self.in_number && Text::number(number).has(&self.needle)
    }

    fn is_in_remote(&self, end: SocketAddr) -> bool {
        match &self.port {
            // All at once: writing the address is most of the work.
            Some(port)
                if self.in_v6 || end.is_ipv4() || Text::number(end.port().into()).begins_with(port) =>
            {
                Text::end(end).has(&self.needle)
            }
            _ => self.is_in_address(end.ip()) || self.is_in_port(end),
        }
    }

    fn is_in_local(&self, end: SocketAddr) -> bool {
        let is_in = match self.last.get() {
            Some((last, is_in)) if last == end.ip() => is_in,
            _ => self.is_in_address(end.ip()),
        };
        self.last.set(Some((end.ip(), is_in)));
        is_in || self.is_in_port(end)
    }

    fn is_in_address(&self, address: IpAddr) -> bool {
        let can_be = match address {
            IpAddr::V4(_) => self.in_v4,
            IpAddr::V6(ip) => self.in_v6 || has_v4(ip),
        };
        can_be && Text::address(address).has(&self.needle)
    }

    /// Whether it is in the port, or across it and the address.
    fn is_in_port(&self, end: SocketAddr) -> bool {
        let number = Text::number(end.port().into());
        let is_across = |port: &String| number.begins_with(port) && Text::end(end).has(&self.needle);
        self.in_number && number.has(&self.needle) || self.port.as_ref().is_some_and(is_across)
    }
}

/// Whether an IPv6 address may be shown with an IPv4 address in it.
fn has_v4(ip: Ipv6Addr) -> bool {
    ip.segments()[..5] == [0; 5]
}
