//! What is taken on the command line, and what is said of what is not.

use super::*;

fn trace(arguments: &[&str]) -> Tracing {
    let all = ["tcplife", "trace"].iter().chain(arguments);
    match Cli::try_parse_from(all).unwrap().command {
        Command::Trace(trace) => trace.tracing,
        other => panic!("{other:?}"),
    }
}

fn refused(arguments: &[&str]) -> String {
    let error = Cli::try_parse_from(["tcplife"].iter().chain(arguments)).unwrap_err();
    usage_sentence(&error, arguments.iter().map(|&word| word.to_owned()))
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn lists_and_ranges_are_taken_together_and_apart() {
    let filters = trace(&["-p", "1,2", "-p", "3", "-L", "80,8000-8100", "-D", "443"]).filters;
    assert_eq!(filters.pids, [1, 2, 3]);
    assert_eq!(filters.local_ports, [80..=80, 8000..=8100]);
    assert_eq!(filters.remote_ports, [443..=443]);
}

#[test]
fn states_are_taken_in_every_common_spelling() {
    let filters = trace(&["--state", "CLOSE-WAIT,fin_wait2,ESTAB"]).filters;
    assert_eq!(filters.states, [State::CloseWait, State::FinWait2, State::Established]);
}

#[test]
fn durations_have_units() {
    assert_eq!(trace(&["-d", "250ms"]).duration, Some(Duration::from_millis(250)));
    assert_eq!(trace(&["-d", "2h"]).duration, Some(Duration::from_hours(2)));
    assert!(refused(&["trace", "-d", "10"]).contains("not a duration such as"));
    assert!(refused(&["trace", "-d", "0s"]).contains("nothing can be seen"));
    assert!(refused(&["watch", "--refresh", "0s"]).contains("20ms"));
}

#[test]
fn the_last_of_two_wins() {
    let tracing =
        trace(&["-q", "-q", "-4", "-4", "-d", "1s", "-d", "2s", "--hooks", "dump", "--hooks", "kprobe"]);
    assert_eq!(tracing.duration, Some(Duration::from_secs(2)));
    assert_eq!(tracing.hooks, Some(Hooks::Kprobe));
    assert!(tracing.quiet && tracing.filters.ipv4);
    for command in ["watch", "trace", "lives", "hist", "leaks", "doctor"] {
        assert!(Cli::try_parse_from(["tcplife", command, "-v", "--verbose"]).is_ok(), "{command}");
    }
    let typed = ["tcplife", "leaks", "--leak-after", "1s", "--leak-after", "2s", "-o", "json", "-o", "text"];
    let Command::Leaks(leaks) = Cli::try_parse_from(typed).unwrap().command else { panic!("not leaks") };
    assert_eq!((leaks.leak_after, leaks.output), (Duration::from_secs(2), TextOrJson::Text));
}

#[test]
fn a_value_with_a_hyphen_is_judged_as_a_value() {
    for (option, value, words) in [
        ("-p", "-1", "not a process id"),
        ("-L", "-1", "not a port"),
        ("-D", "-80", "not a port"),
        ("-d", "-5s", "not a duration such as"),
        ("--leak-after", "-1s", "not a duration such as"),
        ("--ring-size", "-1", "not a size"),
        ("--max-connections", "-1", "not a number of connections"),
        // An option in the place of the value.
        ("-d", "-q", "not a duration such as"),
        ("-p", "--quiet", "not a process id"),
    ] {
        let sentence = refused(&["leaks", option, value]);
        assert!(sentence.starts_with(&format!("invalid value '{value}' for ")), "{sentence}");
        assert!(sentence.contains(words), "{sentence}");
    }
    assert!(refused(&["watch", "--refresh", "-1s"]).contains("not a duration such as"));
    assert!(refused(&["hist", "--interval", "-1s"]).contains("not a duration such as"));
    assert_eq!(trace(&["--netns", "-1", "-q"]).filters.netns, ["-1"]);
    assert!(refused(&["trace", "-d"]).contains("a value is required"));
}

#[test]
fn a_usage_error_is_one_sentence() {
    assert_eq!(
        refused(&["trace", "-o", "xml"]),
        "invalid value 'xml' for '--output <FORMAT>' [possible values: text, json]; see tcplife trace --help"
    );
    assert!(refused(&["trace", "--max-connections", "0"]).contains("not a number of connections"));
    for arguments in [&["trce"][..], &[], &["trace", "--frobnicate"], &["trace", "-p", "zero"]] {
        let sentence = refused(arguments);
        assert_eq!(sentence.lines().count(), 1, "{sentence}");
        assert!(sentence.contains("; see tcplife ") && sentence.ends_with(" --help"), "{sentence}");
    }
}
