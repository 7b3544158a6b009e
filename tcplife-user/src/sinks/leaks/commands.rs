//! The next commands to run: a look at the same sockets with `ss`, an end to them, the program's stacks.
//!
//! What comes in: suspects of one process in one state. What goes out: command lines for a shell. What always holds: an
//! `ss` filter selects these sockets' state and ports and nothing by guess; in another network namespace than ours it
//! runs there, and where no way in is known there is none.

use std::collections::BTreeMap;

use tcplife_core::{
    owner::Process,
    state::State,
    suspect::{Suspect, groups::Group},
};

use crate::netns;

/// Ports named in a filter at most.
const PORTS: usize = 4;
/// Network namespaces with commands at most.
const NAMESPACES: usize = 2;

/// What to run next for suspects in one state.
pub fn next(group: &Group<'_>, suspects: &[&Suspect]) -> Vec<String> {
    let process = group.process.map(|process| process.pid);
    let mut by_netns: BTreeMap<u32, Vec<&Suspect>> = BTreeMap::new();
    for suspect in suspects {
        by_netns.entry(suspect.connection.netns()).or_default().push(suspect);
    }
    let here = netns::own();
    let commands = by_netns
        .into_iter()
        .filter_map(|(netns, suspects)| Some(of_namespace(&netns::inside(here, netns, process)?, &suspects)));
    commands.take(NAMESPACES).flatten().collect()
}

fn of_namespace(inside: &str, suspects: &[&Suspect]) -> [String; 2] {
    let state = match suspects.first().map(|suspect| suspect.facts.state) {
        Some(State::FinWait2) => "fin-wait-2",
        _ => "close-wait",
    };
    let ports = ports(suspects);
    [
        format!("sudo {inside}ss -tneop state {state} '( {ports} )'"),
        format!(
            "sudo {inside}ss -K state {state} '( {ports} )'   # ends all that match; the program will leak again"
        ),
    ]
}

fn ports(suspects: &[&Suspect]) -> String {
    let mut ports: Vec<String> = suspects
        .iter()
        .map(|suspect| {
            let ends = suspect.connection.ends();
            if suspect.of_server {
                format!("sport = :{}", ends.local_port)
            } else {
                format!("dport = :{}", ends.remote_port)
            }
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports.truncate(PORTS);
    ports.join(" or ")
}

/// How to see what a program's threads are doing.
pub fn stacks(process: &Process) -> String {
    let pid = process.pid;
    match process.comm_bytes() {
        b"java" => format!("jstack {pid}"),
        comm if comm.starts_with(b"python") => format!("sudo py-spy dump --pid {pid}"),
        _ => format!("sudo gdb -p {pid} -batch -ex 'thread apply all bt'"),
    }
}
