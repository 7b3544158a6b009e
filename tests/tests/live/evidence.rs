//! The two ways in which `leaks` looks at the kernel's sockets agree, whatever the sockets are up to.

use std::{collections::BTreeMap, process::Command, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tcplife_tests::{
    namespace::{Family, Namespace},
    tcplife_binary,
};

on_both_families! {
    bpf_and_sock_diag_agree
}

/// From when on a socket is a leak here, and how old those are that shall be one.
const LEAK_AFTER: &str = "1s";
const AGE: Duration = Duration::from_millis(1500);
/// The looks are not at the same moment, and `sock_diag` tells times in milliseconds, the kernel's ticks are 4 of them.
const NEAR_NS: u64 = 2_000_000_000;

/// Records of `leaks --all`, by local and remote port.
fn look(namespace: &Namespace, evidence: &str) -> Result<BTreeMap<(u64, u64), Value>> {
    let inode = namespace.inode().to_string();
    let output = Command::new(tcplife_binary()?)
        .args(["leaks", "--all", "-o", "json", "--leak-after", LEAK_AFTER, "--netns", &inode])
        .args(["--evidence", evidence])
        .output()?;
    ensure!(output.status.success(), "{evidence}: {}", String::from_utf8_lossy(&output.stderr));
    let mut suspects = BTreeMap::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let record: Value = serde_json::from_str(line)?;
        if record["type"] == "suspect" {
            let port = |name: &str| record[name].as_u64().context("no port");
            suspects.insert((port("local_port")?, port("remote_port")?), record);
        }
    }
    Ok(suspects)
}

/// One socket of each kind: read and unread ones, one that nobody accepted, a half-close, an orphan, a shared one.
fn bpf_and_sock_diag_agree(family: Family) -> Result<()> {
    let namespace = Namespace::new()?;
    let (mut server, mut client) = (namespace.actor("server")?, namespace.actor("client")?);
    let (listener, at) = server.listen(family.loopback())?;
    for words in ["drain", "", "receive 1"] {
        let (near, _) = client.connect(at)?;
        let (far, _) = server.accept(listener)?;
        client.on(near, "send 3")?;
        client.close(near)?;
        if !words.is_empty() {
            server.on(far, words)?;
        }
    }
    let (half, _) = client.connect(at)?;
    server.accept(listener)?;
    client.on(half, "shutdown")?;
    let (unaccepted, _) = client.connect(at)?;
    client.close(unaccepted)?;
    thread::sleep(AGE);
    let (bpf, sock_diag) = (look(&namespace, "bpf")?, look(&namespace, "sock_diag")?);
    ensure!(bpf.len() == 10 && bpf.keys().eq(sock_diag.keys()), "{bpf:?}\n{sock_diag:?}");
    for (one, other) in bpf.values().zip(sock_diag.values()) {
        let same = [
            "netns",
            "family",
            "local_addr",
            "remote_addr",
            "owner",
            "state",
            "verdict",
            "leak",
            "recv_queue",
            "send_queue",
            "holders",
            "listener",
            "peer_owner",
            "peer_gone",
            "keepalive",
        ];
        for field in same {
            ensure!(one[field] == other[field], "{field}: {one}\n{other}");
        }
        // sock_diag does not tell what confirms an orphan's age.
        let bounds: &[&str] = if one["verdict"] == "peer_unclosed" { &[] } else { &["min", "max"] };
        for &bound in bounds {
            let [a, b] = [one, other].map(|record| record["age_ns"][bound].as_u64());
            let near = a.zip(b).map_or(a == b, |(a, b)| a.abs_diff(b) < NEAR_NS);
            ensure!(near, "{bound}: {one}\n{other}");
        }
    }
    let verdicts: Vec<&str> = bpf.values().filter_map(|record| record["verdict"].as_str()).collect();
    for verdict in ["unclosed", "data_unread", "never_accepted", "half_closed", "peer_unclosed"] {
        ensure!(verdicts.contains(&verdict), "no {verdict}: {verdicts:?}");
    }
    Ok(())
}
