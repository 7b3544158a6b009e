//! What a frame costs, by the number of connections. `cargo xtask frames` prints it; it asserts nothing, for a time
//! depends on the machine.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ratatui::{Terminal, backend::TestBackend};
use rustix::time::{ClockId, clock_gettime};
use tcplife_common::wire::{Head, Move, Record, Task, Tuple, flag};
use tcplife_core::{
    table::{Config, Table},
    view::{GroupBy, SortKey},
};

use super::{
    app::{App, Tab},
    bridge::{Bridge, Channels},
    draw::draw,
    fixtures as fix,
    frame::Request,
    theme::Theme,
    update::{Event, update},
};
use crate::{health::Health, sink::Sink, stays::By};

/// Frames that are measured; the median counts.
const ROUNDS: u64 = 31;
const MS: u64 = 1_000_000;

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// Where the connections of a table go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    /// To some thousand places, over IPv4.
    Few,
    /// Each to a place of its own, over IPv6: the worst for whatever groups.
    Every,
}

/// The record of a move of the connection `n`, of one of a hundred processes.
fn moved(n: u32, spread: Spread, (old, new): (u8, u8), time_ns: u64) -> Record {
    let [_, a, b, c] = n.to_be_bytes();
    let (local, remote) = match spread {
        Spread::Few => {
            let ours = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
            (ours, Ipv4Addr::new(10, a, b, c % 4).to_ipv6_mapped())
        }
        Spread::Every => {
            let [a, b, c] = [a, b, c].map(u16::from);
            (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfd00, 0xab, 7, a, 0xfe, 0, b, c + 1))
        }
    };
    let (local, remote) = (local.octets(), remote.octets());
    let local_port = u16::try_from(1024 + n % 60_000).unwrap();
    let tuple = Tuple { local, remote, local_port, remote_port: 443, ..Tuple::default() };
    let mut comm = [0; 16];
    comm[..7].copy_from_slice(b"worker-");
    comm[7] = b'a' + u8::try_from(n % 26).unwrap();
    let task = Task { tgid: 1000 + n % 100, start_ns: 1, comm, ..Task::default() };
    let sock = u64::from(n + 1) << 8;
    let head = Head { flags: flag::BY_TASK, old, new, netns: 1 + n % 3, sock, time_ns, ..Head::default() };
    Record::Move(Move { head, tuple, task })
}

/// `count` connections, every tenth in CLOSE_WAIT; before them as many lived and ended, as the bridge saw.
fn fill(count: u32, spread: Spread, bridge: &mut Bridge) -> Table {
    let mut past = Table::new(Config::default());
    let mut table = Table::new(Config::default());
    for n in 0..count {
        // Stays of all lengths, from a microsecond to an hour.
        let length = |state: u32| 1_000u64 << ((n * 7 + state * 5) % 31);
        let life = if n % 2 == 0 { [7, 2, 1, 4, 5, 7] } else { [7, 2, 1, 8, 9, 7] };
        let mut at = u64::from(n) * 1000;
        for (state, step) in (0..).zip(life.windows(2)) {
            past.apply(&moved(n, spread, (step[0], step[1]), at), bridge);
            at += length(state) + u64::from(n % 997);
        }
        let last = if n % 10 == 0 { 8 } else { 1 };
        for (old, new) in [(7, 2), (2, 1), (1, last)].into_iter().filter(|(old, new)| old != new) {
            table.apply(&moved(n, spread, (old, new), u64::from(n) * 1000), bridge);
        }
    }
    table
}

/// CPU time of the engine to make a frame and of the screen to take and draw it: the median, and the longest.
fn measure(
    table: &Table,
    bridge: &mut Bridge,
    channels: &Channels,
    prepare: impl Fn(&mut App),
) -> [(Duration, Duration); 2] {
    let mut app = fix::blank(fix::LARGE, Theme::Colours);
    let mut terminal = Terminal::new(TestBackend::new(app.size.width, app.size.height)).unwrap();
    prepare(&mut app);
    channels.requests.send_replace(app.request());
    let (mut made, mut drawn) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        // Something happens before each frame, so that none is left out.
        let health = Health { events: round, ..Health::default() };
        let now = fix::HOUR + round * 1000 * MS;
        let begin = cpu();
        let _ = bridge.flush(now, table, &health).unwrap();
        made.push(cpu().saturating_sub(begin));
        let frame = channels.frames.borrow().clone();
        let begin = cpu();
        update(&mut app, Event::Data(frame));
        terminal.draw(|frame| draw(&app, now, frame)).unwrap();
        drawn.push(cpu().saturating_sub(begin));
        channels.requests.send_replace(app.request());
    }
    [made, drawn].map(|mut times| {
        times.sort_unstable();
        (times[times.len() / 2], times[times.len() - 1])
    })
}

fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}

type Prepare = fn(&mut App);

const KINDS: [(&str, Prepare); 19] = [
    ("connections", |_| {}),
    ("connections, rows in the middle", |app| (app.list.top, app.list.position) = (50_000, 50_000)),
    ("connections, by remote end", |app| app.list.sort = SortKey::Remote),
    ("connections, by owner", |app| app.list.sort = SortKey::Owner),
    ("connections, comm:worker-b age>1s", |app| app.list.text = "comm:worker-b age>1s".to_owned()),
    ("connections, worker-b", |app| app.list.text = "worker-b".to_owned()),
    ("connections, 0.3", |app| app.list.text = "0.3".to_owned()),
    ("connections, 0:44", |app| app.list.text = "0:44".to_owned()),
    ("connections, by process", |app| app.list.group = Some(GroupBy::Process)),
    ("connections, by port", |app| app.list.group = Some(GroupBy::Port)),
    ("connections, by peer", |app| app.list.group = Some(GroupBy::Peer)),
    ("leaks", |app| app.tab = Tab::Leaks),
    ("histograms", |app| app.tab = Tab::Histograms),
    ("histograms by process", |app| (app.tab, app.stays.by) = (Tab::Histograms, Some(By::Process))),
    ("histograms by local port", |app| (app.tab, app.stays.by) = (Tab::Histograms, Some(By::LocalPort))),
    ("histograms by remote address", |app| (app.tab, app.stays.by) = (Tab::Histograms, Some(By::Remote))),
    ("histograms by container", |app| (app.tab, app.stays.by) = (Tab::Histograms, Some(By::Container))),
    ("time-wait", |app| app.tab = Tab::TimeWait),
    ("events, 0.3", |app| {
        app.tab = Tab::Events;
        app.list.text = "0.3".to_owned();
    }),
];

#[test]
#[ignore = "a measurement; cargo xtask frames runs it"]
fn frames() {
    println!("CPU time of a frame of 200x50, in ms: median (longest) of {ROUNDS}");
    println!("{:>9} {:>6}  {:<36} {:>16} {:>16}", "conns", "peers", "view", "engine", "screen");
    let sizes =
        [(1_000, Spread::Few), (10_000, Spread::Few), (100_000, Spread::Few), (100_000, Spread::Every)];
    for (count, spread) in sizes {
        let (mut bridge, channels) = Bridge::new(Request::default(), Duration::from_millis(1));
        let table = fill(count, spread, &mut bridge);
        let peers = format!("{spread:?}").to_lowercase();
        for (name, prepare) in KINDS {
            let [made, drawn] = measure(&table, &mut bridge, &channels, prepare)
                .map(|(median, longest)| format!("{} ({})", ms(median), ms(longest)));
            println!("{count:>9} {peers:>6}  {name:<36} {made:>16} {drawn:>16}");
        }
    }
}
