//! What `/proc` tells of a process: command line, user, unit, descriptors.
//!
//! What comes in: a process as the kernel side named it. What goes out: facts as they are now, each as far as it can be
//! read. What always holds: a process that has ended, or whose pid is another's by now, has no facts.

use std::{fs, os::fd::OwnedFd, time::Duration};

use rustix::{
    fs::{AtFlags, Mode, OFlags, fstat, open, openat, readlinkat, statat},
    io,
};
use tcplife_core::{by_two::by_two, owner::Process};

use super::{
    began_at,
    container::{Container, in_cgroups},
    field, is_stopped, started_ns,
};
use crate::clock;

/// Most files of a process are smaller.
const READ_SIZE: usize = 4096;

/// No more of a file is read: a process tells the kernel where its command line is, and that may be gigabytes (`PR_SET_MM_MAP`).
const READ_AT_MOST: usize = 64 << 10;

/// Processes that a thread reads about at a time.
const TURN: usize = 8;

/// A running process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// The words of its command line, of one that is very long the first ones; any bytes.
    pub command: Vec<Vec<u8>>,
    /// The name of the file that it executes: a script's is its interpreter's.
    pub program: Vec<u8>,
    /// Its effective user's name, or number.
    pub user: Option<String>,
    /// How long it has been running.
    pub running: Option<Duration>,
    /// A signal has stopped it: it does nothing.
    pub is_stopped: bool,
    /// The systemd unit it is in.
    pub unit: Option<String>,
    /// The container it is in, by the first digits of its id.
    pub container: Option<String>,
    /// Descriptors in use, where it is known.
    pub descriptors: Option<usize>,
    /// `RLIMIT_NOFILE`, the soft limit; `None` also for no limit.
    pub descriptor_limit: Option<u64>,
}

impl ProcessFacts {
    /// Of each of these processes that is still there. /proc is slow, and there may be hundreds.
    pub fn of_each(processes: &[Option<Process>]) -> Vec<Option<Self>> {
        let host = Host::look();
        by_two(processes, TURN, |process| Self::of(process.as_ref()?, &host))
    }

    fn of(process: &Process, host: &Host) -> Option<Self> {
        let of = Folder::open(process.pid)?;
        // The folder of a process that has ended is root's; one that tells its begin then is still there.
        let user = of.user();
        let stat = of.bytes("stat");
        let started = started_ns(&stat)?;
        if !began_at(process, started) {
            return None;
        }
        let cgroup = of.text("cgroup");
        Some(Self {
            command: of
                .bytes("cmdline")
                .split(|&byte| byte == 0)
                .filter(|word| !word.is_empty())
                .map(<[u8]>::to_vec)
                .collect(),
            program: of.program(),
            user: user.map(|uid| host.user_name(uid)),
            running: Some(Duration::from_nanos(host.uptime_ns.saturating_sub(started))),
            is_stopped: is_stopped(&stat),
            unit: unit(&cgroup),
            container: match in_cgroups(&cgroup) {
                Container::Host => None,
                id @ Container::Id(_) => Some(id.name().to_owned()),
            },
            descriptors: of.descriptors(),
            descriptor_limit: field(&of.text("limits"), "Max open files")
                .and_then(|limit| limit.parse().ok()),
        })
    }
}

/// What is the same for all processes.
struct Host {
    /// `/etc/passwd`.
    users: String,
    /// The kernel's `CLOCK_BOOTTIME`.
    uptime_ns: u64,
}

impl Host {
    fn look() -> Self {
        Self { users: fs::read_to_string("/etc/passwd").unwrap_or_default(), uptime_ns: clock::boottime_ns() }
    }

    fn user_name(&self, uid: u32) -> String {
        let uid = uid.to_string();
        let name = self.users.lines().find_map(|line| {
            let mut words = line.split(':');
            let name = words.next()?;
            (words.nth(1)? == uid).then(|| name.to_owned())
        });
        name.unwrap_or_else(|| format!("uid {uid}"))
    }
}

/// A process's folder of /proc. What is read through it is that process's, whoever has the pid by then.
struct Folder {
    pid: u32,
    fd: OwnedFd,
}

impl Folder {
    fn open(pid: u32) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(format!("/proc/{pid}"), flags, Mode::empty()).ok()?;
        Some(Self { pid, fd })
    }

    /// The name of the file that it executes; nothing if it cannot be read, and for a kernel thread.
    fn program(&self) -> Vec<u8> {
        let path = readlinkat(&self.fd, "exe", Vec::new()).unwrap_or_default();
        file_name(path.as_bytes()).to_vec()
    }

    /// What a file has, up to a limit; nothing if it cannot be read.
    fn bytes(&self, file: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Ok(file) = openat(&self.fd, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else {
            return bytes;
        };
        let mut filled = 0;
        // These files are made as they are read: one that leaves room is at its end.
        while filled == bytes.len() && filled < READ_AT_MOST {
            bytes.resize(filled + READ_SIZE, 0);
            filled += io::retry_on_intr(|| io::read(&file, &mut bytes[filled..])).unwrap_or(0);
        }
        bytes.truncate(filled);
        bytes
    }

    fn text(&self, file: &str) -> String {
        String::from_utf8_lossy(&self.bytes(file)).into_owned()
    }

    /// Its effective user, who owns the folder (`task_dump_owner`, fs/proc/base.c: whether it can be dumped or not).
    fn user(&self) -> Option<u32> {
        Some(fstat(&self.fd).ok()?.st_uid)
    }

    /// How many descriptors it has: the folder's size since Linux 6.2 (proc_fd_getattr), else what is in it. Those of a process whose
    /// first thread has ended are its other threads', and that thread's folder has none.
    fn descriptors(&self) -> Option<usize> {
        let count = match statat(&self.fd, "fd", AtFlags::empty()).ok()?.st_size {
            0 => fs::read_dir(format!("/proc/{}/fd", self.pid)).ok()?.count(),
            size => usize::try_from(size).ok()?,
        };
        (count > 0).then_some(count)
    }
}

/// The last part of a path that `exe` leads to. The kernel tells of a file that was replaced meanwhile, such as by a newer package (`d_path`).
fn file_name(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// The innermost service or scope in a control group's path.
fn unit(cgroup: &str) -> Option<String> {
    let mut parts = cgroup.lines().flat_map(|line| line.split('/'));
    let is_unit = |part: &&str| {
        let kind = part.rsplit_once('.').map(|(_, kind)| kind);
        matches!(kind, Some("service" | "scope")) && in_cgroups(part) == Container::Host
    };
    parts.rfind(is_unit).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use rustix::process::geteuid;

    use super::*;

    fn own() -> Process {
        Process { pid: std::process::id(), start_ns: 0, comm: [0; 16] }
    }

    #[test]
    fn a_program_that_was_replaced_keeps_its_name() {
        for path in ["/usr/lib/jvm/bin/java", "/usr/lib/jvm/bin/java (deleted)", "java"] {
            assert_eq!(file_name(path.as_bytes()), b"java", "{path}");
        }
        assert_eq!(file_name(b""), b"");
    }

    #[test]
    fn our_own_facts_are_known() {
        let facts = ProcessFacts::of_each(&[Some(own())]).remove(0).expect("we run");
        assert!(!facts.command.is_empty());
        let program = std::env::current_exe().expect("a file runs");
        assert_eq!(program.file_name().map(std::ffi::OsStr::as_encoded_bytes), Some(&facts.program[..]));
        assert!(facts.user.is_some() && facts.running.is_some());
        assert_eq!(Folder::open(own().pid).and_then(|folder| folder.user()), Some(geteuid().as_raw()));
        assert!(facts.descriptors.is_some_and(|count| count >= 3));
    }

    #[test]
    fn a_command_line_is_read_up_to_a_limit() {
        let word = "x".repeat(READ_AT_MOST);
        let mut sleeper = Command::new("sh")
            .args(["-c", "echo; read line", &word, &word])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        // Its words are there when it runs; until then it may still be on its way into them.
        let mut out = sleeper.stdout.take().expect("a pipe");
        std::io::Read::read_exact(&mut out, &mut [0]).expect("it writes a line");
        let facts = ProcessFacts::of_each(&[Some(Process { pid: sleeper.id(), ..own() })]).remove(0);
        drop(sleeper.stdin.take());
        sleeper.wait().expect("it ends with its input");
        let command = facts.expect("it ran").command;
        assert_eq!(command[..3], [b"sh".as_slice(), b"-c", b"echo; read line"]);
        // Each word but the last, which is cut, has a byte behind it.
        let read = command.iter().map(|word| word.len() + 1).sum::<usize>() - 1;
        assert_eq!(read, READ_AT_MOST);
    }

    #[test]
    fn another_process_with_the_pid_has_no_facts() {
        let later = Process { start_ns: u64::MAX, ..own() };
        let nobody = Process { pid: u32::MAX, ..own() };
        let facts = ProcessFacts::of_each(&[Some(later), None, Some(own()), Some(nobody)]);
        assert_eq!(facts.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true, false]);
    }

    #[test]
    fn units_are_in_the_control_group() {
        assert_eq!(unit("0::/system.slice/nginx.service\n").as_deref(), Some("nginx.service"));
        assert_eq!(unit("0::/user.slice/user-0.slice/session-3.scope\n").as_deref(), Some("session-3.scope"));
        assert_eq!(unit("0::/\n"), None);
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(unit(&format!("0::/system.slice/docker-{id}.scope\n")), None);
    }

    #[test]
    fn limits_are_read_by_name() {
        let limits = "Max cpu time   unlimited  unlimited  seconds\nMax open files   1024   524288  files\n";
        assert_eq!(field(limits, "Max open files"), Some("1024"));
        assert_eq!(field(limits, "Max pending"), None);
    }
}
