//! Everything the screen knows.
//!
//! What comes in: changes made by [`super::update`] alone. What goes out: the state that [`super::draw`] draws, and the
//! [`Request`] that follows from it. What always holds: what is open is one value of one type, never a pair of flags;
//! no terminal, no clock, no channel in here.

use std::{collections::BTreeSet, sync::Arc};

use ratatui::layout::Size;
use tcplife_core::{
    connection::ConnId,
    filter::{Filter, StateSet},
    state::State,
    view::{GroupBy, GroupKey, Query, Row, Search, SortKey},
};

use super::{
    cursor::Cursor,
    frame::{Flow, Frame, Request},
    keys::Scope,
    layout,
    lines::{LeakKey, PortKey, StayKey},
    pane::Pane,
    theme::Theme,
};
use crate::{
    clock::Clock,
    stays::{By, Which},
};

/// The views, in the order of their tabs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    /// The table of connections.
    #[default]
    Connections,
    /// Who leaks what.
    Leaks,
    /// How long connections stay in each state.
    Histograms,
    /// Local ports in use, TIME_WAIT among them.
    TimeWait,
    /// Events as they come.
    Events,
}

impl Tab {
    /// Every view.
    pub const ALL: [Self; 5] =
        [Self::Connections, Self::Leaks, Self::Histograms, Self::TimeWait, Self::Events];

    /// The name on the tab.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "Connections",
            Self::Leaks => "Leaks",
            Self::Histograms => "Histograms",
            Self::TimeWait => "Time-wait",
            Self::Events => "Events",
        }
    }

    /// The name where there is little room.
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::Connections => "Conns",
            Self::Leaks => "Leaks",
            Self::Histograms => "Hist",
            Self::TimeWait => "TW",
            Self::Events => "Events",
        }
    }
}

/// What lies over the view and has the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Overlay {
    /// Nothing.
    #[default]
    None,
    /// The help, from this line on.
    Help(usize),
    /// The list of states, at this one.
    Picker(usize),
    /// The text filter, as typed so far.
    Line(String),
    /// What the terminal was asked to copy, until the next key.
    Copied(String),
}

/// What the cursor is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Whatever row is there; becomes a connection as soon as that is known.
    #[default]
    Position,
    /// A connection, wherever its row goes.
    Connection(ConnId),
    /// A group, wherever its row goes.
    Group(GroupKey),
}

/// The view of leaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaksTab {
    /// Which line.
    pub cursor: Cursor<LeakKey>,
    /// Processes whose sockets are shown; by thread-group id, `None` for sockets that no process has.
    pub unfolded: BTreeSet<Option<u32>>,
    /// The timeline of a socket.
    pub pane: Pane,
}

/// The view of histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaysTab {
    /// What stays are grouped by.
    pub by: Option<By>,
    /// Which line.
    pub cursor: Cursor<StayKey>,
}

impl Default for StaysTab {
    /// At the state that tells most, if any connection is or was in it.
    fn default() -> Self {
        let on = Some((Which::All, Some(State::CloseWait)));
        Self { by: None, cursor: Cursor { on, ..Cursor::default() } }
    }
}

/// The table of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// What the cursor is on.
    pub target: Target,
    /// Where the cursor is, among all rows.
    pub position: usize,
    /// The first row in view.
    pub top: usize,
    /// Order of the rows.
    pub sort: SortKey,
    /// Largest first.
    pub descending: bool,
    /// Text that rows have to contain.
    pub text: String,
    /// States to show; empty for every state.
    pub states: StateSet,
    /// Groups instead of connections.
    pub group: Option<GroupBy>,
    /// The detail pane.
    pub pane: Pane,
}

/// Where the view of events is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// At the newest event, whatever comes.
    #[default]
    Newest,
    /// At the event of this number.
    At(u64),
}

/// What does not change while the screen is open.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Name of the host.
    pub host: String,
    /// Inode of tcplife's own network namespace, if that is known.
    pub netns: Option<u32>,
    /// Its kernel's release.
    pub kernel: String,
    /// How things look.
    pub theme: Theme,
    /// What times of day follow from.
    pub clock: Clock,
    /// The filters of the command line.
    pub filter: Filter,
    /// Which processes and network namespaces the filters ask for that are not there, a sentence for each.
    pub absent: Vec<String>,
    /// Nanoseconds in `CLOSE_WAIT` from which a connection is marked.
    pub leak_after: u64,
}

/// The state of the screen.
#[derive(Clone, Debug)]
pub struct App {
    /// What does not change.
    pub setup: Setup,
    /// The terminal's.
    pub size: Size,
    /// The view that is open.
    pub tab: Tab,
    /// What lies over it.
    pub overlay: Overlay,
    /// Whether the data moves.
    pub flow: Flow,
    /// The view of connections.
    pub list: List,
    /// The view of leaks.
    pub leaks: LeaksTab,
    /// The view of histograms.
    pub stays: StaysTab,
    /// The view of local ports.
    pub ports: Cursor<PortKey>,
    /// The view of events.
    pub stream: Stream,
    /// The first line of the open detail that is in view.
    pub detail_top: usize,
    /// What was done last, or what is wrong with the command line, until the next key.
    pub notice: Option<String>,
    /// What the terminal is to copy.
    pub clipboard: Option<String>,
    /// The newest data.
    pub frame: Arc<Frame>,
}

/// Every state but LISTEN: a listener is no connection, and always the oldest of all.
pub fn connected_states() -> StateSet {
    State::ALL.into_iter().filter(|&state| state != State::Listen).collect()
}

/// The states that are shown at first: if the command line asks for some, all of those.
pub fn first_states(filter: &Filter) -> StateSet {
    if filter.states.is_empty() { connected_states() } else { StateSet::default() }
}

/// The direction in which a column is read first: the oldest and the most troubled at the top, the rest as in a book.
pub const fn natural_direction(sort: SortKey) -> bool {
    matches!(sort, SortKey::Suspicion | SortKey::Age | SortKey::Retransmits)
}

impl List {
    /// The most suspicious at the top, the oldest of them first. Listeners are shown only if the command line asks for a choice of states.
    fn new(filter: &Filter) -> Self {
        Self {
            target: Target::Position,
            position: 0,
            top: 0,
            sort: SortKey::Suspicion,
            descending: natural_direction(SortKey::Suspicion),
            text: String::new(),
            states: first_states(filter),
            group: None,
            pane: Pane::Closed,
        }
    }

    /// The connection under the cursor, if it is known.
    pub const fn selected(&self) -> Option<ConnId> {
        match self.target {
            Target::Position | Target::Group(_) => None,
            Target::Connection(id) => Some(id),
        }
    }

    /// Whether rows of a state are wanted.
    pub fn shows(&self, state: State) -> bool {
        self.states.wants(state)
    }
}

impl App {
    /// A screen that has no data yet.
    pub fn new(setup: Setup, size: Size) -> Self {
        let list = List::new(&setup.filter);
        let notice = (!setup.absent.is_empty()).then(|| setup.absent.join("; "));
        Self {
            setup,
            size,
            tab: Tab::default(),
            overlay: Overlay::default(),
            flow: Flow::default(),
            list,
            leaks: LeaksTab::default(),
            stays: StaysTab::default(),
            ports: Cursor::default(),
            stream: Stream::default(),
            detail_top: 0,
            notice,
            clipboard: None,
            frame: Arc::default(),
        }
    }

    /// What has the keys.
    pub const fn scope(&self) -> Scope {
        match self.overlay {
            Overlay::None => match self.tab {
                Tab::Connections => Scope::Connections,
                Tab::Leaks => Scope::Leaks,
                Tab::Histograms => Scope::Histograms,
                Tab::TimeWait => Scope::TimeWait,
                Tab::Events => Scope::Events,
            },
            Overlay::Help(_) => Scope::Help,
            Overlay::Picker(_) => Scope::Picker,
            Overlay::Line(_) => Scope::Line,
            Overlay::Copied(_) => Scope::Copied,
        }
    }

    /// The text that filters rows: what is being typed counts at once.
    pub fn text(&self) -> &str {
        match &self.overlay {
            Overlay::Line(text) => text,
            Overlay::None | Overlay::Help(_) | Overlay::Picker(_) | Overlay::Copied(_) => &self.list.text,
        }
    }

    /// The time that ages are counted to: a pause stops them.
    pub fn clock(&self, now: u64) -> u64 {
        match self.flow {
            Flow::Live => now.max(self.frame.now),
            Flow::Paused => self.frame.now,
        }
    }

    /// Rows of the view that fit on the screen.
    pub fn visible_rows(&self) -> usize {
        layout::of(self).rows()
    }

    /// A row by its position among all, if the newest data has it.
    pub fn row(&self, position: usize) -> Option<&Row> {
        let first = self.frame.request.query.offset;
        self.frame.page.rows.get(position.checked_sub(first)?)
    }

    /// Whether the newest data has groups.
    pub fn is_grouped(&self) -> bool {
        self.frame.request.query.group.is_some()
    }

    /// Rows of the view of connections, in view or not.
    pub fn rows(&self) -> usize {
        let page = &self.frame.page;
        if self.is_grouped() { page.groups.len() } else { page.matched }
    }

    /// Whether the newest data is that of the open view; what was under way when another one was opened is not.
    pub fn is_answered(&self) -> bool {
        let asked = &self.frame.request;
        asked.tab == self.tab && asked.by == self.stays.by
    }

    /// What is wrong with the filter, if anything is.
    pub fn problem(&self) -> Option<String> {
        Search::parse(self.text()).1
    }

    /// Whether the screen shows what settings there are.
    fn shows_settings(&self) -> bool {
        match self.tab {
            Tab::Connections => self.list.pane.is_open(),
            Tab::Leaks => self.leaks.pane.is_open(),
            Tab::TimeWait => true,
            Tab::Histograms | Tab::Events => false,
        }
    }

    /// The connection that is read, or would be.
    fn selected(&self) -> Option<ConnId> {
        let read = self.leaks.pane.detail().map(|detail| detail.row.id);
        read.filter(|_| self.tab == Tab::Leaks).or_else(|| self.list.selected())
    }

    /// What the screen wants to see next: the rows in view and one screen of rows on either side, so that moving
    /// needs no answer first.
    pub fn request(&self) -> Request {
        let visible = self.visible_rows().max(1);
        let query = Query {
            filter: self.setup.filter.clone(),
            text: self.text().to_owned(),
            states: self.list.states,
            group: self.list.group,
            sort: self.list.sort,
            descending: self.list.descending,
            offset: self.list.top.saturating_sub(visible),
            limit: visible.saturating_mul(3),
            selected: self.selected(),
            leak_after: self.setup.leak_after,
        };
        let settings = self.shows_settings();
        Request { tab: self.tab, flow: self.flow, by: self.stays.by, settings, query }
    }
}
