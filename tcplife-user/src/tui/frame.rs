//! What the engine's side and the screen's side tell each other.
//!
//! What comes in: from the screen a [`Request`], from the engine a [`Frame`]. What always holds: both are values that
//! nobody changes any more; each frame says which request it answers, so the screen can tell an answer that came too
//! late; both travel through channels that keep the newest only, so neither side waits for the other.

use std::sync::Arc;

use tcplife_core::{
    connection::ConnId,
    ports::Usages,
    suspect::{Facts, Faults, Suspect},
    table::Totals,
    timeline::Age,
    view::{Page, Query},
};

use super::{app::Tab, log::Logged, rates::Rates};
use crate::{
    facts::Reading,
    health::Health,
    stays::{By, Section},
};

/// Whether the data moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// Rows are those of now.
    #[default]
    Live,
    /// Rows are those of the moment at which the user asked for a pause.
    Paused,
}

/// What the screen wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The view that is open.
    pub tab: Tab,
    /// Of now, or of the moment of the pause.
    pub flow: Flow,
    /// What stays are grouped by.
    pub by: Option<By>,
    /// Whether it shows the settings of the namespaces.
    pub settings: bool,
    /// Which connections.
    pub query: Query,
}

/// What the open view shows besides connections.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum View {
    /// Nothing.
    #[default]
    None,
    /// The newest events, newest first.
    Log(Arc<[Logged]>),
    /// Times in each state.
    Stays(Arc<[Section]>),
    /// Local ports.
    Ports(Arc<Ports>),
}

/// Local ports in use, and what TIME_WAIT had to do with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// By source address and destination.
    pub usages: Usages,
    /// TIME_WAIT seen to end before its time: by reuse, by a reset, with its namespace.
    pub ended_early: u64,
}

/// The suspects that are wanted, as the kernel confirmed them last.
#[derive(Clone, Debug, Default)]
pub struct Leaks {
    /// When, nanoseconds of `CLOCK_MONOTONIC`; 0 for not yet.
    pub at: u64,
    /// Oldest first.
    pub suspects: Vec<Suspect>,
}

impl Leaks {
    /// How many of them are faults.
    pub fn faults(&self) -> Faults {
        Faults::of(&self.suspects)
    }

    /// How many wait for somebody's close, leaks or not.
    pub fn waiting(&self) -> usize {
        self.suspects.iter().filter(|suspect| suspect.facts.state.waits_for_close()).count()
    }

    /// The suspect of a connection.
    pub fn of(&self, id: ConnId) -> Option<&Suspect> {
        self.suspects.iter().find(|suspect| suspect.connection.id() == id)
    }

    /// A suspect with its times as they are at `now`, not when the kernel was asked.
    pub fn as_of(&self, suspect: &Suspect, now: u64) -> Suspect {
        let later = |since: u64| since.saturating_add(now.saturating_sub(self.at));
        let Facts { age, since_sent, since_received, since_orphaned, .. } = suspect.facts;
        let facts = Facts {
            age: Age { min: later(age.min), max: age.max.map(later) },
            since_sent: since_sent.map(later),
            since_received: since_received.map(later),
            since_orphaned: since_orphaned.map(later),
            ..suspect.facts
        };
        Suspect { facts, ..suspect.clone() }
    }

    fn looks_like(&self, other: &Self) -> bool {
        let same = |(a, b): (&Suspect, &Suspect)| {
            (a.connection.id(), a.verdict, a.facts.recv_queue, a.facts.send_queue, a.peer, &a.holders)
                == (b.connection.id(), b.verdict, b.facts.recv_queue, b.facts.send_queue, b.peer, &b.holders)
        };
        let pairs = || self.suspects.iter().zip(&other.suspects);
        (self.at == 0) == (other.at == 0) && self.suspects.len() == other.suspects.len() && pairs().all(same)
    }
}

/// What tcplife itself takes of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Of one CPU, in thousandths, over the last second.
    pub cpu: u64,
    /// Resident memory, bytes.
    pub memory: u64,
}

/// Everything a screen shows, of one moment.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// What this answers.
    pub request: Request,
    /// The moment of rows, counts and log, nanoseconds of `CLOCK_MONOTONIC`; in a pause that of its begin.
    pub now: u64,
    /// When the trace began, on the same clock.
    pub started: u64,
    /// The connections.
    pub page: Arc<Page>,
    /// Counts over all connections.
    pub totals: Totals,
    /// What the open view shows besides.
    pub view: View,
    /// Leaks, whatever view is open.
    pub leaks: Arc<Leaks>,
    /// Settings of the namespaces, if the screen shows them; read a while ago.
    pub settings: Arc<[Reading]>,
    /// How the trace goes; of now, even in a pause.
    pub health: Health,
    /// How much happens; of now, even in a pause.
    pub rates: Rates,
    /// What tcplife takes; of now, even in a pause.
    pub cost: Cost,
}

impl Frame {
    /// Whether a screen of `other` would look the same but for the ages, which go on by themselves.
    pub fn looks_like(&self, other: &Self) -> bool {
        let Self { request, now: _, started, page, totals, view, leaks, settings, health, rates, cost } =
            self;
        let counts = *started == other.started && *totals == other.totals && *health == other.health;
        counts
            && *rates == other.rates
            && *cost == other.cost
            && *request == other.request
            && *page == other.page
            && *view == other.view
            && leaks.looks_like(&other.leaks)
            && *settings == other.settings
    }

    /// The newest events, if the view shows them.
    pub fn log(&self) -> &[Logged] {
        match &self.view {
            View::Log(log) => log,
            View::None | View::Stays(_) | View::Ports(_) => &[],
        }
    }

    /// Times in each state, if the view shows them.
    pub fn stays(&self) -> &[Section] {
        match &self.view {
            View::Stays(sections) => sections,
            View::None | View::Log(_) | View::Ports(_) => &[],
        }
    }

    /// Local ports, if the view shows them.
    pub fn ports(&self) -> Option<&Ports> {
        match &self.view {
            View::Ports(ports) => Some(ports),
            View::None | View::Log(_) | View::Stays(_) => None,
        }
    }

    /// The settings of a namespace, if they have been read.
    pub fn reading(&self, netns: u32) -> Option<&Reading> {
        self.settings.iter().find(|reading| reading.netns == netns)
    }
}
