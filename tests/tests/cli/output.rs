//! What goes to stdout and what to stderr.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::run::run;

fn last_record(out: &str) -> Result<Value> {
    let line = out.lines().next_back().context("nothing was printed")?;
    serde_json::from_str(line).with_context(|| line.to_owned())
}

#[test]
fn quiet_leaves_the_ready_line() -> Result<()> {
    for command in ["trace", "lives", "hist"] {
        let ended = run(&[command, "-q", "-d", "50ms"])?;
        ensure!(ended.status == Some(0), "{command}: {ended:?}");
        ensure!(
            ended.err.lines().count() == 1 && ended.err.starts_with("tcplife: tracing"),
            "{command}: {ended:?}"
        );
    }
    Ok(())
}

#[test]
fn text_has_its_summary_on_stderr() -> Result<()> {
    let ended = run(&["lives", "-d", "50ms"])?;
    let last = ended.err.lines().next_back().unwrap_or_default();
    for word in ["tcplife: ", " events, ", " lost, ", " connections, ", " unattributed"] {
        ensure!(last.contains(word), "no {word:?} in {last:?}");
    }
    ensure!(ended.out.starts_with("    PID COMM "), "{ended:?}");
    Ok(())
}

#[test]
fn the_last_record_is_the_summary() -> Result<()> {
    for command in ["trace", "lives", "hist"] {
        let summary = last_record(&run(&[command, "-o", "json", "-d", "50ms"])?.out)?;
        ensure!(summary["type"] == "summary", "{command}: {summary}");
        for field in ["events", "lost", "connections", "unattributed"] {
            ensure!(summary[field].is_u64(), "{command}: {field} in {summary}");
        }
        ensure!(summary["hooks"]["state"] == "tp_btf/inet_sock_set_state", "{command}: {summary}");
    }
    Ok(())
}

#[test]
fn histograms_cover_every_state_to_be_in() -> Result<()> {
    let out = run(&["hist", "-o", "json", "-d", "50ms"])?.out;
    let states = out.lines().filter_map(|line| {
        let record: Value = serde_json::from_str(line).ok()?;
        record["state"].as_str().map(str::to_owned)
    });
    let states: Vec<String> = states.collect();
    let expected = [
        "listen",
        "syn_sent",
        "syn_received",
        "established",
        "fin_wait_1",
        "fin_wait_2",
        "close_wait",
        "closing",
        "last_ack",
        "time_wait",
    ];
    ensure!(states == expected, "{states:?}");
    let one = run(&["hist", "-o", "json", "-d", "50ms", "--state", "CLOSE-WAIT"])?.out;
    ensure!(one.lines().count() == 2 && one.contains(r#""state":"close_wait""#), "{one}");
    Ok(())
}

#[test]
fn csv_begins_with_its_header() -> Result<()> {
    let ended = run(&["lives", "-o", "csv", "-d", "50ms"])?;
    let header = ended.out.lines().next().unwrap_or_default();
    ensure!(header.starts_with("id,netns,family,local_addr,local_port,"), "{header}");
    ensure!(header.ends_with(",first_close,end,bytes_sent,bytes_received,retransmits,complete"), "{header}");
    Ok(())
}

#[test]
fn the_doctor_sees_the_hooks_work() -> Result<()> {
    let ended = run(&["doctor", "-q", "-o", "json"])?;
    ensure!(ended.status == Some(0) && ended.err.is_empty(), "{ended:?}");
    let checks: Vec<Value> = ended.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let check = |name: &str| checks.iter().find(|check| check["name"] == name);
    for name in
        ["kernel", "rights", "types", "lockdown", "state", "retransmit", "reset_sent", "reset_received"]
    {
        let check = check(name).with_context(|| format!("no check {name}: {}", ended.out))?;
        ensure!(check["type"] == "check" && check["status"] == "ok", "{check}");
    }
    // The file that is not there where a kernel has no kprobes says nothing to anybody.
    ensure!(!ended.out.contains("No such file"), "{}", ended.out);
    let state = check("state").and_then(|check| check["detail"].as_str()).unwrap_or_default();
    ensure!(state.ends_with("seen working"), "{state}");
    ensure!(
        checks.last().is_some_and(|last| last["type"] == "summary" && last["lost"] == 0),
        "{}",
        ended.out
    );
    Ok(())
}
