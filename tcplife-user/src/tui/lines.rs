//! What the lines of a view are, for the cursor as for drawing.
//!
//! What comes in: the newest data and what is unfolded. What goes out: lines from top to bottom. What always holds: the
//! same data gives the same lines, so that the cursor is on the line that is drawn as selected.

use tcplife_core::{
    owner::Process,
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

/// The thread-group id by which a group is known.
pub fn pid(process: Option<Process>) -> Option<u32> {
    process.map(|process| process.pid)
}

/// Processes that leak, the worst first; under those that are unfolded their sockets, leaks first.
pub fn leaks<'a>(leaks: &'a Leaks, tab: &LeaksTab) -> Vec<LeakLine<'a>> {
    let mut lines = Vec::new();
    for group in groups(&leaks.suspects).into_iter().filter(|group| group.leaks() > 0) {
        let is_unfolded = tab.unfolded.contains(&pid(group.process));
        let mut sockets: Vec<&Suspect> = if is_unfolded { group.suspects.clone() } else { Vec::new() };
        sockets.sort_by_key(|suspect| !suspect.verdict.is_leak());
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

/// How many lines the open view has, if it is one whose lines are all there.
pub fn count(app: &App) -> usize {
    use super::app::Tab;
    match app.tab {
        Tab::Leaks => leaks(&app.frame.leaks, &app.leaks).len(),
        Tab::Histograms => stays(app.frame.stays()).len(),
        Tab::TimeWait => app.frame.ports().map_or(0, |ports| ports.usages.rows.len()),
        Tab::Connections => app.rows(),
        Tab::Events => app.frame.log().len(),
    }
}
