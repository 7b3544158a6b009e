//! `cargo xtask vm`: the live tests on other kernels, each in a virtual machine of its own.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{
    process,
    test::{Artifacts, Build, Count},
    workspace,
};

mod busybox;
mod cpio;
mod debian;
mod image;
mod kernels;
mod machine;
mod verdicts;

use image::{Job, Programs};
use kernels::{KERNELS, Kernel};
use verdicts::Verdict;

/// What `cargo xtask vm` can be told.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// The kernels: 5.10, 6.1, 6.12, newest; all when none is named
    versions: Vec<String>,
    /// Run only tests whose names contain one of these
    #[arg(long, value_delimiter = ',')]
    test: Vec<String>,
    /// Allow only these hooks on kernel functions: fentry, kprobe, dump
    #[arg(long, conflicts_with = "exec")]
    hooks: Option<String>,
    /// Run a shell command in place of the tests, and show what it prints
    #[arg(long, conflicts_with = "test")]
    exec: Option<String>,
    /// Fetch the newest kernels again
    #[arg(long)]
    update: bool,
}

/// What the gate runs on each kernel, by parts of names: each hook and each mechanism at least once. All of the live tests
/// take an hour on an emulated processor.
const GATE: [&str; 19] = [
    "agent::functions_are_hooked_as_asked_for",
    "close::active_close",
    "close::passive_close",
    "close::one_closing",
    "reset::linger_0",
    "reset::refused",
    "mini::two_seconds_in_fin_wait_2",
    "mini::data_for_nobody_ends_fin_wait_2",
    "mini::reset_in_time_wait",
    "mini::reused_by_tcp_tw_reuse",
    "mini::new_syn_in_time_wait",
    "ages::an_orphans_by_its_timer",
    "ages::a_handshake_goes_on",
    "adopt::later_moves",
    "kinds::exact_bytes",
    "drops::data_sent_again",
    "ended::left_of_what_was_there_before",
    "time::half_a_second_in_close_wait",
    "chaos::told_as_the_kernel_has_it",
];

/// Boots all kernels, for what the gate runs on each.
pub(crate) fn gate() -> Result<Count> {
    count(&Args { test: GATE.map(str::to_owned).to_vec(), ..Args::default() })
}

/// The command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let count = count(args)?;
    println!("{count}");
    if count.failed > 0 {
        bail!("{} failed on other kernels", count.failed);
    }
    Ok(())
}

/// Boots the kernels and counts what passed and failed on all of them together.
fn count(args: &Args) -> Result<Count> {
    if !cfg!(target_arch = "x86_64") {
        bail!("the virtual machines are for x86-64 only");
    }
    let names = names(&args.versions)?;
    let kernels = kernels::get(&names, args.update)?;
    let programs = programs(args)?;
    let job = match (&args.exec, &programs.test) {
        (Some(command), _) => Job::Command(command.clone()),
        (None, Some(harness)) => Job::Tests(tests(harness, &args.test)?),
        (None, None) => bail!("cargo built no live tests"),
    };
    let hooks = args.hooks.as_deref();
    let next = AtomicUsize::new(0);
    let total = Mutex::new((Count::default(), Vec::new()));
    thread::scope(|scope| {
        for _ in 0..at_once().min(kernels.len()) {
            scope.spawn(|| {
                while let Some(kernel) = kernels.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (count, why) = on(kernel, &programs, &job, hooks);
                    if let Ok(mut total) = total.lock() {
                        total.0 += count;
                        total.1.extend(why);
                    }
                }
            });
        }
    });
    let (count, why) = total.into_inner().ok().context("a thread of ours has died")?;
    for failed in why {
        println!("{failed}");
    }
    Ok(count)
}

/// The names of the kernels that were asked for.
fn names(versions: &[String]) -> Result<Vec<&'static str>> {
    let all = KERNELS.map(|(name, _)| name);
    if let Some(unknown) = versions.iter().find(|version| !all.contains(&version.as_str())) {
        bail!("there is no kernel {unknown}; there are {}", all.join(", "));
    }
    Ok(all
        .into_iter()
        .filter(|name| versions.is_empty() || versions.iter().any(|version| version == name))
        .collect())
}

/// The programs that go into the machines, with all libraries in them.
fn programs(args: &Args) -> Result<Programs> {
    let how = Build {
        no_tests: args.exec.is_some(),
        packages: vec!["tcplife", "tcplife-tests"],
        args: vec!["--target", "x86_64-unknown-linux-gnu"],
        env: vec![
            ("RUSTFLAGS", "-Ctarget-feature=+crt-static"),
            // Near to what is released: emulated, an unoptimised tcplife takes half a minute to start. Lines of a
            // backtrace would make the archive ten times larger.
            ("CARGO_PROFILE_DEV_DEBUG", "false"),
            ("CARGO_PROFILE_DEV_OPT_LEVEL", "3"),
            ("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false"),
            ("CARGO_PROFILE_DEV_OVERFLOW_CHECKS", "false"),
        ],
    };
    let built = Artifacts::build(&how)?;
    let test = built.tests().find(|test| test.kind == "test" && test.name == "live");
    Ok(Programs {
        busybox: busybox::get(args.update)?,
        tcplife: built.program("tcplife")?.to_path_buf(),
        actor: built.program("tcplife-test-actor")?.to_path_buf(),
        test: test.map(|test| test.path.clone()),
    })
}

/// The names of the tests in a harness that contain one of these parts.
fn tests(harness: &Path, parts: &[String]) -> Result<Vec<String>> {
    let list = process::output(Command::new(harness).args(["--list", "--format", "terse"]))?;
    chosen(list.lines().filter_map(|line| line.strip_suffix(": test")).collect(), parts)
}

/// The names that contain one of these parts, all when there are no parts; each part is to be in some name, or less would be
/// tested than was asked for.
fn chosen(names: Vec<&str>, parts: &[String]) -> Result<Vec<String>> {
    if let Some(part) = parts.iter().find(|part| !names.iter().any(|name| name.contains(part.as_str()))) {
        bail!("there is no test {part}");
    }
    if names.is_empty() {
        bail!("there are no tests");
    }
    let wanted = |name: &&str| parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str()));
    Ok(names.into_iter().filter(wanted).map(str::to_owned).collect())
}

/// How many machines fit: one for each processor, and half of the memory at most.
fn at_once() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib =
        available.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or_default();
    let fit = usize::try_from(kib / 1024 / 2 / machine::MEMORY).unwrap_or(usize::MAX);
    processors.min(fit).max(1)
}

/// Boots one kernel and says what came of it. What failed, and what it printed, is left for the end, when all kernels
/// are done: there it is found.
fn on(kernel: &Kernel, programs: &Programs, job: &Job, hooks: Option<&str>) -> (Count, Option<String>) {
    let start = Instant::now();
    let (count, text, why) = match said(kernel, programs, job, hooks) {
        Ok(said) => judged(job, &said),
        Err(error) => (Count { failed: 1, ..Count::default() }, String::new(), format!("{error:#}")),
    };
    let seconds = start.elapsed().as_secs();
    let title = format!("kernel {} ({})", kernel.name, kernel.release);
    // One print, so that machines that end at the same time do not mix their lines.
    println!("--- {title}: {count} in {seconds} s\n{text}");
    (count, (count.failed > 0).then(|| format!("--- {title}: what failed\n{why}")))
}

/// What a machine with this kernel said.
fn said(kernel: &Kernel, programs: &Programs, job: &Job, hooks: Option<&str>) -> Result<String> {
    let dir = workspace::target()?.join("vm/run").join(kernel.name);
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let archive = dir.join("initramfs.cpio");
    image::write(&archive, kernel, programs, job, hooks)?;
    machine::boot(&kernel.image, &archive, &dir)
}

/// Counts verdicts and shows each; then which failed, after what they printed.
fn judged(job: &Job, said: &str) -> (Count, String, String) {
    let printed: Vec<&str> = said.lines().filter(|line| !line.starts_with('@')).collect();
    let printed = printed.join("\n");
    let expected = match job {
        Job::Tests(names) => names,
        Job::Command(_) => {
            let passed = said.lines().any(|line| line == "@status 0");
            let count = Count { passed: u64::from(passed), failed: u64::from(!passed), left_out: 0 };
            return (count, printed, "the command".to_owned());
        }
    };
    let mut count = Count::default();
    let (mut all, mut failed) = (Vec::new(), vec![printed]);
    for (name, verdict) in verdicts::read(expected, said) {
        let (passed, words) = match verdict {
            Verdict::Passed(seconds) => (true, format!("ok ({seconds} s)")),
            Verdict::Failed(reason) => (false, format!("FAILED: {reason}")),
            Verdict::Missing => (false, "FAILED: no verdict".to_owned()),
            Verdict::Doubled => (false, "FAILED: more than one verdict".to_owned()),
            Verdict::Unknown => (false, "FAILED: nobody asked for it".to_owned()),
        };
        count += Count { passed: u64::from(passed), failed: u64::from(!passed), left_out: 0 };
        let line = format!("test {name} ... {words}");
        if !passed {
            failed.push(line.clone());
        }
        all.push(line);
    }
    (count, all.join("\n"), failed.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_names_a_test() {
        let names = || vec!["close::active", "close::passive", "reset::refused"];
        let parts = |parts: &[&str]| -> Vec<String> { parts.iter().copied().map(str::to_owned).collect() };
        assert_eq!(chosen(names(), &[]).unwrap(), names());
        assert_eq!(
            chosen(names(), &parts(&["active", "reset::"])).unwrap(),
            ["close::active", "reset::refused"]
        );
        assert!(chosen(names(), &parts(&["active", "actve"])).unwrap_err().to_string().contains("actve"));
    }
}
