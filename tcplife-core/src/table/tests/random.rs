//! Records without any sense, from a world so small that they meet.

use proptest::prelude::*;
use tcplife_common::wire::{self, Head, Mini, Record, Stats, Task, Tuple};

fn address() -> impl Strategy<Value = [u8; 16]> {
    prop::sample::select(vec![
        [0; 16],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1],
        [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    ])
}

fn tuple() -> impl Strategy<Value = Tuple> {
    let port = || prop::sample::select(vec![0_u16, 80, 80, 4000]);
    let err = prop::sample::select(vec![0_u16, 0, 32, 103, 104, 110, 111, 113]);
    (address(), address(), port(), port(), err).prop_map(|(local, remote, local_port, remote_port, err)| {
        Tuple { local, remote, local_port, remote_port, err, family: 2 }
    })
}

fn mini() -> impl Strategy<Value = Mini> {
    (prop::sample::select(vec![0_u32, 5, 6, 6, 300]), 0..4_u64, 0..40_000_u64, 0..8_u32).prop_map(
        |(substate, address, left, touch)| Mini {
            address,
            expires: 5_000_000 + left,
            jiffies: 5_000_000,
            substate,
            touch,
        },
    )
}

/// A move that makes sense more often than not.
fn states() -> impl Strategy<Value = (u8, u8)> {
    let legal =
        vec![(7, 2), (7, 10), (10, 3), (2, 1), (3, 1), (1, 4), (1, 8), (4, 5), (4, 11), (5, 5), (8, 9)];
    prop_oneof![4 => prop::sample::select(legal), 1 => (0..=13_u8, 0..=13_u8)]
}

#[derive(Clone, Debug)]
struct Draft {
    verb: u8,
    wait: u64,
    head: Head,
    tuple: Tuple,
    task: Task,
    mini: Mini,
    stats: u64,
}

fn draft() -> impl Strategy<Value = Draft> {
    let wait = prop_oneof![8 => 0..200_000_000_u64, 1 => 0..70_000_000_000_u64];
    let head = (any::<u8>(), states(), 1..=2_u32, 1..=5_u64, 0..=3_u64).prop_map(
        |(flags, (old, new), netns, sock, cookie)| Head {
            flags,
            old,
            new,
            netns,
            sock,
            cookie,
            ..Head::default()
        },
    );
    let task = (0..4_u32).prop_map(|tgid| Task {
        tgid,
        start_ns: 1,
        comm: [if tgid == 3 { b'o' } else { b'a' }; 16],
        ..Task::default()
    });
    (0..24_u8, wait, head, tuple(), task, mini(), 0..3_u64).prop_map(
        |(verb, wait, head, tuple, task, mini, stats)| Draft { verb, wait, head, tuple, task, mini, stats },
    )
}

fn record(draft: &Draft, now: u64) -> Record {
    let &Draft { verb, mut head, tuple, task, mut mini, stats, .. } = draft;
    head.time_ns = now;
    let jiffies = now / 4_000_000;
    mini = Mini { jiffies: mini.jiffies + jiffies, expires: mini.expires + jiffies, ..mini };
    match verb {
        0..=11 if head.new != 7 => Record::Move(wire::Move { head, tuple, task }),
        0..=14 => {
            head.new = if verb == 14 { head.new } else { 7 };
            let stats = Stats { bytes_sent: stats, bytes_received: stats, retransmits: 1, srtt_us: 1 };
            Record::End(wire::End { head, tuple, task, stats, mini })
        }
        15 | 16 => Record::Retransmit(wire::Note { head, tuple }),
        17 | 18 => Record::Reset(wire::Note { head, tuple }),
        19 => Record::Gone(wire::Handle { head, task }),
        20 => Record::Accepted(wire::Handle { head, task }),
        21 => Record::Born(wire::Born { head, tuple, begun_ns: now.saturating_sub(stats * 1_000_000) }),
        22 => Record::MiniArmed(wire::MiniNote { head, tuple, mini }),
        _ => Record::MiniGone(wire::MiniNote { head, tuple, mini }),
    }
}

/// Up to `most` records, at times that never decrease.
pub(super) fn records(most: usize) -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec(draft(), 0..most).prop_map(|drafts| {
        let mut now = 1_000_000_000;
        drafts
            .into_iter()
            .map(|draft| {
                now += draft.wait;
                record(&draft, now)
            })
            .collect()
    })
}
