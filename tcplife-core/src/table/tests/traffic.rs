//! Records as a kernel makes them: connections of every kind at once, on addresses that are reused at once.

use proptest::prelude::*;
use tcplife_common::wire::{self, Head, Mini, Record, Stats, Task, Tuple, flag};

/// Kernel state numbers.
const EST: u8 = 1;
const SYN_SENT: u8 = 2;
const SYN_RECV: u8 = 3;
const FW1: u8 = 4;
const FW2: u8 = 5;
const TW: u8 = 6;
const CLOSE: u8 = 7;
const CW: u8 = 8;
const LA: u8 = 9;
const LISTEN: u8 = 10;
const CLOSING: u8 = 11;

#[derive(Clone, Copy, Debug)]
enum Step {
    Move(u8, u8),
    /// Old state, flags, errno, mini-socket's substate.
    End(u8, u8, u16, u8),
    Gone,
}

use Step::{End, Gone, Move};

/// (Steps, whether an owner is known in the end).
const PATHS: &[(&[Step], bool)] = &[
    // A client that closes first; orphaned.
    (
        &[
            Move(CLOSE, SYN_SENT),
            Move(SYN_SENT, EST),
            Move(EST, FW1),
            Move(FW1, FW2),
            End(FW2, flag::ORPHAN, 0, FW2),
            Gone,
        ],
        true,
    ),
    // A client whose peer closes first.
    (
        &[
            Move(CLOSE, SYN_SENT),
            Move(SYN_SENT, EST),
            Move(EST, CW),
            Move(CW, LA),
            End(LA, flag::ORPHAN, 0, 0),
            Gone,
        ],
        true,
    ),
    // Reset by the peer; refused; timed out.
    (&[Move(CLOSE, SYN_SENT), Move(SYN_SENT, EST), End(EST, 0, 104, 0), Gone], true),
    (&[Move(CLOSE, SYN_SENT), End(SYN_SENT, 0, 111, 0), Gone], true),
    (
        &[Move(CLOSE, SYN_SENT), Move(SYN_SENT, EST), Move(EST, FW1), End(FW1, flag::ORPHAN, 110, 0), Gone],
        true,
    ),
    // Both close at once.
    (
        &[
            Move(CLOSE, SYN_SENT),
            Move(SYN_SENT, EST),
            Move(EST, FW1),
            Move(FW1, CLOSING),
            End(CLOSING, flag::ORPHAN, 0, TW),
            Gone,
        ],
        true,
    ),
    // Servers: closed by the peer, closed after shutdown, never accepted.
    (
        &[
            Move(LISTEN, SYN_RECV),
            Move(SYN_RECV, EST),
            Move(EST, CW),
            Move(CW, LA),
            End(LA, flag::ORPHAN, 0, 0),
            Gone,
        ],
        true,
    ),
    (
        &[
            Move(LISTEN, SYN_RECV),
            Move(SYN_RECV, EST),
            Move(EST, FW1),
            Move(FW1, FW2),
            End(FW2, 0, 0, TW),
            Gone,
        ],
        true,
    ),
    (
        &[Move(LISTEN, SYN_RECV), Move(SYN_RECV, EST), Move(EST, CW), End(CW, flag::ORPHAN, 32, 0), Gone],
        false,
    ),
];

/// What one run of the kernel shows.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    pub(super) records: Vec<Record>,
    pub(super) connections: u64,
    pub(super) without_owner: u64,
    pub(super) end: u64,
}

#[derive(Clone, Debug)]
struct Plan {
    path: usize,
    start: u64,
    gaps: Vec<u64>,
    pending: bool,
    cookies: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    let gaps = prop::collection::vec(0..900_000_000_u64, 6);
    (0..PATHS.len(), 0..3_000_000_000_u64, gaps, any::<bool>(), any::<bool>())
        .prop_map(|(path, start, gaps, pending, cookies)| Plan { path, start, gaps, pending, cookies })
}

/// Up to `most` connections.
pub(super) fn traffic(most: usize) -> impl Strategy<Value = Traffic> {
    prop::collection::vec(plan(), 1..most).prop_map(|plans| weave(&plans))
}

fn weave(plans: &[Plan]) -> Traffic {
    let mut events: Vec<(u64, usize, usize)> = Vec::new();
    for (n, plan) in plans.iter().enumerate() {
        let mut at = 1_000_000_000 + plan.start;
        for (step, gap) in plan.gaps.iter().take(PATHS[plan.path].0.len()).enumerate() {
            events.push((at, n, step));
            at += gap;
        }
    }
    events.sort_unstable();
    let mut socks: Vec<Option<usize>> = Vec::new();
    let mut records = Vec::new();
    for &(at, n, step) in &events {
        let place = socks.iter().position(|&user| user == Some(n)).unwrap_or_else(|| {
            let free = socks.iter().position(Option::is_none);
            let place = free.unwrap_or(socks.len());
            socks.resize(socks.len().max(place + 1), None);
            socks[place] = Some(n);
            place
        });
        let steps = PATHS[plans[n].path].0;
        records.push(record(&plans[n], n, place, steps[step], at));
        if step + 1 == steps.len() {
            socks[place] = None;
        }
    }
    let without_owner = plans.iter().filter(|plan| !PATHS[plan.path].1).count() as u64;
    let end = events.last().map_or(0, |event| event.0);
    Traffic { records, connections: plans.len() as u64, without_owner, end }
}

fn record(plan: &Plan, n: usize, place: usize, step: Step, at: u64) -> Record {
    let n16 = u16::try_from(n).unwrap();
    let local = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    let remote = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2];
    let mut tuple = Tuple { local, remote, local_port: 1000 + n16, remote_port: 80, err: 0, family: 2 };
    let mut head = Head {
        netns: 1,
        time_ns: at,
        sock: 0xffff_8880_0000_0000 + 64 * place as u64,
        cookie: if plan.cookies { 100 + n as u64 } else { 0 },
        ..Head::default()
    };
    let mut task = Task::default();
    let mut own = |head: &mut Head| {
        head.flags |= flag::BY_TASK;
        task = Task { tgid: 7 + u32::from(n16), start_ns: 1, comm: [b'p'; 16], ..Task::default() };
    };
    match step {
        Move(old, new) => {
            (head.old, head.new) = (old, new);
            if matches!(new, SYN_SENT | FW1 | LA) {
                own(&mut head);
            }
            if new == SYN_SENT {
                tuple.local_port = 0;
            }
            if old == LISTEN && plan.pending {
                head.flags |= flag::TUPLE_PENDING;
                (head.cookie, tuple.remote, tuple.remote_port) = (1, [0; 16], 0);
            }
            Record::Move(wire::Move { head, tuple, task })
        }
        End(old, flags, err, substate) => {
            (head.old, head.new, tuple.err) = (old, CLOSE, err);
            let jiffies = 4_294_900_000 + at / 4_000_000;
            let mini = if substate == 0 {
                Mini::default()
            } else {
                head.flags |= flag::MINI;
                Mini {
                    address: 1,
                    expires: jiffies + 15_000,
                    jiffies,
                    substate: u32::from(substate),
                    touch: 0,
                }
            };
            head.flags |= flags;
            let stats = Stats { bytes_sent: 1, bytes_received: 1, retransmits: 0, srtt_us: 1 };
            Record::End(wire::End { head, tuple, task, stats, mini })
        }
        Gone => {
            (head.old, head.new) = (CLOSE, CLOSE);
            Record::Gone(wire::Handle { head, task })
        }
    }
}
