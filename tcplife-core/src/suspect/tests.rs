//! Suspects of made-up dumps.

use std::net::SocketAddr;

use tcplife_common::wire::{Gauge, Head, Stats, Task, Tuple, flag};

use super::{
    groups::{Baseline, Service, ages, groups},
    *,
};
use crate::{
    state::State,
    table::{Census, Config},
};

mod peers;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_000 * SECOND;
const HZ: u32 = 250;
const JIFFIES: u64 = 5_000_000;
const AFTER: u64 = 30 * SECOND;

const SYN_SENT: u8 = 2;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const TIME_WAIT: u8 = 6;
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
const LISTEN: u8 = 10;

fn seconds_ago(seconds: u64) -> u32 {
    u32::try_from(JIFFIES - seconds * u64::from(HZ)).unwrap()
}

fn octets(address: SocketAddr) -> [u8; 16] {
    match address.ip() {
        std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(ip) => ip.octets(),
    }
}

/// A full socket that nobody holds, in its state for 60 to 62 seconds, which has read everything.
fn socket(sock: u64, state: u8, local: &str, remote: &str) -> Found {
    let (local, remote): (SocketAddr, SocketAddr) = (local.parse().unwrap(), remote.parse().unwrap());
    Found {
        head: Head { netns: 7, time_ns: NOW, sock, cookie: sock, old: state, new: state, ..Head::default() },
        tuple: Tuple {
            local: octets(local),
            remote: octets(remote),
            local_port: local.port(),
            remote_port: remote.port(),
            err: 0,
            family: 2,
        },
        stats: Stats { bytes_sent: 10, bytes_received: 10, ..Stats::default() },
        gauge: Gauge {
            jiffies: JIFFIES,
            last_ack: seconds_ago(60),
            last_data: seconds_ago(62),
            last_sent: seconds_ago(62),
            ..Gauge::default()
        },
        ..Found::default()
    }
}

fn held(found: Found, pid: u32, fd: u32) -> Found {
    Found {
        head: Head { flags: flag::HELD, ..found.head },
        task: Task { tgid: pid, comm: *b"server\0\0\0\0\0\0\0\0\0\0", ..Task::default() },
        gauge: Gauge { fd, ..found.gauge },
        ..found
    }
}

fn alone(found: Found) -> Found {
    Found { head: Head { flags: flag::ORPHAN, ..found.head }, ..found }
}

fn in_netns(found: Found, netns: u32) -> Found {
    Found { head: Head { netns, ..found.head }, ..found }
}

fn look(found: &[Found]) -> Vec<Suspect> {
    look_with(found, Sight::Every)
}

fn look_with(found: &[Found], sight: Sight) -> Vec<Suspect> {
    let mut table = Table::new(Config { hz: HZ, takes_up_ended: true, ..Config::default() });
    let found: Vec<Vec<Found>> = found.chunks(2).map(<[Found]>::to_vec).collect();
    let census = Census::of_some(NOW, &found);
    table.take_census(&census, |_| true, &mut ());
    suspects(&table, &Sockets::of(&found, sight), NOW, AFTER, HZ)
}

#[track_caller]
fn only(found: &[Found]) -> Suspect {
    let mut suspects = look(found);
    assert_eq!(suspects.len(), 1, "{suspects:?}");
    suspects.remove(0)
}

const SERVER: &str = "10.0.0.1:80";
const CLIENT: &str = "10.0.0.2:4000";

#[test]
fn every_holder_is_named_once() {
    let socket = socket(1, CLOSE_WAIT, SERVER, CLIENT);
    let suspect = only(&[held(socket, 20, 5), held(socket, 10, 7), held(socket, 10, 7), socket]);
    assert_eq!(suspect.verdict, Verdict::Unclosed);
    let holders: Vec<_> = suspect.holders.iter().map(|holder| (holder.process.pid, holder.fd)).collect();
    assert_eq!(holders, [(10, 7), (20, 5)]);
    assert_eq!(suspect.peer, Peer::Unknown, "10.0.0.2 may be another host");
}

#[test]
fn the_owner_is_accused_before_other_holders() {
    let socket = socket(1, CLOSE_WAIT, SERVER, CLIENT);
    // The table takes the first for the owner.
    let suspect = only(&[held(socket, 20, 5), held(socket, 10, 7)]);
    assert_eq!(suspect.accused().unwrap().pid, 20);
}

#[test]
fn the_age_is_the_bracket_of_its_clocks() {
    let suspect = only(&[held(socket(1, CLOSE_WAIT, SERVER, CLIENT), 10, 7)]);
    let age = suspect.facts.age;
    assert!(age.min <= 60 * SECOND && age.min >= 59 * SECOND, "{age:?}");
    assert!(age.max.is_some_and(|max| (62 * SECOND..63 * SECOND).contains(&max)), "{age:?}");
}

#[test]
fn the_newest_look_counts() {
    let first = held(socket(1, CLOSE_WAIT, SERVER, CLIENT), 10, 7);
    let mut second = socket(1, CLOSE_WAIT, SERVER, CLIENT);
    second.head.time_ns += 1;
    second.gauge.recv_queue = 5;
    assert_eq!(only(&[first, second]).verdict, Verdict::DataUnread);
}

#[test]
fn one_in_an_accept_queue_names_who_listens() {
    let waits = alone(socket(1, CLOSE_WAIT, SERVER, CLIENT));
    let listener = listener(2, "0.0.0.0:80", 10, 4);
    // systemd keeps what a socket unit's service listens at.
    let suspect = only(&[waits, held(listener, 1, 30), listener]);
    assert_eq!(suspect.verdict, Verdict::NeverAccepted);
    let listening = suspect.listener.unwrap();
    assert_eq!((listening.process.pid, listening.queue, listening.limit), (10, 4, 128));
    assert_eq!(listening.processes, 1);
    assert_eq!(suspect.accused().unwrap().pid, 10);
    assert!(suspect.of_server);
    // A worker has a copy of the descriptor, and has made one itself.
    let workers = [listener, held(listener, 11, 3), held(listener, 11, 4)];
    let prefork = only(&[&[waits][..], &workers].concat()).listener.unwrap();
    assert_eq!((prefork.process.pid, prefork.processes), (10, 2));
}

/// A client may have the port of a listener that listens at another address, or share it (`SO_REUSEPORT`).
#[test]
fn who_opened_a_connection_is_not_told_by_its_port_alone() {
    let near = |listens: &str| {
        let client = held(socket(1, CLOSE_WAIT, CLIENT, SERVER), 10, 7);
        only(&[client, listener(2, listens, 10, 0)]).of_server
    };
    let listens = ["10.0.0.2:4000", "0.0.0.0:4000", "[::]:4000", "127.0.0.1:4000"];
    assert_eq!(listens.map(near), [true, true, true, false]);

    let client = held(socket(1, CLOSE_WAIT, CLIENT, SERVER), 10, 7);
    let connects = Found { head: Head { old: SYN_SENT, ..client.head }, ..client };
    let mut table = Table::new(Config { hz: HZ, ..Config::default() });
    let [_, of_server] = [connects, client].map(|client| {
        let found = [vec![client, listener(2, CLIENT, 10, 0)]];
        let census = Census::of_some(NOW, &found);
        table.take_census(&census, |_| true, &mut ());
        let suspects = suspects(&table, &Sockets::of(&found, Sight::Every), NOW, AFTER, HZ);
        suspects.first().map(|suspect| suspect.of_server)
    });
    assert_eq!(of_server, Some(false), "it was seen to connect");
}

/// A listener with `queue` connections in its accept queue.
fn listener(sock: u64, local: &str, pid: u32, queue: u32) -> Found {
    let mut listener = held(socket(sock, LISTEN, local, "0.0.0.0:0"), pid, 3);
    (listener.gauge.recv_queue, listener.gauge.send_queue) = (queue, 128);
    listener
}

#[test]
fn the_listener_on_its_own_address_is_meant() {
    let waits = alone(socket(1, CLOSE_WAIT, SERVER, CLIENT));
    let any = listener(2, "[::]:80", 10, 1);
    let exact = listener(3, SERVER, 11, 1);
    let elsewhere = in_netns(listener(4, SERVER, 12, 1), 8);
    assert_eq!(only(&[waits, any, exact, elsewhere]).listener.unwrap().process.pid, 11);
    assert_eq!(only(&[waits, any, elsewhere]).listener.unwrap().process.pid, 10, "dual-stack");
    assert!(only(&[waits, elsewhere]).listener.is_none());
    let ipv4 = listener(5, "0.0.0.0:80", 13, 1);
    assert_eq!(only(&[waits, any, ipv4]).listener.unwrap().process.pid, 13, "each family has its own");
}

#[test]
fn a_listener_with_an_empty_queue_is_not_meant() {
    let waits = alone(socket(1, CLOSE_WAIT, SERVER, CLIENT));
    let any = listener(2, "0.0.0.0:80", 10, 1);
    // It came later: what is in the other's queue stays there.
    let exact = listener(3, SERVER, 11, 0);
    let suspect = only(&[waits, any, exact]);
    let listening = suspect.listener.unwrap();
    assert_eq!((listening.process.pid, listening.queue, listening.limit), (10, 1, 128));
    assert_eq!(suspect.accused().unwrap().pid, 10);
    assert!(only(&[waits, exact]).listener.is_none(), "whoever it was");
}

#[test]
fn listeners_that_share_a_port_are_not_told_apart_by_guess() {
    let waits = alone(socket(1, CLOSE_WAIT, SERVER, CLIENT));
    let listener = |sock, pid, queue| listener(sock, "0.0.0.0:80", pid, queue);
    assert!(only(&[waits, listener(2, 10, 1), listener(3, 11, 1)]).listener.is_none());
    assert_eq!(only(&[waits, listener(2, 10, 0), listener(3, 11, 1)]).listener.unwrap().process.pid, 11);
}

#[test]
fn without_descriptor_and_queue_the_kernel_holds_it() {
    let suspect = only(&[socket(1, CLOSE_WAIT, SERVER, CLIENT)]);
    assert_eq!(suspect.verdict, Verdict::KernelHeld);
    assert!(suspect.accused().is_none() && suspect.holders.is_empty());
}

#[test]
fn where_not_every_process_is_seen_the_kernel_need_not_hold_it() {
    let of = |sock, state| socket(sock, state, SERVER, &format!("10.0.0.2:{}", 4000 + sock));
    let seen = held(of(1, CLOSE_WAIT), 10, 7);
    let found = [seen, of(2, CLOSE_WAIT), of(3, FIN_WAIT2), alone(of(4, CLOSE_WAIT))];
    let mut verdicts: Vec<_> =
        look_with(&found, Sight::Some).iter().map(|s| (s.connection.remote().port(), s.verdict)).collect();
    verdicts.sort_unstable();
    let expected = [Verdict::Unclosed, Verdict::HolderUnseen, Verdict::HolderUnseen, Verdict::NeverAccepted];
    assert_eq!(verdicts, (4001..).zip(expected).collect::<Vec<_>>());
}

#[test]
fn a_clock_that_never_ran_is_not_taken_for_traffic() {
    let mut quiet = held(socket(1, CLOSE_WAIT, SERVER, CLIENT), 10, 7);
    quiet.gauge.last_sent = seconds_ago(5);
    assert_eq!(only(&[quiet]).verdict, Verdict::Sending);
    quiet.stats.bytes_sent = 0;
    assert_eq!(only(&[quiet]).verdict, Verdict::Unclosed);
}

#[test]
fn who_is_in_another_state_is_no_suspect() {
    assert!(look(&[held(socket(1, 1, SERVER, CLIENT), 10, 7)]).is_empty());
    assert!(look(&[held(socket(2, LISTEN, "0.0.0.0:80", "0.0.0.0:0"), 10, 3)]).is_empty());
}

#[test]
fn what_is_left_of_a_connection_is_nobodys_other_end() {
    let over = |found: Found| Found { gauge: Gauge { stamp_ns: NOW - 60 * SECOND, ..found.gauge }, ..found };
    let ended = over(held(socket(1, CLOSE, CLIENT, SERVER), 10, 7));
    let suspect = only(&[ended]);
    assert_eq!((suspect.verdict, suspect.facts.age.min), (Verdict::EndedUnclosed, 60 * SECOND));
    let leak = held(socket(2, CLOSE_WAIT, SERVER, CLIENT), 20, 5);
    let both = look(&[ended, leak, socket(2, CLOSE_WAIT, SERVER, CLIENT)]);
    let peers: Vec<_> = both.iter().map(|suspect| (suspect.verdict, suspect.peer)).collect();
    let mut dissolved = ended;
    dissolved.tuple.remote_port = 0;
    assert!(look(&[dissolved]).is_empty());
    assert_eq!(peers, [(Verdict::EndedUnclosed, Peer::Unknown), (Verdict::Unclosed, Peer::Unknown)]);
}

#[test]
fn groups_are_by_process_and_the_worst_comes_first() {
    let of =
        |sock, pid, fd| held(socket(sock, CLOSE_WAIT, SERVER, &format!("10.0.0.2:{}", 4000 + sock)), pid, fd);
    let found = [of(1, 20, 3), of(2, 10, 4), of(3, 10, 5), socket(4, CLOSE_WAIT, SERVER, CLIENT)];
    let suspects = look(&found);
    let groups = groups(&suspects);
    let pids: Vec<_> = groups.iter().map(|group| group.process.map(|process| process.pid)).collect();
    assert_eq!(pids, [Some(10), None, Some(20)]);
    assert_eq!(groups[0].faults().leaks, 2);
    assert_eq!(groups[0].fds(|_| true), [4, 5]);
    assert_eq!(groups[0].local_ports(), [(80, 2)]);
    let total: usize = groups.iter().map(|group| group.suspects.len()).sum();
    assert_eq!(total, suspects.len());
    let (oldest, median) = ages(&groups[0].suspects).unwrap();
    assert!(oldest >= median);
}

/// A proxy: the oldest is one that it opened, and the most came in.
#[test]
fn the_service_is_that_of_the_most_whichever_end_opened_them() {
    let came =
        |sock: u64| held(socket(sock, CLOSE_WAIT, SERVER, &format!("10.0.0.2:{}", 4000 + sock)), 10, 9);
    let opened = held(socket(1, CLOSE_WAIT, "10.0.0.1:40000", "10.0.0.3:5432"), 10, 8);
    let listens = listener(9, "0.0.0.0:80", 10, 0);
    let suspects = look(&[opened, came(2), came(3), listens]);
    let services = groups(&suspects)[0].services();
    assert_eq!(services, [(Service::Own(80), 2), (Service::Of("10.0.0.3:5432".parse().unwrap()), 1)]);
}

#[test]
fn growth_is_by_the_minute() {
    let of = |sock, pid| held(socket(sock, CLOSE_WAIT, SERVER, &format!("10.0.0.2:{}", 4000 + sock)), pid, 9);
    let before = look(&[of(1, 10), of(2, 20)]);
    // A connection that is over has to be closed as well: its descriptor is there.
    let mut over = held(socket(6, CLOSE, SERVER, "10.0.0.2:4006"), 10, 9);
    over.gauge.stamp_ns = NOW - 60 * SECOND;
    let after = look(&[of(1, 10), of(3, 10), of(4, 10), of(5, 30), over]);
    let baseline = Baseline::of(&before);
    let growth: Vec<f64> = groups(&after).iter().map(|group| baseline.growth(group, 30 * SECOND)).collect();
    assert_eq!(growth, [6.0, 2.0]);
}

#[test]
fn of_thousands_each_is_told_once_and_the_oldest_first() {
    const COUNT: u32 = 10_000;
    let found: Vec<Found> = (0..COUNT)
        .map(|n| {
            let remote = format!("10.0.{}.{}:4000", n / 250, n % 250);
            let mut found = socket(u64::from(n) + 1, CLOSE_WAIT, SERVER, &remote);
            found.gauge.last_ack = seconds_ago(u64::from(n * 7919 % 900));
            found.gauge.last_data = found.gauge.last_ack;
            held(found, 10, n)
        })
        .collect();
    let suspects = look(&found);
    let mut fds: Vec<u32> = suspects.iter().flat_map(|suspect| &suspect.holders).map(|h| h.fd).collect();
    fds.sort_unstable();
    assert!(fds.into_iter().eq(0..COUNT));
    assert!(suspects.is_sorted_by_key(|suspect| Reverse(suspect.facts.age.min)));
    assert!(suspects[0].facts.age.min > 898 * SECOND, "{:?}", suspects[0].facts.age);
}

/// An orphan's mini-socket with `left` seconds to go, which heard of its peer last `heard` seconds ago.
fn orphan(n: u64, state: u8, left: u64, heard: u64) -> Found {
    let remote = format!("10.0.0.2:{}", 4000 + n);
    let mini = socket(n, TIME_WAIT, SERVER, &remote);
    let hz = u64::from(HZ);
    Found {
        head: Head { flags: flag::MINI | flag::ORPHAN, old: state, ..mini.head },
        gauge: Gauge {
            jiffies: JIFFIES,
            expires: JIFFIES + left * hz,
            stamp_ns: NOW - heard * SECOND,
            fin_timeout: 60 * HZ,
            ..Gauge::default()
        },
        ..mini
    }
}

#[test]
fn orphans_are_counted_as_they_are_judged() {
    let full = held(socket(1, CLOSE_WAIT, SERVER, CLIENT), 10, 7);
    let mut found = vec![full, orphan(99, TIME_WAIT, 30, 30)];
    // Young, old, of an age that only the timer tells or that nothing tells.
    found.extend(
        [(55, 5), (20, 40), (31, 29), (30, 30), (5, 5), (59, 58)]
            .into_iter()
            .zip(2..)
            .map(|((left, heard), n)| orphan(n, FIN_WAIT2, left, heard)),
    );
    found.push(found[2]);
    let mut judged = Tally::default();
    for suspect in look(&found).iter().filter(|suspect| suspect.connection.in_mini_socket()) {
        judged[suspect.verdict as usize] += 1;
    }
    let found = [found];
    let sockets = Sockets::of(&found, Sight::Every);
    assert_eq!(orphans(&sockets, |_| true, NOW, AFTER, HZ), judged);
    assert_eq!(orphans(&sockets, |_| false, NOW, AFTER, HZ), Tally::default());
    assert!(judged[Verdict::Young as usize] > 1 && judged[Verdict::PeerUnclosed as usize] > 1, "{judged:?}");
    assert_eq!(judged.iter().sum::<usize>(), 6);
}
