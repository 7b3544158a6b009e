//! Can this process trace on this host? What is missing is named in one sentence.

use std::{fs, path::Path};

use anyhow::{Result, bail};
use tcplife_core::suspect::Sight;

use super::btf::VMLINUX;
use crate::netns::inode;

/// Capability numbers of include/uapi/linux/capability.h.
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The inode of the user namespace that the host began with (`PROC_USER_INIT_INO` of include/linux/proc_ns.h).
const FIRST_USER_NAMESPACE: u32 = 0xefff_fffd;
/// The same of pid namespaces (`PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: u32 = 0xefff_fffc;

/// What was found on this host.
#[derive(Clone, Debug)]
pub struct Preflight {
    /// Kernel release, as `uname -r` prints it.
    pub release: String,
    /// The effective capabilities, by number.
    pub capabilities: u64,
    /// They are those of a user namespace, and nothing to the host: to load programs it takes the host's (`bpf_capable`).
    pub in_user_namespace: bool,
    /// Whose descriptors this process can see: only those of its own pid namespace, unless that is the one that the host began with.
    pub sight: Sight,
    /// The kernel shows its types.
    pub has_btf: bool,
    /// The kernel is 5.10 or later.
    pub is_recent: bool,
    /// The kernel's lockdown mode: `none`, `integrity`, `confidentiality`; `None` without the lockdown module.
    pub lockdown: Option<String>,
}

impl Preflight {
    /// Looks at this host.
    pub fn look() -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").ok();
        Self {
            capabilities: effective_capabilities(&status),
            in_user_namespace: inode("/proc/self/ns/user").is_some_and(|inode| inode != FIRST_USER_NAMESPACE),
            sight: sight(inode("/proc/self/ns/pid")),
            has_btf: Path::new(VMLINUX).exists(),
            is_recent: version(&release).is_some_and(|version| version >= (5, 10)),
            lockdown: lockdown.as_deref().and_then(lockdown_mode),
            release,
        }
    }

    /// Whether it has `CAP_SYS_ADMIN`, or both `CAP_BPF` and `CAP_PERFMON`.
    pub const fn may_trace(&self) -> bool {
        self.has(CAP_SYS_ADMIN) || (self.has(CAP_BPF) && self.has(CAP_PERFMON))
    }

    /// Whether it has what it takes to find and to enter every network namespace: `CAP_SYS_PTRACE` and `CAP_SYS_ADMIN`.
    pub const fn may_enter(&self) -> bool {
        self.has(CAP_SYS_ADMIN) && self.has(CAP_SYS_PTRACE)
    }

    /// Whether it has what it takes to read every process's descriptors: `CAP_SYS_PTRACE`.
    pub const fn may_read(&self) -> bool {
        self.has(CAP_SYS_PTRACE)
    }

    const fn has(&self, capability: u32) -> bool {
        !self.in_user_namespace && self.capabilities >> capability & 1 == 1
    }

    /// One sentence for the first thing that is missing.
    ///
    /// # Errors
    /// When tracing cannot work here.
    pub fn check(&self) -> Result<()> {
        if !self.is_recent {
            bail!("Linux {} is too old to trace; tcplife needs 5.10 or later", self.release);
        }
        if !self.may_trace() && self.in_user_namespace {
            bail!(
                "not allowed to load BPF programs: this is a user namespace, where root is not the host's; run it as root outside of it (sudo tcplife ...) or with the capabilities CAP_BPF and CAP_PERFMON there"
            );
        }
        if !self.may_trace() {
            bail!(
                "not allowed to load BPF programs; run it as root (sudo tcplife ...) or give it the capabilities CAP_BPF and CAP_PERFMON"
            );
        }
        if !self.has_btf {
            bail!(
                "this kernel does not show its types: {VMLINUX} is missing; use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are"
            );
        }
        if self.lockdown.as_deref() == Some("confidentiality") {
            bail!(
                "kernel lockdown is in confidentiality mode, which forbids BPF programs to read kernel memory; boot with lockdown=integrity or none"
            );
        }
        Ok(())
    }
}

/// From the pid namespace with this inode; a kernel without any has none.
const fn sight(pid_namespace: Option<u32>) -> Sight {
    match pid_namespace {
        Some(FIRST_PID_NAMESPACE) | None => Sight::Every,
        Some(_) => Sight::Some,
    }
}

fn effective_capabilities(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The mode in brackets of `none [integrity] confidentiality`.
fn lockdown_mode(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(mode, _)| mode.to_owned())
}

/// A host that lacks nothing.
#[cfg(test)]
pub fn able() -> Preflight {
    Preflight {
        release: "6.1.0".into(),
        capabilities: u64::MAX,
        in_user_namespace: false,
        sight: Sight::Every,
        has_btf: true,
        is_recent: true,
        lockdown: Some("integrity".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_able_host_passes() {
        assert!(able().check().is_ok());
    }

    #[test]
    fn each_missing_thing_is_named() {
        let cases = [
            (Preflight { capabilities: 0, ..able() }, "CAP_BPF"),
            (Preflight { in_user_namespace: true, ..able() }, "user namespace"),
            (Preflight { has_btf: false, ..able() }, "CONFIG_DEBUG_INFO_BTF"),
            (Preflight { is_recent: false, ..able() }, "too old"),
            (Preflight { lockdown: Some("confidentiality".into()), ..able() }, "lockdown"),
        ];
        for (host, word) in cases {
            let sentence = host.check().expect_err(word).to_string();
            assert!(sentence.contains(word), "{sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
        }
    }

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("5.10.0-28-cloud-amd64"), Some((5, 10)));
        assert_eq!(version("weird"), None);
        assert_eq!(sight(Some(4_026_531_836)), Sight::Every);
        assert!(sight(Some(4_026_532_000)) == Sight::Some && sight(None) == Sight::Every);
        assert_eq!(lockdown_mode("none [integrity] confidentiality\n").as_deref(), Some("integrity"));
        assert_eq!(effective_capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n"), 0x1ff_ffff_ffff);
    }

    #[test]
    fn capabilities_count_outside_of_user_namespaces() {
        let with = |capabilities| Preflight { capabilities, ..able() };
        assert!(with(1 << 21).may_trace());
        assert!(with(1 << 38 | 1 << 39).may_trace());
        assert!(!with(1 << 39).may_trace());
        assert!(with(1 << 21 | 1 << 19).may_enter());
        assert!(!with(1 << 21).may_enter());
        assert!(with(1 << 19).may_read() && !with(1 << 21).may_read());
        let inside = Preflight { in_user_namespace: true, ..able() };
        assert!(!inside.may_trace() && !inside.may_enter());
    }
}
