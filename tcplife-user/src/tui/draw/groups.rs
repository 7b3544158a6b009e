//! The table of connections, grouped.

use ratatui::{buffer::Buffer, layout::Rect, text::Span, widgets::Widget};
use tcplife_core::{
    state::State,
    view::{GroupBy, GroupKey, GroupRow},
};

use super::{Alignment, put};
use crate::{
    escape,
    tui::{
        app::App,
        text,
        theme::{self, Theme},
    },
};

/// States that have a column, the most telling first.
const STATES: [(State, &str); 8] = [
    (State::CloseWait, "CLOSE_WAIT"),
    (State::FinWait2, "FIN_WAIT_2"),
    (State::TimeWait, "TIME_WAIT"),
    (State::Established, "ESTAB"),
    (State::SynSent, "SYN_SENT"),
    (State::LastAck, "LAST_ACK"),
    (State::FinWait1, "FIN_WAIT_1"),
    (State::Listen, "LISTEN"),
];
/// Columns of the name.
const NAME: usize = 26;
/// Columns of the count, the oldest age and the suspects, each with a blank before it.
const FIXED: usize = 8 + 8 + 8;

/// Draws the groups in view.
pub fn draw(app: &App, now: u64, area: Rect, buffer: &mut Buffer) {
    let mut lines = area.rows();
    let Some(head) = lines.next() else { return };
    let by = app.frame.request.query.group.unwrap_or(GroupBy::Process);
    let states = states(usize::from(area.width));
    buffer.set_style(head, theme::HEAD);
    let title = by.name().to_uppercase();
    put(buffer, head, &format!("  {title}"), Alignment::Left, theme::HEAD);
    let heads = ["CONNS", "SUSPECT", "OLDEST"].into_iter().map(str::to_owned);
    let heads = heads.chain(states.iter().map(|(_, name)| (*name).to_owned()));
    for (cell, words) in cells(&states, head).zip(heads) {
        put(buffer, cell, &words, Alignment::Right, theme::HEAD);
    }
    let first = app.list.top;
    for (n, (group, line)) in app.frame.page.groups.iter().skip(first).zip(lines).enumerate() {
        draw_group(app.setup.theme, group, now, &states, line, buffer);
        if first + n == app.list.position {
            buffer.set_style(line, theme::SELECTED);
        }
    }
}

fn states(width: usize) -> Vec<(State, &'static str)> {
    let mut left = width.saturating_sub(NAME + FIXED);
    STATES
        .into_iter()
        .take_while(|(_, name)| {
            let has_room = left > name.len();
            left = left.saturating_sub(name.len() + 1);
            has_room
        })
        .collect()
}

fn cells(states: &[(State, &str)], line: Rect) -> impl Iterator<Item = Rect> {
    let widths: Vec<usize> = [7, 7, 7].into_iter().chain(states.iter().map(|(_, name)| name.len())).collect();
    let mut x = line.x + u16::try_from(NAME).unwrap_or(0);
    widths.into_iter().map(move |width| {
        let width = u16::try_from(width).unwrap_or(u16::MAX);
        let cell = Rect { x: x.saturating_add(1), width, ..line }.intersection(line);
        x = x.saturating_add(width).saturating_add(1);
        cell
    })
}

fn name(key: &GroupKey) -> String {
    match key {
        GroupKey::Process(Some((pid, comm))) => {
            let end = comm.iter().position(|&byte| byte == 0).unwrap_or(comm.len());
            format!("{pid} {}", escape::printable(&comm[..end]))
        }
        GroupKey::Process(None) => "owner not known".to_owned(),
        GroupKey::Port(port) => port.to_string(),
        GroupKey::Peer(address) => address.to_string(),
    }
}

fn draw_group(
    theme: Theme,
    group: &GroupRow,
    now: u64,
    states: &[(State, &str)],
    line: Rect,
    buffer: &mut Buffer,
) {
    let count = |number: usize| match number {
        0 => "-".to_owned(),
        number => text::short_count(u64::try_from(number).unwrap_or(u64::MAX)),
    };
    let is_suspicious = group.suspicious > 0;
    let mark = if is_suspicious { "! " } else { "  " };
    Span::styled(mark, theme.alarm()).render(line, buffer);
    let place =
        Rect { x: line.x + 2, width: u16::try_from(NAME - 2).unwrap_or(0), ..line }.intersection(line);
    put(buffer, place, &name(&group.key), Alignment::Left, theme::PLAIN);
    let oldest = text::duration(now.saturating_sub(group.oldest));
    let numbers = [count(group.count), count(group.suspicious), oldest].into_iter();
    let numbers = numbers.chain(states.iter().map(|(state, _)| count(group.by_state[state.index()])));
    for (n, (cell, words)) in cells(states, line).zip(numbers).enumerate() {
        let style = if n == 1 && is_suspicious { theme.alarm() } else { theme::PLAIN };
        put(buffer, cell, &words, Alignment::Right, style);
    }
}
