//! What each output prints for made-up connections, through the real table.

mod hist;
mod story;

use tcplife_common::wire::Record;
use tcplife_core::{
    filter::Filter,
    owner::{Owner, Process, Via},
    table::{self, CensusOutcome, Table},
};

use super::{
    lives_csv::LivesCsv,
    lives_json::LivesJson,
    lives_text::LivesText,
    notes::Notes,
    out::{Out, tests::Shared},
    select::Selector,
    stream::{Format, Stream},
    trace_json::TraceJson,
    trace_text::TraceText,
};
use crate::{
    clock::Clock,
    config::Config,
    health::{Health, Hook, HookKind, LossCause, Losses},
    sink::Sink,
};
use story::{CLOSE_WAIT, ESTABLISHED, MS, Socket, client, server};

/// 2026-01-02T03:04:05Z at the monotonic clock's 0.
const CLOCK: Clock = Clock::new(1_767_323_045_000_000_000);

/// What a command prints and what it notes.
struct Printed {
    out: String,
    notes: String,
}

/// Runs `records` through the table into `format`; then 2 events are lost, and the run ends 100 ms after its begin.
fn print(format: impl Format, filter: Filter, records: &[Record]) -> Printed {
    let (out, notes) = (Shared::default(), Shared::default());
    let told = Notes::to(Box::new(notes.clone()), &Config::default());
    let mut stream = Stream::new(format, Out::to(Box::new(out.clone())), told, Selector::new(filter));
    let mut table = Table::new(table::Config::default());
    let health = Health {
        hooks: vec![
            Hook::on(HookKind::State, "tp_btf/inet_sock_set_state".into()),
            Hook::off(HookKind::Accept, "EPERM".into()),
        ],
        events: records.len() as u64,
        hits: records.len() as u64 + 2,
        filtered: 0,
        lost: Losses::default().with(LossCause::RingFull, 2),
        resyncs: 1,
        ..Health::default()
    };
    stream.ready();
    for record in records {
        table.apply(record, &mut stream);
    }
    stream.lost(90 * MS, 2, LossCause::RingFull);
    stream.resynced(91 * MS, &CensusOutcome { adopted: 1, corrected: 2, ended: 3, missing: 4 });
    assert!(stream.flush(95 * MS, &table, &health).unwrap().is_continue());
    table.finish(100 * MS, &mut stream);
    stream.finish(100 * MS, &table, &health).unwrap();
    Printed { out: out.text(), notes: notes.text() }
}

fn out(format: impl Format, records: &[Record]) -> String {
    print(format, Filter::default(), records).out
}

fn json(format: impl Format, filter: Filter, records: &[Record]) -> Vec<serde_json::Value> {
    print(format, filter, records).out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const SUMMARY: &str = concat!(
    r#"{"type":"summary","events":6,"lost":2,"connections":1,"unattributed":0,"#,
    r#""hooks":{"state":"tp_btf/inet_sock_set_state","accept":"off: EPERM"},"#,
    r#""hits":8,"filtered":0,"lost_by_cause":{"ring_full":2,"recursion":0,"malformed":0,"mismatch":0},"resyncs":1,"evicted":0}"#,
);
const LOST: &str = r#"{"type":"lost","time":"2026-01-02T03:04:05.090000000Z","count":2,"cause":"ring_full"}"#;
const RESYNC: &str =
    r#"{"type":"resync","time":"2026-01-02T03:04:05.091000000Z","adopted":1,"corrected":2,"ended":3}"#;
const BOUND: &str = concat!(
    r#""id":1,"netns":4026531840,"family":"ipv4","local_addr":"10.0.0.1","local_port":40000,"#,
    r#""remote_addr":"10.0.0.2","remote_port":443,"role":"client","#,
    r#""owner":{"pid":7,"comm":"curl","via":"connect"}"#,
);

#[test]
fn trace_json_has_the_fields_of_the_contract() {
    let lines = out(TraceJson::new(CLOCK), &client());
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 9, "{lines:#?}");
    assert_eq!(
        lines[0],
        concat!(
            r#"{"type":"transition","time":"2026-01-02T03:04:05.001000000Z","mono_ns":1000000,"id":1,"#,
            r#""netns":4026531840,"family":"ipv4","local_addr":"10.0.0.1","local_port":0,"#,
            r#""remote_addr":"10.0.0.2","remote_port":443,"role":"client","#,
            r#""owner":{"pid":7,"comm":"curl","via":"connect"},"#,
            r#""from":"closed","to":"syn_sent","elapsed_ns":null}"#,
        )
    );
    assert_eq!(
        lines[2],
        format!(
            r#"{{"type":"retransmit","time":"2026-01-02T03:04:05.005000000Z","mono_ns":5000000,{BOUND},"state":"established","kind":"segment"}}"#
        )
    );
    assert_eq!(
        lines[5],
        format!(
            r#"{{"type":"transition","time":"2026-01-02T03:04:05.012005000Z","mono_ns":12005000,{BOUND},"from":"fin_wait_2","to":"time_wait","elapsed_ns":5000}}"#
        )
    );
    assert_eq!(lines[6..], [LOST, RESYNC, SUMMARY]);
}

#[test]
fn a_reset_is_a_record() {
    let socket = Socket::new(300, "10.0.0.1:1", "10.0.0.2:2", 9, b"x");
    let records = [socket.moves(MS, ESTABLISHED, CLOSE_WAIT), socket.is_reset(2 * MS, CLOSE_WAIT)];
    let lines = json(TraceJson::new(CLOCK), Filter::default(), &records);
    let reset = lines.iter().find(|line| line["type"] == "reset").unwrap();
    assert_eq!(reset["direction"], "received");
    assert_eq!(reset["state"], "close_wait");
    assert!(reset["owner"].is_null() && reset["role"].is_null(), "{reset}");
}

#[test]
fn lives_json_has_the_fields_of_the_contract() {
    let expected = format!(
        "{}{BOUND}{}\n{LOST}\n{RESYNC}\n{SUMMARY}\n",
        r#"{"type":"life","#,
        concat!(
            r#","opened":"2026-01-02T03:04:05.001000000Z","closed":"2026-01-02T03:04:05.012005000Z","#,
            r#""duration_ns":11005000,"states":{"syn_sent":1000000,"established":9000000,"#,
            r#""fin_wait_1":1000000,"fin_wait_2":5000},"first_close":"local","end":"fin","#,
            r#""bytes_sent":1500,"bytes_received":3000,"retransmits":1,"complete":true}"#,
        )
    );
    assert_eq!(out(LivesJson::new(CLOCK), &client()), expected);
}

#[test]
fn what_is_not_known_is_null() {
    let socket = Socket::new(300, "10.0.0.1:1", "10.0.0.2:2", 9, b"x");
    let lines = json(
        LivesJson::new(CLOCK),
        Filter::default(),
        &[socket.moves(MS, ESTABLISHED, CLOSE_WAIT), socket.ends(2 * MS, CLOSE_WAIT, false)],
    );
    let life = lines.iter().find(|line| line["type"] == "life").unwrap();
    for field in ["opened", "duration_ns", "owner", "role"] {
        assert!(life[field].is_null(), "{field}: {life}");
    }
    assert_eq!(life["complete"], false);
    assert_eq!(life["states"], serde_json::json!({ "close_wait": MS }));
}

#[test]
fn names_cannot_reach_the_terminal_as_they_are() {
    let text = out(TraceText::new(CLOCK), &server());
    assert!(text.contains(r#"\x1b[31m\u{202e},""#), "{text}");
    let lines = out(LivesJson::new(CLOCK), &server());
    assert!(lines.contains(r#""comm":"\u001b[31m\u202e,\"""#), "{lines}");
    let life: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(life["owner"]["comm"], "\u{1b}[31m\u{202e},\"", "JSON keeps the value");
    let rows = out(LivesCsv::new(CLOCK), &server());
    assert!(rows.contains(r#","\x1b[31m\u{202e},""","#), "{rows}");
    assert!(![text, lines, rows].concat().contains(['\u{1b}', '\u{202e}']));
}

#[test]
fn trace_text_is_aligned() {
    let expected = "\
TIME(UTC)        PID COMM            VIA      LADDR           LPORT RADDR           RPORT FROM         -> TO                     MS
03:04:05.001       7 curl            connect  10.0.0.1            0 10.0.0.2          443 CLOSED       -> SYN_SENT                -
03:04:05.002       7 curl            connect  10.0.0.1        40000 10.0.0.2          443 SYN_SENT     -> ESTABLISHED         1.000
03:04:05.005       7 curl            connect  10.0.0.1        40000 10.0.0.2          443 ESTABLISHED  -- retransmit              -
03:04:05.011       7 curl            connect  10.0.0.1        40000 10.0.0.2          443 ESTABLISHED  -> FIN_WAIT_1          9.000
03:04:05.012       7 curl            connect  10.0.0.1        40000 10.0.0.2          443 FIN_WAIT_1   -> FIN_WAIT_2          1.000
03:04:05.012       7 curl            connect  10.0.0.1        40000 10.0.0.2          443 FIN_WAIT_2   -> TIME_WAIT           0.005
";
    assert_eq!(out(TraceText::new(CLOCK), &client()), expected);
}

#[test]
fn lives_text_is_aligned() {
    let expected = "    \
    PID COMM            VIA      LADDR           LPORT RADDR           RPORT    TX_KB    RX_KB         MS END            FIRST_CLOSE STATES(MS)
      7 curl            connect  10.0.0.1        40000 10.0.0.2          443      1.4      2.9     11.005 fin            local       SYN_SENT=1.000 ESTABLISHED=9.000 FIN_WAIT_1=1.000 FIN_WAIT_2=0.005
";
    assert_eq!(out(LivesText::new(), &client()), expected);
}

#[test]
fn lives_csv_has_the_fields_of_the_record() {
    let expected = "\
id,netns,family,local_addr,local_port,remote_addr,remote_port,role,pid,comm,via,opened,closed,duration_ns,\
syn_sent_ns,syn_received_ns,established_ns,fin_wait_1_ns,fin_wait_2_ns,close_wait_ns,closing_ns,last_ack_ns,\
time_wait_ns,first_close,end,bytes_sent,bytes_received,retransmits,complete
1,4026531840,ipv4,10.0.0.1,40000,10.0.0.2,443,client,7,curl,connect,2026-01-02T03:04:05.001000000Z,\
2026-01-02T03:04:05.012005000Z,11005000,1000000,,9000000,1000000,5000,,,,,local,fin,1500,3000,1,true
";
    assert_eq!(out(LivesCsv::new(CLOCK), &client()), expected);
}

#[test]
fn losses_are_told_on_stderr_whatever_is_printed_and_the_summary_of_json_is_in_the_stream() {
    let notes = print(LivesCsv::new(CLOCK), Filter::default(), &client()).notes;
    let lines: Vec<&str> = notes.lines().collect();
    assert_eq!(lines.len(), 5, "{notes}");
    assert!(lines[0].starts_with("tcplife: tracing"), "{notes}");
    assert!(lines[1].starts_with("tcplife: 2 events lost (ring_full)"), "{notes}");
    assert!(lines[3].contains("accept"), "{notes}");
    assert_eq!(lines[4], "tcplife: 6 events, 2 lost, 1 connections, 0 unattributed");
    let (losses, ready) = (&lines[1..3], lines[0]);
    let notes = print(LivesJson::new(CLOCK), Filter::default(), &client()).notes;
    assert_eq!(notes.lines().collect::<Vec<_>>(), [&[ready], losses].concat(), "{notes}");
}

fn moves(filter: Filter) -> Vec<String> {
    moves_of(&[client(), server()].concat(), filter)
}

fn moves_of(records: &[Record], filter: Filter) -> Vec<String> {
    let lines = json(TraceJson::new(CLOCK), filter, records);
    let moves = lines.iter().filter(|line| line["type"] == "transition");
    moves.map(|line| format!("{}>{}", line["from"].as_str().unwrap(), line["to"].as_str().unwrap())).collect()
}

#[test]
fn an_owner_that_is_known_late_still_has_its_earlier_moves() {
    let server = [
        "listen>syn_received",
        "syn_received>established",
        "established>close_wait",
        "close_wait>last_ack",
        "last_ack>closed",
    ];
    assert_eq!(moves(Filter { pids: vec![8], ..Filter::default() }), server);
    assert_eq!(moves(Filter { local_ports: [80..=80].into_iter().collect(), ..Filter::default() }), server);
}

#[test]
fn a_connection_stays_selected_when_its_process_gets_another_name() {
    let mut records = client();
    records[3] =
        Socket::new(100, "10.0.0.1:40000", "10.0.0.2:443", 7, b"sleep").acts(11 * MS, ESTABLISHED, 4);
    for comm in ["curl", "sleep"] {
        let filter = Filter { comms: vec![comm.into()], ..Filter::default() };
        assert_eq!(moves_of(&records, filter).len(), 5, "{comm}");
    }
}

#[test]
fn a_port_that_is_known_late_does_not_lose_the_connect() {
    let filter = Filter { local_ports: [40_000..=40_000].into_iter().collect(), ..Filter::default() };
    assert_eq!(moves(filter)[..2], ["closed>syn_sent", "syn_sent>established"]);
}

#[test]
fn states_select_the_moves_into_and_out_of_them() {
    let states = [tcplife_core::state::State::CloseWait].into_iter().collect();
    let filter = Filter { states, ..Filter::default() };
    assert_eq!(moves(filter.clone()), ["established>close_wait", "close_wait>last_ack"]);
    let lives = json(LivesJson::new(CLOCK), filter, &[client(), server()].concat());
    let ids: Vec<_> =
        lives.iter().filter(|line| line["type"] == "life").map(|line| &line["local_port"]).collect();
    assert_eq!(ids, [80]);
}

#[test]
fn nobody_else_is_selected() {
    assert_eq!(moves(Filter { pids: vec![9], ..Filter::default() }), [""; 0]);
    assert_eq!(moves(Filter { comms: vec![b"cur".into()], ..Filter::default() }), [""; 0]);
    assert_eq!(moves(Filter { comms: vec![b"curl".into()], pids: vec![8], ..Filter::default() }), [""; 0]);
}

#[test]
fn an_owner_is_told_as_it_is_known() {
    let owner = Owner {
        process: Process { pid: 1, start_ns: 0, comm: *b"init\0\0\0\0\0\0\0\0\0\0\0\0" },
        via: Via::Holder,
    };
    let [pid, comm, via] = super::columns::owner_cells(Some(&owner));
    assert_eq!([pid, comm, via], ["1", "init", "holder"]);
    assert_eq!(super::columns::owner_cells(None), ["-", "-", "-"]);
}
