//! How this process ends: a status, and for an error one sentence on standard error.
//!
//! What always holds: 0 is fine; 1 is leaks, where that was asked for; 2 is everything else.

use std::{
    env,
    ffi::OsStr,
    io::{self, ErrorKind, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::{Result, ensure};

use crate::{cli, escape::one_line, sinks::out::cannot_write};

const LEAKS: u8 = 1;
const ERROR: u8 = 2;

/// What a command that did not fail came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well, or nobody asked.
    Fine,
    /// Leaks were found, and the exit status is to say so.
    Leaks,
}

/// The exit status of a command that ran; an error is said in one line.
pub fn status(outcome: Result<Outcome>) -> ExitCode {
    match outcome {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Leaks) => ExitCode::from(LEAKS),
        Err(error) => say(&format!("{error:#}")),
    }
}

/// The exit status of a command line that asks for help or is wrong.
pub fn usage(stopped: &clap::Error) -> ExitCode {
    if stopped.use_stderr() {
        let arguments = env::args_os().skip(1).filter_map(|word| word.into_string().ok());
        return say(&cli::usage_sentence(stopped, arguments));
    }
    match stopped.print().and_then(|()| io::stdout().flush()) {
        // Help for a reader that has gone is no error.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => say(&cannot_write(&error).to_string()),
        _ => ExitCode::SUCCESS,
    }
}

/// The screen is for a terminal that can draw one.
///
/// # Errors
/// Standard output is something else.
pub fn needs_terminal() -> Result<()> {
    const INSTEAD: &str = "use tcplife trace, lives, hist or leaks";
    ensure!(
        io::stdout().is_terminal(),
        "watch draws a screen, and standard output is not a terminal; {INSTEAD} instead"
    );
    ensure!(
        !is_dumb(env::var_os("TERM").as_deref()),
        "watch draws a screen, which a terminal cannot whose TERM is empty or dumb; set TERM, or {INSTEAD}"
    );
    Ok(())
}

/// Whether `TERM` says that the terminal takes lines and nothing else. Where it says nothing, the terminal may be a good
/// one: escape sequences are the same on all that there still are.
fn is_dumb(term: Option<&OsStr>) -> bool {
    term.is_some_and(|term| term.is_empty() || term == "dumb")
}

fn say(sentence: &str) -> ExitCode {
    // Nobody may listen there; the status tells.
    let _ =
        io::stderr().write_all(format!("tcplife: {}{}\n", one_line(sentence), remedy(sentence)).as_bytes());
    ExitCode::from(ERROR)
}

/// What to do about an error that may come from anywhere. Libraries tell it in words of their own, with the number that an
/// [`io::Error`] shows.
fn remedy(sentence: &str) -> &'static str {
    let is_about = |errno: i32| sentence.contains(&format!("(os error {errno})"));
    if is_about(libc::EMFILE) { "; raise the limit of open files (ulimit -n) and try again" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_open_files_have_a_remedy() {
        let error = anyhow::Error::from(io::Error::from_raw_os_error(libc::EMFILE)).context("cannot open it");
        assert!(remedy(&format!("{error:#}")).contains("ulimit -n"));
        assert_eq!(remedy("no such thing (os error 2)"), "");
    }

    #[test]
    fn a_terminal_is_dumb_where_it_says_so() {
        for (term, dumb) in [
            (Some("dumb"), true),
            (Some(""), true),
            (None, false),
            (Some("linux"), false),
            (Some("xterm-256color"), false),
        ] {
            assert_eq!(is_dumb(term.map(OsStr::new)), dumb, "{term:?}");
        }
    }
}
