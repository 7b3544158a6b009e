//! What the lines of a view are, for the cursor as for drawing.
//!
//! What comes in: the newest data and what is unfolded. What goes out: lines from top to bottom. What always holds: the
//! same data gives the same lines, so that the cursor is on the line that is drawn as selected.

use tcplife_core::{
    connection::ConnId,
    owner::Process,
    ports::Place,
    state::State,
    suspect::{
        Suspect,
        groups::{Group, groups},
    },
};

use super::{
    app::{App, LeaksTab},
    frame::Leaks,
};
use crate::stays::{Row, Section, Which};

/// A line of the view of leaks.
pub enum LeakLine<'a> {
    /// A process and what it leaks.
    Group(Group<'a>),
    /// One of its sockets.
    Socket(&'a Suspect),
}

/// A line of the view of histograms.
#[derive(Clone, Copy)]
pub enum StayLine<'a> {
    /// The name of a group.
    Head(&'a Section),
    /// A state.
    Row(&'a Row),
}

/// What a line of the view of leaks is about: a process, by thread-group id, or a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeakKey {
    Group(Option<u32>),
    Socket(ConnId),
}

impl LeakLine<'_> {
    /// What the line is about.
    pub const fn key(&self) -> LeakKey {
        match self {
            Self::Group(group) => LeakKey::Group(pid(group.process)),
            Self::Socket(suspect) => LeakKey::Socket(suspect.connection.id()),
        }
    }
}

/// What a line of the view of histograms is about: whose stays, and in which state; `None` for the group's name.
pub type StayKey = (Which, Option<State>);

/// What a line of the view of local ports is about: the network namespace, and the ends.
pub type PortKey = (u32, Place);

/// The thread-group id by which a group is known.
pub const fn pid(process: Option<Process>) -> Option<u32> {
    match process {
        Some(process) => Some(process.pid),
        None => None,
    }
}

/// Processes that have to fix something, the worst first; under those that are unfolded their sockets, what is to be fixed first.
pub fn leaks<'a>(leaks: &'a Leaks, tab: &LeaksTab) -> Vec<LeakLine<'a>> {
    let mut lines = Vec::new();
    for group in groups(&leaks.suspects).into_iter().filter(|group| group.faults().any()) {
        let is_unfolded = tab.unfolded.contains(&pid(group.process));
        let mut sockets: Vec<&Suspect> = if is_unfolded { group.suspects.clone() } else { Vec::new() };
        sockets.sort_by_key(|suspect| (!suspect.verdict.is_leak(), !suspect.verdict.is_fault()));
        lines.push(LeakLine::Group(group));
        lines.extend(sockets.into_iter().map(LeakLine::Socket));
    }
    lines
}

/// The states that have any stay, of all or of each group.
pub fn stays(sections: &[Section]) -> Vec<StayLine<'_>> {
    let mut lines = Vec::new();
    for section in sections {
        if section.which != Which::All {
            lines.push(StayLine::Head(section));
        }
        lines.extend(section.rows.iter().filter(|row| row.has_any()).map(StayLine::Row));
    }
    lines
}

/// The state whose distribution is shown: that under the cursor, or the first of the group under it.
pub fn selected_stay<'a>(lines: &[StayLine<'a>], at: usize) -> Option<&'a Row> {
    lines.iter().skip(at).find_map(|line| match line {
        StayLine::Row(row) => Some(*row),
        StayLine::Head(_) => None,
    })
}

/// What each line of the view of leaks is about.
pub fn leak_keys(app: &App) -> Vec<LeakKey> {
    leaks(&app.frame.leaks, &app.leaks).iter().map(LeakLine::key).collect()
}

/// What each line of the view of histograms is about.
pub fn stay_keys(app: &App) -> Vec<StayKey> {
    let mut whose = Which::All;
    let lines = stays(app.frame.stays());
    lines
        .iter()
        .map(|line| match line {
            StayLine::Head(section) => {
                whose = section.which;
                (whose, None)
            }
            StayLine::Row(row) => (whose, Some(row.state)),
        })
        .collect()
}

/// What each line of the view of local ports is about.
pub fn port_keys(app: &App) -> Vec<PortKey> {
    let rows = app.frame.ports().map(|ports| &*ports.usages.rows).unwrap_or_default();
    rows.iter().map(|usage| (usage.netns, usage.place)).collect()
}
