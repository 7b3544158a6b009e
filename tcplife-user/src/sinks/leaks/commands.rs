//! The next commands to run: a look at the same sockets with `ss`, an end to them, the program's stacks.
//!
//! What comes in: suspects of one process in one state. What goes out: command lines for a shell. What always holds: an
//! `ss` filter selects these sockets' state and ports and nothing by guess; in another network namespace than ours it
//! runs there, and where no way in is known there is none.

use std::collections::BTreeMap;

use tcplife_core::{
    state::State,
    suspect::{
        Suspect,
        groups::{Counted, Group, counted},
    },
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
    let named: Vec<String> =
        ports.iter().take(PORTS).map(|((end, port), _)| format!("{end} = :{port}")).collect();
    let named = named.join(" or ");
    let (look, end) = if ports.len() > PORTS {
        let some = format!("{PORTS} of {} ports", ports.len());
        (format!("   # {some}"), format!(", {some}"))
    } else {
        (String::new(), String::new())
    };
    [
        format!("sudo {inside}ss -tneop state {state} '( {named} )'{look}"),
        format!(
            "sudo {inside}ss -K state {state} '( {named} )'   # ends all that match{end}; the program will leak again"
        ),
    ]
}

/// The ports that the sockets are for: of the most sockets first.
fn ports(suspects: &[&Suspect]) -> Counted<(&'static str, u16)> {
    counted(suspects.iter().map(|suspect| port(suspect)))
}

/// Which end of a socket has the port that it is for, as a filter of `ss` names it, and which port.
pub fn port(suspect: &Suspect) -> (&'static str, u16) {
    let ends = suspect.connection.ends();
    if suspect.of_server { ("sport", ends.local_port) } else { ("dport", ends.remote_port) }
}

/// How to see what a process's threads are doing. Its own name may be any (gunicorn, a server that sets it), that of the file it
/// executes says what interprets it.
pub fn stacks(pid: u32, program: &[u8]) -> String {
    match program {
        b"java" => format!("jstack {pid}"),
        _ if program.starts_with(b"python") => format!("sudo py-spy dump --pid {pid}"),
        _ => format!("sudo gdb -p {pid} -batch -ex 'thread apply all bt'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_those_of_what_interprets_the_program() {
        assert_eq!(stacks(7, b"java"), "jstack 7");
        assert_eq!(stacks(7, b"python3.11"), "sudo py-spy dump --pid 7");
        for native in [&b"nginx"[..], b"javascript", b""] {
            assert_eq!(stacks(7, native), "sudo gdb -p 7 -batch -ex 'thread apply all bt'");
        }
    }
}
