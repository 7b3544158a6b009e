//! The system's packages: what is missing is installed by apt on Debian and its kin, and named elsewhere.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::process;

/// Runs the command in its arguments while no package starts a service: `$0` says no to each that asks, as Debian's policy
/// manual has it for `/usr/sbin/policy-rc.d`. One that is there already is the administrator's, and stays, unless it is what an
/// earlier run of this could not remove.
const WITHOUT_SERVICES: &str = r#"
if grep -qs '^# of cargo xtask$' "$0"; then
    rm -f "$0"
fi
if (set -C; printf '#!/bin/sh\n# of cargo xtask\nexit 101\n' >"$0") 2>/dev/null; then
    trap 'rm -f "$0"' EXIT
    trap 'exit 1' HUP INT TERM
    chmod 755 "$0"
fi
"$@"
"#;

/// Is this a system whose packages apt installs?
pub(crate) fn has_apt() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let kin = |line: &str| {
        (line.starts_with("ID=") || line.starts_with("ID_LIKE="))
            && (line.contains("debian") || line.contains("ubuntu"))
    };
    release.lines().any(kin) && process::which("apt-get").is_some()
}

/// Installs those programs (each with Debian's package of it) that are missing; where that cannot be done they are
/// named. `what` needs them.
pub(crate) fn require(programs: &[(&str, &str)], what: &str) -> Result<()> {
    let missing: Vec<_> = programs.iter().filter(|(program, _)| process::which(program).is_none()).collect();
    if missing.is_empty() {
        println!("everything that {what} need is there");
        return Ok(());
    }
    if !has_apt() {
        let names: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
        bail!(
            "{what} need programs that are not here, and there is no apt to install them: {}",
            names.join(", ")
        );
    }
    let names: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    install(&names)
}

/// Installs packages by apt, through sudo when not root; nothing installed is ever removed for it, and no service that
/// comes with a package is started.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if !process::is_root() && process::which("sudo").is_none() {
        bail!("installing {} needs root, and there is no sudo", packages.join(" "));
    }
    println!("installing {}", packages.join(" "));
    let apt = |args: &[&str]| {
        let mut root = process::as_root("sh");
        root.args(["-c", WITHOUT_SERVICES, "/usr/sbin/policy-rc.d"]);
        process::output(root.args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]).args(args))
    };
    // A stale list is the usual reason for a package that cannot be had; another source that cannot be reached is
    // no reason to stop.
    if let Err(error) = apt(&["update"]) {
        println!("going on with the package lists there are: {error:#}");
    }
    let mut args = vec!["install", "-y", "--no-remove", "--no-install-recommends"];
    args.extend(packages);
    apt(&args).map(drop).with_context(|| format!("installing {}", packages.join(" ")))
}

#[cfg(test)]
mod tests {
    use std::{env, path::Path, process::Command};

    use super::*;

    /// What a command prints that runs without services, with the policy in this file.
    fn without_services(policy: &Path, command: &str) -> (String, Option<i32>) {
        let mut shell = Command::new("sh");
        shell.args(["-c", WITHOUT_SERVICES]).arg(policy).args(["sh", "-c", command, "sh"]).arg(policy);
        let ended = shell.output().unwrap();
        (String::from_utf8(ended.stdout).unwrap(), ended.status.code())
    }

    #[test]
    fn no_service_is_started_meanwhile() {
        let policy = env::temp_dir().join(format!("policy-rc.d-{}", std::process::id()));
        for (last, status) in [("", 0), ("; exit 3", 3), ("; kill -TERM $PPID", 1)] {
            let told = without_services(&policy, &format!(r#""$1"; echo $?{last}"#));
            assert_eq!((told, policy.exists()), (("101\n".to_owned(), Some(status)), false), "{last}");
        }
        // What a run left behind that was killed.
        fs::write(&policy, "#!/bin/sh\n# of cargo xtask\nexit 101\n").unwrap();
        without_services(&policy, "true");
        assert!(!policy.exists());
    }

    #[test]
    fn a_policy_of_the_administrator_stays() {
        let policy = env::temp_dir().join(format!("policy-rc.d-kept-{}", std::process::id()));
        fs::write(&policy, "kept").unwrap();
        without_services(&policy, "true");
        assert_eq!(fs::read_to_string(&policy).unwrap(), "kept");
        fs::remove_file(&policy).unwrap();
    }
}
