//! What each panel and overlay looks like, at the sizes that matter.

use std::sync::Arc;

use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, layout::Size, style::Modifier};
use tcplife_core::view::Page;

use super::{
    app::{App, Setup},
    draw::draw,
    fixtures::{self as fix, LARGE, SMALL, USUAL},
    theme::Theme,
};
use crate::health::{Health, Knowledge};

fn drawn(app: &App, now: u64) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(app.size.width, app.size.height)).unwrap();
    terminal.draw(|frame| draw(app, now, frame)).unwrap();
    terminal.backend().buffer().clone()
}

/// The text of the screen, each line without the spaces at its end.
pub(super) fn text(app: &App) -> String {
    text_at(app, fix::NOW)
}

/// The same at another time.
fn text_at(app: &App, now: u64) -> String {
    let buffer = drawn(app, now);
    let mut out = String::new();
    for y in 0..app.size.height {
        let mut line = String::new();
        let mut hidden = 0;
        for x in 0..app.size.width {
            let symbol = buffer[(x, y)].symbol();
            // The cell after a wide character shows nothing.
            if hidden == 0 {
                line.push_str(symbol);
                hidden = super::text::columns(symbol).max(1);
            }
            hidden -= 1;
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The same screen at each size, under one name.
fn at_each_size(name: &str, prepare: impl Fn(Size) -> App) {
    for size in [SMALL, USUAL, LARGE] {
        let app = prepare(size);
        insta::assert_snapshot!(format!("{name}_{}x{}", size.width, size.height), text(&app));
    }
}

#[test]
fn connections() {
    at_each_size("connections", fix::app);
}

#[test]
fn detail() {
    at_each_size("detail", |size| {
        let mut app = fix::app(size);
        fix::type_keys(&mut app, "jj\n");
        fix::answer(&mut app);
        app
    });
}

#[test]
fn detail_with_everything() {
    at_each_size("detail_full", |size| {
        let mut app = fix::app(size);
        fix::type_keys(&mut app, "j\n");
        fix::answer(&mut app);
        app
    });
}

#[test]
fn a_detail_that_is_longer_than_the_screen() {
    let mut app = fix::app(SMALL);
    fix::type_keys(&mut app, "j\n");
    fix::answer(&mut app);
    fix::type_keys(&mut app, "jjjj");
    insta::assert_snapshot!("detail_scrolled_60x15", text(&app));
    fix::type_keys(&mut app, "G");
    insta::assert_snapshot!("detail_end_60x15", text(&app));
}

#[test]
fn detail_of_a_connection_that_is_gone() {
    let mut app = fix::app(USUAL);
    fix::type_keys(&mut app, "jj\n");
    fix::answer(&mut app);
    let mut frame = fix::frame(&app);
    Arc::make_mut(&mut frame.page).rows.remove(2);
    fix::feed(&mut app, frame);
    insta::assert_snapshot!("detail_gone_80x24", text(&app));
}

#[test]
fn events() {
    at_each_size("events", |size| {
        let mut app = fix::app(size);
        fix::type_keys(&mut app, "5");
        fix::answer(&mut app);
        app
    });
}

/// A view, after keys typed in it.
fn view(name: &str, keys: &'static str) {
    at_each_size(name, |size| {
        let mut app = fix::app(size);
        fix::type_keys(&mut app, keys.get(..1).unwrap_or_default());
        fix::answer(&mut app);
        fix::type_keys(&mut app, keys.get(1..).unwrap_or_default());
        fix::answer(&mut app);
        app
    });
}

#[test]
fn leaks() {
    view("leaks", "2\nG\ngj");
}

#[test]
fn a_leaked_socket() {
    view("leak", "2\nj\n");
}

/// The timeline of a leaked socket whose other end is gone, the only one.
fn one_leak() -> App {
    let mut app = fix::app(LARGE);
    fix::type_keys(&mut app, "2");
    let suspects = vec![fix::views::leaks().suspects[1].clone()];
    let leaks = super::frame::Leaks { at: fix::NOW, suspects };
    let frame = super::frame::Frame { leaks: leaks.into(), ..fix::frame(&app) };
    fix::feed(&mut app, frame);
    fix::type_keys(&mut app, "\nj\n");
    app
}

#[test]
fn a_leaked_socket_has_one_age() {
    let shown = text_at(&one_leak(), fix::NOW + 5 * fix::SECOND);
    assert!(shown.contains("CLOSE_WAIT for 3m05s"), "{shown}");
    assert!(shown.contains("eof_unread: the peer closed 3m 5s ago"), "{shown}");
}

#[test]
fn a_peer_that_is_gone_is_in_no_state() {
    let shown = text(&one_leak());
    assert!(shown.contains("gone for good"), "{shown}");
    assert!(shown.contains("FIN ──────  gone "), "{shown}");
}

#[test]
fn histograms() {
    view("histograms", "3");
}

#[test]
fn histograms_by_process() {
    view("histograms_by_process", "3bjj");
}

#[test]
fn local_ports() {
    view("time_wait", "4j");
}

#[test]
fn groups() {
    at_each_size("groups", |size| {
        let mut app = fix::app(size);
        fix::type_keys(&mut app, "a");
        let mut frame = fix::frame(&app);
        Arc::make_mut(&mut frame.page).groups = fix::views::groups();
        fix::feed(&mut app, frame);
        app
    });
}

#[test]
fn a_filter_that_means_nothing() {
    at_each_size("filter_wrong", |size| {
        let mut app = fix::app(size);
        fix::type_keys(&mut app, "/state:open");
        app
    });
}

#[test]
fn no_leak() {
    let mut app = fix::app(USUAL);
    fix::type_keys(&mut app, "2");
    let frame = fix::frame(&app);
    fix::feed(&mut app, frame);
    insta::assert_snapshot!("no_leak_80x24", text(&app));
}

#[test]
fn what_was_copied() {
    let copied = |size| {
        let mut app = fix::app(size);
        fix::type_keys(&mut app, "jjK");
        app
    };
    at_each_size("copied", copied);
    let mut app = copied(USUAL);
    fix::type_keys(&mut app, "qkK");
    insta::assert_snapshot!("copied_long_80x24", text(&app));
}

#[test]
fn help() {
    at_each_size("help", |size| {
        let mut app = fix::app(size);
        fix::type_keys(&mut app, "?");
        app
    });
}

#[test]
fn the_end_of_the_help_says_which_hooks_are_off() {
    let mut app = fix::app(USUAL);
    let frame = super::frame::Frame { health: fix::bad_health(), ..fix::frame(&app) };
    fix::feed(&mut app, frame);
    fix::type_keys(&mut app, "?G");
    insta::assert_snapshot!("help_end_80x24", text(&app));
}

#[test]
fn states() {
    at_each_size("states", |size| {
        let mut app = fix::app(size);
        fix::type_keys(&mut app, "f");
        app
    });
}

#[test]
fn typing_a_filter() {
    at_each_size("filter", |size| {
        let mut app = fix::app(size);
        fix::type_keys(&mut app, "/nginx");
        app
    });
}

#[test]
fn a_filter_that_is_longer_than_the_line() {
    at_each_size("filter_long", |size| {
        let mut app = fix::app(size);
        fix::type_keys(&mut app, "/nginx");
        fix::type_keys(&mut app, &" -comm:java -peer:10.0.0.2".repeat(12));
        app
    });
}

#[test]
fn pause() {
    at_each_size("paused", fix::paused);
}

#[test]
fn a_pause_stops_ages_and_not_the_uptime() {
    let app = fix::paused(USUAL);
    let (before, after) = (text(&app), text_at(&app, fix::NOW + fix::MINUTE));
    assert!(before.contains(" up 12m07s "), "{before}");
    assert!(after.contains(" up 13m07s "), "{after}");
    let rows = |screen: &str| screen.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&before), rows(&after));
}

#[test]
fn losses_and_missing_hooks() {
    at_each_size("lost", |size| {
        let mut app = fix::app(size);
        let frame = super::frame::Frame { health: fix::bad_health(), ..fix::frame(&app) };
        fix::feed(&mut app, frame);
        app
    });
}

#[test]
fn whole_again_after_losses() {
    let mut app = fix::app(USUAL);
    let health = Health { knowledge: Knowledge::Mended, ..fix::bad_health() };
    let frame = super::frame::Frame { health, ..fix::frame(&app) };
    fix::feed(&mut app, frame);
    insta::assert_snapshot!("mended_80x24", text(&app));
}

#[test]
fn nothing_seen_yet() {
    let app = fix::blank(USUAL, Theme::Colours);
    insta::assert_snapshot!("blank_80x24", text(&app));
}

#[test]
fn nothing_passes_the_filters() {
    let mut app = fix::app(USUAL);
    let mut frame = fix::frame(&app);
    let by_state = fix::frame(&app).page.by_state;
    frame.page = Arc::new(Page { total: 1204, by_state, ..Page::default() });
    fix::feed(&mut app, frame);
    insta::assert_snapshot!("no_match_80x24", text(&app));
}

#[test]
fn what_the_command_line_asks_for_is_not_there() {
    let absent = vec![format!("--netns 1: {}", "x".repeat(90))];
    let mut app = App::new(Setup { absent, ..fix::blank(USUAL, Theme::Colours).setup }, USUAL);
    for (total, why) in
        [(0, "No connection at the moment."), (1204, "passes the filters of the command line.")]
    {
        let page = Arc::new(Page { total, ..Page::default() });
        let frame = super::frame::Frame { page, ..fix::frame(&app) };
        fix::feed(&mut app, frame);
        let text = text(&app);
        assert!(text.contains(why) && text.matches("--netns 1: xxx").count() == 2, "{text}");
    }
}

#[test]
fn a_terminal_that_is_too_small_says_so() {
    for size in [Size::new(59, 15), Size::new(60, 14), Size::new(20, 2), Size::new(1, 1)] {
        let app = fix::app(size);
        assert!(size.width < 20 || text(&app).contains("tcplife needs 60x15"), "{}", text(&app));
    }
}

/// No size is too odd to draw, whatever is open.
#[test]
fn every_size_can_be_drawn() {
    let text = "/some text that is rather long, longer than it should be";
    for keys in ["", "jj\n", "2\nj\n", "3", "3b", "4", "5", "?", "?G", "f", "jK", text] {
        for width in [1, 59, 60, 61, 77, 80, 113, 150, 219] {
            for height in [1, 14, 15, 16, 24, 70] {
                let mut app = fix::app(Size::new(width, height));
                fix::type_keys(&mut app, keys);
                fix::answer(&mut app);
                drawn(&app, fix::NOW);
            }
        }
    }
}

/// At 80 columns and more every state and every age is there in full.
#[test]
fn no_state_and_no_age_is_cut() {
    for width in [60, 80, 100, 120, 200] {
        let shown = text(&fix::app(Size::new(width, 40)));
        for row in fix::rows() {
            let age = super::text::age(row.since.age(fix::NOW));
            let both = |line: &str| line.contains(row.state.upper()) && line.contains(&format!(" {age} "));
            assert!(shown.lines().any(both), "{} {age} at {width}\n{shown}", row.state);
        }
    }
}

#[test]
fn no_escape_sequence_gets_to_the_terminal() {
    for keys in ["", "jj\n", "2", "3b", "5"] {
        let mut app = fix::app(LARGE);
        fix::type_keys(&mut app, keys);
        fix::answer(&mut app);
        let buffer = drawn(&app, fix::NOW);
        assert!(!buffer.content().iter().any(|cell| cell.symbol().contains(char::is_control)));
        assert!(text(&app).contains("\\x1b[2J\\x07evil"));
    }
}

#[test]
fn without_colours_nothing_is_lost() {
    let coloured = fix::app(USUAL);
    let mut plain = fix::blank(USUAL, Theme::Plain);
    let frame = super::frame::Frame { health: fix::bad_health(), ..fix::frame(&plain) };
    fix::feed(&mut plain, frame);
    let buffer = drawn(&plain, fix::NOW);
    let is_plain = |cell: &ratatui::buffer::Cell| {
        cell.fg == ratatui::style::Color::Reset && cell.bg == ratatui::style::Color::Reset
    };
    assert!(buffer.content().iter().all(is_plain));
    assert!(buffer.content().iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
    let rows = |screen: &str| screen.lines().skip(4).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&text(&plain)), rows(&text(&coloured)));
    assert!(text(&plain).contains("LOST 12,003"));
}
