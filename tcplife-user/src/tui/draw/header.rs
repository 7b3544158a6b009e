//! The first line: where this is, and how well the trace goes.

use ratatui::{buffer::Buffer, layout::Rect, text::Span, widgets::Widget};

use super::{fill, labelled};
use crate::{
    health::{Health, HookKind, Knowledge},
    tui::{
        app::App,
        text,
        theme::{self, Theme},
    },
};

/// From this width on, the header names a hook that is off; on a narrower screen the uptime goes before it.
const NAMED: u16 = 80;

/// Draws the header. Health is at the right and never gives way.
pub fn draw(app: &App, now: u64, area: Rect, buffer: &mut Buffer) {
    let theme = app.setup.theme;
    let (health, rates) = (&app.frame.health, &app.frame.rates);
    let alarms = alarms(theme, health);
    let has_room = area.width >= if alarms.is_empty() { NAMED } else { 2 * NAMED };
    let events =
        vec![Span::raw(text::short_count(rates.events_now())), Span::styled(" events/s", theme::QUIET)];
    let right = fill(
        std::iter::once(lost(theme, health, area.width >= 120))
            .chain(alarms)
            .chain([events, hooks(theme, health, has_room)])
            .chain(time_wait(health, area.width)),
        3,
        usize::from(area.width),
    );
    let room = usize::from(area.width).saturating_sub(right.width() + 2);
    let uptime = text::duration(now.saturating_sub(app.frame.started));
    let left = fill(
        [
            vec![Span::styled("tcplife", theme::STRONG)],
            labelled("up", uptime),
            vec![Span::raw(text::cut(&app.setup.host, 30))],
            labelled("Linux", text::cut(&app.setup.kernel, 40)),
        ],
        2,
        room,
    );
    left.render(area, buffer);
    right.right_aligned().render(area, buffer);
}

fn lost(theme: Theme, health: &Health, is_wide: bool) -> Vec<Span<'static>> {
    let total = health.lost.total();
    if total == 0 {
        return labelled("lost", "0");
    }
    let mut word = format!(" LOST {}", text::count(total));
    if is_wide {
        let causes: Vec<String> = health
            .lost
            .iter()
            .filter(|&(_, count)| count > 0)
            .map(|(cause, count)| format!("{} {}", cause.name(), text::count(count)))
            .collect();
        word = format!("{word}: {}", causes.join(", "));
    }
    match health.knowledge {
        Knowledge::Mended => vec![Span::styled(word + ", resynced ", theme.alarm())],
        Knowledge::Whole | Knowledge::Incomplete => {
            vec![Span::styled(word + ", incomplete ", theme.alarm_box())]
        }
    }
}

/// That the kernel's sockets cannot be listed; and which of the selected network namespaces went last: nothing more comes from it.
fn alarms(theme: Theme, health: &Health) -> Vec<Vec<Span<'static>>> {
    let unlisted = health.unlisted.why().map(|_| " sockets not listed ".to_owned());
    let gone = health.gone.last().map(|inode| format!(" netns {inode} gone "));
    unlisted.into_iter().chain(gone).map(|alarm| vec![Span::styled(alarm, theme.alarm())]).collect()
}

/// What tells of mini-sockets' ends, and where there is room how well. On a narrow screen the uptime goes before it.
fn time_wait(health: &Health, width: u16) -> Option<Vec<Span<'static>>> {
    if width < 100 {
        return None;
    }
    let hook = health.hooks.iter().find(|hook| hook.kind == HookKind::TimeWaitEnd);
    let mechanism = hook?.mechanism.as_deref()?;
    let short = mechanism.split('/').next().unwrap_or_default();
    Some(labelled("tw", if width >= 160 { mechanism } else { short }))
}

fn hooks(theme: Theme, health: &Health, is_wide: bool) -> Vec<Span<'static>> {
    let all = health.hooks.len();
    let on = health.hooks.iter().filter(|hook| hook.mechanism.is_some()).count();
    let value = Span::raw(format!("{on}/{all}"));
    match health.hooks.iter().find(|hook| hook.mechanism.is_none()) {
        None => vec![Span::styled("hooks ", theme::QUIET), value],
        Some(_) if !is_wide => {
            let value = Span::styled(format!("{on}/{all} !"), theme.alarm());
            vec![Span::styled("hooks ", theme::QUIET), value]
        }
        Some(off) => {
            let others = if all - on > 1 { ", .." } else { "" };
            let word = format!(" no {}{others}", off.kind.name());
            vec![Span::styled("hooks ", theme::QUIET), value, Span::styled(word, theme.alarm())]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        health::List,
        tui::{
            fixtures::{self as fix, LARGE, USUAL},
            frame::Frame,
        },
    };

    #[test]
    fn what_a_trace_lacks_by_now_is_told() {
        for size in [USUAL, LARGE] {
            let mut app = fix::app(size);
            let mut health = Health { gone: vec![6, 7], ..fix::frame(&app).health };
            health.unlisted.note(List::MiniSockets, "no thread".to_owned());
            let frame = Frame { health, ..fix::frame(&app) };
            fix::feed(&mut app, frame);
            let area = Rect::new(0, 0, size.width, 1);
            let mut buffer = Buffer::empty(area);
            draw(&app, fix::NOW, area, &mut buffer);
            let line: String = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
            for told in ["lost 0", " sockets not listed ", " netns 7 gone ", "events/s"] {
                assert!(line.contains(told), "no {told:?} in {line:?}");
            }
        }
    }
}
