//! Network namespaces as users name them.

use std::process::Command;

use anyhow::{Result, ensure};
use tcplife_tests::{namespace::Namespace, tcplife_binary};

use crate::run::{Running, end_of, isolated, tcplife};

/// In a network namespace of its own that has a name, for this process and its children: traces by what it is told, until a
/// connection was refused.
const SCENE: &str = r#"
mount -t tmpfs tmpfs /run && mkdir /run/netns && touch /run/netns/blue || exit 9
mount --bind /proc/self/ns/net /run/netns/blue && ip link set lo up || exit 9
"$TCPLIFE" trace -q -o json -d 20s --netns "$1" 2> /run/ready & tracer=$!
until grep -q tracing /run/ready || ! kill -0 $tracer; do sleep 0.05; done
(: < /dev/tcp/127.0.0.1/9) 2> /dev/null
kill -TERM $tracer || cat /run/ready >&2
wait $tracer
"#;

/// What a connection to the discard port does where nobody listens.
const REFUSED: &str = r#""remote_port":9,"#;

fn traced(netns: &str) -> Result<String> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "bash", "-c", SCENE, "bash", netns]).env("TCPLIFE", tcplife_binary()?);
    let ended = end_of(isolated(command))?;
    ensure!(ended.status == Some(0), "{netns}: {ended:?}");
    Ok(ended.out)
}

#[test]
fn a_name_a_mount_and_a_link_lead_to_a_namespace() -> Result<()> {
    for netns in ["blue", "/run/netns/blue", "/proc/self/ns/net"] {
        let out = traced(netns)?;
        ensure!(out.contains(REFUSED), "{netns}: {out}");
    }
    let elsewhere = traced(&format!("/proc/{}/ns/net", std::process::id()))?;
    ensure!(!elsewhere.contains(REFUSED), "that is another one: {elsewhere}");
    Ok(())
}

#[test]
fn an_inode_that_none_has_is_noted() -> Result<()> {
    let note = "tcplife: --netns 1: not found among the network namespaces that tcplife may look into; as root, `lsns -t net` lists \
                them all";
    for arguments in [&["trace", "-d", "50ms"][..], &["leaks"]] {
        for (quiet, count) in [(&[][..], 1), (&["-q"], 0)] {
            let mut command = tcplife(arguments)?;
            command.args(["--netns", "1"]).args(quiet);
            let ended = end_of(command)?;
            let told = ended.err.lines().filter(|line| *line == note).count();
            ensure!(ended.status == Some(0) && told == count, "{arguments:?} {quiet:?}: {ended:?}");
        }
    }
    Ok(())
}

/// All processes of one of the selected namespaces end, and nothing more can come from there.
#[test]
fn one_that_goes_while_it_is_traced_is_noted_once() -> Result<()> {
    let (goes, stays) = (Namespace::new()?, Namespace::new()?);
    let gone = goes.inode().to_string();
    let selected = [goes.path(), stays.path(), "/proc/self/ns/net".to_owned()].join(",");
    let running = Running::ready(&["trace", "-d", "5s", "--netns", &selected])?;
    drop(goes);
    let ended = running.end()?;
    let notes: Vec<&str> = ended.err.lines().filter(|line| line.contains("is gone")).collect();
    ensure!(ended.status == Some(0), "{ended:?}");
    ensure!(notes.len() == 1 && notes[0].contains(&format!("--netns {gone}: ")), "{ended:?}");
    Ok(())
}
