//! The detail pane: one connection, the states it was in, and what it waits for.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Block, Borders, Widget},
};
use tcplife_core::{
    connection::{FirstClose, Role},
    timeline::{Age, Since, Stay},
    view::{Detail, Row},
};

use super::{
    columns::{self, Mark},
    comm, fill, labelled,
};
use crate::{
    clock::Stamper,
    tui::{
        app::{App, Pane},
        meaning, text,
        theme::{self, Theme},
    },
};

/// Columns of a stay before its bar.
const BEFORE_BAR: usize = 38;
/// Most columns of a bar: enough to compare, not so many that it shouts.
const BAR: usize = 60;

/// Draws the pane, if it is open.
pub fn draw(app: &App, now: u64, area: Rect, buffer: &mut Buffer) {
    match &app.list.pane {
        Pane::Closed => {}
        Pane::Waiting => drop(rule("detail", "", area, buffer)),
        Pane::Live(detail) => draw_detail(app, detail, now, "", area, buffer),
        Pane::Gone(detail) => draw_detail(app, detail, now, "gone: what was known last", area, buffer),
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
    let theme = app.setup.theme;
    let room = rule(&title(&detail.row), note, area, buffer);
    let width = usize::from(room.width);
    let mut lines = vec![ends(&detail.row, width)];
    lines.extend(what_now(app, detail, now, width));
    lines.push(head());
    // One line of facts at least, below the stays.
    let stays_room = usize::from(room.height).saturating_sub(lines.len() + 1);
    lines.extend(timeline(theme, detail, now, width, stays_room));
    lines.extend(wrap(facts(app, detail), width));
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

fn head() -> Line<'static> {
    Line::styled(format!("  {:<13}{:>10} {:>10}", "STATE", "ENTERED", "STAY"), theme::QUIET)
}

/// The stays, or the newest of them if not all have room.
fn timeline(theme: Theme, detail: &Detail, now: u64, width: usize, room: usize) -> Vec<Line<'static>> {
    let least = |stay: &Stay| stay.since.age(stay.until.unwrap_or(now)).min;
    let total = detail.stays.iter().map(least).fold(0, u64::saturating_add);
    let begin = detail.stays.iter().find_map(|stay| stay.since.seen());
    let left_out = detail.stays.len().saturating_sub(room);
    let line = |stay: &Stay| {
        let (name, bar) = match stay.until {
            Some(_) => (theme.state(stay.state), theme::QUIET),
            None => (theme.state(stay.state).patch(theme::STRONG), theme.bar()),
        };
        let columns = format!("{:>10} {:>10}", entered(stay, begin), length(stay, now));
        Line::from(vec![
            Span::raw("  "),
            Span::styled(format!("{:<13}", stay.state.upper()), name),
            Span::styled(columns, Style::new()),
            Span::raw("  "),
            Span::styled(share(least(stay), total, width.saturating_sub(BEFORE_BAR).min(BAR)), bar),
        ])
    };
    detail.stays.iter().skip(left_out).map(line).collect()
}

fn entered(stay: &Stay, begin: Option<u64>) -> String {
    match (stay.since, begin) {
        (Since::Seen(at), Some(begin)) if at == begin => "+0s".to_owned(),
        (Since::Seen(at), Some(begin)) => format!("+{}", text::precise(at.saturating_sub(begin))),
        _ => "not seen".to_owned(),
    }
}

fn length(stay: &Stay, now: u64) -> String {
    match (stay.since, stay.until) {
        (Since::Seen(at), Some(until)) => text::precise(until.saturating_sub(at)),
        (since, until) => match since.age(until.unwrap_or(now)) {
            Age { min: 0, max: None } => "?".to_owned(),
            age => text::age(age),
        },
    }
}

/// A bar of `part` in `whole`, in eighths of a column; something is never nothing.
fn share(part: u64, whole: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if part == 0 {
        return String::new();
    }
    let steps = u128::from(part) * (width as u128 * 8) / u128::from(whole.max(part));
    let steps = usize::try_from(steps).unwrap_or(0).max(1);
    format!("{}{}", "█".repeat(steps / 8), EIGHTHS[steps % 8])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_the_share_and_never_nothing() {
        assert_eq!(share(1, 2, 4), "██");
        assert_eq!(share(1, 1_000_000, 10), "▏");
        assert_eq!(share(0, 10, 10), "");
        assert_eq!(share(3, 16, 2), "▍");
        assert_eq!(share(7, 0, 2), "██");
    }
}
