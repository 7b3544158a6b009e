//! Screens for tests: made-up connections that show everything that is hard to show.

use std::{net::SocketAddr, sync::Arc};

use ratatui::{
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    layout::Size,
};
use tcplife_core::{
    connection::{ConnId, End, FirstClose, Role},
    filter::Filter,
    observer::{Direction, RetransmitKind},
    owner::{Owner, Process, Via},
    state::State,
    table::Totals,
    timeline::{Since, Stay},
    view::{Detail, Page, Row},
};

use super::{
    app::{App, Setup, Tab},
    frame::{Flow, Frame},
    log::{Logged, What, Whose},
    rates::Meter,
    theme::Theme,
    update::{Event, Next, update},
};
use crate::{
    clock::Clock,
    sink::{Health, Hook, Knowledge},
};

pub const SECOND: u64 = 1_000_000_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
/// The time in every fixture: long after the boot.
pub const NOW: u64 = 100 * HOUR;

pub const SMALL: Size = Size::new(60, 15);
pub const USUAL: Size = Size::new(80, 24);
pub const LARGE: Size = Size::new(200, 50);

pub fn owner(comm: &[u8], pid: u32, via: Via) -> Owner {
    let mut name = [0; 16];
    name[..comm.len()].copy_from_slice(comm);
    Owner { process: Process { pid, start_ns: 0, comm: name }, via }
}

fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A connection in a state for `age`, seen from its begin.
pub fn row(id: u64, state: State, age: u64, owner: Option<Owner>) -> Row {
    Row {
        id: ConnId(id),
        state,
        since: Since::Seen(NOW - age),
        local: end("10.0.0.1:8080"),
        remote: SocketAddr::new([10, 0, 0, 2].into(), 40000 + u16::try_from(id % 10_000).unwrap()),
        netns: 4_026_531_840,
        role: Some(Role::Server),
        owner,
        retransmits: 0,
        orphan: false,
        in_mini_socket: false,
        suspicious: state == State::CloseWait && age >= 30 * SECOND,
    }
}

/// One row of everything that is hard to show, oldest first.
pub fn rows() -> Vec<Row> {
    let java = Some(owner(b"java", 4_194_304, Via::Accept));
    let nginx = Some(owner(b"nginx", 812, Via::Accept));
    let since = |earliest, latest| Since::Between { earliest, latest };
    vec![
        Row {
            since: since(Some(NOW - 195 * MINUTE), NOW - 192 * MINUTE),
            ..row(1, State::CloseWait, 192 * MINUTE, java)
        },
        Row {
            since: since(None, NOW - 5 * MINUTE),
            local: end("[2001:db8:1234:5678:9abc:def0:1234:5678]:65535"),
            remote: end("[2001:db8:ffff:eeee:dddd:cccc:bbbb:aaaa]:65534"),
            ..row(2, State::Established, 5 * MINUTE, Some(owner(b"a-long-comm-15b", 31337, Via::Connect)))
        },
        row(3, State::CloseWait, 2 * MINUTE + 5 * SECOND, nginx),
        Row {
            orphan: true,
            in_mini_socket: true,
            ..row(4, State::TimeWait, 58 * SECOND, Some(owner(b"curl", 99, Via::Close)))
        },
        Row { orphan: true, role: None, ..row(5, State::FinWait2, 41 * SECOND, None) },
        Row { retransmits: 12_345, ..row(6, State::LastAck, 20 * SECOND, nginx) },
        row(7, State::Established, 12 * SECOND, Some(owner("服务器程序".as_bytes(), 7, Via::Listener))),
        row(8, State::Established, 11 * SECOND, Some(owner(b"\x1b[2J\x07evil", 666, Via::Holder))),
        Row {
            local: end("192.168.100.100:50000"),
            remote: end("192.168.100.200:65535"),
            netns: 4_026_532_999,
            role: Some(Role::Client),
            retransmits: 3,
            ..row(9, State::SynSent, 3 * SECOND, Some(owner(b"curl", 100, Via::Connect)))
        },
        Row { local: end("127.0.0.1:0"), ..row(10, State::SynReceived, 0, None) },
        Row { remote: end("0.0.0.0:0"), role: None, ..row(11, State::Listen, 0, nginx) },
    ]
}

/// The detail of the third row.
pub fn detail() -> Detail {
    let row = rows().swap_remove(2);
    let entered = NOW - 2 * MINUTE - 5 * SECOND;
    let stay = |state, at, until| Stay { state, since: Since::Seen(at), until };
    let accepted = entered - 30 * SECOND;
    Detail {
        row,
        stays: vec![
            stay(State::SynReceived, accepted - 120_000, Some(accepted)),
            stay(State::Established, accepted, Some(entered)),
            stay(State::CloseWait, entered, None),
        ],
        awaits_accept: false,
        opened: Some(accepted - 120_000),
        complete: true,
        first_close: FirstClose::Remote,
        end: None,
        bytes_sent: None,
        bytes_received: None,
        srtt_us: None,
        resets_sent: 0,
        resets_received: 0,
    }
}

/// A detail with as much in it as there can be.
pub fn full_detail() -> Detail {
    let states = [
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::Closing,
        State::TimeWait,
        State::Closed,
    ];
    let at = |n: usize| NOW - HOUR + u64::try_from(n).unwrap() * 9 * MINUTE;
    let stays = states.into_iter().enumerate().map(|(n, state)| Stay {
        state,
        since: if n == 0 { Since::Between { earliest: None, latest: at(0) } } else { Since::Seen(at(n)) },
        until: (n < 6).then(|| at(n + 1)),
    });
    let row = Row { state: State::Closed, since: Since::Seen(at(6)), ..rows().swap_remove(1) };
    Detail {
        row,
        stays: stays.collect(),
        awaits_accept: false,
        opened: Some(at(1)),
        complete: false,
        first_close: FirstClose::Both,
        end: Some(End::ResetReceived),
        bytes_sent: Some(12_345_678),
        bytes_received: Some(999),
        srtt_us: Some(1234),
        resets_sent: 1,
        resets_received: 2,
    }
}

pub fn page() -> Page {
    let rows = rows();
    let mut by_state = [0; State::COUNT];
    for row in &rows {
        by_state[row.state.index()] += 1;
    }
    Page {
        matched: rows.len(),
        total: 1204,
        suspicious: rows.iter().filter(|row| row.suspicious).count(),
        by_state,
        selected: None,
        detail: None,
        groups: Vec::new(),
        namespaces: 2,
        rows,
    }
}

pub fn health() -> Health {
    Health {
        hooks: ["state", "retransmit", "reset", "destroy"]
            .map(|what| Hook::on(what, format!("tp_btf/{what}")))
            .into(),
        events: 1234,
        ..Health::default()
    }
}

/// A day with losses and a hook that is not there.
pub fn bad_health() -> Health {
    let lost = vec![("ring_full", 12_000), ("recursion", 3)];
    let mut health = Health { lost, knowledge: Knowledge::Incomplete, ..health() };
    health
        .hooks
        .push(Hook::off("mini-socket", "the kernel has no inet_twsk_kill that can be traced".to_owned()));
    health
}

fn rates() -> Meter {
    let mut meter = Meter::default();
    let mut moves = 0;
    for second in 0..200 {
        meter.count(second * SECOND, moves, moves * 2);
        moves += 40 + (second * 37) % 100 + if second % 50 == 0 { 400 } else { 0 };
    }
    meter
}

pub fn frame(app: &App) -> Frame {
    let totals = Totals { live: [2, 1, 1, 1180, 0, 4, 3, 0, 1, 12, 0], ..Totals::default() };
    Frame {
        request: app.request(),
        now: NOW,
        started: NOW - 12 * MINUTE - 7 * SECOND,
        page: Arc::new(page()),
        totals,
        log: Arc::default(),
        health: health(),
        rates: rates().rates().clone(),
        leaks: 0,
    }
}

pub fn log() -> Arc<[Logged]> {
    let whose = |row: Row| Whose { local: row.local, remote: row.remote, owner: row.owner };
    let row = |n: usize| whose(rows().swap_remove(n));
    let went = |from, to, elapsed| What::Move { from, to, elapsed };
    let events = [
        (went(State::Established, State::CloseWait, Some(32_100_456_000)), row(2)),
        (What::Retransmit(State::SynSent, RetransmitKind::Segment), row(8)),
        (What::Reset(State::SynReceived, Direction::Received), row(9)),
        (went(State::SynReceived, State::Established, None), row(1)),
        (went(State::Established, State::FinWait1, Some(120_456)), row(7)),
        (went(State::LastAck, State::Closed, Some(1_050)), row(6)),
    ];
    let numbered = events.into_iter().enumerate().map(|(n, (what, whose))| {
        let n = u64::try_from(n).unwrap();
        Logged { number: 6 - n, at: NOW - n * 1_234_567_890, what, whose }
    });
    numbered.collect()
}

/// A screen without data.
pub fn blank(size: Size, theme: Theme) -> App {
    let setup = Setup {
        host: "web-12".to_owned(),
        kernel: "6.18.44-generic".to_owned(),
        theme,
        clock: Clock::new(1_767_225_599 * SECOND),
        filter: Filter::default(),
        leak_after: 30 * SECOND,
    };
    App::new(setup, size)
}

/// A screen with data.
pub fn app(size: Size) -> App {
    let mut app = blank(size, Theme::Colours);
    let frame = frame(&app);
    feed(&mut app, frame);
    app
}

pub fn feed(app: &mut App, frame: Frame) {
    assert_eq!(update(app, Event::Data(Arc::new(frame))), Next::Draw);
}

/// Answers what the screen asks for now, as the engine would, from the rows of [`rows`].
pub fn answer(app: &mut App) {
    let mut answer = frame(app);
    let (asked, page) = (answer.request.query.clone(), Arc::make_mut(&mut answer.page));
    page.selected = asked.selected.and_then(|id| page.rows.iter().position(|row| row.id == id));
    page.detail = match page.selected {
        Some(2) => Some(detail()),
        Some(1) => Some(full_detail()),
        _ => None,
    };
    page.rows = page.rows.iter().skip(asked.offset).take(asked.limit).cloned().collect();
    if app.tab == Tab::Events {
        answer.log = log();
    }
    feed(app, answer);
}

pub fn key(code: KeyCode) -> Event {
    Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

/// Types each character as a key; `\n` is Enter, `\x1b` Esc, `\t` Tab.
pub fn type_keys(app: &mut App, keys: &str) -> Next {
    let mut next = Next::Wait;
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            '\t' => KeyCode::Tab,
            c => KeyCode::Char(c),
        };
        next = update(app, key(code));
    }
    next
}

/// A screen that is paused.
pub fn paused(size: Size) -> App {
    let mut app = app(size);
    app.flow = Flow::Paused;
    answer(&mut app);
    app
}
