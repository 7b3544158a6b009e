//! The tracers that are measured: programs that do next to nothing, our own commands, and peers.

use std::{env, ffi::OsString, path::Path};

use anyhow::{Result, bail};

use super::load::CHANGES;
use crate::{bpf, run};

/// What a tracer is: how one knows that it is at work and what it lost, and how it is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ours, for `cargo xtask bench` alone: it ends with its input, and then tells its losses.
    Floor,
    /// tcplife with a ready line, and a summary that tells its losses.
    Ours,
    /// tcplife on a terminal.
    Screen,
    /// Somebody else's: at work some time after it has loaded its programs; it prints so many lines for each connection.
    Peer(u64),
}

/// A tracer.
pub(super) struct Tool {
    /// Its name in the tables.
    pub(super) name: &'static str,
    /// The command that starts it.
    pub(super) command: Vec<OsString>,
    /// What it is.
    pub(super) kind: Kind,
}

impl Tool {
    /// A command of tcplife with a ready line.
    pub(super) fn is_ours(&self) -> bool {
        self.kind == Kind::Ours
    }
}

/// What is not ours: name in the tables, program, arguments, Debian's package of it, lines for each connection.
const PEERS: [(&str, &str, &[&str], &str, u64); 5] = [
    ("libbpf tcpstates", "/usr/sbin/tcpstates", &[], "libbpf-tools", CHANGES),
    ("libbpf tcplife", "/usr/sbin/tcplife", &[], "libbpf-tools", 2),
    ("bcc tcpstates", "/usr/sbin/tcpstates-bpfcc", &[], "bpfcc-tools", CHANGES),
    ("bcc tcplife", "/usr/sbin/tcplife-bpfcc", &[], "bpfcc-tools", 2),
    ("bpftrace", "/usr/bin/bpftrace", &["-e", ONE_LINER], "bpftrace", CHANGES),
];
/// What one types to see state changes.
const ONE_LINER: &str = "tracepoint:sock:inet_sock_set_state \
    { printf(\"%d %s %d %d %d %d\\n\", pid, comm, args->sport, args->dport, args->oldstate, args->newstate); }";

/// Most peers want tracefs where it usually is; nobody else has to see it there.
const WITH_TRACEFS: [&str; 6] = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    "mountpoint -q /sys/kernel/tracing || mount -t tracefs nodev /sys/kernel/tracing && exec \"$@\"",
    "sh",
];

/// All tracers that are here; those that are not are named. `only` these, if it names any.
pub(super) fn all(only: &[String]) -> Result<Vec<Tool>> {
    let mut tools = Vec::new();
    let mut absent = Vec::new();
    match bpf::Toolchain::find() {
        Some(toolchain) => tools.extend(floors(&bpf::build_floor(&toolchain)?)?),
        None => {
            absent
                .push("the floor (no toolchain for kernel programs; `cargo xtask bpf` installs one)".into());
        }
    }
    tools.extend(ours(&run::build()?));
    for (name, program, args, package, lines) in PEERS {
        if !Path::new(program).is_file() {
            absent.push(format!("{name} (package {package})"));
            continue;
        }
        let command = WITH_TRACEFS.iter().chain([&program]).chain(args).map(OsString::from).collect();
        tools.push(Tool { name, command, kind: Kind::Peer(lines) });
    }
    println!("absent: {}", if absent.is_empty() { "nothing".to_owned() } else { absent.join(", ") });
    if let Some(unknown) = only.iter().find(|name| !tools.iter().any(|tool| tool.name == name.as_str())) {
        bail!("there is no tracer {unknown:?}; there are: {}", names(&tools));
    }
    tools.retain(|tool| only.is_empty() || only.iter().any(|name| name == tool.name));
    Ok(tools)
}

fn names(tools: &[Tool]) -> String {
    tools.iter().map(|tool| tool.name).collect::<Vec<_>>().join(", ")
}

fn floors(object: &Path) -> Result<Vec<Tool>> {
    let this = env::current_exe()?;
    let floors = [("floor: count", "count"), ("floor: record", "record")].map(|(name, program)| Tool {
        name,
        command: [
            this.as_os_str(),
            "bench-helper".as_ref(),
            "floor".as_ref(),
            object.as_os_str(),
            program.as_ref(),
        ]
        .map(OsString::from)
        .to_vec(),
        kind: Kind::Floor,
    });
    Ok(floors.into())
}

fn ours(program: &Path) -> Vec<Tool> {
    let commands = ["lives -o json", "trace -o json", "hist -o json", "watch"];
    let tool = |name: &'static str| Tool {
        name,
        command: [OsString::from(program)].into_iter().chain(name.split(' ').map(OsString::from)).collect(),
        kind: if name == "watch" { Kind::Screen } else { Kind::Ours },
    };
    commands.map(tool).into()
}
