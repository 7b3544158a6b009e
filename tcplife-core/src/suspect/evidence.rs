//! What a dump tells of each socket, brought together: its queues and clocks, its holders, its listener, its peer.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::BuildHasher,
    net::SocketAddr,
    sync::OnceLock,
};

use foldhash::fast::RandomState;
use hashbrown::hash_table::{Entry, HashTable};
use tcplife_common::wire::{Found, flag};

use super::{Facts, Holder, Keeper, Listening, Peer};
use crate::{
    connection::Ends,
    owner::Process,
    state::State,
    table::{Table, ago, orphaned_at},
    timeline::Age,
};

/// The pid of init.
const INIT: u32 = 1;

/// Whose descriptors a dump shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Every process's.
    Every,
    /// Not every process's: one that is not seen may hold any socket.
    Some,
}

/// One socket of a dump.
pub(super) struct Socket<'a> {
    /// The newest look at it.
    pub(super) found: &'a Found,
    /// The first look that found it by a descriptor.
    held: Option<&'a Found>,
    /// The others: most sockets have one descriptor, and none here.
    held_too: Vec<&'a Found>,
    /// Its namespace's list has it: the namespace was looked into.
    is_listed: bool,
    sight: Sight,
}

impl<'a> Socket<'a> {
    const fn new(found: &'a Found, sight: Sight) -> Self {
        Self { found, held: None, held_too: Vec::new(), is_listed: false, sight }
    }

    /// One more look at it.
    fn add(&mut self, found: &'a Found) {
        if found.head.has(flag::HELD) {
            match self.held {
                None => self.held = Some(found),
                Some(_) => self.held_too.push(found),
            }
        } else {
            self.is_listed = true;
        }
        if found.head.time_ns > self.found.head.time_ns {
            self.found = found;
        }
    }

    fn held(&self) -> impl Iterator<Item = Holder> {
        self.held.iter().chain(&self.held_too).map(|found| holder(found))
    }

    pub(super) fn state(&self) -> State {
        State::from_kernel(self.found.head.old).unwrap_or(State::Closed)
    }

    /// Whether it is a mini-socket.
    pub(super) fn is_mini(&self) -> bool {
        self.found.head.has(flag::MINI)
    }

    /// Whether it may get a verdict. A closed socket without a remote end is what is left of nothing: it is to be connected yet, or was
    /// dissolved by `tcp_disconnect`.
    pub(super) fn is_judged(&self) -> bool {
        self.state().is_judged() && (self.state() != State::Closed || self.found.tuple.remote_port != 0)
    }

    fn ends(&self) -> Ends {
        Ends::of(&self.found.tuple)
    }

    /// Whether its other end is in the same network namespace.
    fn stays_inside(&self) -> bool {
        let ends = self.ends();
        let (local, remote) = (ends.local_addr().ip(), ends.remote_addr().ip());
        remote.is_loopback() || local == remote
    }

    /// One of its ends, with the only network namespace in which that address means the same: loopback's own, or any (0).
    fn end(&self, end: SocketAddr) -> Endpoint {
        (if end.ip().is_loopback() { self.found.head.netns } else { 0 }, end)
    }

    fn local_end(&self) -> Endpoint {
        self.end(self.ends().local_addr())
    }

    fn remote_end(&self) -> Endpoint {
        self.end(self.ends().remote_addr())
    }

    fn keeper(&self) -> Keeper {
        let alone = self.found.head.has(flag::ORPHAN);
        match (self.held.is_none(), alone, self.state()) {
            (false, ..) => Keeper::Process,
            // Only a closing application leaves these states: one without a handle in them never had one.
            (true, true, State::CloseWait) => Keeper::AcceptQueue,
            (true, true, _) => Keeper::Nobody,
            (true, false, _) => match self.sight {
                Sight::Every => Keeper::Kernel,
                Sight::Some => Keeper::Unseen,
            },
        }
    }

    fn since_orphaned(&self, hz: u32) -> Option<u64> {
        let is_orphan = self.is_mini() && self.state() == State::FinWait2;
        let at = orphaned_at(self.found, hz).filter(|_| is_orphan)?;
        Some(self.found.head.time_ns.saturating_sub(at))
    }

    /// All but the age.
    pub(super) fn facts(&self, hz: u32) -> Facts {
        let (gauge, stats) = (&self.found.gauge, &self.found.stats);
        // The clocks of both directions start with the connection (tcp_create_openreq_child, tcp_finish_connect).
        let since = |at: u32, bytes: u64| ago(gauge, at, hz).filter(|_| bytes > 0);
        Facts {
            state: self.state(),
            age: Age { min: 0, max: None },
            recv_queue: gauge.recv_queue,
            // Of a connection that is over nothing will be acknowledged.
            send_queue: if self.state() == State::Closed { 0 } else { gauge.send_queue },
            since_sent: since(gauge.last_sent, stats.bytes_sent),
            since_received: since(gauge.last_data, stats.bytes_received),
            keeper: self.keeper(),
            since_orphaned: self.since_orphaned(hz),
        }
    }

    pub(super) fn holders(&self) -> Vec<Holder> {
        let mut holders: Vec<Holder> = self.held().collect();
        holders.sort_by_key(|holder| (holder.process.pid, holder.fd));
        holders.dedup();
        holders
    }

    /// The first holder: any for one that has several, but always the same, and not init, which keeps what it listens at for
    /// services that it starts.
    fn first_holder(&self) -> Option<Process> {
        let rank = |holder: &Holder| (holder.process.pid == INIT, holder.process.pid);
        self.held().min_by_key(rank).map(|holder| holder.process)
    }
}

fn holder(found: &Found) -> Holder {
    Holder { process: Process::from(&found.task), fd: found.gauge.fd }
}

/// The number of the socket in a place: no memory has more records than numbers.
fn number_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// One end of a connection, and the network namespace it is in; 0 if it may be in any.
type Endpoint = (u32, SocketAddr);

/// Ends of sockets that wait for their peers' close, and whose peers are not in the dump: those are on other hosts, or know
/// these sockets by other ends (NAT).
#[derive(Default)]
struct Unmatched {
    local: HashSet<Endpoint, RandomState>,
    remote: HashSet<Endpoint, RandomState>,
}

/// The sockets of a dump, each with all that was found of it.
pub struct Sockets<'a> {
    all: Vec<Socket<'a>>,
    hasher: RandomState,
    /// The last connection with the ends that it has.
    by_ends: HashTable<u32>,
    /// For each connection the one before it that has the same ends, in another namespace.
    before: Vec<Option<u32>>,
    /// Listeners by network namespace and port.
    listeners: HashMap<(u32, u16), Vec<usize>, RandomState>,
    /// Seldom asked for.
    unmatched: OnceLock<Unmatched>,
}

impl<'a> Sockets<'a> {
    /// Brings together what was found, in pieces.
    pub fn of(found: &'a [Vec<Found>], sight: Sight) -> Self {
        let count = found.iter().map(Vec::len).sum();
        let mut sockets = Self {
            all: Vec::with_capacity(count),
            hasher: RandomState::default(),
            by_ends: HashTable::new(),
            before: Vec::new(),
            listeners: HashMap::default(),
            unmatched: OnceLock::new(),
        };
        let Self { all, hasher, .. } = &mut sockets;
        // By numbers alone: what they lead to has the address in it.
        let mut numbers: HashTable<u32> = HashTable::with_capacity(count);
        let address = |all: &[Socket<'_>], number: u32| all[number as usize].found.head.sock;
        for found in found.iter().flatten() {
            let sock = found.head.sock;
            let entry = numbers.entry(
                hasher.hash_one(sock),
                |&number| address(all, number) == sock,
                |&number| hasher.hash_one(address(all, number)),
            );
            let number = entry.or_insert_with(|| {
                all.push(Socket::new(found, sight));
                number_of(all.len() - 1)
            });
            all[*number.get() as usize].add(found);
        }
        sockets.index();
        sockets
    }

    fn index(&mut self) {
        let Self { all, hasher, by_ends, before, listeners, .. } = self;
        let ends_of = |&number: &u32| all[number as usize].ends();
        *by_ends = HashTable::with_capacity(all.len());
        *before = vec![None; all.len()];
        for (place, socket) in all.iter().enumerate() {
            let number = number_of(place);
            match socket.state() {
                State::Listen => {
                    let key = (socket.found.head.netns, socket.found.tuple.local_port);
                    listeners.entry(key).or_default().push(place);
                    continue;
                }
                // No more the other end of any.
                State::Closed => continue,
                _ => {}
            }
            let ends = socket.ends();
            let rehash = |number: &u32| hasher.hash_one(ends_of(number));
            match by_ends.entry(hasher.hash_one(ends), |number| ends_of(number) == ends, rehash) {
                Entry::Occupied(mut last) => before[place] = Some(std::mem::replace(last.get_mut(), number)),
                Entry::Vacant(vacant) => _ = vacant.insert(number),
            }
        }
    }

    /// The last connection with these ends.
    fn last_with(&self, ends: &Ends) -> Option<u32> {
        let has = |&number: &u32| self.all[number as usize].ends() == *ends;
        self.by_ends.find(self.hasher.hash_one(ends), has).copied()
    }

    pub(super) fn all(&self) -> &[Socket<'a>] {
        &self.all
    }

    /// Whether somebody listens at the local end of a connection.
    pub(super) fn listens_for(&self, socket: &Socket<'_>) -> bool {
        let ends = socket.ends();
        let on_port = self.listeners.get(&(socket.found.head.netns, ends.local_port));
        let mut listeners = on_port.into_iter().flatten().map(|&number| self.all[number].ends());
        listeners.any(|listener| ends.match_of_listener(&listener.local).is_some())
    }

    /// Whether somebody listens on a port in the namespace of a connection.
    fn listens_on(&self, socket: &Socket<'_>, port: u16) -> bool {
        self.listeners.contains_key(&(socket.found.head.netns, port))
    }

    /// Who has to accept a connection: of the listeners whose queues are not empty, the process of the one that matches its
    /// address most closely. The kernel chose when the SYN came, and moves nothing from queue to queue when another begins to
    /// listen: an empty one is not the one, however closely it matches. None if several processes listen there
    /// (`SO_REUSEPORT`): the kernel does not keep which of them it belongs to.
    pub(super) fn listener(&self, socket: &Socket<'_>) -> Option<Listening> {
        let ends = socket.ends();
        let on_port = self.listeners.get(&(socket.found.head.netns, ends.local_port))?;
        let rank = |listener: &Socket<'_>| ends.match_of_listener(&listener.ends().local);
        let mut listeners: Vec<&Socket<'_>> = on_port.iter().map(|&number| &self.all[number]).collect();
        listeners.retain(|listener| listener.found.gauge.recv_queue > 0);
        let best = listeners.iter().filter_map(|listener| rank(listener)).max()?;
        listeners.retain(|listener| rank(listener) == Some(best));
        let mut processes = listeners.iter().map(|listener| listener.first_holder());
        let process = processes.next()??;
        if processes.any(|other| other != Some(process)) {
            return None;
        }
        let sum = |of: fn(&Found) -> u32| listeners.iter().map(|listener| of(listener.found)).sum();
        let holders = listeners.iter().flat_map(|listener| listener.held()).map(|holder| holder.process.pid);
        let processes =
            holders.filter(|&pid| pid != INIT || pid == process.pid).collect::<BTreeSet<_>>().len();
        let (queue, limit) = (sum(|found| found.gauge.recv_queue), sum(|found| found.gauge.send_queue));
        Some(Listening { process, processes, queue, limit })
    }

    /// The other end. On this host it is the one socket with both ends swapped. It is gone if a namespace lists the one and
    /// not the other, unless that may be there with other ends. A connection that is over has none.
    pub(super) fn peer(&self, table: &Table, socket: &Socket<'_>) -> Peer {
        if socket.state() == State::Closed {
            return Peer::Unknown;
        }
        let must_be_listed =
            || socket.stays_inside() && socket.is_listed && socket.state() == State::CloseWait;
        let mut swapped = self.swapped(socket);
        let peer = match (swapped.next(), swapped.next()) {
            (Some(peer), None) => peer,
            (None, _) if must_be_listed() && !self.may_be_translated(socket) => return Peer::Gone,
            _ => return Peer::Unknown,
        };
        let owner = || table.found(peer.found).and_then(|connection| table.owner(connection));
        let listener = || if peer.keeper() == Keeper::AcceptQueue { self.listener(peer) } else { None };
        let process = peer
            .first_holder()
            .or_else(|| listener().map(|listener| listener.process))
            .or_else(|| owner().map(|owner| owner.process));
        Peer::Here(process)
    }

    /// The sockets that have the ends of one swapped: in its namespace, or where none is there and the other end may be in
    /// another, in any.
    fn swapped(&self, socket: &Socket<'_>) -> impl Iterator<Item = &Socket<'a>> {
        let ends = socket.ends();
        let swapped = Ends {
            local: ends.remote,
            remote: ends.local,
            local_port: ends.remote_port,
            remote_port: ends.local_port,
        };
        let netns = socket.found.head.netns;
        let is_near = move |other: &Socket<'_>| other.found.head.netns == netns;
        let before = |&number: &u32| self.before[number as usize];
        let all =
            std::iter::successors(self.last_with(&swapped), before).map(|number| &self.all[number as usize]);
        let near = socket.stays_inside() || all.clone().any(is_near);
        all.filter(move |other| !near || is_near(other))
    }

    /// Whether the other end of a socket may be there under other ends. NAT of the destination (`redirect`, `dnat`) leaves the
    /// client's end as it is: its own local end is what the server's socket has for the remote one. The client's end is the one
    /// at whose port nobody listens.
    fn may_be_translated(&self, socket: &Socket<'_>) -> bool {
        let ends = socket.ends();
        let unmatched = self.unmatched.get_or_init(|| self.unmatched());
        !self.listens_on(socket, ends.local_port) && unmatched.remote.contains(&socket.local_end())
            || !self.listens_on(socket, ends.remote_port) && unmatched.local.contains(&socket.remote_end())
    }

    fn unmatched(&self) -> Unmatched {
        let mut unmatched = Unmatched::default();
        let waits = |socket: &&Socket<'_>| matches!(socket.state(), State::FinWait1 | State::FinWait2);
        for socket in self.all.iter().filter(waits).filter(|socket| self.swapped(socket).next().is_none()) {
            unmatched.local.insert(socket.local_end());
            unmatched.remote.insert(socket.remote_end());
        }
        unmatched
    }
}
