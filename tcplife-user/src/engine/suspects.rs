//! Sockets that wait for somebody's close, confirmed against the kernel at the moment of reporting.
//!
//! What comes in: a moment at which a sink wants to know. What goes out: suspects, made of what the kernel has just then.
//! What always holds: a socket that is gone before the look is not among them; that a socket has no descriptor is said only
//! after a second look.

use std::{panic::resume_unwind, thread};

use anyhow::Result;
use foldhash::{HashMap, HashMapExt, HashSet};
use tcplife_common::wire::{Found, flag};
use tcplife_core::{
    connection::{Connection, Ends},
    observer::Observer,
    state::State,
    suspect::{self, Sockets, Suspect, Tally},
    table::{self, Census, MiniEnds, Scope, Table},
};

use super::{
    Engine,
    census::{is_wanted, wanted},
};
use crate::{
    clock,
    config::{Config, Evidence},
    memory,
    sink::{Confirm, Hook, Sink},
    source::{
        Live, Still, diag,
        dump::{self, SUSPECTS},
        namespaces::{self, Netns},
        preflight::Preflight,
    },
};

const SOCK_DIAG: &str = "sock_diag + /proc/PID/fd";

/// Where dumps come from.
trait Dumps {
    /// Sockets that are listed by their namespaces, with every descriptor of each.
    fn dump(&mut self, netns: &[Netns]) -> Result<Look>;
}

impl Dumps for Still {
    fn dump(&mut self, netns: &[Netns]) -> Result<Look> {
        let (found, looked_into) = self.look(SUSPECTS, netns)?;
        Ok(Look::of(found, &looked_into))
    }
}

/// A running trace, whose records are taken in meanwhile.
struct Tracing<'a, F>(&'a mut Live, F);

impl<F: FnMut(&[u8])> Dumps for Tracing<'_, F> {
    fn dump(&mut self, netns: &[Netns]) -> Result<Look> {
        let mut found = Vec::new();
        self.0.dump_held(SUSPECTS, &mut found, &mut self.1)?;
        let looked_into = self.0.dump_sockets(SUSPECTS, netns, &mut found, &mut self.1)?;
        Ok(Look::of(found, &looked_into))
    }
}

/// Without BPF.
struct Diag;

impl Dumps for Diag {
    fn dump(&mut self, netns: &[Netns]) -> Result<Look> {
        Ok(Look::of(diag::dump(SUSPECTS, netns)?, &[]))
    }
}

/// What names a socket while the dumps are made: its address and both ends. Not its cookie, which it has from the moment on
/// that somebody asks for it: `ss` does, and so does the iterator where it pauses (`bpf_iter_tcp_put_batch` of 6.18).
type Key = (u64, Ends);

const fn key(found: &Found) -> Key {
    (found.head.sock, Ends::of(&found.tuple))
}

const fn is_held(found: &Found) -> bool {
    found.head.flags & flag::HELD != 0
}

/// Whether a socket that an application has a handle on waits for somebody's close.
fn waits(found: &Found) -> bool {
    found.head.flags & flag::ORPHAN == 0
        && matches!(State::from_kernel(found.head.old), Some(State::CloseWait | State::FinWait2))
}

/// One look at the sockets.
struct Look {
    /// Descriptors and sockets, in pieces.
    found: Vec<Vec<Found>>,
    /// Those that wait, and that an application has a handle on, but no process a descriptor.
    homeless: HashSet<Key>,
}

impl Look {
    /// Brings descriptors and sockets together: leaves out descriptors of sockets that their namespaces do not list (any more).
    /// Those of a namespace that could not be looked into are believed.
    fn of(mut found: Vec<Vec<Found>>, looked_into: &[u32]) -> Self {
        // Whether its namespace lists it.
        let mut held: HashMap<Key, bool> =
            HashMap::with_capacity(found.iter().flatten().filter(|found| is_held(found)).count());
        held.extend(found.iter().flatten().filter(|found| is_held(found)).map(|found| (key(found), false)));
        let mut homeless = HashSet::default();
        let listed = |found: &&Found| !is_held(found) && found.head.flags & flag::MINI == 0;
        for found in found.iter().flatten().filter(listed) {
            match held.get_mut(&key(found)) {
                Some(listed) => *listed = true,
                None if waits(found) => _ = homeless.insert(key(found)),
                None => {}
            }
        }
        // Seldom is there one.
        if held.values().any(|listed| !listed) {
            let is_listed = |found: &Found| held.get(&key(found)).is_some_and(|&listed| listed);
            for piece in &mut found {
                piece.retain(|found| {
                    !is_held(found) || is_listed(found) || !looked_into.contains(&found.head.netns)
                });
            }
        }
        Self { found, homeless }
    }
}

/// The sockets that are there at the look, with every descriptor of each.
fn look(dumps: &mut dyn Dumps, netns: &[Netns]) -> Result<Vec<Vec<Found>>> {
    let Look { found: mut first, homeless } = dumps.dump(netns)?;
    if homeless.is_empty() {
        return Ok(first);
    }
    // A descriptor may have gone from one process to another between the looks at the two.
    let Look { found: mut second, homeless } = dumps.dump(netns)?;
    for piece in &mut first {
        piece.retain(|found| is_held(found) && homeless.contains(&key(found)));
    }
    second.append(&mut first);
    Ok(second)
}

/// The suspects of the host as they are now, without a trace.
pub struct Glance {
    /// Every connection that was found, but for orphans that are counted.
    pub table: Table,
    /// The suspects, oldest first.
    pub suspects: Vec<Suspect>,
    /// How many orphans in mini-sockets there are of each verdict, if they are not among the suspects.
    pub orphans: Tally,
    /// What told of them.
    pub evidence: Hook,
    /// Why the better way was not to be had.
    pub fallback: Option<String>,
}

/// How orphans in mini-sockets are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// Each as a suspect.
    Each,
    /// How many there are: a host has as many as sockets that wait for a close, and nobody on it has to close one.
    Counted,
}

/// Looks at the host's sockets once.
///
/// # Errors
/// The kernel's sockets cannot be listed.
pub fn glance(config: &Config, orphans: Orphans) -> Result<Glance> {
    memory::keep();
    if config.evidence == Evidence::SockDiag {
        return glance_with(
            &mut Diag,
            namespaces::all(),
            diag::HZ,
            (config, orphans),
            Hook::on("dump", SOCK_DIAG.to_owned()),
        );
    }
    let host = Preflight::look();
    let (netns, still) = thread::scope(|scope| {
        let netns = scope.spawn(namespaces::all);
        let still = host.check().and_then(|()| Still::load(config.verbose));
        (netns.join().unwrap_or_default(), still)
    });
    match still {
        Ok(mut still) => {
            let evidence = Hook::on("dump", dump::mechanism(host.may_enter).to_owned());
            glance_with(&mut still, netns, clock::kernel_hz(), (config, orphans), evidence)
        }
        Err(why) if host.may_trace && config.evidence == Evidence::Best => {
            let evidence = Hook::on("dump", SOCK_DIAG.to_owned());
            let glance = glance_with(&mut Diag, netns, diag::HZ, (config, orphans), evidence)?;
            Ok(Glance { fallback: Some(format!("{why:#}")), ..glance })
        }
        Err(why) => Err(why),
    }
}

fn glance_with(
    dumps: &mut dyn Dumps,
    mut netns: Vec<Netns>,
    hz: u32,
    (config, orphans): (&Config, Orphans),
    evidence: Hook,
) -> Result<Glance> {
    let begun = clock::monotonic_ns();
    let mut found = look(dumps, &netns)?;
    // Some namespaces are a thread's alone, or only open somewhere: finding those takes much longer.
    let unknown = found
        .iter()
        .flatten()
        .map(|found| found.head.netns)
        .filter(|&inode| !netns.iter().any(|n| n.inode == inode));
    let elsewhere = namespaces::elsewhere(&unknown.collect::<std::collections::HashSet<u32>>());
    if !elsewhere.is_empty() {
        netns.extend(elsewhere);
        found = look(dumps, &netns)?;
    }
    let capacity = config.max_connections;
    let mini_ends = match orphans {
        Orphans::Each => MiniEnds::Computed,
        Orphans::Counted => MiniEnds::Ignored,
    };
    let mut table = Table::new(table::Config { capacity, hz, mini_ends, ..table::Config::default() });
    let wanted = wanted(&found, &config.filter);
    let census = Census { begun, scope: Scope::Some, netns: &[], gone: &[], found: &wanted };
    let sockets = thread::scope(|scope| {
        let sockets = scope.spawn(|| Sockets::of(&found));
        table.take_census(&census, &mut ());
        sockets.join().unwrap_or_else(|panic| resume_unwind(panic))
    });
    let (now, leak_after) = (clock::monotonic_ns(), clock::as_ns(config.leak_after));
    let suspects = suspect::suspects(&table, &sockets, now, leak_after, hz);
    let orphans = match orphans {
        Orphans::Counted if config.filter.wants_state(State::FinWait2) => {
            suspect::orphans(&sockets, |found| is_wanted(found, &config.filter), now, leak_after, hz)
        }
        _ => Tally::default(),
    };
    Ok(Glance { table, suspects, orphans, evidence, fallback: None })
}

impl Engine {
    /// Tells the suspects as they are now. Without a connection old enough to be one, nobody has to look.
    pub(super) fn tell_suspects<S: Sink>(&mut self, sink: &mut S) -> Result<()> {
        let begun = clock::monotonic_ns();
        let old_enough = |connection: &Connection| {
            matches!(connection.state(), State::CloseWait | State::FinWait2)
                && connection.since().age(begun).max.is_none_or(|max| max >= self.leak_after)
        };
        let suspects = if sink.confirm() == Confirm::AtBothEnds || self.table.iter().any(old_enough) {
            self.suspects(begun, sink)?
        } else {
            Vec::new()
        };
        sink.suspects(clock::monotonic_ns(), suspects);
        Ok(())
    }

    /// The suspects as they are now.
    fn suspects<O: Observer>(&mut self, begun: u64, observer: &mut O) -> Result<Vec<Suspect>> {
        let netns = self.every_namespace();
        self.table.expect_census();
        let (live, intake) = self.intake(observer);
        let found = look(&mut Tracing(live, intake), &netns)?;
        self.take(begun, Scope::Some, Vec::new(), &[], &found, observer);
        let now = clock::monotonic_ns();
        Ok(suspect::suspects(&self.table, &Sockets::of(&found), now, self.leak_after, clock::kernel_hz()))
    }
}

#[cfg(test)]
mod tests {
    use tcplife_common::wire::Head;

    use super::*;

    const NETNS: u32 = 1;
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
        let look = Look::of(vec![found.to_vec()], looked_into);
        let mut homeless: Vec<u64> = look.homeless.iter().map(|key| key.0).collect();
        homeless.sort_unstable();
        let held =
            look.found.iter().flatten().filter(|found| is_held(found)).map(|found| found.head.sock).collect();
        (held, homeless)
    }

    #[test]
    fn descriptors_of_listed_sockets_are_left() {
        let mut other_ends = held(3);
        other_ends.tuple.remote_port += 1;
        let mut other_cookie = held(5);
        other_cookie.head.cookie = 0;
        let found = [
            held(1),
            held(1),
            held(2),
            other_ends,
            held(4),
            other_cookie,
            seen(1, 0),
            seen(3, 0),
            seen(4, flag::MINI | flag::ORPHAN),
            seen(5, 0),
        ];
        assert_eq!(of(&found, &[NETNS]), (vec![1, 1, 5], vec![3]));
        assert_eq!(of(&found, &[]), (vec![1, 1, 2, 3, 4, 5], vec![3]), "nobody looked there");
    }

    #[test]
    fn what_waits_without_a_descriptor_is_homeless_unless_it_is_an_orphan() {
        let mut established = seen(3, 0);
        established.head.old = 1;
        let found = [held(1), seen(1, 0), seen(2, flag::ORPHAN), established, seen(4, 0), seen(4, 0)];
        assert_eq!(of(&found, &[NETNS]), (vec![1], vec![4]));
    }
}
