//! The view of leaks: processes, and under those that are unfolded their sockets.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::Widget,
};
use tcplife_core::suspect::{
    Suspect,
    groups::{Group, Service},
};

use super::{cells, comm, fill_marked};
use crate::{
    advice,
    tui::{
        app::App,
        lines::{self, LeakLine},
        text,
        theme::{self, Theme},
    },
};

/// Draws the lines in view.
pub fn draw(app: &App, now: u64, area: Rect, buffer: &mut Buffer) {
    let mut places = area.rows();
    let Some(head) = places.next() else { return };
    let width = usize::from(area.width);
    buffer.set_style(head, theme::HEAD);
    let why = if width >= 120 { "  WHY" } else { "" };
    let name = 15 + descriptors(width);
    let title = format!("  {:<name$}{:<14} {:>16}{why}", "PROCESS, SOCKET", "VERDICT", "AGE");
    Line::styled(title, theme::HEAD).render(head, buffer);
    let leaks = &app.frame.leaks;
    let all = lines::leaks(leaks, &app.leaks);
    if all.is_empty() {
        return draw_nothing(app, area, buffer);
    }
    let first = app.leaks.cursor.top;
    for (line, place) in all.iter().skip(first).zip(places) {
        let is_selected = app.leaks.cursor.on == Some(line.key());
        let line = match line {
            LeakLine::Group(group) => group_line(app, group, now, width),
            LeakLine::Socket(suspect) => socket_line(app.setup.theme, &leaks.as_of(suspect, now), width),
        };
        line.render(place, buffer);
        if is_selected {
            buffer.set_style(place, theme::SELECTED);
        }
    }
}

/// Columns of the descriptors: two of them, but not at the cost of an age.
const fn descriptors(width: usize) -> usize {
    if width >= 64 { 13 } else { 11 }
}

fn group_line(app: &App, group: &Group<'_>, now: u64, width: usize) -> Line<'static> {
    let is_unfolded = app.leaks.unfolded.contains(&lines::pid(group.process));
    let mark = if is_unfolded { "▾" } else { "▸" };
    let name = group.process.map_or_else(
        || "no process".to_owned(),
        |process| format!("{} pid {}", text::cut(&comm(&process), 24), process.pid),
    );
    let mut groups = vec![
        vec![Span::raw(format!("{mark} ")), Span::styled(name, theme::STRONG)],
        vec![Span::styled(text::fault(group.faults()).unwrap_or_default(), app.setup.theme.alarm())],
    ];
    groups.extend(service(group).map(|words| vec![Span::raw(words)]));
    if let Some(oldest) = group.faulty().max_by_key(|suspect| suspect.facts.age.min) {
        let age = app.frame.leaks.as_of(oldest, now).facts.age;
        groups.push(vec![Span::styled("oldest ", theme::QUIET), Span::raw(text::age(age))]);
    }
    let others = group.others().len();
    if others > 0 {
        let word = format!("+{others} {}", if others == 1 { "holder" } else { "holders" });
        groups.push(vec![Span::styled(word, app.setup.theme.alarm())]);
    }
    let mut verdicts: Vec<_> = group.by_verdict().map(|(verdict, of)| (verdict, of.len())).collect();
    verdicts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    for (verdict, count) in verdicts {
        groups.push(vec![Span::raw(format!("{} {}", text::count(count as u64), verdict.name()))]);
    }
    fill_marked(groups, if width < 100 { 2 } else { 3 }, width)
}

/// At which port the most of what the process has to close came in, or where it went to if the process opened it.
fn service(group: &Group<'_>) -> Option<String> {
    let services = group.services();
    let more = if services.len() > 1 { ".." } else { "" };
    services.first().map(|(service, _)| match *service {
        Service::Own(port) => format!("port {port}{more}"),
        Service::Of(peer) => format!("to {}{more}", text::address(peer)),
    })
}

fn socket_line(theme: Theme, suspect: &Suspect, width: usize) -> Line<'static> {
    let is_fault = suspect.verdict.is_fault();
    let mark = if is_fault { "!" } else { " " };
    let style = if is_fault { theme.alarm() } else { theme::QUIET };
    let fds: Vec<String> = suspect.holders.iter().take(2).map(|holder| format!("fd {}", holder.fd)).collect();
    let more = if suspect.holders.len() > 2 { ".." } else { "" };
    let fds = if fds.is_empty() { "-".to_owned() } else { format!("{}{more}", fds.join(" ")) };
    let age = text::age(suspect.facts.age);
    let room = descriptors(width);
    let fds = text::cut(&fds, room);
    let mut line = Line::from(vec![
        Span::styled(format!("  {mark} {:<11} {fds:<room$} ", suspect.facts.state.upper()), style),
        Span::styled(format!("{:<14}", suspect.verdict.name()), style),
        Span::raw(format!(" {age:>16}  ")),
    ]);
    let room = width.saturating_sub(line.width());
    let remote = text::address(suspect.connection.remote());
    let words = if room > 60 {
        format!("{remote}: {}", advice::reason(suspect))
    } else {
        text::fit_address(suspect.connection.remote(), room)
    };
    line.push_span(Span::raw(text::cut(&words, room)));
    line
}

fn draw_nothing(app: &App, area: Rect, buffer: &mut Buffer) {
    let leaks = &app.frame.leaks;
    let waiting = leaks.waiting();
    let first = match (leaks.at, waiting) {
        _ if app.frame.health.unlisted.why().is_some() => {
            "Not known: the kernel's sockets cannot be listed.".to_owned()
        }
        (0, _) => "Nothing has been old enough to be a leak yet.".to_owned(),
        (_, 0) => "No leak. No socket waits for somebody's close.".to_owned(),
        (_, n) => {
            format!(
                "No leak. {} wait for somebody's close, and none is known to be a leak.",
                text::count(n as u64)
            )
        }
    };
    let after = text::duration(app.setup.leak_after);
    let second = format!("A leak is held open for {after} or more after the other end closed.");
    cells::write_nothing([first.as_str(), &second], area, buffer);
}

#[cfg(test)]
mod tests {
    use tcplife_core::suspect::groups::groups;

    use super::*;
    use crate::tui::fixtures as fix;

    /// A proxy: the oldest is one that it opened.
    #[test]
    fn the_most_came_in_at_the_port_that_is_named() {
        let mut suspects = fix::views::leaks().suspects.clone();
        suspects[0].of_server = false;
        assert_eq!(service(&groups(&suspects)[0]).as_deref(), Some("port 8080.."));
    }
}
