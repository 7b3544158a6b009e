//! The one task that owns the connection table: from the ring buffer to the model to a sink.
//!
//! What comes in: records, time, signals. What goes out: calls on a [`Sink`], in order. What always holds: the table is
//! changed here only; every loss is counted once, by cause, and told to the sink; however the run ends, the hooks are
//! detached and what was seen is written out.

mod census;
mod health;
mod look;
mod namespaces;
mod pace;
mod selected;
mod suspects;
mod wanted;

use std::{
    fs, io,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tcplife_common::{counters::Counters, wire::Record};
use tcplife_core::{
    filter::{Families, Filter},
    observer::Observer,
    suspect::Sight,
    table::{self, Handshakes, MiniEndSource, Table},
};

use census::{MINI_PERIOD, RESYNC_PERIOD};
use namespaces::Namespaces;
use pace::{Drained, Pace};
use selected::Selected;
use wanted::refused;

pub use suspects::{Glance, Orphans, glance};

use crate::{
    clock,
    config::{Config, Minis},
    health::{Health, HookKind, Knowledge, List},
    memory,
    sink::{Confirm, Sink},
    source::{
        Live, Options,
        dump::{ALL_STATES, FULL_SOCKETS, StateMask},
        preflight::Preflight,
    },
};

/// Counters of the kernel side are read this often.
const HEALTH_PERIOD: Duration = Duration::from_secs(1);
/// Records taken in one go, so that a signal is never kept waiting.
const BATCH: usize = 1 << 13;

/// Traces until a signal, the end of `config.duration`, or the sink's end.
///
/// # Errors
/// Tracing is not possible here, or writing failed; a closed output is not an error.
pub fn run<S: Sink>(config: &Config, sink: &mut S) -> Result<()> {
    let host = Preflight::look();
    host.check()?;
    Engine::start(config, &host, sink.confirm())?.run(sink)
}

/// When what is due next.
struct Chores {
    health: Instant,
    resync: Instant,
    /// After a loss, not before this: under a load that goes on losing, lists of sockets are not to make it worse.
    mend: Instant,
    minis: Instant,
    /// Namespaces with new mini-sockets.
    meet: Instant,
    suspects: Instant,
}

impl Chores {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            health: now + HEALTH_PERIOD,
            resync: now + RESYNC_PERIOD,
            mend: now,
            minis: now + MINI_PERIOD,
            meet: now,
            suspects: now,
        }
    }
}

struct Engine {
    live: Live,
    table: Table,
    filter: Filter,
    namespaces: Namespaces,
    selected: Selected,
    /// Whose descriptors this process can see.
    sight: Sight,
    /// Where the ends of mini-sockets come from.
    mini_ends: MiniEndSource,
    /// What a census looks at.
    states: StateMask,
    /// Nanoseconds in a state after which it can be a leak.
    leak_after: u64,
    health: Health,
    malformed: u64,
    /// The last reading of the kernel side's counts.
    counters: Counters,
    /// The last reading of losses by recursion.
    recursion: u64,
    /// The kernel side leaves out events by port: what is known of other ports has gaps by design.
    filters_ports: bool,
    /// It leaves some out by what it knows only later, ports or a family: what it let through until then is withdrawn.
    filters_late: bool,
    /// Signs of lost events (`Totals::mismatched`) that are accounted for.
    signs: u64,
    /// When all hooks were attached. What some of them told before that is not whole; the first census knows better.
    attached: u64,
    /// When they began to be detached. From then on some tell what others do not any more.
    detached: u64,
    /// Time of the newest record, nanoseconds of `CLOCK_MONOTONIC`.
    heard_until: u64,
    pace: Pace,
}

impl Engine {
    fn start(config: &Config, host: &Preflight, confirm: Confirm) -> Result<Self> {
        let pace = Pace::listen(config.duration).context("cannot listen for signals")?;
        let follows_minis = config.minis != Minis::Ignored;
        let live = Live::start(&Options {
            settings: config.settings,
            local_ports: &|port| config.filter.local_ports.contains(port),
            remote_ports: &|port| config.filter.remote_ports.contains(port),
            ring_bytes: config.ring_bytes,
            allowed: config.allowed,
            follows_minis,
            all_namespaces: host.may_enter(),
            sight: host.sight,
            verbose: config.verbose,
        })?;
        pace.hear(&live).context("cannot wait for the ring buffer")?;
        let mut health = Health { hooks: live.hooks().to_vec(), ..Health::default() };
        let mini_ends = mini_ends(follows_minis, &mut health, live.can_dump());
        let handshakes =
            if health.has(HookKind::SynReceived) { Handshakes::Told } else { Handshakes::Hidden };
        let table = Table::new(table::Config {
            capacity: config.max_connections,
            hz: clock::kernel_hz(),
            life_after_time_wait: config.minis == Minis::OfLife,
            mini_ends,
            handshakes,
            takes_up_ended: confirm != Confirm::Never,
            onlooker: own_name(),
        });
        let filters_ports = config.settings.by_local_port + config.settings.by_remote_port > 0;
        Ok(Self {
            live,
            table,
            filter: config.filter.clone(),
            namespaces: Namespaces::new(host.may_enter(), mini_ends == MiniEndSource::Dumped),
            selected: Selected::of(&config.filter.netns),
            sight: host.sight,
            mini_ends,
            states: if follows_minis { ALL_STATES } else { FULL_SOCKETS },
            leak_after: clock::as_ns(config.leak_after),
            health,
            malformed: 0,
            counters: Counters::default(),
            recursion: 0,
            filters_ports,
            filters_late: filters_ports || config.filter.families != Families::Both,
            signs: 0,
            attached: clock::monotonic_ns(),
            detached: u64::MAX,
            heard_until: 0,
            pace,
        })
    }

    fn run<S: Sink>(mut self, sink: &mut S) -> Result<()> {
        if self.live.can_dump() {
            // Nobody is told of what ends before the trace begins.
            self.census(&mut ()).context("cannot take up the sockets that exist already")?;
            self.signs = self.table.totals().mismatched;
        }
        // Before the ready line: what comes after it is growth.
        if sink.confirm() == Confirm::AtBothEnds {
            self.tell_suspects(sink)?;
        }
        sink.ready();
        memory::give_back();
        self.pace.begin(sink.is_screen());
        let followed = self.follow(sink);
        // What was seen is told, whatever went wrong.
        let finished = self.finish(sink);
        match followed.and(finished) {
            Err(error) if is_closed_output(&error) => Ok(()),
            other => other,
        }
    }

    fn follow<S: Sink>(&mut self, sink: &mut S) -> Result<()> {
        let mut chores = Chores::new();
        let mut drained = Drained::Some;
        // Under a load that never lets the ring buffer run dry, signals and the clock still end the run.
        while self.pace.wait(drained).context("cannot wait for the ring buffer")? {
            clock::follow();
            drained = match self.take_batch(sink) {
                0 => Drained::Nothing,
                BATCH => Drained::More,
                _ => Drained::Some,
            };
            // While records still wait, it is no later than the newest one that was taken: those behind it come first.
            let now = if drained == Drained::More { self.heard_until } else { clock::monotonic_ns() };
            self.table.tick(now, sink);
            self.do_chores(&mut chores, sink)?;
            if self.flush(sink)?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What is due at a slower pace than reading.
    fn do_chores<S: Sink>(&mut self, chores: &mut Chores, sink: &mut S) -> Result<()> {
        let now = Instant::now();
        if now >= chores.health {
            chores.health = now + HEALTH_PERIOD;
            self.check_health(sink)?;
        }
        if self.mini_ends == MiniEndSource::Dumped && now >= chores.meet {
            let cpu = clock::cpu_ns();
            self.namespaces.meet(self.table.mini_netns());
            chores.meet = now + census::pause_after_meeting(Duration::from_nanos(clock::cpu_ns() - cpu));
        }
        if !self.live.can_dump() {
            return Ok(());
        }
        let lost = self.health.knowledge == Knowledge::Incomplete;
        if lost && now >= chores.mend || now >= chores.resync {
            let outcome = self.census(sink);
            chores.resync = Instant::now() + RESYNC_PERIOD;
            chores.mend = Instant::now() + census::pause_after_loss(now.elapsed());
            if let Some(outcome) = self.listed(List::Everything, outcome.map(Some))
                && lost
            {
                self.mended(&outcome, sink);
            }
        } else if self.mini_ends == MiniEndSource::Dumped && now >= chores.minis {
            let cpu = clock::cpu_ns();
            let outcome = self.mini_census(sink);
            self.listed(List::MiniSockets, outcome);
            chores.minis =
                Instant::now() + census::pause_after_minis(Duration::from_nanos(clock::cpu_ns() - cpu));
        }
        if let Confirm::Every(period) = sink.confirm()
            && now >= chores.suspects
        {
            let begun = Instant::now();
            let told = self.tell_suspects(sink);
            if told.is_err() {
                // None is told from memory.
                sink.suspects(clock::monotonic_ns(), Vec::new());
            }
            self.listed(List::Suspects, told);
            chores.suspects = Instant::now() + census::pause_after_suspects(begun.elapsed(), period);
        }
        Ok(())
    }

    fn flush<S: Sink>(&self, sink: &mut S) -> io::Result<ControlFlow<()>> {
        sink.flush(clock::monotonic_ns(), &self.table, &self.health)
    }

    fn take_batch<O: Observer>(&mut self, observer: &mut O) -> usize {
        let (live, intake) = self.intake(observer);
        live.print_log();
        live.drain(BATCH, intake)
    }

    /// Where records come from and what is done with each.
    fn intake<'a, O: Observer>(&'a mut self, observer: &'a mut O) -> (&'a mut Live, impl FnMut(&[u8]) + 'a) {
        let Self { live, table, filter, filters_late, health, malformed, heard_until, .. } = self;
        let whole = self.attached..self.detached;
        // By reference: a record is long, and taking it out of its result would copy it.
        let take = move |bytes: &[u8]| match &Record::decode(bytes) {
            Ok(record) => {
                health.events += 1;
                let time = record.head().time_ns;
                *heard_until = (*heard_until).max(time);
                let refused = if *filters_late { refused(filter, record) } else { None };
                match refused {
                    Some(tuple) => table.withdraw(record.head(), tuple, observer),
                    None if whole.contains(&time) => table.apply(record, observer),
                    None => {}
                }
            }
            Err(_) => *malformed += 1,
        };
        (live, take)
    }

    fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<()> {
        if sink.confirm() == Confirm::AtBothEnds {
            // Without it there is nothing to be told.
            self.tell_suspects(sink)?;
        }
        // For the ends that no event told. Without it the rest is still right.
        if self.live.can_dump() {
            let outcome = self.census(sink);
            self.listed(List::Everything, outcome.map(Some));
        }
        self.detached = clock::monotonic_ns();
        self.live.detach();
        sink.detached();
        while self.take_batch(sink) > 0 {}
        self.wait_for_kept_back(sink);
        let counted = self.check_health(sink);
        let now = clock::monotonic_ns();
        self.table.tick(now, sink);
        self.table.finish(now, sink);
        sink.finish(now, &self.table, &self.health)?;
        counted
    }
}

/// How the ends of mini-sockets are known. Dumps tell what no hook does.
fn mini_ends(follows_minis: bool, health: &mut Health, can_dump: bool) -> MiniEndSource {
    match (follows_minis, health.has(HookKind::TimeWaitEnd), can_dump) {
        (false, ..) => MiniEndSource::Ignored,
        (_, true, _) => MiniEndSource::Told,
        (_, false, true) => {
            let each_second = "iter/tcp each second or slower + timer";
            health.replace(HookKind::TimeWaitEnd, &format!("{each_second} (early ends to that)"));
            health.replace(HookKind::TimeWaitFromFinWait2, &format!("{each_second} (to 1 jiffy)"));
            MiniEndSource::Dumped
        }
        (_, false, false) => MiniEndSource::Computed,
    }
}

/// The kernel's name of this process, padded with zeroes; another tcplife has the same.
fn own_name() -> [u8; 16] {
    let mut name = [0; 16];
    let read = fs::read("/proc/self/comm").unwrap_or_default();
    for (slot, &byte) in name.iter_mut().zip(read.trim_ascii_end()) {
        *slot = byte;
    }
    name
}

fn is_closed_output(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
