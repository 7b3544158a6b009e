//! Looks at the sockets that wait for somebody's close.
//!
//! What comes in: dumps, each of descriptors and of sockets. What goes out: the sockets that are there, with every descriptor
//! of each. What always holds: a socket that is gone before the look is not among them; that a socket has no descriptor is said
//! only after a second look.

use std::collections::HashSet;

use anyhow::Result;
use foldhash::{HashMap, HashMapExt};
use tcplife_common::wire::{Found, flag};
use tcplife_core::{connection::Ends, state::State};

use crate::source::{
    namespaces::Netns,
    netns_of_socket::{self, Opened},
};

/// Where dumps come from.
pub(super) trait Dumps {
    /// Sockets that are listed by their namespaces, with every descriptor of each.
    fn dump(&mut self, netns: &[Netns]) -> Result<Look>;
}

/// What names a socket while the dumps are made: its address and both ends. Not its cookie, which the kernel makes when somebody
/// first asks for it, perhaps between two dumps: `ss` asks, and so does the iterator where it pauses (`bpf_iter_tcp_put_batch` of 6.18).
type Key = (u64, Ends);

const fn key(found: &Found) -> Key {
    (found.head.sock, Ends::of(&found.tuple))
}

/// Whether a socket can have had both cookies.
const fn fit(cookie: u64, other: u64) -> bool {
    cookie == 0 || other == 0 || cookie == other
}

const fn is_held(found: &Found) -> bool {
    found.head.has(flag::HELD)
}

/// Whether nothing is left but descriptors: no list has a closed socket.
fn is_closed(found: &Found) -> bool {
    State::from_kernel(found.head.old) == Some(State::Closed)
}

/// Whether a socket that an application has a handle on waits for somebody's close.
fn waits(found: &Found) -> bool {
    !found.head.has(flag::ORPHAN) && State::from_kernel(found.head.old).is_some_and(State::waits_for_close)
}

/// A socket that a process holds.
struct Held {
    /// Its cookie, once it has one.
    cookie: u64,
    /// Its namespace lists it, or lists none of its kind.
    is_listed: bool,
}

impl Held {
    /// Learns a cookie. Returns whether some of what was found has one and some has none.
    const fn take(&mut self, cookie: u64) -> bool {
        let differs = cookie != self.cookie;
        if self.cookie == 0 {
            self.cookie = cookie;
        }
        differs
    }
}

/// One look at the sockets.
pub(super) struct Look {
    /// Descriptors and sockets, in pieces.
    found: Vec<Vec<Found>>,
    /// Those that wait, and that an application has a handle on, but no process a descriptor; with their cookies.
    homeless: HashMap<Key, u64>,
}

impl Look {
    /// Brings descriptors and sockets together: leaves out descriptors of sockets that their namespaces do not list (any more).
    /// Those of a namespace that could not be looked into are believed. All that was found of a socket gets its cookie.
    pub(super) fn of(mut found: Vec<Vec<Found>>, looked_into: &[u32]) -> Self {
        let is_of_full = |found: &&Found| !is_held(found) && !found.head.has(flag::MINI);
        let mut held: HashMap<Key, Held> =
            HashMap::with_capacity(found.iter().flatten().filter(|found| is_held(found)).count());
        let mut got_cookie = false;
        for found in found.iter().flatten().filter(|found| is_held(found)) {
            let cookie = found.head.cookie;
            let of = held.entry(key(found)).or_insert(Held { cookie, is_listed: is_closed(found) });
            got_cookie |= of.take(cookie);
        }
        let mut homeless = HashMap::new();
        for found in found.iter().flatten().filter(is_of_full) {
            let cookie = found.head.cookie;
            match held.get_mut(&key(found)) {
                Some(of) if fit(of.cookie, cookie) => {
                    of.is_listed = true;
                    got_cookie |= of.take(cookie);
                }
                _ if waits(found) => _ = homeless.insert(key(found), cookie),
                _ => {}
            }
        }
        // Seldom is there one without.
        if got_cookie {
            for found in found.iter_mut().flatten().filter(|found| found.head.cookie == 0) {
                found.head.cookie = held.get(&key(found)).map_or(0, |of| of.cookie);
            }
        }
        if held.values().any(|of| !of.is_listed) {
            let is_listed = |found: &Found| {
                held.get(&key(found)).is_some_and(|of| of.is_listed && fit(of.cookie, found.head.cookie))
            };
            for piece in &mut found {
                piece.retain(|found| {
                    !is_held(found) || is_listed(found) || !looked_into.contains(&found.head.netns)
                });
            }
        }
        Self { found, homeless }
    }
}

/// How many sockets of a namespace are tried: processes may be gone by now.
const TRIES: usize = 8;

/// As [`look`], in namespaces that nothing but their sockets keeps as well: of those a process holds one that leads there. Where no
/// descriptor can be had from another process (Yama's `ptrace_scope` 3), `otherwise` looks for them.
pub(super) fn look_everywhere(
    dumps: &mut dyn Dumps,
    mut netns: Vec<Netns>,
    otherwise: impl FnOnce(&HashSet<u32>) -> Vec<Netns>,
) -> Result<Vec<Vec<Found>>> {
    let found = look(dumps, &netns)?;
    let mut hidden: HashMap<u32, Vec<(u32, u32)>> = HashMap::new();
    // Sockets are many and namespaces few: mostly it is the one of the socket before.
    let mut last = None;
    for found in found.iter().flatten().filter(|found| is_held(found)) {
        let inode = found.head.netns;
        if last == Some(inode) || netns.iter().any(|known| known.inode == inode) {
            last = Some(inode);
            continue;
        }
        let held = hidden.entry(inode).or_default();
        if held.len() < TRIES {
            held.push((found.task.tgid, found.gauge.fd));
        }
    }
    let way_in = |(&inode, held): (&u32, &Vec<(u32, u32)>)| {
        held.iter().find_map(|&(pid, fd)| netns_of_socket::open(inode, pid, fd))
    };
    let opened: Vec<Opened> = hidden.iter().filter_map(way_in).collect();
    for opened in &opened {
        hidden.remove(&opened.netns.inode);
        netns.push(opened.netns.clone());
    }
    let known = netns.len();
    netns.extend(otherwise(&hidden.into_keys().collect()));
    if opened.is_empty() && netns.len() == known {
        return Ok(found);
    }
    look(dumps, &netns)
}

/// The sockets that are there at the look, with every descriptor of each.
fn look(dumps: &mut dyn Dumps, netns: &[Netns]) -> Result<Vec<Vec<Found>>> {
    let Look { found: mut first, homeless } = dumps.dump(netns)?;
    if homeless.is_empty() {
        return Ok(first);
    }
    // A descriptor may have gone from one process to another between the looks at the two.
    let Look { found: mut second, homeless } = dumps.dump(netns)?;
    let is_of_homeless =
        |found: &Found| homeless.get(&key(found)).is_some_and(|&cookie| fit(cookie, found.head.cookie));
    for piece in &mut first {
        piece.retain(|found| is_held(found) && is_of_homeless(found));
    }
    first.append(&mut second);
    Ok(first)
}

#[cfg(test)]
mod tests {
    use tcplife_common::wire::Head;

    use super::*;

    const NETNS: u32 = 1;
    const CLOSE: u8 = 7;
    const CLOSE_WAIT: u8 = 8;

    fn seen(sock: u64, flags: u8) -> Found {
        Found {
            head: Head { sock, cookie: sock, netns: NETNS, old: CLOSE_WAIT, flags, ..Head::default() },
            ..Found::default()
        }
    }

    fn held(sock: u64) -> Found {
        seen(sock, flag::HELD)
    }

    /// The sockets whose descriptors are left, and those without one that wait.
    fn of(found: &[Found], looked_into: &[u32]) -> (Vec<u64>, Vec<u64>) {
        let look = Look::of(found.chunks(2).map(<[Found]>::to_vec).collect(), looked_into);
        let mut homeless: Vec<u64> = look.homeless.keys().map(|key| key.0).collect();
        homeless.sort_unstable();
        (held_of(&look.found), homeless)
    }

    fn held_of(found: &[Vec<Found>]) -> Vec<u64> {
        found.iter().flatten().filter(|found| is_held(found)).map(|found| found.head.sock).collect()
    }

    fn with_cookie(found: Found, cookie: u64) -> Found {
        Found { head: Head { cookie, ..found.head }, ..found }
    }

    #[test]
    fn descriptors_of_listed_sockets_are_left() {
        let mut other_ends = held(3);
        other_ends.tuple.remote_port += 1;
        let found = [
            held(1),
            held(1),
            held(2),
            other_ends,
            held(4),
            with_cookie(held(5), 6),
            seen(1, 0),
            seen(3, 0),
            seen(4, flag::MINI | flag::ORPHAN),
            seen(5, 0),
        ];
        assert_eq!(of(&found, &[NETNS]), (vec![1, 1], vec![3, 5]));
        assert_eq!(of(&found, &[]), (vec![1, 1, 2, 3, 4, 5], vec![3, 5]), "nobody looked there");
    }

    #[test]
    fn descriptors_of_closed_sockets_are_in_no_list() {
        let mut closed = held(1);
        closed.head.old = CLOSE;
        assert_eq!(of(&[closed, held(2)], &[NETNS]), (vec![1], vec![]));
    }

    #[test]
    fn a_cookie_that_a_socket_gets_meanwhile_is_all_of_its() {
        let cases = [
            [with_cookie(held(1), 0), seen(1, 0), held(1)],
            [with_cookie(held(1), 0), held(1), with_cookie(seen(1, 0), 0)],
            [held(1), with_cookie(held(1), 0), with_cookie(seen(1, 0), 0)],
        ];
        for found in cases {
            let look = Look::of(vec![found[..1].to_vec(), found[1..].to_vec()], &[NETNS]);
            assert!(look.homeless.is_empty() && held_of(&look.found) == [1, 1], "{found:?}");
            assert!(look.found.iter().flatten().all(|found| found.head.cookie == 1), "{:?}", look.found);
        }
    }

    #[test]
    fn what_waits_without_a_descriptor_is_homeless_unless_it_is_an_orphan() {
        let mut established = seen(3, 0);
        established.head.old = 1;
        let found = [held(1), seen(1, 0), seen(2, flag::ORPHAN), established, seen(4, 0), seen(4, 0)];
        assert_eq!(of(&found, &[NETNS]), (vec![1], vec![4]));
    }

    /// Dumps that were made before.
    struct Made(Vec<Vec<Found>>);

    impl Dumps for Made {
        fn dump(&mut self, _: &[Netns]) -> Result<Look> {
            Ok(Look::of(vec![self.0.remove(0)], &[NETNS]))
        }
    }

    #[test]
    fn a_descriptor_on_its_way_was_seen_by_one_look_of_two() {
        // The second look misses the descriptor of 1, which the first saw; 3 and 4 have another's address by then.
        let mut first = vec![with_cookie(held(1), 0), with_cookie(seen(1, 0), 0), seen(5, 0)];
        first.extend([2, 3, 4].into_iter().flat_map(|sock| [held(sock), seen(sock, 0)]));
        let mut other_ends = seen(4, 0);
        other_ends.tuple.remote_port += 1;
        let second =
            vec![seen(1, 0), seen(2, 0), with_cookie(seen(3, 0), 7), other_ends, held(5), seen(5, 0)];
        let found = look(&mut Made(vec![first, second]), &[]).unwrap();
        assert_eq!(held_of(&found), [1, 2, 5]);
        // What is told last is newest.
        let of_one = found.iter().flatten().filter(|found| found.head.sock == 1);
        assert!(of_one.map(|found| found.head.cookie).eq([0, 1]), "{found:?}");
        let once = look(&mut Made(vec![vec![held(1), seen(1, 0)]]), &[]).unwrap();
        assert_eq!(once.concat().len(), 2, "nobody looked again");
    }
}
