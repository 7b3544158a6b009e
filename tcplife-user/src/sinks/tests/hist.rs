//! What `tcplife hist` prints and writes.

use std::{path::Path, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer,
        interval_log::{IntervalLogIterator, LogEntry},
    },
};
use tcplife_common::wire::Record;
use tcplife_core::{
    filter::{Filter, StateSet},
    state::State,
};

use super::{
    super::{hist::Hist, hist_json::HistJson, hist_log::HdrLog, hist_text::HistText},
    CLOCK, json, out,
    story::{CLOSE_WAIT, ESTABLISHED, MS, SYN_RECV, Socket, client, server},
};
use crate::stays::By;

fn hist(by: Option<By>) -> Hist {
    Hist::new(StateSet::default(), by, None)
}

#[test]
fn hist_json_has_finished_and_open_stays() {
    let lines = json(HistJson::new(hist(None), CLOCK), Filter::default(), &client());
    let names: Vec<_> = lines.iter().map(|line| line["state"].as_str().unwrap_or_default()).collect();
    assert_eq!(names[..4], ["", "", "listen", "syn_sent"], "the loss first");
    assert_eq!(lines.len(), 2 + 10 + 1);
    let of = |state: &str| lines.iter().find(|line| line["state"] == state).unwrap();
    let established = of("established");
    assert_eq!(established["count"], 1);
    assert_eq!(established["group"], serde_json::json!({}));
    for field in ["min_ns", "mean_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"] {
        assert_eq!(established[field], 9 * MS, "{field}");
        assert!(of("closing")[field].is_null(), "{field}");
    }
    let age = 100 * MS - (12 * MS + 5_000);
    assert_eq!(
        of("time_wait")["open"],
        serde_json::json!({ "count": 1, "p50_ns": age, "p50_is_bound": false, "oldest_ns": age, "oldest_is_bound": false, "unknown_start": 0 })
    );
    assert_eq!(
        of("closing")["open"],
        serde_json::json!({ "count": 0, "p50_ns": null, "p50_is_bound": false, "oldest_ns": null, "oldest_is_bound": false, "unknown_start": 0 })
    );
    assert_eq!(of("listen")["unknown_start"], 0, "a child is not the listener's end");
}

#[test]
fn hist_text_shows_the_states_that_occurred() {
    let expected = "\
STATE           COUNT      MIN     MEAN      P50      P90      P99    P99.9      MAX |   OPEN      P50   OLDEST
ESTABLISHED         1   1.99ms   1.99ms   1.99ms   1.99ms   1.99ms   1.99ms   1.99ms |      0        -        -
CLOSE_WAIT          1   60.0ms   60.0ms   60.0ms   60.0ms   60.0ms   60.0ms   60.0ms |      0        -        -
LAST_ACK            1   1.00ms   1.00ms   1.00ms   1.00ms   1.00ms   1.00ms   1.00ms |      0        -        -
SYN_RECEIVED: 1 more ended whose start was not seen; not included here
";
    assert_eq!(out(HistText::new(hist(None), false), &server()), expected);
}

fn both() -> Vec<Record> {
    client().into_iter().chain(server()).collect()
}

/// The group, state, count and open count of each record.
fn groups(by: By) -> Vec<(String, String, u64, u64)> {
    let lines = json(HistJson::new(hist(Some(by)), CLOCK), Filter::default(), &both());
    let records = lines.iter().filter(|line| line["type"] == "histogram");
    let text = |line: &serde_json::Value| {
        let (state, open) = (line["state"].as_str().unwrap().to_owned(), &line["open"]["count"]);
        (line["group"].to_string(), state, line["count"].as_u64().unwrap(), open.as_u64().unwrap())
    };
    records.map(text).collect()
}

#[test]
fn groups_add_up_to_all() {
    for by in [By::Process, By::LocalPort, By::Remote, By::Container] {
        let (finished, open) =
            groups(by).iter().fold((0, 0), |sum, group| (sum.0 + group.2, sum.1 + group.3));
        // The client's 4 stays and its TIME_WAIT, and the server's 3: its handshake has no known begin.
        assert_eq!((finished, open), (4 + 3, 1), "{by:?}");
    }
}

#[test]
fn groups_have_names() {
    let of = |by, wanted: &str| groups(by).into_iter().any(|(group, ..)| group == wanted);
    assert!(of(By::Process, r#"{"comm":"curl","pid":7}"#));
    assert!(of(By::LocalPort, r#"{"local_port":80}"#));
    assert!(of(By::Remote, r#"{"remote_addr":"fd00::2"}"#));
    let text = out(HistText::new(hist(Some(By::Process)), false), &both());
    assert!(text.starts_with("curl pid 7\nSTATE "), "{text}");
    assert!(text.contains("\n\\x1b[31m"), "a name is escaped: {text}");
}

#[test]
fn beyond_the_largest_groups_there_is_other() {
    let sockets = (0..30u16).flat_map(|n| {
        let socket = Socket::new(1000 + u64::from(n), "10.0.0.1:80", &format!("10.0.1.{n}:5000"), 9, b"srv");
        let established = socket.moves(MS, SYN_RECV, ESTABLISHED);
        [established, socket.moves(2 * MS, ESTABLISHED, CLOSE_WAIT)]
    });
    let records: Vec<Record> = sockets.collect();
    let lines = json(HistJson::new(hist(Some(By::Remote)), CLOCK), Filter::default(), &records);
    let other = |state: &str| {
        let is_it = |line: &&serde_json::Value| line["group"]["other"] == true && line["state"] == state;
        lines.iter().find(is_it).unwrap()
    };
    assert_eq!(other("established")["count"], 10);
    assert_eq!(other("close_wait")["open"]["count"], 10);
    let text = out(HistText::new(hist(Some(By::Remote)), false), &records);
    assert!(text.contains("\n\nother: all beyond the 20 largest groups\n"), "{text}");
}

#[test]
fn a_plot_has_finished_and_open_stays_on_one_axis() {
    let text = out(HistText::new(hist(None), true), &client());
    assert!(text.contains("\nESTABLISHED (# finished, o open)\n  5.00ms        1 |####"), "{text}");
    assert!(
        text.contains("\nTIME_WAIT (# finished, o open)\n  50.0ms        0 |\n                1 |oooo"),
        "{text}"
    );
}

#[test]
fn an_interval_log_has_a_line_for_each_state_and_interval() {
    let path = std::env::temp_dir().join(format!("tcplife-hdr-{}.hlog", std::process::id()));
    let mut log = HdrLog::create(&path, Duration::from_secs(1), CLOCK).unwrap();
    for second in 1..=3u64 {
        log.tick(second * 1_000 * MS).unwrap();
        log.record(State::CloseWait, Some(second * MS));
        log.record(State::CloseWait, None);
        if second == 3 {
            log.record(State::TimeWait, Some(60_000 * MS));
        }
    }
    log.end(3_500 * MS).unwrap();
    let text = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (mut found, mut maxima) = (Vec::new(), Vec::new());
    for entry in IntervalLogIterator::new(&text) {
        if let Ok(LogEntry::Interval(interval)) = entry {
            let bytes = BASE64.decode(interval.encoded_histogram()).unwrap();
            let counts: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            let times = (interval.start_timestamp().as_millis(), interval.duration().as_millis());
            found.push((interval.tag().unwrap().as_str().to_owned(), times, counts.len()));
            maxima.push(counts.max());
        }
    }
    let line = |tag: &str, start, took| (tag.to_owned(), (start, took), 1);
    assert_eq!(
        found,
        [
            line("close_wait", 0, 1000),
            line("close_wait", 1000, 1000),
            line("close_wait", 2000, 500),
            line("time_wait", 2000, 500),
        ]
    );
    for (max, expected) in maxima.into_iter().zip([MS, 2 * MS, 3 * MS, 60_000 * MS]) {
        assert!(max.abs_diff(expected) <= expected / 1_000, "{max} is not {expected}");
    }
}

#[test]
fn an_interval_log_that_cannot_be_written_is_told_at_once() {
    let error = HdrLog::create(Path::new("/no/such/place"), Duration::from_secs(1), CLOCK).err().unwrap();
    assert_eq!(
        format!("{error:#}"),
        "--hdr-log /no/such/place: cannot write it: No such file or directory (os error 2)"
    );
}
