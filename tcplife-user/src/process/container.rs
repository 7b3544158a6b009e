//! Which container a process runs in, by the cgroup that its runtime made for it.
//!
//! What comes in: a process. What goes out: the container's id. What always holds: a process is looked at once, while
//! it is there; of one that has gone before that, nothing is known. The answers kept are bounded.

use std::{collections::HashMap, fs};

use foldhash::fast::RandomState;
use tcplife_core::owner::Process;

use super::is_running;

/// Processes whose answer is kept.
const ROOM: usize = 1 << 16;
/// Digits of an id that are shown, as the runtimes' own tools do.
const DIGITS: usize = 12;
/// Digits of a whole id: a SHA-256 sum (OCI runtimes: docker, containerd, CRI-O, podman).
const WHOLE: usize = 64;

/// Where a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Container {
    /// In the container whose id begins with this.
    Id([u8; DIGITS]),
    /// In none.
    Host,
}

impl Container {
    /// The begin of the id, or `host`.
    pub fn name(&self) -> &str {
        match self {
            Self::Id(id) => str::from_utf8(id).unwrap_or_default(),
            Self::Host => "host",
        }
    }
}

/// Containers by process.
#[derive(Debug, Default)]
pub struct Containers(HashMap<(u32, u64), Option<Container>, RandomState>);

impl Containers {
    /// That of a process; `None` if it has gone before anybody looked.
    pub fn of(&mut self, process: &Process) -> Option<Container> {
        if self.0.len() >= ROOM {
            self.0.clear();
        }
        *self.0.entry(process.identity()).or_insert_with(|| {
            let text = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).ok()?;
            // The pid may be another's by now.
            is_running(process).then(|| in_cgroups(&text))
        })
    }
}

/// The container that the lines of `/proc/PID/cgroup` name (cgroups(7)).
pub fn in_cgroups(text: &str) -> Container {
    let mut words = text.split(|c: char| !c.is_ascii_hexdigit());
    let id = words.rfind(|word| word.len() == WHOLE);
    match id.and_then(|id| id.as_bytes().first_chunk()) {
        Some(id) => Container::Id(*id),
        None => Container::Host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn runtimes_name_their_containers() {
        let short = Container::Id(*b"0123456789ab");
        for path in [
            format!("0::/system.slice/docker-{ID}.scope\n"),
            format!("0::/kubepods.slice/kubepods-pod12.slice/cri-containerd-{ID}.scope\n"),
            format!("12:cpu:/docker/{ID}\n0::/docker/{ID}\n"),
            format!("0::/machine.slice/libpod-{ID}.scope/container\n"),
        ] {
            assert_eq!(in_cgroups(&path), short, "{path}");
        }
        assert_eq!(short.name(), "0123456789ab");
    }

    #[test]
    fn what_has_no_id_runs_on_the_host() {
        for path in ["0::/\n", "", "0::/user.slice/user-1000.slice/session-2.scope\n"] {
            assert_eq!(in_cgroups(path), Container::Host);
        }
    }

    #[test]
    fn a_process_that_has_gone_is_not_known() {
        let gone = Process { pid: u32::MAX, start_ns: 1, comm: [0; 16] };
        assert_eq!(Containers::default().of(&gone), None);
        let here = Process { pid: std::process::id(), start_ns: 0, ..gone };
        assert!(Containers::default().of(&here).is_some());
        let before_it = Process { start_ns: 1, ..here };
        assert_eq!(Containers::default().of(&before_it), None);
    }
}
