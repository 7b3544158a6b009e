//! Playing one variant of a case, from its namespaces to the end of its last process.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    deadline::{scaled, until},
    kernel_table::KernelSocket,
    namespace::Namespace,
    suspect::{Report, suspects},
    tracer::Tracer,
};

use super::{
    case::{Kinds, Step, Variant},
    names::Names,
    programs::{Program, Refused},
};

/// Longest wait for something that programs do to their sockets.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks at the kernel's sockets.
const PAUSE: Duration = Duration::from_millis(25);
/// Sockets that do not change their state for so long are older than `--leak-after` by any clock of the kernel's.
const SETTLED: Duration = Duration::from_millis(1_500);
/// The addresses of two namespaces that are connected.
const WIRE: [&str; 2] = ["10.99.0.1/24", "10.99.0.2/24"];

/// What came of it.
#[derive(Debug)]
pub(crate) enum Played {
    /// What was reported.
    Reported { leaks: Kinds, others: Kinds, suspects: Vec<String> },
    /// The machine refuses what the case needs.
    NotRun(String),
    /// It did not come to a report.
    Failed(String),
}

/// Plays a variant of a case.
pub(crate) fn play(name: &str, variant: &Variant, folder: &Path) -> Played {
    let played = Scene::new(name, folder).and_then(|mut scene| {
        for step in &variant.steps {
            scene.take(step, variant).with_context(|| format!("{step:?}"))?;
        }
        scene.report(variant)
    });
    match played {
        Ok(played) => played,
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(Refused(why)) if variant.optional => Played::NotRun(why.clone()),
            _ => Played::Failed(format!("{error:#}")),
        },
    }
}

/// A case while it is played. Its processes end with it, and its files go.
struct Scene<'a> {
    folder: &'a Path,
    temporary: PathBuf,
    near: Namespace,
    far: Option<Namespace>,
    programs: Vec<Program>,
    names: Names,
    observer: Option<Tracer>,
}

impl<'a> Scene<'a> {
    fn new(name: &str, folder: &'a Path) -> Result<Self> {
        let name = name.replace(", ", "-");
        let temporary = env::temp_dir().join(format!("tcplife-corpus-{}-{name}", process::id()));
        fs::create_dir(&temporary).with_context(|| format!("making {}", temporary.display()))?;
        let near = Namespace::new()?;
        let (programs, names) = (Vec::new(), Names::default());
        Ok(Self { folder, temporary, near, far: None, programs, names, observer: None })
    }

    fn take(&mut self, step: &Step, variant: &Variant) -> Result<()> {
        match step {
            Step::Far => {
                let far = Namespace::new()?;
                self.near.wire(WIRE[0], &far, WIRE[1])?;
                self.far = Some(far);
                Ok(())
            }
            Step::Sysctl(key, value) => self.near.sysctl(key, value),
            Step::Run(command) => {
                Program::start("it", &self.filled(command), &self.near, self.folder)?.exits()
            }
            Step::Start { name, far, command } => {
                let netns = if *far { self.far.as_ref().context("no far side")? } else { &self.near };
                self.programs.push(Program::start(name, &self.filled(command), netns, self.folder)?);
                Ok(())
            }
            Step::Says(name, text) => self.program(name)?.says(text),
            Step::Listens(port) => self.await_sockets(|sockets| {
                sockets.iter().any(|socket| socket.state == "listen" && socket.ends.local.port() == *port)
            }),
            Step::Exits(name) => self.program(name)?.exits(),
            Step::Sockets(state, count) => self.await_sockets(|sockets| {
                sockets.iter().filter(|socket| socket.state == state).count() == *count
            }),
            Step::Settled => self.settle(),
            Step::Tell(name, text) => self.program(name)?.tell(text),
            Step::Kill(name) => self.program(name)?.kill(),
            Step::Observe => {
                let mut arguments = ["leaks", "-o", "json", "-d", "1h"].map(str::to_owned).to_vec();
                arguments.extend(self.arguments(variant));
                self.observer = Some(Tracer::start(&arguments)?);
                Ok(())
            }
        }
    }

    /// A command with the folders of this case.
    fn filled(&self, command: &[String]) -> Vec<String> {
        let (here, temporary) = (self.folder.to_string_lossy(), self.temporary.to_string_lossy());
        command.iter().map(|word| word.replace("$here", &here).replace("$tmp", &temporary)).collect()
    }

    fn program(&mut self, name: &str) -> Result<&mut Program> {
        self.programs.iter_mut().find(|program| program.name == name).context("no such program")
    }

    fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        [Some(&self.near), self.far.as_ref()].into_iter().flatten()
    }

    fn sockets(&mut self) -> Result<Vec<KernelSocket>> {
        let mut sockets = self.near.sockets()?;
        if let Some(far) = &mut self.far {
            sockets.extend(far.sockets()?);
        }
        Ok(sockets)
    }

    fn await_sockets(&mut self, wanted: impl Fn(&[KernelSocket]) -> bool) -> Result<()> {
        let deadline = Instant::now() + scaled(PATIENCE);
        loop {
            let sockets = self.sockets()?;
            if wanted(&sockets) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not in time: {sockets:?}");
            thread::sleep(PAUSE);
        }
    }

    /// Waits until no socket has changed its state for a while.
    fn settle(&mut self) -> Result<()> {
        let deadline = Instant::now() + scaled(PATIENCE);
        let (mut last, mut since) = (self.sockets()?, Instant::now());
        while since.elapsed() < SETTLED {
            thread::sleep(PAUSE);
            let now = self.sockets()?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
            ensure!(since < deadline, "the sockets do not settle: {last:?}");
        }
        Ok(())
    }

    fn processes(&self) -> Result<Vec<u32>> {
        let mut all = Vec::new();
        for netns in self.namespaces() {
            all.extend(netns.processes()?);
        }
        Ok(all)
    }

    fn arguments(&self, variant: &Variant) -> Vec<String> {
        let netns: Vec<String> = self.namespaces().map(|netns| netns.inode().to_string()).collect();
        let netns = netns.join(",");
        let words = ["--all", "--leak-after", &variant.leak_after, "--netns", &netns];
        words.map(str::to_owned).to_vec()
    }

    fn report(mut self, variant: &Variant) -> Result<Played> {
        let records = if let Some(observer) = self.observer.take() {
            observer.stop()?.records
        } else {
            let report = Report::once(&self.arguments(variant))?;
            ensure!(report.status == Some(0), "tcplife says: {}", report.said);
            report.records
        };
        let processes = self.processes()?;
        self.names.look(&self.programs, &processes);
        let suspects = suspects(&records);
        let (mut leaks, mut others) = (Kinds::default(), Kinds::default());
        for suspect in &suspects {
            let kinds = if suspect.leak { &mut leaks } else { &mut others };
            *kinds.0.entry(self.names.kind(suspect)).or_default() += 1;
        }
        let suspects = suspects.iter().map(|suspect| format!("{suspect:?}")).collect();
        Ok(Played::Reported { leaks, others, suspects })
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        // What a program started outlives it; here is nobody to tell of a failure, and the gate looks for what is left.
        let _ = until("the end of all processes", PATIENCE, || {
            let processes = self.processes()?;
            for pid in &processes {
                let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw);
                let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
            }
            Ok(processes.is_empty().then_some(()))
        });
        let _ = fs::remove_dir_all(&self.temporary);
    }
}
