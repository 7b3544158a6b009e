//! Records of which some are lost, and lists of the sockets that there really are.

use std::collections::HashMap;

use proptest::prelude::*;
use tcplife_common::wire::{End, Found, Gauge, Handle, Head, Mini, Move, Record, Tuple, flag};

use super::{
    Log,
    census::{CLOSE, SECOND, SYN_SENT, TIME_WAIT},
    check, traffic,
};
use crate::{
    state::State,
    table::{Census, Config, MiniEndSource, Scope, Table, wheel},
};

const NETNS: u32 = 1;
const SYN_RECV: u8 = 3;
const HZ: u32 = 250;
/// Between two records at least, nanoseconds.
const STEP: u64 = 10;

/// The kernel's sockets.
#[derive(Default)]
struct Kernel {
    full: HashMap<u64, (Head, Tuple)>,
    minis: Vec<(Head, Tuple, Mini)>,
}

impl Kernel {
    /// What the record of a number tells happens. Returns the record, at a time and with a mini-socket of its own.
    fn apply(&mut self, records: &[Record], n: usize) -> Record {
        let (mut record, whole) = (records[n], whole(records, n));
        let (Record::Move(Move { head, .. })
        | Record::End(End { head, .. })
        | Record::Gone(Handle { head, .. })) = &mut record
        else {
            return record;
        };
        head.time_ns += STEP * n as u64;
        let head = *head;
        match &mut record {
            Record::End(end) => {
                if head.has(flag::MINI) {
                    end.mini.address = 77_000 + u64::from(whole.local_port);
                    self.minis.push((head, whole, end.mini));
                }
                self.full.insert(head.sock, (head, whole));
                if head.has(flag::ORPHAN) {
                    self.full.remove(&head.sock);
                }
            }
            Record::Gone(_) => _ = self.full.remove(&head.sock),
            _ => {
                // That of a listener's child may be the listener's.
                let cookie = if head.has(flag::TUPLE_PENDING) { 0 } else { head.cookie };
                self.full.insert(head.sock, (Head { cookie, ..head }, whole));
            }
        }
        record
    }

    fn expire(&mut self, now: u64) {
        self.minis.retain(|(_, _, mini)| {
            wheel::fires(mini.expires - wheel::time_wait(HZ), mini.expires, HZ) > jiffies(now)
        });
    }

    fn list(&self, now: u64) -> Vec<Found> {
        let full = self.full.values().map(|&(head, tuple)| {
            let head = Head { old: head.new, time_ns: now, flags: 0, ..head };
            Found { head, tuple, ..Found::default() }
        });
        let minis = self.minis.iter().map(|&(head, tuple, mini)| {
            let old = u8::try_from(mini.substate).unwrap_or(0);
            let flags = flag::MINI | flag::ORPHAN;
            let head = Head { old, new: TIME_WAIT, time_ns: now, sock: mini.address, flags, ..head };
            let gauge = Gauge { jiffies: jiffies(now), expires: mini.expires, ..Gauge::default() };
            Found { head, tuple, gauge, ..Found::default() }
        });
        full.chain(minis).collect()
    }

    /// Ports and states of what there is.
    fn states(&self) -> Vec<(u16, State)> {
        let full =
            self.full.values().filter(|(head, _)| head.new != CLOSE).map(|(head, tuple)| (tuple, head.new));
        let minis =
            self.minis.iter().map(|(_, tuple, mini)| (tuple, u8::try_from(mini.substate).unwrap_or(0)));
        let mut states: Vec<_> = full
            .chain(minis)
            .filter_map(|(tuple, state)| Some((tuple.local_port, State::from_kernel(state)?)))
            .collect();
        states.sort_unstable();
        states
    }
}

const fn jiffies(now: u64) -> u64 {
    4_294_900_000 + now / 4_000_000
}

/// A list of what there is at the time `now`, for a table that is told later.
struct Look {
    begun: u64,
    found: [Vec<Found>; 1],
}

impl Look {
    fn at(kernel: &mut Kernel, now: u64) -> Self {
        kernel.expire(now);
        Self { begun: now + 1, found: [kernel.list(now + 2)] }
    }

    fn take(&self, table: &mut Table, log: &mut Log) {
        let (begun, scope, found) = (self.begun, Scope::Everything, &self.found);
        let census = Census { begun, ended: begun, scope, netns: &[NETNS], gone: &[], doubtful: &[], found };
        table.take_census(&census, |_| true, log);
        check::table(table);
    }
}

/// The tuple of the connection that a record is about, whatever the record shows of it.
fn whole(records: &[Record], n: usize) -> Tuple {
    let shown = |record: &Record| match record {
        Record::Move(record) => record.tuple,
        Record::End(record) => record.tuple,
        _ => Tuple::default(),
    };
    let sock = records[n].head().sock;
    let is_of_it = |record: &&Record| record.head().sock == sock && shown(record).local_port != 0;
    let known = match &records[n] {
        // Its end came before.
        Record::Gone(_) => records[..n].iter().rev().find(is_of_it),
        _ => records[n..].iter().find(is_of_it),
    };
    let remote = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2];
    Tuple { remote, remote_port: 80, ..known.map(shown).unwrap_or_default() }
}

/// Whether a record is the first with a connection's whole tuple: without that it is not known by its mini-socket.
const fn names(record: &Record) -> bool {
    matches!(record.head().old, SYN_SENT | SYN_RECV)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_connection_is_two_and_what_there_is_is_known(
        traffic in traffic::traffic(40),
        lost in prop::collection::vec(0..5_u8, 400),
        (every, late) in (3..60_usize, 0..12_usize),
        mini_ends in prop::sample::select(vec![MiniEndSource::Dumped, MiniEndSource::Told, MiniEndSource::Computed]),
    ) {
        let mut table = Table::new(Config { mini_ends, ..Config::default() });
        let (mut log, mut kernel) = (Log::default(), Kernel::default());
        let mut look = Some((0, Look::at(&mut kernel, 1)));
        let mut now = 0;
        for (n, lost) in (0..traffic.records.len()).zip(lost.iter().cycle()) {
            let record = kernel.apply(&traffic.records, n);
            now = record.head().time_ns;
            if *lost > 0 || names(&record) {
                table.apply(&record, &mut log);
                check::table(&table);
            }
            if n % every == 0 && look.is_none() {
                table.expect_census();
                look = Some((n + late, Look::at(&mut kernel, now)));
            }
            if let Some((_, look)) = look.take_if(|(then, _)| *then <= n) {
                look.take(&mut table, &mut log);
            }
        }
        for seconds in [1, 2, 3] {
            table.expect_census();
            Look::at(&mut kernel, now + seconds * SECOND).take(&mut table, &mut log);
        }
        log.check(&table);
        let there = table.iter().filter(|connection| connection.state() != State::Closed);
        let mut states: Vec<_> = there.map(|c| (c.local().port(), c.state())).collect();
        states.sort_unstable();
        prop_assert_eq!(states, kernel.states());
        prop_assert!(table.totals().opened <= traffic.connections, "{:?}", table.totals());
    }
}
