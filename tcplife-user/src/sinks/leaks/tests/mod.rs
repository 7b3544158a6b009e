//! Reports of made-up suspects.

mod ended;

use std::io;

use serde_json::Value;
use tcplife_common::wire::{Found, Gauge, Head, Stats, Task, Tuple, flag};
use tcplife_core::{
    suspect::{self, Sight, Sockets, Verdict},
    table::{Census, Config as TableConfig, Table},
};

use super::*;
use crate::{advice, clock::Clock, netns};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_000 * SECOND;
const JIFFIES: u64 = 5_000_000;
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
/// A pid that no process has.
const PID: u32 = u32::MAX;

/// Sockets in `CLOSE_WAIT` for a minute, of a process whose name would turn a terminal red.
fn found(count: u16) -> Vec<Found> {
    let ago = |seconds: u64| u32::try_from(JIFFIES - 250 * seconds).unwrap();
    (1..=count)
        .map(|n| Found {
            head: Head {
                netns: netns::own().expect("a process has a network namespace"),
                time_ns: NOW,
                sock: n.into(),
                cookie: n.into(),
                old: CLOSE_WAIT,
                new: CLOSE_WAIT,
                flags: flag::HELD,
                ..Head::default()
            },
            tuple: Tuple {
                local: [0x20; 16],
                remote: [0x21; 16],
                local_port: 80,
                remote_port: 4000 + n,
                family: 10,
                err: 0,
            },
            task: Task { tgid: PID, comm: *b"\x1b[31mred\\\0\0\0\0\0\0\0", ..Task::default() },
            gauge: Gauge {
                jiffies: JIFFIES,
                last_ack: ago(60),
                last_data: ago(61),
                fd: n.into(),
                ..Gauge::default()
            },
            ..Found::default()
        })
        .collect()
}

fn looks(counts: &[u16]) -> Collected {
    let mut collected = Collected::new(&Config::default());
    for (at, &count) in counts.iter().enumerate() {
        look(&mut collected, NOW + at as u64 * 60 * SECOND, &found(count));
    }
    collected
}

fn look(collected: &mut Collected, at: u64, found: &[Found]) {
    let mut table = Table::new(TableConfig { hz: 250, takes_up_ended: true, ..TableConfig::default() });
    let found = [found.to_vec()];
    let census = Census::of_some(NOW, &found);
    table.take_census(&census, |_| true, &mut ());
    let suspects = suspect::suspects(&table, &Sockets::of(&found, Sight::Every), NOW, 30 * SECOND, 250);
    collected.take(at, &Filter::default(), suspects);
}

fn told(mut format: impl Format) -> String {
    let (table, health) = (Table::new(TableConfig::default()), Health::default());
    let mut out = Out::to(Box::new(io::sink()));
    let selector = Selector::new(Filter::default());
    format
        .end(Ending { now: NOW, table: &table, health: &health, selector: &selector, out: &mut out })
        .unwrap();
    String::from_utf8(out.buffer).unwrap()
}

fn json(counts: &[u16]) -> Vec<Value> {
    let text = told(json::LeaksJson::new(looks(counts), Clock::new(0)));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_suspect_has_the_fields_of_every_record_and_its_own() {
    let records = json(&[1]);
    let types: Vec<&str> = records.iter().map(|record| record["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["suspect", "leaker", "summary"]);
    let (suspect, summary) = (&records[0], &records[2]);
    assert_eq!(summary["verdicts"], serde_json::json!({ "unclosed": 1 }));
    assert_eq!((&summary["undecided"], &summary["lost"]), (&0.into(), &0.into()));
    assert_eq!(suspect["verdict"], "unclosed");
    assert_eq!(suspect["leak"], true);
    assert_eq!(suspect["family"], "ipv6");
    assert_eq!(suspect["local_port"], 80);
    assert!(suspect["age_ns"]["min"].as_u64() < suspect["age_ns"]["max"].as_u64());
    assert_eq!(suspect["holders"][0]["pid"], PID);
    assert_eq!(suspect["holders"][0]["fd"], 1);
    for null in ["listener", "peer_owner"] {
        assert!(suspect.get(null).is_some_and(Value::is_null), "{null}");
    }
    assert!(suspect["reason"].as_str().unwrap().contains("close was not called"));
}

/// Why a half-closed socket is one that has so much to read, and whose other end another process on this host holds.
fn reason_of_half_closed(unread: u32) -> String {
    const FIN_WAIT2: u8 = 5;
    let near = found(1)[0];
    let (tuple, old) = (near.tuple, FIN_WAIT2);
    let far = Found {
        head: Head { sock: 2, cookie: 2, ..near.head },
        tuple: Tuple {
            local: tuple.remote,
            remote: tuple.local,
            local_port: tuple.remote_port,
            remote_port: tuple.local_port,
            ..tuple
        },
        task: Task { tgid: PID - 1, ..near.task },
        ..near
    };
    let gauge = Gauge { recv_queue: unread, last_sent: near.gauge.last_data, ..near.gauge };
    let near = Found { head: Head { old, new: old, ..near.head }, gauge, ..near };
    let mut collected = Collected::new(&Config::default());
    look(&mut collected, NOW, &[near, far]);
    let (_, suspects) = collected.last.unwrap();
    let half = suspects.iter().find(|suspect| suspect.verdict == Verdict::HalfClosed).unwrap();
    advice::reason(half)
}

#[test]
fn what_was_sent_after_the_peer_closed_perhaps_is_not_denied() {
    // In CLOSE_WAIT for 60 to 61 s.
    let silence = |seconds: u64, bytes_sent: u64| {
        let near = found(1)[0];
        let last_sent = u32::try_from(JIFFIES - 250 * seconds).unwrap();
        let (gauge, stats) = (Gauge { last_sent, ..near.gauge }, Stats { bytes_sent, ..near.stats });
        let mut collected = Collected::new(&Config::default());
        look(&mut collected, NOW, &[Found { gauge, stats, ..near }]);
        let (_, suspects) = collected.last.unwrap();
        let reason = advice::reason(&suspects[0]);
        reason.split("nothing was sent ").nth(1).unwrap().split(',').next().unwrap().to_owned()
    };
    assert_eq!(silence(60, 10), "for 1m 0s");
    assert_eq!(silence(40, 10), "for 40s");
    assert_eq!(silence(62, 10), "since");
    assert_eq!(silence(60, 0), "since", "the clock began with the connection");
}

#[test]
fn a_tuple_is_poisoned_only_for_those_that_connect_to_it() {
    let collected = looks(&[1]);
    let (_, suspects) = collected.last.unwrap();
    let reason = |of_server: bool| {
        advice::reason(&Suspect { peer: suspect::Peer::Gone, of_server, ..suspects[0].clone() })
    };
    assert!(reason(true).contains("gone for good, and this 4-tuple is poisoned"));
    assert!(reason(false).ends_with("gone for good"), "{}", reason(false));
}

#[test]
fn a_peer_is_to_close_unless_this_end_does_not_read() {
    let (blamed, read) = ("on this host is the one to close", "128512 bytes from the peer unread here");
    let waits = reason_of_half_closed(0);
    assert!(waits.contains(blamed) && waits.contains("it waits for the peer's close"), "{waits}");
    let stuck = reason_of_half_closed(128_512);
    assert!(stuck.contains(read) && !stuck.contains(blamed) && !stuck.contains("it waits"), "{stuck}");
    assert!(reason_of_half_closed(1).contains("1 byte from the peer unread"));
}

#[test]
fn of_a_listener_whose_process_is_not_known_nothing_more_is_said() {
    let mut waits = found(1).remove(0);
    waits.head.flags = flag::ORPHAN;
    let mut listener = waits;
    listener.head = Head { sock: 9, cookie: 9, old: 10, new: 10, flags: 0, ..waits.head };
    listener.tuple = Tuple { remote: [0; 16], remote_port: 0, ..waits.tuple };
    listener.gauge.recv_queue = 1;
    let mut collected = Collected::new(&Config::default());
    look(&mut collected, NOW, &[waits, listener]);
    let text = told(json::LeaksJson::new(collected, Clock::new(0)));
    let suspect: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&suspect["verdict"], &suspect["listener"]), (&"never_accepted".into(), &Value::Null));
    let reason = suspect["reason"].as_str().unwrap();
    assert!(reason.contains("in the accept queue of a listener whose process is not known"), "{reason}");
}

/// The one that is named need not be the one that is stuck.
#[test]
fn of_a_listener_that_workers_share_it_is_said_how_many_hold_it() {
    let mut waits = found(1).remove(0);
    waits.head.flags = flag::ORPHAN;
    let listener = |pid: u32| Found {
        head: Head { sock: 9, cookie: 9, old: 10, new: 10, ..found(1)[0].head },
        tuple: Tuple { remote: [0; 16], remote_port: 0, ..waits.tuple },
        task: Task { tgid: pid, ..waits.task },
        gauge: Gauge { recv_queue: 1, send_queue: 128, ..waits.gauge },
        ..waits
    };
    let reason_of = |holders: &[u32]| {
        let mut collected = Collected::new(&Config::default());
        let listeners = holders.iter().map(|&pid| listener(pid));
        look(&mut collected, NOW, &[waits].into_iter().chain(listeners).collect::<Vec<_>>());
        let (_, suspects) = collected.last.unwrap();
        advice::reason(&suspects[0])
    };
    assert!(reason_of(&[70]).contains("[70] (1 of 128): no accept took it"));
    let one = "[70] (1 of 128; 1 more process holds the listener): no accept";
    assert!(reason_of(&[70, 71]).contains(one), "{}", reason_of(&[70, 71]));
    assert!(
        reason_of(&[71, 70, 72]).contains("[70] (1 of 128; 2 more processes hold the listener): no accept")
    );
}

#[test]
fn growth_is_told_after_two_looks() {
    let growth = |counts: &[u16]| {
        let records = json(counts);
        records.into_iter().find(|record| record["type"] == "leaker").unwrap()["growth_per_minute"].clone()
    };
    assert!(growth(&[5]).is_null());
    assert_eq!(growth(&[2, 5]).as_f64(), Some(3.0));
}

#[test]
fn the_text_names_process_evidence_and_commands() {
    let text = told(text::LeaksText(looks(&[2, 12])));
    let expected = [
        "\\x1b[31mred\\\\[4294967295]: 12 unclosed; +10.0 sockets a minute\n",
        "    process  has ended, or has another pid in this /proc\n",
        "    ports    local 80 (12)\n",
        "  unclosed: 12, oldest at least ",
        "    look at  the branch where recv or read returns 0",
        "ss -tneop state close-wait",
        "(0 of 12 have it)",
        "\n12 leaked sockets in 1 owner\n",
    ];
    for part in expected {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(!text.contains('\x1b'), "{text}");
}

/// A peer that has forgotten the connection resets it when a probe comes, and the descriptor stays.
#[test]
fn keepalive_is_said_to_close_no_descriptor() {
    let text = told(text::LeaksText(looks(&[2]))).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!text.contains("the peer's does"), "{text}");
    assert!(text.contains("resets it, and the descriptor leaks all the same"), "{text}");
}

/// In this /proc its pid may be another process's by now, or in another pid namespace.
#[test]
fn no_stacks_of_a_process_that_is_not_there() {
    let text = told(text::LeaksText(looks(&[2])));
    assert!(text.contains("has ended") && !text.contains("gdb -p"), "{text}");
}

#[test]
fn what_is_where_no_way_leads_has_no_commands() {
    let elsewhere = |found: Found| Found { head: Head { netns: 1, ..found.head }, ..found };
    let found: Vec<Found> = found(12).into_iter().map(elsewhere).collect();
    let mut collected = Collected::new(&Config::default());
    look(&mut collected, NOW, &found);
    let text = told(text::LeaksText(collected));
    assert!(text.contains("12 leaked sockets") && !text.contains("ss -"), "{text}");
}

#[test]
fn a_filter_that_leaves_ports_out_says_so() {
    let commands = |count: u16| told(text::LeaksText(looks(&[count])));
    let all = commands(4);
    let filter = "'( dport = :4001 or dport = :4002 or dport = :4003 or dport = :4004 )'";
    assert_eq!(all.matches(filter).count(), 2, "{all}");
    assert!(!all.contains("ports\n") && all.contains("# ends all that match; the program"), "{all}");
    let some = commands(12);
    assert!(some.contains(&format!("close-wait {filter}   # 4 of 12 ports\n")), "{some}");
    assert!(some.contains("# ends all that match, 4 of 12 ports; the program will leak again\n"), "{some}");
}

#[test]
fn a_verdict_is_explained_once() {
    let of_two = |found: Found| {
        let tgid = PID - u32::from(found.tuple.remote_port % 2);
        Found { task: Task { tgid, ..found.task }, ..found }
    };
    let mut collected = Collected::new(&Config::default());
    let found: Vec<Found> = found(12).into_iter().map(of_two).collect();
    look(&mut collected, NOW, &found);
    let text = told(text::LeaksText(collected));
    assert!(text.contains("\n12 leaked sockets in 2 owners\n"), "{text}");
    for (once, times) in [("look at", 1), ("no help", 1), ("as above", 1), ("ss -tneop", 2)] {
        assert_eq!(text.matches(once).count(), times, "{once}: {text}");
    }
}

#[test]
fn without_leaks_one_line_says_so() {
    assert_eq!(
        told(text::LeaksText(looks(&[0]))),
        "no leaks: none of the sockets that have been in CLOSE_WAIT or FIN_WAIT_2 for 30s or longer is one\n"
    );
}

/// Each answer to a keepalive probe is an ACK, and the age is "at least since then".
#[test]
fn what_may_be_a_leak_is_not_said_to_be_none() {
    let answered = |found: Found| {
        let last_ack = u32::try_from(JIFFIES - 250 * 5).unwrap();
        Found { gauge: Gauge { last_ack, ..found.gauge }, ..found }
    };
    let found: Vec<Found> = found(2).into_iter().map(answered).collect();
    let collected = || {
        let mut collected = Collected::new(&Config::default());
        look(&mut collected, NOW, &found);
        collected
    };
    let json = told(json::LeaksJson::new(collected(), Clock::new(0)));
    assert_eq!(json.lines().count(), 1, "without --all only the summary tells of them: {json}");
    assert!(json.ends_with(",\"verdicts\":{\"young\":2},\"undecided\":2}\n"), "{json}");
    assert_eq!(
        told(text::LeaksText(collected())),
        "no leaks: none of the sockets that have surely been in CLOSE_WAIT or FIN_WAIT_2 for 30s or longer is one\n\
         not known: 2 may have been there for 30s or longer, but a later segment (the FIN, or an answer to keepalive) hides it; \
         -d of 30s or more tells (--all shows them)\n"
    );
}

#[test]
fn orphans_that_are_only_counted_are_among_those_that_are_no_leaks() {
    let mut collected = looks(&[2]);
    collected.orphans[Verdict::PeerUnclosed as usize] = 3;
    collected.orphans[Verdict::Young as usize] = 1;
    let text = told(text::LeaksText(collected));
    assert!(text.ends_with("not leaks: 3 peer_unclosed, 1 young (--all shows them)\n"), "{text}");
    assert_eq!(text.matches("peer_unclosed").count(), 1, "they are no process's: {text}");
}
