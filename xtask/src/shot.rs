//! `cargo xtask shot`: the pictures of the documentation, each taken of tcplife as it runs.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{packages, process, run, workspace};

mod palette;
mod scene;
mod screen;
mod svg;
mod terminal;

use scene::Scene;
use screen::Screen;
use terminal::Terminal;

/// What the scene needs: a program, and Debian's package of it.
const PROGRAMS: [(&str, &str); 5] = [
    ("curl", "curl"),
    ("ip", "iproute2"),
    ("nginx", "nginx-light"),
    ("python3", "python3"),
    ("tmux", "tmux"),
];
/// Where the pictures belong, from the root of the workspace.
const PLACE: &str = "docs/img";
const COLUMNS: u16 = 100;
const LINES: u16 = 28;
/// How long the screen may take to appear.
const START: Duration = Duration::from_secs(30);
/// How long all that the picture should show may take to happen; it is meant to take 70 s.
const STORY: Duration = Duration::from_mins(3);
/// How long a key may take to do what it does.
const KEY: Duration = Duration::from_secs(10);
/// What the summary of the states has when all has happened.
const STATES: [&str; 5] = ["SYN_SENT", "ESTABLISHED", "FIN_WAIT_2", "CLOSE_WAIT 12", "TIME_WAIT"];

/// A view besides the first.
struct View {
    /// Keys that open it.
    keys: &'static [&'static str],
    /// What it has when it is there.
    shows: &'static [&'static str],
    file: &'static str,
    title: &'static str,
}

const VIEWS: &[View] = &[
    View {
        keys: &["2", "Enter"],
        shows: &["! 12 leaked", "data_unread", "fd "],
        file: "leaks.svg",
        title: "the view of leaks: python3 holds 12 connections open, with the verdict on each and its age",
    },
    View {
        keys: &["3", "j", "j"],
        shows: &["COUNT", "OLDEST", "░ open"],
        file: "histograms.svg",
        title: "the view of histograms: times in each state, ended and still open, on one logarithmic axis",
    },
    View {
        keys: &["4"],
        shows: &["ENDS IN", "ip_local_port_range = "],
        file: "time-wait.svg",
        title: "the view of local ports: in use by destination, by whom, and the settings that decide",
    },
    View {
        keys: &["5"],
        shows: &["EVENT", "AFTER", "ESTABLISHED"],
        file: "events.svg",
        title: "the view of events, newest first",
    },
];

/// The command.
pub(crate) fn run() -> Result<()> {
    packages::require(&PROGRAMS, "the pictures")?;
    let tcplife = run::build()?;
    process::keep_rights();
    let scene = Scene::raise()?;
    let args = format!("watch --leak-after 3s --netns {}", scene.netns());
    let terminal = Terminal::run(scene.socket(), COLUMNS, LINES, &tcplife, &args)?;
    terminal.wait(START, "first screen", |screen| screen.has("events/s"))?;
    scene.begin()?;
    println!("waiting for a minute's connections");
    let watch = terminal.wait(STORY, "screen with all states", has_all)?;
    if watch.has("LOST") {
        bail!("events were lost: something else keeps this machine busy; take the pictures when it is quiet");
    }
    let views = views(&terminal)?;
    let detail = open_leak(&terminal)?;
    terminal.quit(KEY)?;
    scene.end()?;
    let dir = workspace::root()?.join(PLACE);
    fs::create_dir_all(&dir).with_context(|| format!("making {PLACE}"))?;
    let title = "tcplife watch: each connection with its state, its age there and its process; \
                 12 connections that python3 does not close stand out";
    write(&dir.join("watch.svg"), &watch, title)?;
    let title = "tcplife watch, one connection opened: how long it was in each state, \
                 and that its process has to close it";
    write(&dir.join("detail.svg"), &detail, title)?;
    for (view, screen) in VIEWS.iter().zip(&views) {
        write(&dir.join(view.file), screen, view.title)?;
    }
    Ok(())
}

/// Takes each view in turn, and comes back to the first.
fn views(terminal: &Terminal) -> Result<Vec<Screen>> {
    let mut screens = Vec::new();
    for view in VIEWS {
        for key in view.keys {
            terminal.press(key)?;
        }
        let has_it = |screen: &Screen| view.shows.iter().all(|text| screen.has(text));
        screens.push(terminal.wait(KEY, view.title, has_it)?);
    }
    terminal.press("1")?;
    terminal.wait(KEY, "first view", |screen| screen.has(" REMOTE"))?;
    Ok(screens)
}

/// Has all happened that the picture should show?
fn has_all(screen: &Screen) -> bool {
    let has_states = |line: String| STATES.iter().all(|state| line.contains(state));
    screen.has("! 12 leaked") && screen.lines().any(has_states)
}

/// Goes down to the first connection that leaks, and opens it.
fn open_leak(terminal: &Terminal) -> Result<Screen> {
    let mut screen = terminal.screen()?;
    for _ in 0..LINES {
        let (place, row) = selected(&screen).context("no row is selected")?;
        if row.starts_with("! CLOSE_WAIT") {
            terminal.press("Enter")?;
            let is_open = |screen: &Screen| screen.has("ENTERED") && screen.has("suspect");
            return terminal.wait(KEY, "detail of the connection", is_open);
        }
        terminal.press("Down")?;
        let has_moved = |screen: &Screen| selected(screen).is_some_and(|(now, _)| now != place);
        screen = terminal.wait(KEY, "move of the selection", has_moved)?;
    }
    bail!("no connection that leaks can be selected; the screen is\n{}", screen.text())
}

/// The selected row of the table, and its line on the screen.
fn selected(screen: &Screen) -> Option<(usize, String)> {
    let is_head = |line: &String| line.contains("STATE ") && line.contains("REMOTE");
    let head = screen.lines().position(|line| is_head(&line))?;
    let mut rows = screen.lines().enumerate().skip(head + 1);
    rows.find(|(line, _)| screen.is_reversed(*line))
}

/// Writes a screen as a picture.
fn write(file: &Path, screen: &Screen, title: &str) -> Result<()> {
    let svg = svg::picture(screen, title).context("drawing the screen")?;
    fs::write(file, &svg).with_context(|| format!("writing {}", file.display()))?;
    println!("{} ({} KB)", file.display(), svg.len().div_ceil(1000));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selected_row_is_below_the_heads() {
        let text = "\x1b[7m 1 Connections \x1b[0m\n  STATE    REMOTE\n  one\n\x1b[7m! two\x1b[0m\n";
        let screen = Screen::read(text, 40, 5).unwrap();
        let (line, row) = selected(&screen).unwrap();
        assert_eq!((line, row.trim_end()), (3, "! two"));
    }

    #[test]
    fn a_picture_waits_for_every_state() {
        let full = "SYN_SENT 1  ESTABLISHED 2  FIN_WAIT_2 1  CLOSE_WAIT 12  TIME_WAIT 3\n! 12 leaked\n";
        let read = |text: &str| Screen::read(text, 100, 5).unwrap();
        assert!(has_all(&read(full)));
        assert!(!has_all(&read(&full.replace("SYN_SENT 1", ""))));
        assert!(!has_all(&read(&full.replace("! 12 l", "! 11 l"))));
    }
}
