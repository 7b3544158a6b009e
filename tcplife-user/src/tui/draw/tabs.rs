//! The line between the counts and the view: tabs, and what of all there is the view shows.

use std::fmt::Write as _;

use ratatui::{buffer::Buffer, layout::Rect, text::Span, widgets::Widget};
use tcplife_core::{state::State, suspect::Faults};

use super::fill;
use crate::{
    clock::Stamper,
    tui::{
        app::{App, Overlay, Tab, connected_states},
        frame::Flow,
        layout, text,
        theme::{self, Theme},
    },
};

/// Columns of a text filter that is shown: at 80 there is room for it and for the number of leaks.
const LONGEST_FILTER: usize = 16;

/// Draws the tabs at the left and what is selected at the right.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = app.setup.theme;
    let fault = text::fault(app.frame.leaks.faults());
    let places = layout::tabs(area);
    for ((tab, place), number) in Tab::ALL.into_iter().zip(places).zip(1..) {
        let has_faults = tab == Tab::Leaks && fault.is_some();
        let style = match (tab == app.tab, has_faults) {
            (true, _) => theme::SELECTED,
            (false, true) => theme.alarm(),
            (false, false) => theme::QUIET,
        };
        Span::styled(format!(" {number} {} ", layout::tab_name(tab, area)), style).render(place, buffer);
    }
    let used = places.iter().map(|place| place.width).sum::<u16>() + 1;
    let room = Rect { x: area.x + used, width: area.width.saturating_sub(used), ..area };
    let mut groups = Vec::new();
    if app.overlay == Overlay::None
        && let Some(problem) = app.problem()
    {
        let words = text::cut(&format!("! {problem}"), usize::from(room.width));
        groups.push(vec![Span::styled(words, theme.alarm())]);
    }
    if app.flow == Flow::Paused {
        groups.push(vec![Span::styled(pause(app), theme::SELECTED)]);
    }
    // What hides rows goes before what counts them.
    if matches!(app.tab, Tab::Connections | Tab::Events) {
        groups.extend(text_filter(app));
    }
    if app.tab == Tab::Connections {
        groups.extend(choice_of_states(app).map(|choice| vec![Span::raw(choice)]));
    }
    if let Some(fault) = fault.filter(|_| app.tab != Tab::Leaks) {
        groups.push(vec![Span::styled(fault, theme.alarm())]);
    }
    match app.tab {
        Tab::Connections => connections(app, theme, &mut groups),
        Tab::Leaks => groups.push(confirmed(app)),
        Tab::Histograms => groups.push(vec![Span::styled(grouping(app), theme::QUIET)]),
        Tab::TimeWait => groups.push(vec![Span::styled("ports by destination", theme::QUIET)]),
        Tab::Events => groups.push(vec![Span::styled("newest first", theme::QUIET)]),
    }
    fill(groups, 2, usize::from(room.width)).right_aligned().render(room, buffer);
}

/// Since when the data stands still, as soon as it does.
fn pause(app: &App) -> String {
    if app.frame.request.flow == Flow::Live {
        return " pausing ".to_owned();
    }
    let mut stamper = Stamper::new(app.setup.clock.clone());
    format!(" PAUSED {} UTC ", stamper.time_of_day(app.frame.now).get(..8).unwrap_or_default())
}

fn connections(app: &App, theme: Theme, groups: &mut Vec<Vec<Span<'static>>>) {
    let page = &app.frame.page;
    if app.frame.leaks.faults().leaks == 0 && page.suspicious > 0 {
        // Beside what hides rows there is little room.
        let what = if groups.is_empty() {
            format!("in CLOSE_WAIT over {}", text::duration(app.setup.leak_after))
        } else {
            "suspect".to_owned()
        };
        let word = format!("! {} {what}", text::count(page.suspicious as u64));
        groups.push(vec![Span::styled(word, theme.alarm())]);
    }
    groups.push(vec![Span::styled(shown_of(app), theme::QUIET)]);
    groups.extend(hidden_listeners(app).map(|words| vec![Span::styled(words, theme::QUIET)]));
}

/// When the kernel was asked, and what it said.
fn confirmed(app: &App) -> Vec<Span<'static>> {
    let leaks = &app.frame.leaks;
    if leaks.at == 0 {
        return vec![Span::styled("not asked yet", theme::QUIET)];
    }
    let Faults { leaks: count, ended } = leaks.faults();
    let mut words =
        format!("{} leaked of {} that wait", text::count(count as u64), text::count(leaks.waiting() as u64));
    if ended > 0 {
        _ = write!(words, ", {} ended", text::count(ended as u64));
    }
    let style = if count + ended > 0 { app.setup.theme.alarm() } else { theme::QUIET };
    vec![Span::styled(words, style)]
}

fn grouping(app: &App) -> String {
    match app.frame.request.by {
        None => "all connections (b groups)".to_owned(),
        Some(by) => format!("by {} (b)", by.name()),
    }
}

/// The text that rows have to contain, or the begin of it.
fn text_filter(app: &App) -> Option<Vec<Span<'static>>> {
    let text = text::cut(app.text(), LONGEST_FILTER);
    (!text.is_empty()).then(|| vec![Span::styled("with ", theme::QUIET), Span::raw(format!("\"{text}\""))])
}

fn shown_of(app: &App) -> String {
    let page = &app.frame.page;
    if let Some(by) = app.frame.request.query.group {
        let (groups, rows) = (text::count(page.groups.len() as u64), text::count(page.matched as u64));
        return format!("{rows} by {}: {groups}", by.name());
    }
    match (text::count(page.matched as u64), text::count(page.total as u64)) {
        (matched, total) if matched == total => format!("{total} shown"),
        (matched, total) => format!("{matched} of {total} shown"),
    }
}

/// That listeners are not shown, if there are any.
fn hidden_listeners(app: &App) -> Option<String> {
    let hides = app.list.states == connected_states() && app.frame.totals.live[State::Listen.index()] > 0;
    hides.then(|| format!("{} hidden (f)", State::Listen.upper()))
}

/// The choice of states in words, if it is not every connection.
fn choice_of_states(app: &App) -> Option<String> {
    let states = app.list.states;
    if states.is_empty() {
        return None;
    }
    let shown: Vec<State> = State::ALL.into_iter().filter(|&state| states.contains(state)).collect();
    match shown[..] {
        _ if states == connected_states() => None,
        [only] => Some(format!("{} only", only.upper())),
        _ => Some(format!("{} of {} states", shown.len(), State::COUNT)),
    }
}
