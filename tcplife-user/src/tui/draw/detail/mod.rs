//! The detail pane: one connection, the states it was in, and what it waits for.

mod advice;
mod diagram;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Borders, Widget},
};
use tcplife_core::{
    connection::{FirstClose, Role},
    suspect::Suspect,
    view::{Detail, Row},
};

use super::{
    columns::{self, Mark},
    comm, fill, labelled,
};
use crate::{
    clock::Stamper,
    tui::{
        app::{App, Tab},
        layout, meaning,
        pane::Pane,
        text, theme,
    },
};

/// Draws the pane of the open view, if it is open.
pub fn draw(app: &App, now: u64, area: Rect, buffer: &mut Buffer) {
    match pane(app) {
        Pane::Closed => {}
        Pane::Waiting => drop(rule("detail", "", area, buffer)),
        Pane::Live(detail) => draw_detail(app, detail, now, "", area, buffer),
        Pane::Gone(detail, until) => {
            draw_detail(app, detail, *until, "gone: what was known last", area, buffer);
        }
    }
}

const fn pane(app: &App) -> &Pane {
    match app.tab {
        Tab::Leaks => &app.leaks.pane,
        _ => &app.list.pane,
    }
}

/// The last line that the open detail may begin with, so that its end is at the end of the pane.
pub fn last_top(app: &App) -> usize {
    let area = layout::of(app).detail;
    let lines = pane(app)
        .detail()
        .map_or(0, |detail| lines(app, detail, app.frame.now, usize::from(area.width)).len());
    lines.saturating_sub(room(area))
}

/// Lines of the pane below its rule.
pub fn room(area: Rect) -> usize {
    usize::from(area.height.saturating_sub(1))
}

/// The rule above the pane, with what it is about. Returns the room below.
fn rule(title: &str, note: &str, area: Rect, buffer: &mut Buffer) -> Rect {
    let block = Block::new()
        .borders(Borders::TOP)
        .title(Line::styled(format!(" {title} "), theme::STRONG))
        .title(if note.is_empty() {
            Line::default()
        } else {
            Line::styled(format!(" {note} "), theme::SELECTED)
        });
    let inner = block.inner(area);
    block.render(area, buffer);
    inner
}

fn draw_detail(app: &App, detail: &Detail, now: u64, note: &str, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let lines = lines(app, detail, now, usize::from(area.width));
    let last_top = lines.len().saturating_sub(room(area));
    let top = app.detail_top.min(last_top);
    let more = more(top, last_top - top).unwrap_or_default();
    let used = text::columns(&more) + text::columns(note) + 6;
    let title = title(&detail.row, usize::from(area.width).saturating_sub(used));
    let inner = rule(&title, note, area, buffer);
    let hint = Line::styled(more, theme::SELECTED).right_aligned();
    hint.render(Rect { height: 1, ..area }, buffer);
    for (line, place) in lines.into_iter().skip(top).zip(inner.rows()) {
        line.render(place, buffer);
    }
}

/// That there is more than is in view, and how to get there.
fn more(above: usize, below: usize) -> Option<String> {
    match (above, below) {
        (0, 0) => None,
        (0, below) => Some(format!(" {below} more, PgDn ▼ ")),
        (above, 0) => Some(format!(" {above} more, PgUp ▲ ")),
        (above, below) => Some(format!(" {above} ▲ {below} ▼ PgUp PgDn ")),
    }
}

/// What the kernel said of a connection when it was asked, with times as they are at `now`; nothing if it has moved on.
fn confirmed(app: &App, row: &Row, now: u64) -> Option<Suspect> {
    let leaks = &app.frame.leaks;
    let suspect = leaks.of(row.id).filter(|suspect| suspect.facts.state == row.state)?;
    Some(leaks.as_of(suspect, now))
}

/// All of a detail.
fn lines(app: &App, detail: &Detail, now: u64, width: usize) -> Vec<Line<'static>> {
    let confirmed = confirmed(app, &detail.row, now);
    let suspect = confirmed.as_ref();
    let mut lines = ends(&detail.row, width);
    lines.extend(what_now(app, detail, now, width));
    lines.push(diagram::head(width));
    let peer = suspect.map(|suspect| suspect.peer);
    lines.extend(diagram::stays(app.setup.theme, detail, peer, now, width));
    lines.extend(wrap(facts(app, detail), width));
    lines.extend(suspect.into_iter().flat_map(|suspect| advice::evidence(suspect, width)));
    lines.extend(advice::advice(detail, suspect, app.frame.reading(detail.row.netns), width));
    lines
}

/// Groups of spans, over as many lines as they need, two spaces before each.
fn wrap(groups: Vec<Vec<Span<'static>>>, width: usize) -> Vec<Line<'static>> {
    const GAP: usize = 3;
    let mut lines: Vec<Line<'static>> = Vec::new();
    for group in groups {
        let wide: usize = group.iter().map(Span::width).sum();
        let has_room = |line: &&mut Line<'_>| line.width() + GAP + wide <= width;
        if let Some(line) = lines.last_mut().filter(has_room) {
            line.push_span(Span::raw(" ".repeat(GAP)));
            line.extend(group);
        } else {
            let mut line = Line::raw("  ");
            line.extend(group);
            lines.push(line);
        }
    }
    lines
}

/// Whose it is, and how that is known if there is room for it.
fn title(row: &Row, room: usize) -> String {
    let Some(owner) = row.owner else { return "owner not known".to_owned() };
    let whose = format!("{} pid {}", text::cut(&comm(&owner.process), 30), owner.process.pid);
    let known = format!("{whose}, known by {}", owner.via.name());
    if text::columns(&known) <= room { known } else { whose }
}

/// Both ends in full, over two lines where one is too short, and what goes with them.
fn ends(row: &Row, width: usize) -> Vec<Line<'static>> {
    let arrow = match row.role {
        Some(Role::Client) => "→",
        Some(Role::Server) => "←",
        None => "↔",
    };
    let (local, remote) = (text::address(row.local), text::address(row.remote));
    let facts = [
        labelled("role", row.role.map_or("not known", Role::name)),
        labelled("netns", row.netns.to_string()),
        labelled("id", row.id.0.to_string()),
    ];
    let arrow = Span::styled(arrow, theme::QUIET);
    if local.len() + remote.len() + 5 <= width {
        let ends = [Span::raw(format!("  {local} ")), arrow, Span::raw(format!(" {remote}"))];
        return vec![fill(std::iter::once(ends.to_vec()).chain(facts), 3, width)];
    }
    let second = vec![Span::raw("  "), arrow, Span::raw(format!(" {remote}"))];
    [Line::raw(format!("  {local}")), Line::from(second)]
        .into_iter()
        .chain(wrap(facts.into(), width))
        .collect()
}

/// State, age, mark, and what it all means; over two lines where one is too short.
fn what_now(app: &App, detail: &Detail, now: u64, width: usize) -> Vec<Line<'static>> {
    let (theme, row) = (app.setup.theme, &detail.row);
    let owner = row.owner.map(|owner| comm(&owner.process));
    let mark = columns::mark(row);
    let style = if mark == Mark::Suspect { theme.alarm() } else { theme.state(row.state) };
    let note = match mark {
        Mark::None => String::new(),
        Mark::Suspect => format!(", suspect (over {})", text::duration(app.setup.leak_after)),
        Mark::Mini | Mark::Orphan => format!(", {}", mark.words()),
    };
    let age = text::age(row.since.age(now));
    let state = Span::styled(format!("{} {} for {age}{note}", mark.letter(), row.state), style);
    let meaning = meaning::of(detail, owner.as_deref());
    if state.width() + ": ".len() + text::columns(&meaning) <= width {
        return vec![Line::from(vec![state, Span::raw(": "), Span::raw(meaning)])];
    }
    vec![Line::from(state), Line::raw(format!("  {meaning}"))]
}

fn facts(app: &App, detail: &Detail) -> Vec<Vec<Span<'static>>> {
    let mut groups = Vec::new();
    let mut add = |label, value: String| groups.push(labelled(label, value));
    if !detail.complete {
        add("history", "not all of it was seen".to_owned());
    }
    add("retransmits", detail.row.retransmits.to_string());
    if detail.resets_sent > 0 || detail.resets_received > 0 {
        add("resets", format!("{} sent, {} received", detail.resets_sent, detail.resets_received));
    }
    if let Some(end) = detail.end {
        add("end", end.name().to_owned());
    }
    if detail.first_close != FirstClose::None {
        add("closed first", detail.first_close.name().to_owned());
    }
    if let (Some(sent), Some(received)) = (detail.bytes_sent, detail.bytes_received) {
        add("sent", text::bytes(sent));
        add("received", text::bytes(received));
    }
    if let Some(srtt) = detail.srtt_us {
        add("rtt", text::precise(u64::from(srtt) * 1000));
    }
    if let Some(opened) = detail.opened {
        let mut stamper = Stamper::new(app.setup.clock.clone());
        add("opened", format!("{} UTC", stamper.rfc3339(opened).get(..19).unwrap_or_default()));
    }
    groups
}
