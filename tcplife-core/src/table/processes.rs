//! Processes that own connections, each kept once.
//!
//! What comes in: a process for each connection that it owns. What goes out: its number, small enough for a
//! connection to carry. What always holds: a process is kept as long as a connection has its number, and no longer; it has the
//! name that it had last (`execve` and `prctl` give it another).

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::owner::Process;

#[derive(Debug)]
struct Entry {
    process: Process,
    /// Connections that carry the number.
    uses: u32,
}

/// Numbered processes.
#[derive(Debug, Default)]
pub(super) struct Processes {
    entries: Vec<Entry>,
    free: Vec<u32>,
    numbers: HashMap<Process, u32, RandomState>,
}

/// By what a process is kept: not by its name, unless it is not known when it started.
const fn key(process: &Process) -> Process {
    if process.start_ns == 0 { *process } else { Process { comm: [0; 16], ..*process } }
}

impl Processes {
    /// The process's number, used once more.
    pub(super) fn take(&mut self, process: &Process) -> u32 {
        if let Some(&number) = self.numbers.get(&key(process)) {
            self.rename(number, process);
            self.retain(number);
            return number;
        }
        let entry = Entry { process: *process, uses: 1 };
        let free = self.free.pop();
        let number = if let Some((number, slot)) =
            free.and_then(|number| Some((number, self.entries.get_mut(number as usize)?)))
        {
            *slot = entry;
            number
        } else {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        };
        self.numbers.insert(key(process), number);
        number
    }

    /// A process was seen: if it is the one with that number, it has this name now.
    pub(super) fn rename(&mut self, number: u32, seen: &Process) {
        if let Some(Entry { process, .. }) = self.entries.get_mut(number as usize)
            && key(process) == key(seen)
        {
            process.comm = seen.comm;
        }
    }

    /// A number in use is used once more.
    pub(super) fn retain(&mut self, number: u32) {
        if let Some(entry) = self.entries.get_mut(number as usize) {
            entry.uses += 1;
        }
    }

    /// A number is used once less.
    pub(super) fn release(&mut self, number: u32) {
        let Some(entry) = self.entries.get_mut(number as usize) else { return };
        entry.uses = entry.uses.saturating_sub(1);
        if entry.uses == 0 && self.numbers.remove(&key(&entry.process)).is_some() {
            self.free.push(number);
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<Process> {
        self.entries.get(number as usize).map(|entry| entry.process)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn process(pid: u32) -> Process {
        Process { pid, start_ns: 5, comm: [b'x'; 16] }
    }

    #[test]
    fn a_process_is_kept_while_it_is_used() {
        let mut processes = Processes::default();
        let one = processes.take(&process(1));
        assert_eq!(processes.take(&process(1)), one);
        let two = processes.take(&process(2));
        assert_ne!(one, two);
        processes.release(one);
        assert_eq!(processes.get(one), Some(process(1)));
        processes.release(one);
        assert_eq!(processes.len(), 1);
        assert_eq!(processes.take(&process(3)), one, "the number is free again");
        assert_eq!(processes.get(two), Some(process(2)));
    }

    #[test]
    fn a_process_has_the_name_that_it_had_last() {
        let mut processes = Processes::default();
        let number = processes.take(&process(1));
        let renamed = Process { comm: [b'y'; 16], ..process(1) };
        assert_eq!(processes.take(&renamed), number);
        assert_eq!(processes.get(number), Some(renamed));
        processes.rename(number, &process(2));
        assert_eq!(processes.get(number), Some(renamed), "that was another one");
        processes.release(number);
        processes.release(number);
        assert_eq!(processes.len(), 0);
        let unknown = Process { start_ns: 0, ..process(1) };
        let number = processes.take(&unknown);
        assert_ne!(
            processes.take(&Process { start_ns: 0, ..renamed }),
            number,
            "a pid alone may be another's"
        );
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let mut processes = Processes::default();
        let old = processes.take(&process(1));
        let new = processes.take(&Process { start_ns: 6, ..process(1) });
        assert_ne!(old, new);
    }
}
