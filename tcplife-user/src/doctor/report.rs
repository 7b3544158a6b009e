//! What the doctor found, and how it looks.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use serde::{Serialize, Serializer};

use crate::sinks::json;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// Tracing works, with less to see.
    Warn,
    /// Tracing does not work.
    Fail,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "check")]
pub struct Check {
    /// What: `rights`, `kernel`, ..., or the name of a hook.
    pub name: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub advice: Option<Cow<'static, str>>,
}

impl Check {
    /// As it should be.
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, detail: detail.into(), advice: None }
    }

    /// Less to see.
    pub fn warn(name: &'static str, detail: impl Into<String>, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { name, status: Status::Warn, detail: detail.into(), advice: Some(advice.into()) }
    }

    /// Nothing to see.
    pub fn fail(name: &'static str, detail: impl Into<String>, advice: &'static str) -> Self {
        Self { name, status: Status::Fail, detail: detail.into(), advice: Some(advice.into()) }
    }
}

/// Writes the checks for people: one line each, with what to do about it below.
///
/// # Errors
/// What writing failed with.
pub fn write_text(checks: &[Check], out: &mut impl Write) -> io::Result<()> {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for Check { name, status, detail, advice } in checks {
        writeln!(out, "{:<4}  {name:<width$}  {detail}", status.name())?;
        if let Some(advice) = advice {
            writeln!(out, "      {:width$}  > {advice}", "")?;
        }
    }
    let count = |wanted| checks.iter().filter(|check| check.status == wanted).count();
    match (count(Status::Fail), count(Status::Warn)) {
        (0, 0) => writeln!(out, "\nThis host can be traced, with every hook."),
        (0, warnings) => {
            writeln!(
                out,
                "\nThis host can be traced; {warnings} of {} checks have limitations.",
                checks.len()
            )
        }
        (failures, _) => {
            writeln!(out, "\nThis host cannot be traced: {failures} of {} checks failed.", checks.len())
        }
    }
}

/// Writes the checks as records.
///
/// # Errors
/// What writing failed with.
pub fn write_json(checks: &[Check], out: &mut impl Write) -> io::Result<()> {
    let mut lines = Vec::new();
    for check in checks {
        json::line(&mut lines, check);
    }
    out.write_all(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(checks: &[Check]) -> String {
        let mut out = Vec::new();
        write_text(checks, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn advice_stands_below_its_check() {
        let checks = [
            Check::ok("kernel", "Linux 6.1"),
            Check::warn("time_wait_end", "off: no fentry", "nothing to do"),
        ];
        let expected = "\
ok    kernel         Linux 6.1
warn  time_wait_end  off: no fentry
                     > nothing to do

This host can be traced; 1 of 2 checks have limitations.
";
        assert_eq!(text(&checks), expected);
    }

    #[test]
    fn the_last_line_is_the_verdict() {
        assert!(text(&[Check::ok("a", "b")]).ends_with("\nThis host can be traced, with every hook.\n"));
        let failed = text(&[Check::fail("a", "b", "c"), Check::warn("a", "b", "c")]);
        assert!(failed.ends_with("\nThis host cannot be traced: 1 of 2 checks failed.\n"), "{failed}");
    }

    #[test]
    fn json_is_one_record_for_each_check() {
        let mut out = Vec::new();
        write_json(&[Check::ok("kernel", "Linux"), Check::fail("rights", "none", "sudo")], &mut out).unwrap();
        let expected = "\
{\"type\":\"check\",\"name\":\"kernel\",\"status\":\"ok\",\"detail\":\"Linux\",\"advice\":null}
{\"type\":\"check\",\"name\":\"rights\",\"status\":\"fail\",\"detail\":\"none\",\"advice\":\"sudo\"}
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
