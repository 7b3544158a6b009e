//! What was selected and is not there: maybe a typing error, and a trace that shows nothing.
//!
//! What comes in: a filter. What goes out: a sentence for each process, name and network namespace in it that is not there now, with the
//! option that selected it. What always holds: that is no error, for one that has the number or the name may come.

use tcplife_core::filter::Filter;

use crate::{escape, process, source::namespaces};

/// Which processes and network namespaces are not there, a sentence for each.
pub fn absent(filter: &Filter) -> Vec<String> {
    let Filter { pids, comms, netns, .. } = filter;
    let processes = pids.iter().filter_map(|&pid| match process::of_task(pid) {
        Some(process) if process == pid => None,
        Some(process) => Some(format!("--pid {pid}: that is a thread of process {process}; give {process}")),
        // /proc may show a process and nothing of it (hidepid).
        None if process::exists(pid) => None,
        None => Some(format!("--pid {pid}: there is no such process now; `ps -eo pid,comm` lists them")),
    });
    let running = if comms.is_empty() { Vec::new() } else { process::comms() };
    let names = comms.iter().filter(|comm| !running.contains(comm)).map(|comm| {
        let comm = escape::printable(comm);
        format!("--comm {comm}: no process has that name now; `ps -eo pid,comm` lists them")
    });
    let namespaces = namespaces::absent(netns).into_iter().map(|inode| {
        format!(
            "--netns {inode}: not found among the network namespaces that tcplife may look into; as root, \
             `lsns -t net` lists them all"
        )
    });
    processes.chain(names).chain(namespaces).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_no_process() {
        let own = std::process::id();
        let told = std::thread::spawn(move || {
            let thread = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
            (thread, absent(&Filter { pids: vec![own, thread], ..Filter::default() }))
        });
        let (thread, told) = told.join().unwrap();
        assert_eq!(told, [format!("--pid {thread}: that is a thread of process {own}; give {own}")]);
    }

    #[test]
    fn a_name_that_nobody_has_is_told() {
        let own = std::fs::read("/proc/self/comm").unwrap().trim_ascii_end().to_vec();
        let comms = vec![own, b"no\x1bbody".to_vec()];
        let told = absent(&Filter { comms, ..Filter::default() });
        assert_eq!(told, ["--comm no\\x1bbody: no process has that name now; `ps -eo pid,comm` lists them"]);
    }
}
