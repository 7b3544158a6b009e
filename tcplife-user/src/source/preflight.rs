//! Can this process trace on this host? What is missing is named in one sentence.

use std::{fs, path::Path};

use anyhow::{Result, bail};

use super::btf::VMLINUX;

/// Capability numbers of include/uapi/linux/capability.h.
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// What was found on this host.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Preflight {
    /// Kernel release, as `uname -r` prints it.
    pub release: String,
    /// The effective capabilities include `CAP_SYS_ADMIN`, or both `CAP_BPF` and `CAP_PERFMON`.
    pub may_trace: bool,
    /// They include what it takes to find and to enter every network namespace: `CAP_SYS_PTRACE` and `CAP_SYS_ADMIN`.
    pub may_enter: bool,
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
        let capabilities = effective_capabilities(&status);
        let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").ok();
        Self {
            may_trace: may_trace(capabilities),
            may_enter: may_enter(capabilities),
            has_btf: Path::new(VMLINUX).exists(),
            is_recent: version(&release).is_some_and(|version| version >= (5, 10)),
            lockdown: lockdown.as_deref().and_then(lockdown_mode),
            release,
        }
    }

    /// One sentence for the first thing that is missing.
    ///
    /// # Errors
    /// When tracing cannot work here.
    pub fn check(&self) -> Result<()> {
        if !self.is_recent {
            bail!("Linux {} is too old to trace; tcplife needs 5.10 or later", self.release);
        }
        if !self.may_trace {
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

const fn has(capabilities: u64, capability: u32) -> bool {
    capabilities >> capability & 1 == 1
}

const fn may_trace(all: u64) -> bool {
    has(all, CAP_SYS_ADMIN) || (has(all, CAP_BPF) && has(all, CAP_PERFMON))
}

const fn may_enter(all: u64) -> bool {
    has(all, CAP_SYS_ADMIN) && has(all, CAP_SYS_PTRACE)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn able() -> Preflight {
        Preflight {
            release: "6.1.0".into(),
            may_trace: true,
            may_enter: true,
            has_btf: true,
            is_recent: true,
            lockdown: Some("integrity".into()),
        }
    }

    #[test]
    fn an_able_host_passes() {
        assert!(able().check().is_ok());
    }

    #[test]
    fn each_missing_thing_is_named() {
        let cases = [
            (Preflight { may_trace: false, ..able() }, "CAP_BPF"),
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
        assert_eq!(lockdown_mode("none [integrity] confidentiality\n").as_deref(), Some("integrity"));
        assert_eq!(effective_capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n"), 0x1ff_ffff_ffff);
        assert!(may_trace(1 << 21));
        assert!(may_trace(1 << 38 | 1 << 39));
        assert!(!may_trace(1 << 39));
        assert!(may_enter(1 << 21 | 1 << 19));
        assert!(!may_enter(1 << 21));
    }
}
