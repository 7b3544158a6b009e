//! The help: every key, what the marks mean, and which hooks are in use.

use ratatui::{
    buffer::Buffer,
    layout::{Rect, Size},
    text::{Line, Span},
    widgets::{Paragraph, Widget},
};

use super::{cells, popup};
use crate::{
    health::{Health, Hook},
    tui::{
        app::App,
        keys::{self, Scope},
        text,
        theme::{self, Theme},
    },
};

/// Columns of the box.
const WIDTH: u16 = 60;
/// Lines of the box that are not its text.
const FRAME: u16 = 2;

/// The scope whose keys come first, those that work everywhere among them.
const COMMON: Scope = Scope::Connections;

/// Columns of the keys.
const LEFT: usize = 17;
/// Columns of what they do.
const RIGHT: usize = 39;

const MARKS: [(&str, &str); 7] = [
    ("!", "suspect: CLOSE_WAIT over --leak-after"),
    ("t", "a timewait mini-socket has it"),
    ("o", "orphan: no process has it any more"),
    ("3h12m..3h15m", "age: begun between these, not seen"),
    (">5m00s", "age: begun before the trace"),
    ("?", "owner not known"),
    ("(none)", "nobody owns it"),
];

const LEAKS: [(&str, &str); 3] = [
    ("Enter, a process", "show its sockets, or fold them"),
    ("Enter, a socket", "open its timeline, or close it"),
    ("Esc", "close the timeline, then fold all"),
];

const FILTER: [(&str, &str); 9] = [
    ("nginx 10.0.0.1", "rows that have both words"),
    ("state:close_wait", "states, apart by commas"),
    ("pid:123 comm:ng", "owner, by id or part of the name"),
    ("port:8000-8100", "either port; lport: rport: for one"),
    ("peer:10.0.0.2", "remote address"),
    ("netns:402653..", "network namespace"),
    ("age>10s age<5m", "time in the state"),
    ("-java", "not this; before any word or term"),
    ("pid:-", "owner not known"),
];

const MOUSE: [(&str, &str); 4] = [
    ("click a head", "sorts by the column, then turns it"),
    ("wheel", "moves by three rows"),
    ("click", "selects a row, opens a view"),
    ("Shift-drag", "marks text for the terminal to copy"),
];

/// Draws the help from line `top` on.
pub fn draw(app: &App, top: usize, buffer: &mut Buffer) {
    let lines = lines(app.setup.theme, &app.frame.health);
    let screen = Rect::new(0, 0, app.size.width, app.size.height.saturating_sub(1));
    let height = cells::extent(lines.len()).saturating_add(FRAME);
    let below = last_top(app.size, &app.frame.health).saturating_sub(top);
    let title = if below > 0 { "Help, down for more" } else { "Help" };
    let inner = popup(title, WIDTH, height, screen, buffer);
    Paragraph::new(lines).scroll((cells::extent(top), 0)).render(inner, buffer);
}

/// The last line that the help may begin with, so that its end is at the end of the box.
pub fn last_top(screen: Size, health: &Health) -> usize {
    let room = usize::from(screen.height.saturating_sub(1 + FRAME));
    lines(Theme::Plain, health).len().saturating_sub(room)
}

fn lines(theme: Theme, health: &Health) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    keys_of("Keys", COMMON, &mut lines);
    table("In leaks", &LEAKS, &mut lines);
    keys_of("In histograms", Scope::Histograms, &mut lines);
    keys_of("In the list of states", Scope::Picker, &mut lines);
    keys_of("While a filter is typed", Scope::Line, &mut lines);
    table("Filters: all have to fit", &FILTER, &mut lines);
    table("Mouse", &MOUSE, &mut lines);
    table("Marks", &MARKS, &mut lines);
    section("Hooks", &mut lines);
    lines.extend(loss_lines(theme, health));
    lines.extend(health.hooks.iter().flat_map(|hook| hook_lines(theme, hook)));
    lines
}

/// The keys of a scope. What works everywhere is told once.
fn keys_of(title: &'static str, scope: Scope, lines: &mut Vec<Line<'static>>) {
    section(title, lines);
    let own = keys::of(scope).filter(|key| scope == COMMON || !key.scopes.contains(&COMMON));
    lines.extend(own.map(|binding| entry(binding.shown, binding.help)));
}

fn table(title: &'static str, rows: &[(&str, &'static str)], lines: &mut Vec<Line<'static>>) {
    section(title, lines);
    lines.extend(rows.iter().map(|&(what, help)| entry(what, help)));
}

fn section(title: &'static str, lines: &mut Vec<Line<'static>>) {
    if !lines.is_empty() {
        lines.push(Line::default());
    }
    lines.push(Line::styled(title, theme::HEAD));
}

fn entry(left: &str, right: impl Into<Span<'static>>) -> Line<'static> {
    let key = Span::styled(format!("{left:<LEFT$}"), theme::STRONG);
    Line::from(vec![key, right.into()])
}

/// Words over as many lines of the right column as they need.
fn wrapped(words: &str) -> impl Iterator<Item = Span<'static>> {
    textwrap::wrap(words, RIGHT).into_iter().map(|line| Span::raw(line.into_owned()))
}

/// A name with lines beside it; one that would touch them has a line of its own.
fn beside(name: &str, right: impl Iterator<Item = Span<'static>>) -> Vec<Line<'static>> {
    let (alone, first) = if name.len() < LEFT { (None, name) } else { (Some(name), "") };
    let left = std::iter::once(first).chain(std::iter::repeat(""));
    let rest = left.zip(right).map(|(left, right)| entry(left, right));
    alone.map(|name| entry(name, "")).into_iter().chain(rest).collect()
}

/// How many events were lost for each reason, and what that means: the header has room for reasons on a wide screen
/// only.
fn loss_lines(theme: Theme, health: &Health) -> impl Iterator<Item = Line<'static>> {
    health.lost.iter().filter(|&(_, count)| count > 0).flat_map(move |(cause, count)| {
        let count = Span::styled(text::count(count), theme.alarm());
        let meaning = wrapped(cause.explain());
        beside(&format!("lost: {}", cause.name()), std::iter::once(count).chain(meaning))
    })
}

fn hook_lines(theme: Theme, hook: &Hook) -> Vec<Line<'static>> {
    let name = hook.kind.name();
    if let Some(mechanism) = &hook.mechanism {
        return beside(name, wrapped(mechanism));
    }
    let off = Span::styled("off", theme.alarm());
    beside(name, std::iter::once(off).chain(wrapped(&hook.why_off)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        health::{HookKind, LossCause, Losses},
        tui::fixtures as fix,
    };

    #[test]
    fn every_cause_of_loss_is_told_with_its_count() {
        let told = |lost| {
            let health = Health { lost, ..fix::health() };
            let lines = lines(Theme::Plain, &health);
            assert!(lines.iter().all(|line| line.width() <= LEFT + RIGHT), "{lines:?}");
            lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        assert!(!told(Losses::default()).contains("lost"));
        for cause in LossCause::ALL {
            let text = told(Losses::default().with(cause, 1234));
            let name = format!("lost: {}", cause.name());
            assert!(text.contains(&format!("\nHooks\n{name:<LEFT$}1,234\n")), "{text}");
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words(&text).contains(&words(cause.explain())), "{text}");
        }
    }

    #[test]
    fn no_hook_touches_what_is_said_of_it() {
        let words = "fentry/tcp_retransmit_synack and fexit/one_more_function, each second or slower";
        for kind in HookKind::ALL {
            for hook in [Hook::on(kind, words.to_owned()), Hook::off(kind, words.to_owned())] {
                let lines = hook_lines(Theme::Plain, &hook);
                assert!(lines.iter().all(|line| line.width() <= LEFT + RIGHT), "{lines:?}");
                let after = lines[0].to_string().replacen(kind.name(), "", 1);
                assert!(after.is_empty() || after.starts_with(' '), "{lines:?}");
                let shown: String = lines.iter().map(ToString::to_string).collect();
                let off = if hook.mechanism.is_some() { "" } else { "off" };
                let all = format!("{}{off}{words}", kind.name());
                assert_eq!(shown.replace(' ', ""), all.replace(' ', ""));
            }
        }
    }

    #[test]
    fn every_line_fits() {
        for binding in keys::BINDINGS {
            assert!(binding.shown.len() < LEFT && binding.help.len() <= RIGHT, "{}", binding.help);
        }
        for (mark, help) in MARKS.into_iter().chain(LEAKS).chain(MOUSE).chain(FILTER) {
            assert!(mark.len() < LEFT && help.len() <= RIGHT, "{help}");
        }
    }
}
