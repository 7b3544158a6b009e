//! Sockets that wait for somebody's close, confirmed against the kernel at the moment of reporting.
//!
//! What comes in: a moment at which a sink wants to know. What goes out: suspects, made of what the kernel has just then.
//! What always holds: none is told from memory.

use std::{panic::resume_unwind, thread};

use anyhow::{Result, bail};
use tcplife_core::{
    connection::Connection,
    observer::Observer,
    state::State,
    suspect::{self, Sight, Sockets, Suspect, Tally},
    table::{self, Census, MiniEndSource, Scope, Table},
};

use super::{
    Engine,
    look::{Dumps, Look, look_everywhere},
    namespaces::Lost,
    wanted::wanted,
};
use crate::{
    clock,
    config::{Config, Evidence},
    health::Hook,
    memory,
    sink::{Confirm, Sink},
    source::{
        Iterators, Live,
        diag::{self, Refused},
        dump::{self, Listing, SUSPECTS},
        namespaces::{self, Netns},
        preflight::Preflight,
    },
    threads,
};

/// Dumps that can tell what they do not show, after they were made.
trait Limited: Dumps {
    /// What makes them.
    fn hook(&self) -> Hook;
    /// Whose descriptors they show.
    fn sight(&self) -> Sight;
}

/// The iterators alone, with what this process may do.
struct Untraced<'a>(Iterators, &'a Preflight);

impl Dumps for Untraced<'_> {
    fn dump(&mut self, netns: &[Netns]) -> Result<Look> {
        let (found, looked_into) = self.0.look(SUSPECTS, netns)?;
        Ok(Look::of(found, &looked_into))
    }
}

impl Limited for Untraced<'_> {
    fn hook(&self) -> Hook {
        dump::hook(self.1.may_enter(), self.1.sight)
    }

    fn sight(&self) -> Sight {
        self.1.sight
    }
}

/// A running trace, whose records are taken in meanwhile.
struct Tracing<'a, F>(&'a mut Live, F);

impl<F: FnMut(&[u8])> Dumps for Tracing<'_, F> {
    fn dump(&mut self, netns: &[Netns]) -> Result<Look> {
        let mut listing = Listing::of_all();
        self.0.dump_held(SUSPECTS, &mut listing, &mut self.1)?;
        let looked_into = self.0.dump_sockets(SUSPECTS, netns, &mut listing, &mut self.1)?;
        Ok(Look::of(listing.found, &looked_into))
    }
}

/// Without BPF.
struct Diag<'a> {
    host: &'a Preflight,
    refused: Refused,
}

impl<'a> Diag<'a> {
    fn of(host: &'a Preflight) -> Self {
        Self { host, refused: Refused::default() }
    }
}

impl Dumps for Diag<'_> {
    fn dump(&mut self, netns: &[Netns]) -> Result<Look> {
        let found = diag::dump(SUSPECTS, netns, self.host.may_read(), &mut self.refused)?;
        Ok(Look::of(found, &[]))
    }
}

impl Limited for Diag<'_> {
    fn hook(&self) -> Hook {
        diag::hook(self.host.sight, self.refused)
    }

    fn sight(&self) -> Sight {
        if self.refused.descriptors { Sight::Some } else { self.host.sight }
    }
}

/// The suspects of the host as they are now, without a trace.
pub struct Glance {
    /// Every connection that was found, but for orphans that are counted.
    pub table: Table,
    /// The suspects, oldest first.
    pub suspects: Vec<Suspect>,
    /// How many orphans in mini-sockets there are of each verdict, if they are not among the suspects.
    pub orphans: Tally,
    /// What told of them.
    pub evidence: Hook,
    /// Why the better way was not to be had.
    pub fallback: Option<String>,
}

/// How orphans in mini-sockets are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// Each as a suspect.
    Each,
    /// How many there are: a host has as many as sockets that wait for a close, and nobody on it has to close one.
    Counted,
}

/// Looks at the host's sockets once.
///
/// # Errors
/// The kernel's sockets cannot be listed.
pub fn glance(config: &Config, orphans: Orphans) -> Result<Glance> {
    memory::keep();
    let host = Preflight::look();
    if config.evidence == Evidence::SockDiag {
        return glance_with(&mut Diag::of(&host), namespaces::all(), diag::HZ, (config, orphans));
    }
    let (netns, iterators) = thread::scope(|scope| {
        let netns = threads::start(scope, namespaces::all)?;
        let iterators = host.check().and_then(|()| Iterators::load(config.verbose));
        Ok::<_, anyhow::Error>((netns.join().unwrap_or_default(), iterators))
    })?;
    match iterators {
        Ok(iterators) => {
            glance_with(&mut Untraced(iterators, &host), netns, clock::kernel_hz(), (config, orphans))
        }
        Err(why) if host.may_trace() && config.evidence == Evidence::Best => {
            let glance = glance_with(&mut Diag::of(&host), netns, diag::HZ, (config, orphans))?;
            Ok(Glance { fallback: Some(format!("{why:#}")), ..glance })
        }
        Err(why) if !host.may_trace() && config.evidence == Evidence::Best => {
            bail!(
                "{why:#}; --evidence sock_diag does without them, where every process's descriptors can be read"
            )
        }
        Err(why) => Err(why),
    }
}

fn glance_with(
    dumps: &mut impl Limited,
    netns: Vec<Netns>,
    hz: u32,
    (config, orphans): (&Config, Orphans),
) -> Result<Glance> {
    let begun = clock::monotonic_ns();
    // A look at every thread and mount takes much longer.
    let found = look_everywhere(dumps, netns, namespaces::elsewhere)?;
    let capacity = config.max_connections;
    let mini_ends = match orphans {
        Orphans::Each => MiniEndSource::Computed,
        Orphans::Counted => MiniEndSource::Ignored,
    };
    let of_table =
        table::Config { capacity, hz, mini_ends, takes_up_ended: true, ..table::Config::default() };
    let mut table = Table::new(of_table);
    let is_wanted = wanted(&config.filter);
    let census = Census::of_some(begun, &found);
    let sight = dumps.sight();
    let sockets = thread::scope(|scope| {
        let sockets = threads::start(scope, || Sockets::of(&found, sight))?;
        table.take_census(&census, &is_wanted, &mut ());
        Ok::<_, anyhow::Error>(sockets.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    let (now, leak_after) = (clock::monotonic_ns(), clock::as_ns(config.leak_after));
    let suspects = suspect::suspects(&table, &sockets, now, leak_after, hz);
    let orphans = match orphans {
        Orphans::Counted if config.filter.wants_state(State::FinWait2) => {
            suspect::orphans(&sockets, &is_wanted, now, leak_after, hz)
        }
        _ => Tally::default(),
    };
    Ok(Glance { table, suspects, orphans, evidence: dumps.hook(), fallback: None })
}

impl Engine {
    /// Tells the suspects as they are now. Without a connection old enough to be one, nobody has to look: `None`.
    pub(super) fn tell_suspects<S: Sink>(&mut self, sink: &mut S) -> Result<Option<()>> {
        let begun = clock::monotonic_ns();
        let old_enough = |connection: &Connection| {
            connection.state().is_judged()
                && self.filter.wants_state(connection.state())
                && connection.since().age(begun).max.is_none_or(|max| max >= self.leak_after)
        };
        let looked = sink.confirm() == Confirm::AtBothEnds || self.table.iter().any(old_enough);
        let suspects = if looked { self.suspects(begun, sink)? } else { Vec::new() };
        sink.suspects(clock::monotonic_ns(), suspects);
        Ok(looked.then_some(()))
    }

    /// The suspects as they are now.
    fn suspects<O: Observer>(&mut self, begun: u64, observer: &mut O) -> Result<Vec<Suspect>> {
        let netns = self.every_namespace();
        self.table.expect_census();
        let (live, intake) = self.intake(observer);
        let found = look_everywhere(&mut Tracing(live, intake), netns, |_| Vec::new())?;
        self.take(begun, Scope::Some, Vec::new(), &Lost::default(), &found, observer);
        let now = clock::monotonic_ns();
        let sockets = Sockets::of(&found, self.sight);
        Ok(suspect::suspects(&self.table, &sockets, now, self.leak_after, clock::kernel_hz()))
    }
}
