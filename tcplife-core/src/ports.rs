//! Who uses up local ports: connections by source address and destination, and what that means.
//!
//! What comes in: the table, the filter and the time. What goes out: for each (namespace, source address, destination) the local
//! ports in use, by state, how fast they are taken and by whom. A local port can be used once for each destination, not
//! once for each host (`__inet_check_established`, net/ipv4/inet_hashtables.c). What always holds: linear in the table;
//! what is listed is bounded, and the number of what is not is told.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use foldhash::fast::RandomState;

use crate::{
    connection::{Connection, Ends, FirstClose, Role},
    filter::Filter,
    numbers::{Numbered, largest, places, sizes},
    owner::Process,
    state::State,
    table::Table,
};

/// Rates are of this long, nanoseconds.
pub const WINDOW: u64 = 10 * SECOND;
const SECOND: u64 = 1_000_000_000;
/// `TCP_TIMEWAIT_LEN` (include/net/tcp.h): a port is kept this long after a close.
pub const TIME_WAIT: u64 = 60 * SECOND;

/// Whose ports are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Ours: from a source address to a destination, each connection with a port of its own.
    To {
        /// Where connections come from.
        source: IpAddr,
        /// Where they go.
        destination: SocketAddr,
    },
    /// The peers': connections that came in at a local port and were closed here first, which leaves TIME_WAIT here.
    At(SocketAddr),
}

/// The connections of one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Inode of the network namespace.
    pub netns: u32,
    /// Whose ports.
    pub place: Place,
    /// Connections, and so ports: all of them.
    pub total: usize,
    /// How many in each state.
    pub by_state: [usize; State::COUNT],
    /// How many came within the last [`WINDOW`].
    pub lately: usize,
    /// How many were closed here first.
    pub closed_here: usize,
    /// The process that has most of them, and how many; `None` when no owner is known.
    pub creator: Option<(Process, usize)>,
    /// Processes that have any.
    pub creators: usize,
}

/// When a source address has no port left for a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhaustion {
    /// Not at this rate.
    Never,
    /// After this long at this rate, nanoseconds.
    In(u64),
    /// There is none left.
    Now,
}

impl Usage {
    const fn new(netns: u32, place: Place) -> Self {
        Self {
            netns,
            place,
            total: 0,
            by_state: [0; State::COUNT],
            lately: 0,
            closed_here: 0,
            creator: None,
            creators: 0,
        }
    }

    /// Connections that came each second of late.
    pub const fn per_second(&self) -> usize {
        self.lately / 10
    }

    /// Ports that a new connection cannot have, if TIME_WAIT keeps one for a time.
    pub fn held(&self, kept_for: u64) -> usize {
        let time_wait = self.by_state[State::TimeWait.index()];
        let kept = if kept_for < TIME_WAIT { time_wait.min(self.lately_within(kept_for)) } else { time_wait };
        self.total - time_wait + kept
    }

    /// How many come within a time, as of late.
    fn lately_within(&self, time: u64) -> usize {
        usize::try_from(self.lately as u128 * u128::from(time) / u128::from(WINDOW)).unwrap_or(usize::MAX)
    }

    /// When `ports` are used up, if connections go on to come as of late and TIME_WAIT keeps a port for a time.
    pub fn exhaustion(&self, ports: usize, kept_for: u64) -> Exhaustion {
        let Some(free) = ports.checked_sub(self.held(kept_for)).filter(|&free| free > 0) else {
            return Exhaustion::Now;
        };
        let lasting = self.total - self.by_state[State::TimeWait.index()];
        let at_last = lasting.saturating_add(self.lately_within(kept_for));
        if self.lately == 0 || at_last <= ports {
            return Exhaustion::Never;
        }
        let ns = free as u128 * u128::from(WINDOW) / self.lately as u128;
        Exhaustion::In(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

/// The places with the most connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usages {
    /// The largest, largest first.
    pub rows: Vec<Usage>,
    /// Places that are not listed.
    pub others: usize,
}

/// A place as the kernel names its ends: quick to compare.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    netns: u32,
    /// Whether the ports are ours; then `ends` has no local port, otherwise nothing remote.
    is_ours: bool,
    ends: Ends,
}

impl Key {
    /// Where a connection counts, if it holds a port.
    fn of(table: &Table, connection: &Connection) -> Option<Self> {
        let (netns, state, ends) = (connection.netns(), connection.state(), connection.ends());
        if matches!(state, State::Listen | State::Closed) || ends.local_port == 0 {
            return None;
        }
        let is_ours = match connection.role() {
            Some(role) => role == Role::Client,
            None => !table.has_listener(netns, ends.local_port),
        };
        let ends = match (is_ours, state) {
            (true, _) => Ends { local_port: 0, ..*ends },
            (false, State::TimeWait) => Ends { remote: [0; 16], remote_port: 0, ..*ends },
            (false, _) => return None,
        };
        Some(Self { netns, is_ours, ends })
    }

    fn place(&self) -> Place {
        let (local, remote) = (self.ends.local_addr(), self.ends.remote_addr());
        if self.is_ours { Place::To { source: local.ip(), destination: remote } } else { Place::At(local) }
    }
}

/// The `limit` places with the most connections at `now`, of those where `filter` wants any: first how many each has, then
/// all about the largest. A port that is in use is counted whoever has it.
pub fn usages(table: &Table, filter: &Filter, now: u64, limit: usize) -> Usages {
    let (mut keys, mut slots) = (Vec::with_capacity(table.len()), Vec::with_capacity(table.len()));
    for (slot, connection) in table.numbered() {
        if let Some(key) = Key::of(table, connection) {
            keys.push(key);
            slots.push(slot);
        }
    }
    let Numbered { keys, numbers } = Numbered::of(&keys);
    let mut totals = sizes(keys.len(), &numbers);
    if !filter.is_empty() {
        let mut wanted = vec![false; keys.len()];
        for (&slot, &number) in slots.iter().zip(&numbers) {
            wanted[number as usize] |=
                table.at(slot).is_some_and(|connection| filter.wants(table, connection));
        }
        for (total, _) in totals.iter_mut().zip(wanted).filter(|(_, is_wanted)| !is_wanted) {
            *total = 0;
        }
    }
    let count = totals.iter().filter(|&&total| total > 0).count();
    let shown = largest(totals.iter().copied(), limit.min(count));
    let mut counts: Vec<Count> = shown.iter().map(|&number| Count::of(&keys[number as usize])).collect();
    let places = places(totals.len(), &shown);
    for (slot, number) in slots.into_iter().zip(numbers) {
        if let Some(place) = places[number as usize]
            && let Some(connection) = table.at(slot)
        {
            counts[place].add(connection, table.owner(connection).map(|owner| owner.process), now);
        }
    }
    let mut rows: Vec<Usage> = counts.into_iter().map(Count::usage).collect();
    rows.sort_unstable_by(|a, b| b.total.cmp(&a.total).then((a.netns, a.place).cmp(&(b.netns, b.place))));
    Usages { rows, others: count.saturating_sub(limit) }
}

/// The connections of a place while they are counted.
struct Count {
    usage: Usage,
    creators: HashMap<Process, usize, RandomState>,
}

impl Count {
    fn of(key: &Key) -> Self {
        Self { usage: Usage::new(key.netns, key.place()), creators: HashMap::default() }
    }

    fn add(&mut self, connection: &Connection, process: Option<Process>, now: u64) {
        let begun = match self.usage.place {
            Place::To { .. } => connection.opened(),
            Place::At(_) => connection.since().seen(),
        };
        self.usage.total += 1;
        self.usage.by_state[connection.state().index()] += 1;
        self.usage.lately += usize::from(begun.is_some_and(|at| now.saturating_sub(at) < WINDOW));
        self.usage.closed_here += usize::from(connection.first_close() == FirstClose::Local);
        if let Some(process) = process {
            *self.creators.entry(process).or_default() += 1;
        }
    }

    fn usage(self) -> Usage {
        let largest = |(process, count): &(Process, usize)| (*count, Reverse(process.pid));
        let creators = self.creators.len();
        Usage { creator: self.creators.into_iter().max_by_key(largest), creators, ..self.usage }
    }
}

#[cfg(test)]
mod tests {
    use tcplife_common::wire::{Head, Move, Record, Task, Tuple, flag};

    use super::*;
    use crate::table::Config;

    const ESTABLISHED: u8 = 1;
    const SYN_SENT: u8 = 2;
    const CLOSE: u8 = 7;

    /// `count` connections of process `pid` to port `to`, opened in one second each.
    fn open(table: &mut Table, first: u16, count: u16, to: u16, pid: u32) {
        for n in first..first + count {
            let local = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
            let tuple = Tuple { local, remote: local, local_port: n, remote_port: to, ..Tuple::default() };
            let task = Task { tgid: pid, start_ns: 1, comm: [b'x'; 16], ..Task::default() };
            for (old, new) in [(CLOSE, SYN_SENT), (SYN_SENT, ESTABLISHED)] {
                let head = Head {
                    flags: flag::BY_TASK,
                    sock: u64::from(n) << 8,
                    netns: 1,
                    old,
                    new,
                    time_ns: u64::from(n) * SECOND,
                    ..Head::default()
                };
                table.apply(&Record::Move(Move { head, tuple, task }), &mut ());
            }
        }
    }

    #[test]
    fn ports_are_counted_by_destination_and_by_process() {
        let mut table = Table::new(Config::default());
        open(&mut table, 100, 30, 80, 7);
        open(&mut table, 200, 10, 80, 8);
        open(&mut table, 300, 5, 443, 9);
        let found = usages(&table, &Filter::default(), 210 * SECOND, 10);
        assert_eq!((found.rows.len(), found.others), (2, 0));
        let web = &found.rows[0];
        let destination = "127.0.0.1:80".parse().unwrap();
        assert_eq!(web.place, Place::To { source: [127, 0, 0, 1].into(), destination });
        assert_eq!((web.total, web.by_state[State::Established.index()], web.lately), (40, 40, 9));
        assert_eq!(web.creator.map(|(process, count)| (process.pid, count)), Some((7, 30)));
        assert_eq!(web.creators, 2);
        assert_eq!(usages(&table, &Filter::default(), 0, 1).others, 1);
        let of_8 = usages(&table, &Filter { pids: vec![8], ..Filter::default() }, 0, 10);
        assert_eq!(
            (of_8.rows.len(), of_8.rows[0].total, of_8.others),
            (1, 40, 0),
            "one place, all of its ports"
        );
    }

    #[test]
    fn exhaustion_is_where_the_rate_leads() {
        let mut usage = Usage::new(1, Place::At("127.0.0.1:80".parse().unwrap()));
        let at = |usage: &Usage| usage.exhaustion(28_232, TIME_WAIT);
        assert_eq!(at(&usage), Exhaustion::Never);
        // 400 each second make 24,000 in a minute: that fits.
        (usage.total, usage.lately) = (4_000, 4_000);
        usage.by_state[State::TimeWait.index()] = 4_000;
        assert_eq!(at(&usage), Exhaustion::Never);
        (usage.total, usage.lately) = (8_232, 5_000);
        usage.by_state[State::TimeWait.index()] = 8_232;
        assert_eq!(at(&usage), Exhaustion::In(40 * SECOND));
        usage.total = 28_232;
        assert_eq!(at(&usage), Exhaustion::Now);
        // 500 each second reuse what is in TIME_WAIT: that goes on for ever. With 28,000 that last it does not.
        usage.by_state[State::TimeWait.index()] = 28_232;
        assert_eq!((usage.held(SECOND), usage.exhaustion(28_232, SECOND)), (500, Exhaustion::Never));
        usage.by_state[State::TimeWait.index()] = 232;
        assert_eq!((usage.held(SECOND), usage.exhaustion(28_232, SECOND)), (28_232, Exhaustion::Now));
    }
}
