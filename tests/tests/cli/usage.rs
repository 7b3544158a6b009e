//! Wrong usage: exit status 2, nothing on stdout, one sentence on stderr that says what is wrong and what to do.

use std::process::Command;

use anyhow::{Result, ensure};
use tcplife_tests::tcplife_binary;

use crate::run::{end_of, isolated, run};

/// What is typed, and what the sentence has to say.
const WRONG: [(&[&str], &[&str]); 39] = [
    (&[], &["requires a subcommand", "watch, trace, lives, hist, leaks, doctor", "--help"]),
    (&["trce"], &["'trce'", "'trace'", "--help"]),
    (&["leaks", "-o", "csv"], &["'csv'", "text, json"]),
    (&["leaks", "--evidence", "sock_diag", "-d", "1s"], &["--evidence sock_diag", "-d"]),
    (
        &["leaks", "--evidence", "sock_diag", "--state", "closed"],
        &["sock_diag does not list closed", "--evidence sock_diag", "close_wait"],
    ),
    (&["leaks", "--hooks", "kprobe"], &["--hooks", "-d"]),
    (&["leaks", "--ring-size", "64K"], &["--ring-size", "-d"]),
    (&["trace", "--frobnicate"], &["'--frobnicate'", "tcplife trace --help"]),
    (&["trace", "extra"], &["'extra'"]),
    (&["trace", "-o", "xml"], &["'xml'", "--output", "text, json"]),
    (&["trace", "-o", "csv"], &["'csv'", "text, json"]),
    (&["hist", "-o", "csv"], &["'csv'", "text, json"]),
    (&["watch", "-o", "json"], &["'-o'"]),
    (&["lives", "-o", "xml"], &["'xml'", "text, json, csv"]),
    (&["trace", "-d", "10"], &["'10'", "--duration", "10s"]),
    (&["trace", "-d", "0s"], &["'0s'", "--duration"]),
    (&["trace", "-d", "-5s"], &["'-5s'", "--duration", "10s"]),
    (&["trace", "-d", "-q"], &["'-q'", "--duration", "10s"]),
    (&["watch", "--refresh", "1ms"], &["'1ms'", "--refresh", "20ms"]),
    (&["watch", "--leak-after", "soon"], &["'soon'", "--leak-after", "10s"]),
    (&["trace", "-p", "nginx"], &["'nginx'", "--pid", "process id"]),
    (&["trace", "-p", "0"], &["'0'", "--pid"]),
    (&["trace", "-p", "-1"], &["'-1'", "--pid", "process id"]),
    (&["trace", "-L", "http"], &["'http'", "--local-port", "1 to 65535", "8000-8100"]),
    (&["trace", "-D", "65536"], &["'65536'", "--remote-port"]),
    (&["trace", "-D", "90-80"], &["'90-80'", "80-90"]),
    (&["trace", "-L", "80,"], &["''", "--local-port"]),
    (&["trace", "--state", "open"], &["'open'", "--state", "close_wait", "time_wait"]),
    (&["trace", "--comm", ""], &["--comm"]),
    (
        &["trace", "--netns", "no-such"],
        &["--netns no-such", "/run/netns/no-such", "No such file", "ip netns"],
    ),
    (&["trace", "--netns", ""], &["--netns", "empty"]),
    (&["trace", "--netns", "-1"], &["--netns -1", "/run/netns/-1", "No such file", "ip netns"]),
    (&["trace", "--netns", "/no/such"], &["--netns /no/such", "No such file"]),
    (&["trace", "--netns", "/proc/self/ns/mnt"], &["not a network namespace", "inode", "/proc/1234/ns/net"]),
    (&["trace", "--ring-size", "5000"], &["--ring-size 5000", "power of two", "8192"]),
    (&["trace", "--ring-size", "8MB"], &["'8MB'", "--ring-size", "8M"]),
    (&["trace", "--max-connections", "0"], &["'0'", "--max-connections"]),
    (&["trace", "--max-connections", "many"], &["'many'", "--max-connections"]),
    (&["doctor", "-p", "1"], &["'-p'"]),
];

#[test]
fn what_is_wrong_is_told_in_one_sentence() -> Result<()> {
    for (arguments, words) in WRONG {
        let ended = run(arguments)?;
        let sentence = ended.sentence()?;
        ensure!(ended.out.is_empty(), "{arguments:?}: {ended:?}");
        for word in words {
            ensure!(sentence.contains(word), "{arguments:?}: no {word:?} in {sentence:?}");
        }
    }
    Ok(())
}

#[test]
fn watch_without_a_terminal_names_what_to_use_instead() -> Result<()> {
    let ended = run(&["watch"])?;
    let sentence = ended.sentence()?;
    for word in ["terminal", "trace", "hist", "leaks"] {
        ensure!(sentence.contains(word), "no {word:?} in {sentence:?}");
    }
    ensure!(ended.out.is_empty(), "{ended:?}");
    Ok(())
}

#[test]
fn watch_draws_nothing_on_a_terminal_that_cannot() -> Result<()> {
    for term in ["dumb", ""] {
        // Runs the command in a terminal of its own, and ends as it does.
        let mut command = Command::new("script");
        command.args(["-qec", "exec \"$TCPLIFE\" watch -d 1s", "/dev/null"]);
        command.env("TCPLIFE", tcplife_binary()?).env("TERM", term).env("SHELL", "/bin/sh");
        let ended = end_of(isolated(command))?;
        ensure!(ended.status == Some(2), "{term:?}: {ended:?}");
        ensure!(ended.out.starts_with("tcplife: watch draws a screen"), "{term:?}: {ended:?}");
        ensure!(ended.out.lines().count() == 1 && !ended.out.contains('\x1b'), "{term:?}: {ended:?}");
    }
    Ok(())
}
