//! How many connections there are in each state, and how many moves there are.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::Span,
    widgets::{RenderDirection, Sparkline, Widget},
};
use tcplife_core::{filter::StateSet, state::State};

use super::{cells, fill, labelled};
use crate::tui::{app::App, text, theme};

/// Most columns that the bars of moves take: one for each second.
const BARS: u16 = 120;
/// Fewer than this tell nothing.
const LEAST_BARS: usize = 4;

/// States by how much they tell about trouble: the last ones give way where there is no room for all.
const TELLING: [State; State::COUNT] = [
    State::CloseWait,
    State::Established,
    State::FinWait2,
    State::TimeWait,
    State::SynSent,
    State::LastAck,
    State::FinWait1,
    State::SynReceived,
    State::Closing,
    State::Listen,
    State::Closed,
];
/// Columns between two states.
const GAP: usize = 2;

/// Draws the count of each state that has any, in the protocol's order.
pub fn draw_counts(app: &App, area: Rect, buffer: &mut Buffer) {
    if State::ALL.into_iter().all(|state| count(app, state) == 0) {
        Span::styled("no connections", theme::QUIET).render(area, buffer);
        return;
    }
    let (shown, others) = choose(app, usize::from(area.width));
    let states = State::ALL.into_iter().filter(|&state| shown.contains(state));
    let mut groups: Vec<Vec<Span<'_>>> = states
        .map(|state| {
            let name = Span::styled(state.upper(), app.setup.theme.state(state));
            vec![name, Span::raw(format!(" {}", text::count(count(app, state))))]
        })
        .collect();
    if others > 0 {
        groups.push(labelled("others", text::short_count(others)));
    }
    fill(groups, GAP, usize::from(area.width)).render(area, buffer);
}

/// The states that have room, and how many connections are in the others.
fn choose(app: &App, width: usize) -> (StateSet, u64) {
    const OTHERS: usize = "others 9,999".len() + GAP;
    let there: Vec<State> = TELLING.into_iter().filter(|&state| count(app, state) > 0).collect();
    let wide = |state: State| state.upper().len() + 1 + text::count(count(app, state)).len() + GAP;
    let all: usize = there.iter().map(|&state| wide(state)).sum();
    let mut room = if all <= width + GAP { width + GAP } else { (width + GAP).saturating_sub(OTHERS) };
    let mut shown = StateSet::default();
    let mut others = 0;
    for state in there {
        match room.checked_sub(wide(state)) {
            Some(left) => {
                room = left;
                shown.insert(state);
            }
            None => others += count(app, state),
        }
    }
    (shown, others)
}

/// How many there are in a state: of all, or of those that the filters of the command line leave.
fn count(app: &App, state: State) -> u64 {
    if app.setup.filter.is_empty() {
        app.frame.totals.live[state.index()]
    } else {
        u64::try_from(app.frame.page.by_state[state.index()]).unwrap_or(u64::MAX)
    }
}

/// Draws the moves of each of the last seconds, the newest at the right end, and what the trace takes.
pub fn draw_moves(app: &App, area: Rect, buffer: &mut Buffer) {
    let rates = &app.frame.rates;
    let own = fill(costs(app), 2, usize::from(area.width));
    let now = text::short_count(rates.moves_now());
    let label = Span::styled(format!("moves/s {now:>5}"), theme::QUIET);
    let peak = Span::styled(format!("peak {:<5}", text::short_count(rates.moves_peak())), theme::QUIET);
    let (before, after) = (label.width() + 1, peak.width() + 1);
    let left = usize::from(area.width).saturating_sub(own.width() + 2);
    own.right_aligned().render(area, buffer);
    label.render(Rect { width: cells::extent(left).min(area.width), ..area }, buffer);
    let Some(room) = left.checked_sub(before + after).filter(|&room| room >= LEAST_BARS) else { return };
    let bars = cells::extent(room).min(BARS);
    let newest_first: Vec<u64> = rates.moves().rev().take(usize::from(bars)).collect();
    let x = area.x + cells::extent(before);
    Sparkline::default()
        .data(newest_first)
        .direction(RenderDirection::RightToLeft)
        .render(Rect { x, width: bars, ..area }, buffer);
    let end = x.saturating_add(bars + 1);
    peak.render(Rect { x: end, width: area.right().saturating_sub(end), ..area }, buffer);
}

/// What tcplife does and takes, the most telling first.
fn costs(app: &App) -> [Vec<Span<'static>>; 4] {
    let (cost, frame) = (app.frame.cost, &app.frame);
    [
        labelled("cpu", format!("{}.{}%", cost.cpu / 10, cost.cpu % 10)),
        labelled("mem", text::bytes(cost.memory).replace(' ', "")),
        labelled("resyncs", text::short_count(frame.health.resyncs)),
        labelled("netns", text::short_count(frame.page.namespaces as u64)),
    ]
}
