//! The settings of each network namespace, as the doctor reports them.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    facts::{FACTS, Fact, Reading, Setting},
    sinks::json,
};

/// A setting in a namespace.
#[derive(Serialize)]
#[serde(tag = "type", rename = "setting")]
struct Record<'a> {
    netns: u32,
    name: &'static str,
    value: Option<&'a str>,
    default: &'static str,
    changed: Option<bool>,
    matters: bool,
    now: &'a str,
    does: &'static str,
    rests_on: &'static str,
}

/// What was read: our own namespace first, then the others.
pub struct Settings(Vec<Reading>);

impl Settings {
    /// Reads every namespace that can be entered.
    pub fn read() -> Self {
        Self(Reading::of_each(usize::MAX))
    }

    /// Writes them for people, settings in lines of so many columns: all of our own namespace; of each other one what is different there or
    /// matters.
    ///
    /// # Errors
    /// What writing failed with.
    pub fn write_text(&self, columns: usize, out: &mut impl Write) -> io::Result<()> {
        let Some((own, others)) = self.0.split_first() else { return Ok(()) };
        writeln!(
            out,
            "\nSettings, network namespace {} (`!` matters now; nothing is changed by tcplife)",
            own.netns
        )?;
        for (fact, setting) in in_namespace(own) {
            write_fact(fact, &setting, columns, out)?;
        }
        for other in others {
            let telling: Vec<(&Fact, Setting)> = in_namespace(other)
                .filter(|(fact, setting)| {
                    let here = fact.setting(own);
                    setting.now.matters || here.is_none_or(|here| here.value != setting.value)
                })
                .collect();
            if !telling.is_empty() {
                writeln!(out, "\nNetwork namespace {}, where it differs or matters", other.netns)?;
            }
            for (fact, setting) in &telling {
                write_head(fact, setting, columns, out)?;
            }
        }
        Ok(())
    }

    /// Appends them as records, all of every namespace.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        for reading in &self.0 {
            for (fact, setting) in in_namespace(reading) {
                let Setting { value, is_changed, now } = &setting;
                let record = Record {
                    netns: reading.netns,
                    name: fact.name,
                    value: value.as_deref(),
                    default: fact.default,
                    changed: *is_changed,
                    matters: now.matters,
                    now: &now.says,
                    does: fact.does,
                    rests_on: fact.rests_on,
                };
                json::line(out, &record);
            }
        }
    }
}

fn in_namespace(reading: &Reading) -> impl Iterator<Item = (&'static Fact, Setting)> + '_ {
    FACTS.iter().filter_map(|fact| Some((fact, fact.setting(reading)?)))
}

fn head(fact: &Fact, setting: &Setting) -> String {
    let mark = if setting.now.matters { '!' } else { ' ' };
    let value = match (&setting.value, setting.is_changed) {
        (None, _) => String::new(),
        (Some(value), _) if value.is_empty() => String::new(),
        (Some(value), Some(true)) if fact.default.is_empty() => format!(" = {value} (default none)"),
        (Some(value), Some(true)) => format!(" = {value} (default {})", fact.default),
        (Some(value), _) => format!(" = {value}"),
    };
    format!("{mark} {}{value}: {}", fact.name, setting.now.says)
}

fn write_head(fact: &Fact, setting: &Setting, columns: usize, out: &mut impl Write) -> io::Result<()> {
    let options = textwrap::Options::new(columns).subsequent_indent("    ");
    textwrap::wrap(&head(fact, setting), options).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn write_fact(fact: &Fact, setting: &Setting, columns: usize, out: &mut impl Write) -> io::Result<()> {
    write_head(fact, setting, columns, out)?;
    let options = textwrap::Options::new(columns).initial_indent("    ").subsequent_indent("    ");
    let does = format!("{} [{}]", fact.does, fact.rests_on);
    textwrap::wrap(&does, options).iter().try_for_each(|line| writeln!(out, "{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_is_as_ours_and_quiet_is_not_repeated() {
        let own = Reading::here().unwrap();
        let mut same = own.clone();
        (same.netns, same.busiest_listener) = (1, None);
        let quiet = FACTS.iter().filter_map(|fact| fact.setting(&same)).all(|setting| !setting.now.matters);
        let mut out = Vec::new();
        Settings(vec![own, same]).write_text(100, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("tcp_fin_timeout = "), "{text}");
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        assert_eq!(text.contains("Network namespace 1,"), !quiet, "{text}");
    }

    #[test]
    fn json_has_every_setting_of_every_namespace() {
        let own = Reading::here().unwrap();
        let count = in_namespace(&own).count();
        let mut out = Vec::new();
        let mut other = own.clone();
        other.netns = 1;
        Settings(vec![own, other]).write_json(&mut out);
        let lines: Vec<serde_json::Value> =
            out.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert_eq!(lines.len(), 2 * count);
        let first = &lines[0];
        assert_eq!(
            (first["type"].as_str(), first["name"].as_str()),
            (Some("setting"), Some("tcp_fin_timeout"))
        );
        for field in ["netns", "value", "default", "changed", "matters", "now", "does", "rests_on"] {
            assert!(!first[field].is_null(), "{field}");
        }
    }
}
