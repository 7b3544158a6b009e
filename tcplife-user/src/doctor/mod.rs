//! `tcplife doctor`: can this host be traced, and does each hook really work.
//!
//! What comes in: what the preflight finds, and what the engine sees of the self-test's connections. What goes out: a
//! report on standard output, with the settings that matter. What always holds: an error, and its exit status, mean that
//! this host cannot be traced.

mod probe;
mod report;
mod selftest;
mod settings;

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use tcplife_core::table::{self, Table};

use crate::{
    cli::TextOrJson,
    config::Config,
    engine,
    health::{Health, Hook, HookKind},
    paper,
    sinks::{
        json,
        out::{cannot_write, reader_may_go},
    },
    source::preflight::Preflight,
};
use probe::{Probe, Trial};
use report::{Check, Status};
use selftest::SelfTest;
use settings::Settings;

/// The self-test ends by itself long before.
const LIMIT: Duration = Duration::from_secs(10);

/// Looks at this host and reports.
///
/// # Errors
/// This host cannot be traced, or the report cannot be written.
pub fn run(config: &Config, output: TextOrJson) -> Result<()> {
    let host = Preflight::look();
    let mut checks = host_checks(&host);
    let mut summary = Vec::new();
    let mut verdict = host.check();
    if verdict.is_ok() {
        verdict = examine(config, &mut checks, &mut summary);
    }
    if summary.is_empty() {
        let nothing = Table::new(table::Config { capacity: 1, ..table::Config::default() });
        json::line(&mut summary, &json::Summary::of(&nothing, &Health::default()));
    }
    reader_may_go(print(&checks, &summary, output)).map_err(|error| cannot_write(&error))?;
    let failed = checks.iter().find(|check| check.status == Status::Fail);
    verdict
        .and_then(|()| failed.map_or(Ok(()), |check| Err(anyhow!("{}: {}", check.name, check.detail))))
        .context("this host cannot be traced")
}

fn print(checks: &[Check], summary: &[u8], output: TextOrJson) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match output {
        TextOrJson::Text => {
            report::write_text(checks, &mut out)?;
            Settings::read().write_text(paper::columns(), &mut out)?;
        }
        TextOrJson::Json => {
            report::write_json(checks, &mut out)?;
            let mut settings = Vec::new();
            Settings::read().write_json(&mut settings);
            out.write_all(&settings)?;
            out.write_all(summary)?;
        }
    }
    out.flush()
}

fn host_checks(host: &Preflight) -> Vec<Check> {
    let kernel = format!("Linux {}", host.release);
    let kernel = if host.is_recent {
        Check::ok("kernel", kernel)
    } else {
        Check::fail("kernel", format!("{kernel} is too old"), "use Linux 5.10 or later")
    };
    let rights = if host.may_trace() {
        Check::ok("rights", "may load BPF programs")
    } else if host.in_user_namespace {
        Check::fail(
            "rights",
            "may not load BPF programs: this is a user namespace, where root is not the host's",
            "run it as root outside of it (sudo tcplife doctor), or with the capabilities CAP_BPF and CAP_PERFMON there",
        )
    } else {
        Check::fail(
            "rights",
            "may not load BPF programs",
            "run it as root (sudo tcplife doctor), or give it the capabilities CAP_BPF and CAP_PERFMON",
        )
    };
    let types = if host.has_btf {
        Check::ok("types", "the kernel shows its types (BTF)")
    } else {
        Check::fail(
            "types",
            "the kernel does not show its types (BTF)",
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are",
        )
    };
    vec![kernel, rights, types, lockdown(host.lockdown.as_deref())]
}

fn lockdown(mode: Option<&str>) -> Check {
    match mode {
        None => Check::ok("lockdown", "not in this kernel, or not shown"),
        Some("confidentiality") => Check::fail(
            "lockdown",
            "confidentiality: BPF programs may not read kernel memory",
            "boot with lockdown=integrity, or without",
        ),
        Some(mode) => Check::ok("lockdown", mode),
    }
}

/// Traces the self-test; adds a check for each hook.
fn examine(config: &Config, checks: &mut Vec<Check>, summary: &mut Vec<u8>) -> Result<()> {
    let mut config = Config { duration: Some(LIMIT), ..config.clone() };
    let test = match SelfTest::prepare() {
        Ok(test) => {
            config.settings.netns_count = 1;
            config.settings.netns[0] = test.netns();
            config.filter.netns = vec![test.netns()];
            Some(test)
        }
        Err(error) => {
            checks.push(not_tested(&error));
            None
        }
    };
    let mut probe = Probe::new(test);
    let traced = engine::run(&config, &mut probe);
    checks.extend(probe.trials().into_iter().map(|(hook, trial)| hook_check(hook, trial)));
    let (line, test) = probe.into_parts();
    *summary = line;
    match (traced, test.map(SelfTest::outcome)) {
        (Err(error), _) => {
            checks.push(Check::fail(
                "hooks",
                format!("{error:#}"),
                "see tcplife doctor -v for the kernel's own words",
            ));
            Err(error)
        }
        (Ok(()), Some(Err(error))) => {
            checks.push(not_tested(&error));
            Ok(())
        }
        (Ok(()), _) => Ok(()),
    }
}

fn not_tested(error: &anyhow::Error) -> Check {
    Check::warn(
        "selftest",
        format!("not possible: {error:#}"),
        "hooks that are attached may work all the same; run it as root to see them working",
    )
}

fn hook_check(hook: &Hook, trial: Trial) -> Check {
    let mechanism = hook.mechanism.as_deref().unwrap_or_default();
    match trial {
        Trial::Works | Trial::Unexercised if !hook.limits.is_empty() => {
            Check::warn(hook.kind.name(), mechanism, hook.limits.join("; "))
        }
        Trial::Works => Check::ok(hook.kind.name(), format!("{mechanism}, seen working")),
        Trial::Unexercised => Check::ok(hook.kind.name(), format!("{mechanism}, in use, not exercised")),
        Trial::Silent if hook.kind == HookKind::State => Check::fail(
            hook.kind.name(),
            format!("{mechanism} is attached, and nothing of the self-test's connections was seen"),
            "report it, with the output of tcplife doctor -v",
        ),
        Trial::Silent => Check::warn(
            hook.kind.name(),
            format!("{mechanism} is attached, and what it should have told of the self-test was not seen"),
            without(hook.kind),
        ),
        Trial::Off => Check::warn(hook.kind.name(), format!("off: {}", hook.why_off), without(hook.kind)),
    }
}

/// What a trace lacks without a hook.
const fn without(kind: HookKind) -> &'static str {
    match kind {
        HookKind::State => "nothing is seen",
        HookKind::SocketGone => {
            "a connection that ended before its application let go of it is reported at the end only"
        }
        HookKind::Accept => {
            "a server's connections are owned by the listener's process until they are closed"
        }
        HookKind::SynReceived => "the length of a server's handshake is not known",
        HookKind::ResetSent | HookKind::ResetReceived => "resets are told only as the end of a connection",
        HookKind::Retransmit | HookKind::RetransmitSynAck => "retransmissions are not told as they happen",
        HookKind::TimeWaitBegin => "TIME_WAIT is not seen; connections end with CLOSED",
        HookKind::TimeWaitFromFinWait2 => {
            "an orphan's move from FIN_WAIT_2 to TIME_WAIT is not seen when it happens"
        }
        HookKind::TimeWaitEnd => {
            "the end of TIME_WAIT is computed from the kernel's timer; early ends are not seen"
        }
        HookKind::TimeWaitCause => {
            "why a mini-socket ended early is known only where a new connection follows"
        }
        HookKind::Dump => "connections that began before the trace, descriptors and leaks are not known",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::preflight::able;

    fn failed(host: &Preflight) -> Vec<&'static str> {
        let checks = host_checks(host);
        checks.iter().filter(|check| check.status == Status::Fail).map(|check| check.name).collect()
    }

    #[test]
    fn what_keeps_a_host_from_being_traced_fails() {
        assert_eq!(failed(&able()), [""; 0]);
        assert_eq!(failed(&Preflight { capabilities: 0, ..able() }), ["rights"]);
        assert_eq!(failed(&Preflight { in_user_namespace: true, ..able() }), ["rights"]);
        assert_eq!(failed(&Preflight { is_recent: false, has_btf: false, ..able() }), ["kernel", "types"]);
        assert_eq!(failed(&Preflight { lockdown: Some("confidentiality".into()), ..able() }), ["lockdown"]);
        assert_eq!(failed(&Preflight { lockdown: None, ..able() }), [""; 0]);
    }

    #[test]
    fn only_the_state_hook_is_indispensable() {
        let state = Hook::on(HookKind::State, "tp_btf/x".into());
        let other = Hook::on(HookKind::Retransmit, "tp_btf/y".into());
        assert_eq!(hook_check(&state, Trial::Works), Check::ok("state", "tp_btf/x, seen working"));
        assert_eq!(hook_check(&state, Trial::Silent).status, Status::Fail);
        assert_eq!(hook_check(&other, Trial::Silent).status, Status::Warn);
        assert_eq!(hook_check(&other, Trial::Unexercised).status, Status::Ok);
        let limited = Hook { limits: vec!["not all", "nor those"], ..other };
        let limited = hook_check(&limited, Trial::Works);
        assert_eq!((limited.status, limited.advice.as_deref()), (Status::Warn, Some("not all; nor those")));
        let off = hook_check(&Hook::off(HookKind::TimeWaitEnd, "no fentry".into()), Trial::Off);
        assert_eq!((off.status, off.detail.as_str()), (Status::Warn, "off: no fentry"));
    }
}
