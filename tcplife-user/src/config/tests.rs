//! What the command line means, and what it cannot mean.

use std::{fs, os::unix::fs::MetadataExt};

use clap::{CommandFactory, Parser};

use super::*;

fn resolved(arguments: &[&str]) -> Result<(Job, Config)> {
    Config::resolve(Cli::try_parse_from(["tcplife"].iter().chain(arguments)).unwrap())
}

fn trace(arguments: &[&str]) -> Config {
    resolved(&[&["trace"], arguments].concat()).unwrap().1
}

fn refused(arguments: &[&str]) -> String {
    format!("{:#}", resolved(&[&["trace"], arguments].concat()).unwrap_err())
}

#[test]
fn options_that_can_do_nothing_are_refused() {
    let refused = |arguments: &[&str]| resolved(arguments).unwrap_err().to_string();
    assert!(refused(&["hist", "--interval", "1s"]).ends_with("add --hdr-log FILE, or leave it out"));
    assert!(
        refused(&["leaks", "--state", "established"]).starts_with("leaks looks at sockets in close_wait")
    );
    assert!(resolved(&["leaks", "--state", "established,close_wait"]).is_ok());
    for of_a_trace in [["--hooks", "kprobe"], ["--ring-size", "64K"]] {
        let sentence = refused(&[&["leaks"], &of_a_trace[..]].concat());
        assert!(sentence.starts_with(of_a_trace[0]) && sentence.contains("add -d DUR"), "{sentence}");
        assert!(resolved(&[&["leaks", "-d", "1s"], &of_a_trace[..]].concat()).is_ok());
    }
    let Job::Hist(options) = resolved(&["hist", "--hdr-log", "x"]).unwrap().0 else { panic!("not hist") };
    assert_eq!(options.interval, Duration::from_secs(1));
}

fn own_netns() -> u32 {
    u32::try_from(fs::metadata("/proc/self/ns/net").unwrap().ino()).unwrap()
}

#[test]
fn without_flags_everything_is_traced() {
    let config = trace(&[]);
    assert!(config.filter.is_empty());
    assert_eq!(config.settings, Settings::ALL);
    assert_eq!((config.ring_bytes, config.max_connections), (8 << 20, 1_000_000));
}

#[test]
fn what_the_kernel_can_decide_goes_there() {
    let config = trace(&["-6", "-L", "80", "-p", "1", "--comm", "nginx", "--netns", "4026531840,7"]);
    let expected = Settings {
        families: FAMILY_V6,
        by_local_port: 1,
        netns_count: 2,
        netns: [4_026_531_840, 7, 0, 0, 0, 0, 0, 0],
        ..Settings::ALL
    };
    assert_eq!(config.settings, expected);
    assert_eq!(config.filter.pids, [1]);
    assert_eq!(config.filter.comms, [b"nginx"]);
    assert!(config.filter.local_ports.contains(80) && !config.filter.local_ports.contains(81));
}

#[test]
fn more_namespaces_than_the_kernel_side_takes_are_left_to_the_agent() {
    let config = trace(&["--netns", "1,2,3,4,5,6,7,8,9"]);
    assert_eq!(config.settings.netns_count, 0);
    assert_eq!(config.filter.netns.len(), 9);
}

#[test]
fn both_families_are_as_none() {
    assert_eq!(trace(&["-4", "-6"]).settings, Settings::ALL);
    assert_eq!(trace(&["-4"]).filter.families, Families::V4);
}

#[test]
fn names_are_cut_as_the_kernel_cuts_them() {
    assert_eq!(trace(&["--comm", "a-very-long-process-name"]).filter.comms, [b"a-very-long-pro"]);
    let cyrillic = trace(&["--comm", "приложение"]).filter.comms;
    assert_eq!(cyrillic, [b"\xd0\xbf\xd1\x80\xd0\xb8\xd0\xbb\xd0\xbe\xd0\xb6\xd0\xb5\xd0"]);
}

#[test]
fn namespaces_are_named_by_path_or_inode() {
    assert_eq!(trace(&["--netns", "/proc/self/ns/net"]).filter.netns, [own_netns()]);
    assert_eq!(trace(&["--netns", "1234"]).filter.netns, [1234]);
}

#[test]
fn what_is_no_namespace_is_refused_with_a_sentence() {
    let missing = refused(&["--netns", "no-such-name"]);
    assert!(
        missing.starts_with("--netns no-such-name: cannot open /run/netns/no-such-name: No such file"),
        "{missing}"
    );
    for wrong in ["/proc/self/ns/mnt", "/dev/null", "/"] {
        assert!(refused(&["--netns", wrong]).contains("is not a network namespace"), "{wrong}");
    }
}

#[test]
fn a_ring_size_is_a_power_of_two() {
    assert_eq!(trace(&["--ring-size", "64K"]).ring_bytes, 65_536);
    assert!(refused(&["--ring-size", "5000"]).ends_with("the next is 8192"));
    assert!(refused(&["--ring-size", "1"]).contains("power of two from"));
    assert!(refused(&["--ring-size", "8G"]).contains("power of two from"));
}

#[test]
fn stays_are_grouped_by_what_is_named() {
    let by = |name: &str| match resolved(&["hist", "--by", name]).unwrap().0 {
        Job::Hist(options) => options.by,
        other => panic!("{other:?}"),
    };
    assert_eq!(["process", "local-port", "remote", "container"].map(by), By::ALL.map(Some));
}

#[test]
fn jobs_carry_their_output() {
    let (job, _) = resolved(&["hist", "--by", "remote", "--hdr-log", "x", "--interval", "5s"]).unwrap();
    let options = HistOptions {
        output: TextOrJson::Text,
        by: Some(By::Remote),
        plot: false,
        log: Some("x".into()),
        interval: Duration::from_secs(5),
    };
    assert_eq!(job, Job::Hist(options));
    let wrong = resolved(&["hist", "--plot", "-o", "json"]).unwrap_err();
    assert_eq!(wrong.to_string(), "--plot draws text; leave it or -o json out");
    assert_eq!(resolved(&["lives", "-o", "csv"]).unwrap().0, Job::Lives(TextJsonOrCsv::Csv));
    let (job, config) =
        resolved(&["watch", "--refresh", "1s", "--leak-after", "5m", "--state", "CLOSE_WAIT"]).unwrap();
    assert_eq!(job, Job::Watch);
    assert_eq!((config.refresh, config.leak_after), (Duration::from_secs(1), Duration::from_mins(5)));
    assert!(config.filter.wants_state(State::CloseWait) && !config.filter.wants_state(State::Closed));
    assert_eq!(resolved(&["lives"]).unwrap().1.minis, Minis::Ignored);
    assert_eq!(resolved(&["lives", "--time-wait"]).unwrap().1.minis, Minis::OfLife);
}

/// What the help of `command` says that `option` is if it is not given.
fn default_in_help(command: &str, option: &str) -> String {
    let cli = Cli::command();
    let mut options = cli.find_subcommand(command).unwrap().get_arguments();
    let help = options.find(|arg| arg.get_long() == Some(option)).unwrap().get_help().unwrap().to_string();
    help.split_once("[default: ").unwrap().1.trim_end_matches(']').to_owned()
}

#[test]
fn defaults_are_those_that_the_help_tells() {
    let config = Config::default();
    assert_eq!(resolved(&["watch"]).unwrap().1.refresh, config.refresh);
    for command in ["watch", "leaks"] {
        assert_eq!(resolved(&[command]).unwrap().1.leak_after, config.leak_after);
    }
    let told = |option| trace(&[&format!("--{option}"), &default_in_help("trace", option)]);
    assert_eq!(told("ring-size").ring_bytes, config.ring_bytes);
    assert_eq!(told("max-connections").max_connections, config.max_connections);
    let interval = default_in_help("hist", "interval");
    assert_eq!(humantime::parse_duration(&interval).unwrap(), DEFAULT_INTERVAL);
}
