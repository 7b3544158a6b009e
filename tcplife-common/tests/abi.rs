//! The ABI: whatever the bytes, decoding ends in a record or in a reason.

#![forbid(unsafe_code)]

use std::mem::offset_of;

use proptest::prelude::*;
use tcplife_common::{
    constants,
    counters::Counters,
    layout::{ABSENT, Layout},
    settings::{Settings, reaches_end},
    wire::{
        Born, End, End4, End4By, Found, Handle, Malformed, MiniNote, Move, Move4, Move4By, Note, Record, kind,
    },
};

/// Each kind with its length.
const KINDS: [(u8, usize); 13] = [
    (kind::MOVE, Move::SIZE),
    (kind::END, End::SIZE),
    (kind::RETRANSMIT, Note::SIZE),
    (kind::RESET, Note::SIZE),
    (kind::GONE, Handle::SIZE),
    (kind::ACCEPTED, Handle::SIZE),
    (kind::BORN, Born::SIZE),
    (kind::MINI_ARMED, MiniNote::SIZE),
    (kind::MINI_GONE, MiniNote::SIZE),
    (kind::MOVE_4, Move4::SIZE),
    (kind::MOVE_4_BY, Move4By::SIZE),
    (kind::END_4, End4::SIZE),
    (kind::END_4_BY, End4By::SIZE),
];

/// `size` bytes that count up, so that no two fields look the same.
fn counting(kind: u8, size: usize) -> Vec<u8> {
    std::iter::once(kind).chain(1..=u8::MAX).cycle().take(size).collect()
}

#[test]
fn each_kind_has_one_length() {
    for (kind, size) in KINDS {
        for found in 0..size + 20 {
            let bytes = counting(kind, found);
            let decoded = Record::decode(&bytes);
            let wanted = if found == size { Ok(kind) } else { Err(Malformed::Length { found }) };
            assert_eq!(decoded.map(|record| record.head().kind), wanted, "kind {kind}");
        }
    }
}

#[test]
fn other_kinds_are_refused() {
    for kind in 0..=u8::MAX {
        if KINDS.iter().all(|known| known.0 != kind) {
            assert_eq!(Record::decode(&counting(kind, 104)), Err(Malformed::Kind(kind)));
        }
        if kind != kind::FOUND {
            assert_eq!(Found::decode(&counting(kind, Found::SIZE)), Err(Malformed::Kind(kind)));
        }
    }
    assert_eq!(Record::decode(&[]), Err(Malformed::Length { found: 0 }));
}

#[test]
fn what_a_dump_finds_has_one_length() {
    for found in 0..Found::SIZE + 20 {
        let decoded = Found::decode(&counting(kind::FOUND, found));
        let wanted = if found == Found::SIZE { Ok(kind::FOUND) } else { Err(Malformed::Length { found }) };
        assert_eq!(decoded.map(|found| found.head.kind), wanted);
    }
}

#[test]
fn fields_are_where_the_kernel_side_puts_them() {
    let Ok(Record::Move(record)) = Record::decode(&counting(kind::MOVE, Move::SIZE)) else {
        panic!("a move")
    };
    assert_eq!((record.head.flags, record.head.old, record.head.new), (1, 2, 3));
    assert_eq!(record.head.netns, u32::from_ne_bytes([4, 5, 6, 7]));
    assert_eq!(record.head.time_ns, u64::from_ne_bytes([8, 9, 10, 11, 12, 13, 14, 15]));
    assert_eq!(record.tuple.local[0], 32);
    assert_eq!(record.tuple.remote_port, u16::from_ne_bytes([66, 67]));
    assert_eq!(record.task.tgid, u32::from_ne_bytes([72, 73, 74, 75]));
    assert_eq!(record.task.comm[15], 103);
}

#[test]
fn an_ipv4_record_says_the_same_in_less_room() {
    let Ok(Record::Move(record)) = Record::decode(&counting(kind::MOVE_4_BY, Move4By::SIZE)) else {
        panic!("a move")
    };
    assert_eq!(record.head.cookie, u64::from_ne_bytes([24, 25, 26, 27, 28, 29, 30, 31]));
    assert_eq!(record.tuple.local, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 32, 33, 34, 35]);
    assert_eq!(record.tuple.remote, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 36, 37, 38, 39]);
    assert_eq!(record.tuple.local_port, u16::from_ne_bytes([40, 41]));
    assert_eq!(record.tuple.family, u16::from_ne_bytes([46, 47]));
    assert_eq!(record.task.tgid, u32::from_ne_bytes([48, 49, 50, 51]));
    let Ok(Record::Move(record)) = Record::decode(&counting(kind::MOVE_4, Move4::SIZE)) else {
        panic!("a move")
    };
    assert_eq!((record.tuple.remote_port, record.task.tgid), (u16::from_ne_bytes([42, 43]), 0));
    let Ok(Record::End(record)) = Record::decode(&counting(kind::END_4, End4::SIZE)) else {
        panic!("an end")
    };
    assert_eq!(record.tuple.err, u16::from_ne_bytes([44, 45]));
    assert_eq!(record.stats.srtt_us, u32::from_ne_bytes([68, 69, 70, 71]));
    assert_eq!(
        (record.mini.address, record.task.tgid),
        (u64::from_ne_bytes([72, 73, 74, 75, 76, 77, 78, 79]), 0)
    );
    let Ok(Record::End(record)) = Record::decode(&counting(kind::END_4_BY, End4By::SIZE)) else {
        panic!("an end")
    };
    assert_eq!(record.task.tgid, u32::from_ne_bytes([72, 73, 74, 75]));
    assert_eq!((record.stats.bytes_sent.to_ne_bytes()[0], record.mini.address), (48, 0));
}

#[test]
fn reasons_are_sentences() {
    assert_eq!(Malformed::Length { found: 7 }.to_string(), "a record of 7 bytes has the wrong length");
    assert_eq!(Malformed::Kind(99).to_string(), "no record has the kind 99");
}

#[test]
fn words_are_in_the_order_of_the_fields() {
    let mut next = 0;
    let layout = Layout::from_fn(|_| {
        next += 1;
        next
    });
    assert!(layout.to_words().into_iter().eq(1..=next));
    assert_eq!(Layout::UNKNOWN.to_words()[0], ABSENT);
    let settings = Settings { families: 1, netns_count: 1, netns: [7; 8], wakeup_bytes: 9, ..Settings::ALL };
    let words = settings.to_words();
    assert_eq!((words[0], words[3], words[4], words[words.len() - 1]), (1, 1, 7, 9));
}

/// An instruction `r2 = immediate`.
fn move_of(opcode: u8, immediate: u32) -> [u8; 8] {
    let [a, b, c, d] = immediate.to_ne_bytes();
    [opcode, 2, 0, 0, a, b, c, d]
}

#[test]
fn stand_ins_are_replaced_and_nothing_else() {
    const MOV64: u8 = 0xb7;
    let stand_in = |first: u32, place: usize| first + u32::try_from(place / 4).unwrap();
    let layout = Layout { skc_daddr: 40, num_retrans: ABSENT, ..Layout::UNKNOWN };
    let settings = Settings { wakeup_bytes: 4096, netns: [4_026_531_840; 8], ..Settings::ALL };
    let stand_ins = [
        stand_in(constants::LAYOUT, offset_of!(Layout, skc_daddr)),
        stand_in(constants::LAYOUT, offset_of!(Layout, num_retrans)),
        stand_in(constants::SETTINGS, offset_of!(Settings, wakeup_bytes)),
        stand_in(constants::SETTINGS, offset_of!(Settings, netns)),
    ];
    let before_the_first = stand_ins[0] - 1;
    let after_the_last = constants::END;
    // An addition of the same number, and a move that has an offset.
    let addition = move_of(0x07, stand_ins[0]);
    let mut with_offset = move_of(MOV64, stand_ins[0]);
    with_offset[2] = 8;
    let mut object: Vec<u8> = stand_ins.iter().flat_map(|&stand_in| move_of(MOV64, stand_in)).collect();
    for other in [addition, with_offset, move_of(MOV64, before_the_first), move_of(MOV64, after_the_last)] {
        object.extend(other);
    }
    let mut expected: Vec<u8> =
        [40, ABSENT, 4096, 4_026_531_840].into_iter().flat_map(|value| move_of(MOV64, value)).collect();
    expected.extend(&object[stand_ins.len() * 8..]);
    assert_eq!(constants::fill_in(&mut object, &layout, &settings), Some(stand_ins.len()));
    assert_eq!(object, expected);
    assert_eq!(constants::fill_in(&mut object, &layout, &settings), Some(0));
    object.extend(move_of(MOV64, stand_in(constants::LAYOUT, Layout::SIZE)));
    assert_eq!(constants::fill_in(&mut object, &layout, &settings), None, "of a member that is not known");
}

#[test]
fn each_hit_ends_in_one_way() {
    let one = Counters { hits: 10, delivered: 7, filtered: 2, lost_ring: 1, ..Counters::default() };
    assert!(one.balanced());
    assert!(one.plus(one).balanced());
    assert_eq!(one.plus(one).hits, 20);
    assert!(!Counters { hits: 11, ..one }.balanced());
}

/// How many ends of a ring buffer's pieces each record meets, of records that are written one behind the other, three times around. The ring buffer begins at a page; the address goes on behind its end, where it is mapped again.
fn ends_met(page: u64, piece: u64, sizes: impl Iterator<Item = u64>) -> Vec<u64> {
    let ring = 4 * piece;
    let mut position = 0;
    let mut met = Vec::new();
    for size in sizes {
        if position >= 3 * ring {
            break;
        }
        let address = page * 4096 + position % ring;
        let wakes = reaches_end(address, size, piece);
        let ends = (address + size) / piece - address / piece;
        assert_eq!(wakes, ends > 0, "{address:#x}, {size} of {piece}");
        position += size;
        met.push(ends);
    }
    met
}

#[test]
fn each_end_of_a_piece_is_reached_by_one_record() {
    for (page, piece) in [(0, 1024), (1, 1024), (3, 2 << 20), (513, 2 << 20), (7, 16 << 10)] {
        for size in [8, 64, 72, 88, 104, 184, 1024] {
            let met = ends_met(page, piece, std::iter::repeat(size));
            let (length, ends) = (met.len() as u64 * size, met.iter().sum::<u64>());
            assert!(met.iter().all(|&ends| ends <= 1), "{page} {piece} {size}");
            assert!(ends.abs_diff(length / piece) <= 1, "{page} {piece} {size}: {ends} in {length} bytes");
        }
        ends_met(page, piece, [72, 104, 88].into_iter().cycle());
    }
    assert!(reaches_end(0, 2048, 1024), "longer than a piece");
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let decoded = Record::decode(&bytes);
        if let Ok(record) = decoded {
            prop_assert_eq!(record.head().kind, bytes[0]);
        }
    }

    #[test]
    fn right_lengths_are_always_records(n in 0..KINDS.len(), mut bytes in prop::collection::vec(any::<u8>(), 300)) {
        let (kind, size) = KINDS[n];
        bytes[0] = kind;
        prop_assert!(Record::decode(&bytes[..size]).is_ok());
    }
}
