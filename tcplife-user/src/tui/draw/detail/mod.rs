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
    view::{Detail, Row, detail_of},
};

use super::{
    columns::{self, Mark},
    comm, fill, labelled,
};
use crate::{
    clock::Stamper,
    tui::{
        app::{App, Pane},
        meaning, text, theme,
    },
};

/// Draws the pane, if it is open.
pub fn draw(app: &App, now: u64, area: Rect, buffer: &mut Buffer) {
    match &app.list.pane {
        Pane::Closed => {}
        Pane::Waiting => drop(rule("detail", "", area, buffer)),
        Pane::Live(detail) => draw_detail(app, detail, now, "", area, buffer),
        Pane::Gone(detail) => draw_detail(app, detail, now, "gone: what was known last", area, buffer),
    }
}

/// Draws the timeline of the leaked socket that is open, if one is.
pub fn draw_leak(app: &App, now: u64, area: Rect, buffer: &mut Buffer) {
    let Some(id) = app.leaks.open else { return };
    match app.frame.leaks.of(id) {
        Some(suspect) => {
            let detail =
                detail_of(&suspect.connection, suspect.owner, app.setup.leak_after, app.frame.leaks.at);
            draw_detail(app, &detail, now, "", area, buffer);
        }
        None => drop(rule("gone", "closed since", area, buffer)),
    }
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
    let room = rule(&title(&detail.row), note, area, buffer);
    let width = usize::from(room.width);
    let suspect = app.frame.leaks.of(detail.row.id);
    let mut lines = vec![ends(&detail.row, width)];
    lines.extend(what_now(app, detail, now, width));
    lines.push(diagram::head(width));
    // One line of facts at least, below the stays.
    let stays_room = usize::from(room.height).saturating_sub(lines.len() + 1);
    lines.extend(diagram::stays(app.setup.theme, detail, now, width, stays_room));
    lines.extend(wrap(facts(app, detail), width));
    lines.extend(suspect.into_iter().flat_map(|suspect| advice::evidence(suspect, width)));
    lines.extend(advice::advice(detail, suspect, app.frame.reading(detail.row.netns), width));
    for (line, place) in lines.into_iter().zip(room.rows()) {
        line.render(place, buffer);
    }
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

fn title(row: &Row) -> String {
    match row.owner {
        Some(owner) => {
            let (name, pid) = (comm(&owner.process), owner.process.pid);
            format!("{} pid {pid}, known by {}", text::cut(&name, 30), owner.via.name())
        }
        None => "owner not known".to_owned(),
    }
}

fn ends(row: &Row, width: usize) -> Line<'static> {
    let arrow = match row.role {
        Some(Role::Client) => " → ",
        Some(Role::Server) => " ← ",
        None => " ↔ ",
    };
    let each = width.saturating_sub(arrow.len() + 2) / 2;
    let (local, remote) = (text::fit_address(row.local, each), text::fit_address(row.remote, each));
    let mut groups =
        vec![vec![Span::raw("  "), Span::raw(local), Span::styled(arrow, theme::QUIET), Span::raw(remote)]];
    groups.push(labelled("role", row.role.map_or("not known", Role::name)));
    groups.push(labelled("netns", row.netns.to_string()));
    groups.push(labelled("id", row.id.0.to_string()));
    fill(groups, 3, width)
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
        let mut stamper = Stamper::new(app.setup.clock);
        add("opened", format!("{} UTC", stamper.rfc3339(opened).get(..19).unwrap_or_default()));
    }
    groups
}
