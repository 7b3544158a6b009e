//! Which program of a case a process is of.

use std::{collections::HashMap, fs};

use crate::suspect::Suspect;

use super::programs::Program;

/// The processes of a case by number.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<u32, String>);

impl Names {
    /// Looks who is there now: programs by their names in the case, what they started as `PROGRAM>COMM`.
    pub(crate) fn look(&mut self, programs: &[Program], processes: &[u32]) {
        self.0.extend(programs.iter().map(|program| (program.pid(), program.name.clone())));
        for &pid in processes {
            let started_by = ancestors(pid).find_map(|pid| programs.iter().find(|p| p.pid() == pid));
            if let (Some(program), Some(comm)) = (started_by, comm(pid))
                && program.pid() != pid
            {
                self.0.insert(pid, format!("{}>{comm}", program.name));
            }
        }
    }

    /// Who a process is, which tcplife calls `comm`.
    fn of(&self, pid: u32, comm: &str) -> String {
        let called = self::comm(pid).is_none_or(|actual| actual == comm);
        match self.0.get(&pid) {
            Some(name) if called => name.clone(),
            Some(name) => format!("{name} called {comm}"),
            None => format!("{comm}[{pid}]"),
        }
    }

    /// What is reported of a socket: verdict, whose it is, whose the other end is.
    pub(crate) fn kind(&self, suspect: &Suspect) -> String {
        let mut holders: Vec<String> = suspect
            .holders
            .iter()
            .map(|holder| {
                let fd = fs::read_link(format!("/proc/{}/fd/{}", holder.pid, holder.fd)).unwrap_or_default();
                let wrong = if fd.to_string_lossy().starts_with("socket:") { "" } else { " (wrong fd)" };
                self.of(holder.pid, &holder.comm) + wrong
            })
            .collect();
        holders.sort();
        holders.dedup();
        let whose = match (&suspect.listener, holders.as_slice()) {
            (Some(listener), _) => format!("at {}", self.of(listener.pid, &listener.comm)),
            (None, []) => "by nobody".to_owned(),
            (None, holders) => format!("by {}", holders.join(" and ")),
        };
        let peer = match &suspect.peer_owner {
            Some(peer) => format!(", peer {}", self.of(peer.pid, &peer.comm)),
            None if suspect.peer_gone => ", peer gone".to_owned(),
            None => String::new(),
        };
        format!("{} {whose}{peer}", suspect.verdict)
    }
}

fn comm(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|comm| comm.trim_end().to_owned())
}

/// A process, who started it, and so on.
fn ancestors(pid: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(pid), |pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    })
}
