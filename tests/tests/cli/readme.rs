//! What the README shows works as written, and what scripts can read is explained.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};

use crate::run::{Running, connect_once, end_of, isolated, run};

fn readme() -> Result<String> {
    Ok(fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))?)
}

/// The arguments of a command line, with any duration cut short and without its remark.
fn arguments(line: &str) -> Vec<&str> {
    let command = line.split_once(" #").map_or(line, |(command, _)| command);
    let mut words: Vec<&str> = command.split_whitespace().collect();
    if let Some(n) = words.iter().position(|word| *word == "-d")
        && let Some(duration) = words.get_mut(n + 1)
    {
        *duration = "50ms";
    }
    words
}

#[test]
fn every_command_line_runs() -> Result<()> {
    let readme = readme()?;
    let lines: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("$ sudo tcplife ")).collect();
    ensure!(lines.len() >= 3, "the README shows {} command lines", lines.len());
    for line in lines {
        let ended = run(&arguments(line))?;
        ensure!(ended.status == Some(0), "{line}: {ended:?}");
    }
    Ok(())
}

/// The names of the fields of an object and of those in it, but for those whose fields are names of states, hooks or causes.
fn fields(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                names.insert(name.clone());
                if !["states", "hooks", "lost_by_cause", "verdicts"].contains(&name.as_str()) {
                    fields(value, names);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, names)),
        _ => {}
    }
}

/// The fields of a connection, which every record about one has.
const CONNECTION: [&str; 9] =
    ["id", "netns", "family", "local_addr", "local_port", "remote_addr", "remote_port", "role", "owner"];

/// Fields of a record that its own line of `page` does not name.
fn unexplained(page: &str, record: &Map<String, Value>) -> Result<Vec<String>> {
    let kind = record["type"].as_str().context("no type")?;
    let line = page.lines().find(|line| line.starts_with(&format!("| `{kind}` |")));
    let line = line.with_context(|| format!("{kind} has no line"))?;
    let is_explained = |name: &str| {
        name == "type"
            || record.contains_key("remote_addr") && CONNECTION.contains(&name)
            || line.contains(&format!("`{name}`"))
    };
    let of_group = record.get("group").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let names = record.keys().chain(of_group);
    Ok(names.filter(|name| !is_explained(name)).map(|name| format!("{kind}: {name}")).collect())
}

/// Ends a connection by a reset: who closes with something unread sends one.
fn reset_once() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    client.write_all(b"x")?;
    server.peek(&mut [0])?;
    drop(server);
    Ok(())
}

#[test]
fn every_field_is_explained() -> Result<()> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/output.md"))?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // Somebody leaks: what is not accepted is in CLOSE_WAIT.
    drop(TcpStream::connect(listener.local_addr()?)?);
    let commands: [(&[&str], bool); 9] = [
        (&["trace", "-o", "json"], true),
        (&["lives", "-o", "json"], true),
        (&["hist", "-o", "json"], true),
        (&["hist", "-o", "json", "--by", "process"], true),
        (&["hist", "-o", "json", "--by", "local-port"], true),
        (&["hist", "-o", "json", "--by", "remote"], true),
        (&["hist", "-o", "json", "--by", "container"], true),
        (&["leaks", "--all", "--leak-after", "1ms", "-o", "json"], false),
        (&["doctor", "-o", "json"], false),
    ];
    for (command, traces) in commands {
        let ended = if traces {
            let mut running = Running::ready(command)?;
            for _ in 0..3 {
                connect_once()?;
            }
            reset_once()?;
            kill_process(Pid::from_child(running.child()), Signal::INT)?;
            running.end()?
        } else {
            run(command)?
        };
        let mut names = BTreeSet::new();
        for line in ended.out.lines() {
            let record: Value = serde_json::from_str(line)?;
            let unexplained = unexplained(&page, record.as_object().context("no object")?)?;
            ensure!(unexplained.is_empty(), "{command:?}: {unexplained:?}");
            names.extend(record["type"].as_str().map(str::to_owned));
            fields(&record, &mut names);
        }
        ensure!(command[0] != "trace" || names.contains("reset"), "{names:?}");
        let missing: Vec<&String> =
            names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
        ensure!(names.len() > 10 && missing.is_empty(), "{command:?}: {missing:?} of {names:?}");
    }
    Ok(())
}

/// One of each record that a recipe reads, with null in each field that may be null.
const RECORDS: &str = r#"
{"type":"life","duration_ns":null,"end":"unknown","owner":null,"remote_addr":"10.0.0.2"}
{"type":"life","duration_ns":5,"end":"timeout","owner":{"pid":7,"comm":"curl"},"remote_addr":"10.0.0.3"}
{"type":"suspect","verdict":"ended_unclosed","holders":[{"pid":7,"comm":"curl","fd":3},{"pid":8,"comm":"sh","fd":4}]}
{"type":"leaker","process":null,"leaks":1}
{"type":"leaker","process":{"pid":7,"comm":"a\"b"},"leaks":2}
{"type":"summary","lost_by_cause":{"ring_full":0},"verdicts":{"unclosed":3},"undecided":1}
"#;

#[test]
fn the_recipes_take_what_may_be_null() -> Result<()> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/output.md"))?;
    let mut results = Vec::new();
    for recipe in page.split("jq -").skip(1) {
        let mut parts = recipe.split('\'');
        let (options, program) =
            (parts.next().unwrap_or_default(), parts.next().context("a recipe without a program")?);
        let mut command = Command::new("sh");
        // An argument for sh, so that what it reads needs no quotes.
        command.args(["-c", "printf %s \"$1\" | jq \"$2\" \"$3\"", "sh", RECORDS]);
        command.arg(format!("-{}", options.trim())).arg(program);
        let ended = end_of(isolated(command))?;
        ensure!(ended.status == Some(0) && ended.err.is_empty(), "{program}: {ended:?}");
        results.push(ended.out);
    }
    let expected = [
        "[5,\"timeout\",\"curl\",\"10.0.0.3\"]\n[null,\"unknown\",null,\"10.0.0.2\"]\n",
        "{\"ring_full\":0}\n",
        "{\"undecided\":1,\"holder_unseen\":0}\n",
        "[7,\"curl\",3]\n[8,\"sh\",4]\n",
        "tcplife_leaked_sockets{pid=\"\",comm=\"\"} 1\ntcplife_leaked_sockets{pid=\"7\",comm=\"a\\\"b\"} 2\n",
    ];
    ensure!(results == expected, "{results:#?}");
    Ok(())
}

#[test]
fn every_command_of_the_table_exists() -> Result<()> {
    let readme = readme()?;
    let commands: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `tcplife ")?.split_once('`'))
        .map(|(command, _)| command)
        .collect();
    ensure!(commands.len() >= 5, "the README lists {commands:?}");
    for command in commands {
        let ended = run(&[command, "--help"])?;
        ensure!(ended.status == Some(0), "{command}: {ended:?}");
    }
    Ok(())
}
