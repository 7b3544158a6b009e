//! The lower part of the detail pane: evidence, and what can be done.

use ratatui::text::{Line, Span};
use tcplife_core::{suspect::Suspect, view::Detail};

use crate::{
    advice::{self, words},
    escape,
    facts::{FACTS, Reading},
    tui::{meaning, theme},
};

/// Columns of the labels.
const LABEL: usize = 10;
/// Holders that are listed at most.
const HOLDERS: usize = 40;

/// A label, then words over as many lines as they need.
fn labelled(label: &'static str, words: &str, width: usize) -> Vec<Line<'static>> {
    let room = width.saturating_sub(LABEL + 2).max(10);
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels
        .zip(textwrap::wrap(words, room))
        .map(|(label, line)| {
            let label = Span::styled(format!("  {label:<LABEL$}"), theme::QUIET);
            Line::from(vec![label, Span::raw(line.into_owned())])
        })
        .collect()
}

/// What the kernel shows of a suspect: why it is one, its queues and every holder.
pub(super) fn evidence(suspect: &Suspect, width: usize) -> Vec<Line<'static>> {
    let facts = &suspect.facts;
    let mut lines =
        labelled("verdict", &format!("{}: {}", suspect.verdict.name(), advice::reason(suspect)), width);
    let to_read = words::count(facts.recv_queue, "byte");
    let queues = format!("{to_read} to read (a FIN is one), {} not acknowledged", facts.send_queue);
    lines.extend(labelled("queues", &queues, width));
    let mut holders: Vec<String> = suspect
        .holders
        .iter()
        .take(HOLDERS)
        .map(|holder| {
            let name = escape::printable(holder.process.comm_bytes());
            format!("{name}[{}]:fd{}", holder.process.pid, holder.fd)
        })
        .collect();
    if suspect.holders.len() > HOLDERS {
        holders.push(format!("and {} more", suspect.holders.len() - HOLDERS));
    }
    let holders =
        if holders.is_empty() { "no process has a descriptor".to_owned() } else { holders.join(" ") };
    lines.extend(labelled("held by", &holders, width));
    lines
}

/// Who has to act, which setting matters and which advice does nothing.
pub(super) fn advice(
    detail: &Detail,
    suspect: Option<&Suspect>,
    reading: Option<&Reading>,
    width: usize,
) -> Vec<Line<'static>> {
    let state = meaning::advice(detail);
    let verdict =
        suspect.filter(|suspect| suspect.verdict.is_leak()).map(|suspect| advice::of(suspect.verdict));
    let (act, no_help) = match verdict {
        Some(advice) => (advice.look_at, advice.no_help),
        None => (state.act, state.no_help),
    };
    let mut lines = labelled(if verdict.is_some() { "look at" } else { "to act" }, act, width);
    for name in state.settings {
        lines.extend(setting(name, reading).into_iter().flat_map(|words| labelled("setting", &words, width)));
    }
    lines.extend(labelled("no help", no_help, width));
    lines
}

/// A setting with its value and what says whether it matters now.
fn setting(name: &str, reading: Option<&Reading>) -> Option<String> {
    let fact = FACTS.iter().find(|fact| fact.name == name)?;
    let setting = reading.and_then(|reading| fact.setting(reading))?;
    let value = setting.value.map(|value| format!(" = {value}")).unwrap_or_default();
    let mark = if setting.now.matters { "! " } else { "" };
    Some(format!("{mark}{name}{value} ({}). {}", setting.now.says, fact.does))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_on_below_each_other() {
        let lines = labelled("no help", "one two three four five six", 24);
        let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["  no help   one two", "            three four", "            five six"]);
    }
}
