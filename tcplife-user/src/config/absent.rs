//! What was selected and is not there: maybe a typing error, and a trace that shows nothing.
//!
//! What comes in: selected processes and network namespaces. What goes out: a sentence for each that is not there now, with the option
//! that selected it. What always holds: that is no error, for one that has the number may come.

use crate::{process, source::namespaces};

/// Which processes and network namespaces are not there, a sentence for each.
pub fn absent(pids: &[u32], netns: &[u32]) -> Vec<String> {
    let processes = pids.iter().filter_map(|&pid| match process::of_task(pid) {
        Some(process) if process == pid => None,
        Some(process) => Some(format!("--pid {pid}: that is a thread of process {process}; give {process}")),
        // /proc may show a process and nothing of it (hidepid).
        None if process::exists(pid) => None,
        None => Some(format!("--pid {pid}: there is no such process now; `ps -eo pid,comm` lists them")),
    });
    let namespaces = namespaces::absent(netns).into_iter().map(|inode| {
        format!(
            "--netns {inode}: not found among the network namespaces that tcplife may look into; as root, \
             `lsns -t net` lists them all"
        )
    });
    processes.chain(namespaces).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_no_process() {
        let own = std::process::id();
        let told = std::thread::spawn(move || {
            let thread = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
            (thread, absent(&[own, thread], &[]))
        });
        let (thread, told) = told.join().unwrap();
        assert_eq!(told, [format!("--pid {thread}: that is a thread of process {own}; give {own}")]);
    }
}
