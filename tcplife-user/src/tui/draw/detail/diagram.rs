//! A connection as a sequence diagram: our states at the left, what went over the wire, what the peer must have been in
//! then at the right.

use ratatui::text::{Line, Span};
use tcplife_core::{
    connection::{EndCause, MiniEndCause},
    state::State,
    suspect::Peer,
    timeline::{Age, Since, Stay},
    view::Detail,
};

use crate::tui::{
    text,
    theme::{self, Theme},
};

/// Columns of the segment.
const ARROW: usize = 17;
/// Columns before a bar: margin, state, two times, arrow, peer.
const BEFORE_BAR: usize = 2 + 13 + 10 + 1 + 10 + 2 + ARROW + 1 + 25 + 1;
/// Most columns of a bar: enough to compare, not so many that it shouts.
const BAR: usize = 60;

/// Which way something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Out,
    In,
    Nowhere,
}

/// What a move says of the wire and of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    way: Way,
    what: &'static str,
    peer: &'static str,
}

const fn step(way: Way, what: &'static str, peer: &'static str) -> Step {
    Step { way, what, peer }
}

/// The step that led from one state to the next; the peer's state follows from the protocol (RFC 9293, figure 5).
fn of(from: Option<State>, to: State, end: Option<EndCause>, mini_end: Option<MiniEndCause>) -> Step {
    use State::{
        CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived, SynSent,
        TimeWait,
    };
    match (from, to) {
        (_, Listen) => step(Way::Nowhere, "", ""),
        (_, SynSent) => step(Way::Out, "SYN", "LISTEN?"),
        (Some(SynSent), SynReceived) => step(Way::In, "SYN", "SYN_SENT, both opened"),
        (_, SynReceived) => step(Way::In, "SYN", "SYN_SENT"),
        (Some(SynSent), Established) => step(Way::In, "SYN+ACK", "SYN_RECEIVED"),
        (Some(SynReceived), Established) => step(Way::In, "ACK", "ESTABLISHED"),
        (_, Established) => step(Way::Nowhere, "", "ESTABLISHED"),
        (_, FinWait1) => step(Way::Out, "FIN", "CLOSE_WAIT on arrival"),
        (Some(FinWait1), FinWait2) => step(Way::In, "ACK", "CLOSE_WAIT"),
        (_, FinWait2) => step(Way::Nowhere, "", "CLOSE_WAIT"),
        (_, CloseWait) => step(Way::In, "FIN", "FIN_WAIT_2"),
        (_, Closing) => step(Way::In, "FIN", "CLOSING"),
        (_, LastAck) => step(Way::Out, "FIN", "TIME_WAIT on arrival"),
        (Some(FinWait2), TimeWait) => step(Way::In, "FIN", "LAST_ACK"),
        (Some(FinWait1), TimeWait) => step(Way::In, "FIN+ACK", "LAST_ACK"),
        (Some(Closing), TimeWait) | (Some(LastAck), Closed) => step(Way::In, "ACK", "TIME_WAIT"),
        (_, TimeWait) => step(Way::Nowhere, "", "CLOSED"),
        (Some(TimeWait), Closed) => match mini_end {
            Some(MiniEndCause::Expired) => step(Way::Nowhere, "timer", "CLOSED"),
            Some(MiniEndCause::ResetReceived) => step(Way::In, "RST", "CLOSED"),
            Some(MiniEndCause::ResetSent) => step(Way::Out, "RST", "CLOSED"),
            Some(MiniEndCause::Reused) => step(Way::Nowhere, "reused", "CLOSED"),
            Some(MiniEndCause::Destroyed) => step(Way::Nowhere, "destroyed", "CLOSED"),
            Some(MiniEndCause::NetnsGone) => step(Way::Nowhere, "netns gone", "CLOSED"),
            None => step(Way::Nowhere, "", "CLOSED"),
        },
        (_, Closed) => match end {
            Some(EndCause::ResetSent | EndCause::Aborted) => step(Way::Out, "RST", "CLOSED on arrival"),
            Some(EndCause::ResetReceived | EndCause::Refused) => step(Way::In, "RST", "CLOSED"),
            Some(EndCause::Timeout) => step(Way::Nowhere, "no answer", "not known"),
            Some(EndCause::Fin | EndCause::Unknown) | None => step(Way::Nowhere, "", "not known"),
        },
    }
}

fn arrow(step: &Step) -> String {
    let room = ARROW - 4;
    match (step.way, step.what) {
        (Way::Out, what) => format!("──{:─^room$}▶", format!(" {what} ")),
        (Way::In, what) => format!("◀{:─^room$}──", format!(" {what} ")),
        (Way::Nowhere, "") => String::new(),
        (Way::Nowhere, what) => format!("({what})"),
    }
}

/// The head of the diagram.
pub(super) fn head(width: usize) -> Line<'static> {
    let ours = format!("  {:<13}{:>10} {:>10}", "STATE", "ENTERED", "STAY");
    let theirs = if width >= ours.len() + ARROW + 14 {
        format!("  {:<ARROW$} {}", "SEGMENT", "PEER")
    } else {
        String::new()
    };
    Line::styled(ours + &theirs, theme::QUIET)
}

/// The stays. In the one that lasts, what is known of the `peer` counts for more than what follows from the protocol.
pub(super) fn stays(
    theme: Theme,
    detail: &Detail,
    peer: Option<Peer>,
    now: u64,
    width: usize,
) -> Vec<Line<'static>> {
    // That it is over for ever longer says nothing about how long it lasted.
    let least = |stay: &Stay| match stay.state {
        State::Closed => 0,
        _ => stay.since.age(stay.until.unwrap_or(now)).min,
    };
    let total = detail.stays.iter().map(least).fold(0, u64::saturating_add);
    let begin = detail.stays.iter().find_map(|stay| stay.since.seen());
    let mut from = None;
    let mut lines = Vec::with_capacity(detail.stays.len());
    for (n, stay) in detail.stays.iter().enumerate() {
        let step = of(from.replace(stay.state), stay.state, detail.end, detail.mini_end);
        let left = detail.stays.get(n + 1).map_or(Since::Seen(now), |next| next.since);
        let (name, bar) = match stay.until {
            Some(_) => (theme.state(stay.state), theme::QUIET),
            None => (theme.state(stay.state).patch(theme::STRONG), theme::PLAIN),
        };
        let mut line = Line::from(vec![
            Span::raw("  "),
            Span::styled(format!("{:<13}", stay.state.upper()), name),
            Span::raw(format!("{:>10} {:>10}", entered(stay, begin), length(stay, left))),
        ]);
        if width >= line.width() + ARROW + 14 {
            line.push_span(Span::styled(format!("  {:<ARROW$} ", arrow(&step)), theme::QUIET));
            let is_gone = stay.until.is_none() && peer == Some(Peer::Gone);
            line.push_span(Span::raw(if is_gone { "gone" } else { step.peer }));
        }
        if let Some(columns) = width.checked_sub(BEFORE_BAR).filter(|&columns| columns > 4) {
            line.push_span(Span::raw(" ".repeat(BEFORE_BAR.saturating_sub(line.width()))));
            line.push_span(Span::styled(share(least(stay), total, columns.min(BAR)), bar));
        }
        lines.push(line);
    }
    lines
}

fn entered(stay: &Stay, begin: Option<u64>) -> String {
    match (stay.since, begin) {
        (Since::Seen(at), Some(begin)) if at == begin => "+0s".to_owned(),
        (Since::Seen(at), Some(begin)) => format!("+{}", text::precise(at.saturating_sub(begin))),
        _ => "not seen".to_owned(),
    }
}

/// How long a stay lasted that was left at a time, or lasts now.
fn length(stay: &Stay, left: Since) -> String {
    let (earliest, latest) = match left {
        Since::Seen(at) => (at, at),
        Since::Between { earliest, latest } => (earliest.unwrap_or(stay.since.latest()), latest),
    };
    let age = Age { min: stay.since.age(earliest).min, max: stay.since.age(latest).max };
    match age {
        Age { min, max } if stay.until.is_some() && max == Some(min) => text::precise(min),
        Age { min: 0, max: None } => "?".to_owned(),
        age => text::age(age),
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

    #[test]
    fn every_legal_move_names_the_peer_or_says_that_it_cannot() {
        for from in State::ALL {
            for to in State::ALL.into_iter().filter(|&to| from.may_precede(to) && to != State::Listen) {
                let step = of(Some(from), to, Some(EndCause::Fin), None);
                assert!(!step.peer.is_empty(), "{from} to {to}");
                assert!(arrow(&step).chars().count() <= ARROW, "{}", arrow(&step));
            }
        }
    }

    #[test]
    fn both_ends_agree_on_a_normal_close() {
        assert_eq!(
            of(Some(State::Established), State::CloseWait, None, None),
            step(Way::In, "FIN", "FIN_WAIT_2")
        );
        assert_eq!(of(Some(State::CloseWait), State::LastAck, None, None).way, Way::Out);
        assert_eq!(of(Some(State::FinWait2), State::TimeWait, None, None).peer, "LAST_ACK");
    }

    #[test]
    fn how_time_wait_ended_is_told_only_if_it_is_known() {
        let ended = |cause| arrow(&of(Some(State::TimeWait), State::Closed, Some(EndCause::Fin), cause));
        assert_eq!(ended(Some(MiniEndCause::Expired)), "(timer)");
        assert_eq!(ended(Some(MiniEndCause::Destroyed)), "(destroyed)");
        assert!(ended(Some(MiniEndCause::ResetReceived)).contains(" RST "));
        assert_eq!(ended(None), "");
    }

    #[test]
    fn a_stay_whose_end_was_not_seen_has_no_exact_length() {
        const SECOND: u64 = 1_000_000_000;
        let stay = Stay { state: State::TimeWait, since: Since::Seen(SECOND), until: Some(5 * SECOND) };
        assert_eq!(length(&stay, Since::Seen(5 * SECOND)), "4.00s");
        let left = Since::Between { earliest: Some(3 * SECOND), latest: 5 * SECOND };
        assert_eq!(length(&stay, left), "2s..4s");
        let lasts = Stay { until: None, ..stay };
        assert_eq!(length(&lasts, Since::Seen(5 * SECOND)), "4s");
    }

    #[test]
    fn nobody_may_listen_where_a_syn_goes() {
        assert_eq!(of(None, State::SynSent, None, None), step(Way::Out, "SYN", "LISTEN?"));
    }
}
