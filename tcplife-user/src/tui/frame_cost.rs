//! What a frame costs, by the number of connections. `cargo xtask frames` prints it; it asserts nothing, for a time
//! depends on the machine.

use std::time::Duration;

use ratatui::{Terminal, backend::TestBackend};
use rustix::time::{ClockId, clock_gettime};
use tcplife_common::wire::{Head, Move, Record, Task, Tuple, flag};
use tcplife_core::{
    table::{Config, Table},
    view::GroupBy,
};

use super::{
    app::{App, Tab},
    bridge::Bridge,
    draw::draw,
    fixtures as fix,
    theme::Theme,
    update::{Event, update},
};
use crate::{
    sink::{Health, Sink},
    stays::By,
};

/// Frames that are measured; the median counts.
const ROUNDS: u64 = 31;
const MS: u64 = 1_000_000;

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// Connections of a hundred processes to a thousand places, every tenth in CLOSE_WAIT.
fn table(count: u32) -> Table {
    let mut table = Table::new(Config::default());
    for n in 0..count {
        let [_, a, b, c] = n.to_be_bytes();
        let local = std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets();
        let remote = std::net::Ipv4Addr::new(10, a, b, c % 4).to_ipv6_mapped().octets();
        let local_port = u16::try_from(1024 + n % 60_000).unwrap();
        let tuple = Tuple { local, remote, local_port, remote_port: 443, ..Tuple::default() };
        let mut comm = [0; 16];
        comm[..7].copy_from_slice(b"worker-");
        comm[7] = b'a' + u8::try_from(n % 26).unwrap();
        let task = Task { tgid: 1000 + n % 100, tid: 1, start_ns: 1, comm };
        let last = if n % 10 == 0 { 8 } else { 1 };
        let sock = u64::from(n + 1) << 8;
        for (old, new) in [(7, 2), (2, 1), (1, last)].into_iter().filter(|(old, new)| old != new) {
            let head = Head {
                flags: flag::BY_TASK,
                old,
                new,
                netns: 1 + n % 3,
                sock,
                time_ns: u64::from(n) * 1000,
                ..Head::default()
            };
            table.apply(&Record::Move(Move { head, tuple, task }), &mut ());
        }
    }
    table
}

/// CPU time of the engine to make a frame and of the screen to take and draw it: the median, and the longest.
fn measure(table: &Table, prepare: impl Fn(&mut App)) -> [(Duration, Duration); 2] {
    let mut app = fix::blank(fix::LARGE, Theme::Colours);
    let (mut bridge, ends) = Bridge::new(app.request(), Duration::from_millis(1)).unwrap();
    let mut terminal = Terminal::new(TestBackend::new(app.size.width, app.size.height)).unwrap();
    prepare(&mut app);
    ends.requests.send_replace(app.request());
    let (mut made, mut drawn) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        // Something happens before each frame, so that none is left out.
        let health = Health { events: round, ..Health::default() };
        let now = fix::HOUR + round * 1000 * MS;
        let begin = cpu();
        let _ = bridge.flush(now, table, &health).unwrap();
        made.push(cpu().saturating_sub(begin));
        let frame = ends.frames.borrow().clone();
        let begin = cpu();
        update(&mut app, Event::Data(frame));
        terminal.draw(|frame| draw(&app, now, frame)).unwrap();
        drawn.push(cpu().saturating_sub(begin));
        ends.requests.send_replace(app.request());
    }
    [made, drawn].map(|mut times| {
        times.sort_unstable();
        (times[times.len() / 2], times[times.len() - 1])
    })
}

fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}

#[test]
#[ignore = "a measurement; cargo xtask frames runs it"]
fn frames() {
    type Prepare = fn(&mut App);
    let kinds: [(&str, Prepare); 8] = [
        ("connections", |_| {}),
        ("connections, comm:worker-b age>1s", |app| app.list.text = "comm:worker-b age>1s".to_owned()),
        ("connections, 10.0.3", |app| app.list.text = "10.0.3".to_owned()),
        ("by process", |app| app.list.group = Some(GroupBy::Process)),
        ("leaks", |app| app.tab = Tab::Leaks),
        ("histograms", |app| app.tab = Tab::Histograms),
        ("histograms by process", |app| {
            (app.tab, app.stays.by) = (Tab::Histograms, Some(By::Process));
        }),
        ("time-wait", |app| app.tab = Tab::TimeWait),
    ];
    println!("CPU time of a frame of 200x50, in ms: median (longest) of {ROUNDS}");
    println!("{:>9}  {:<36} {:>16} {:>16}", "conns", "view", "engine", "screen");
    for count in [1_000, 10_000, 100_000] {
        let table = table(count);
        for (name, prepare) in kinds {
            let [made, drawn] =
                measure(&table, prepare).map(|(median, longest)| format!("{} ({})", ms(median), ms(longest)));
            println!("{count:>9}  {name:<36} {made:>16} {drawn:>16}");
        }
    }
}
