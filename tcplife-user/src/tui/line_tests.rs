//! What is typed and pasted into the line of the text filter.

use ratatui::{Terminal, backend::TestBackend, crossterm::event::KeyCode, layout::Size};

use super::{
    app::{App, Overlay},
    draw::draw,
    fixtures::{self as fix, USUAL, type_keys},
    update::{Event, Next, update},
};

fn paste(app: &mut App, text: &str) -> Next {
    update(app, Event::Paste(text.to_owned()))
}

#[test]
fn a_pasted_text_is_no_key() {
    for keys in ["", "?", "f", "\n", "2", "5"] {
        let mut app = fix::app(USUAL);
        type_keys(&mut app, keys);
        let before = (app.tab, app.overlay.clone(), app.request());
        assert_eq!(paste(&mut app, "leaky\nq\x03K"), Next::Wait, "{keys:?}");
        assert_eq!((app.tab, app.overlay.clone(), app.request()), before, "{keys:?}");
    }
}

#[test]
fn a_text_is_pasted_into_the_line_that_is_typed_on_one_line_and_without_control_characters() {
    let mut app = fix::app(USUAL);
    type_keys(&mut app, "/a ");
    assert_eq!(paste(&mut app, "leaky\nq\r\x1b[2J\u{202e}\tß"), Next::Draw);
    assert_eq!(app.request().query.text, "a leaky q [2J ß");
    assert_eq!(app.overlay, Overlay::Line("a leaky q [2J ß".to_owned()));
    paste(&mut app, &"x".repeat(1000));
    assert_eq!(app.text().chars().count(), 256);
}

#[test]
fn a_filter_has_a_longest_length_and_no_control_characters() {
    let mut app = fix::app(USUAL);
    type_keys(&mut app, "/");
    type_keys(&mut app, &"x".repeat(1000));
    update(&mut app, fix::key(KeyCode::Char('\u{9b}')));
    assert_eq!(app.text(), "x".repeat(256));
}

#[test]
fn what_does_not_fit_into_a_filter_is_not_dropped_without_a_word() {
    let full = Some("full: 256 characters at most");
    let mut app = fix::app(USUAL);
    type_keys(&mut app, "/");
    type_keys(&mut app, &"x".repeat(256));
    assert_eq!(app.notice, None);
    type_keys(&mut app, "x");
    assert_eq!(app.notice.as_deref(), full);
    update(&mut app, fix::key(KeyCode::Backspace));
    assert_eq!(app.notice, None);
    paste(&mut app, "yz");
    assert_eq!((app.notice.as_deref(), app.text().len()), (full, 256));
    assert!(app.text().ends_with("xy"));
}

/// The bottom line before the cursor, and what is under it.
fn bottom(app: &App) -> (String, String) {
    let size = app.size;
    let mut terminal = Terminal::new(TestBackend::new(size.width, size.height)).unwrap();
    terminal.draw(|frame| draw(app, fix::NOW, frame)).unwrap();
    let cursor = terminal.get_cursor_position().unwrap();
    assert_eq!(cursor.y, size.height - 1);
    let symbol = |x| terminal.backend().buffer()[(x, cursor.y)].symbol();
    let (mut before, mut x) = (String::new(), 0);
    while x < cursor.x {
        before.push_str(symbol(x));
        x += u16::try_from(super::text::columns(symbol(x))).unwrap().max(1);
    }
    (before, symbol(cursor.x).to_owned())
}

#[test]
fn the_cursor_is_behind_the_text_that_is_shown() {
    let (many, wide) = ("-comm:ng ".repeat(28) + "x", "服".repeat(200));
    for typed in ["", "nginx", "state:open", "服务器程序", many.as_str(), wide.as_str()] {
        for width in [60, 61, 62, 80, 200] {
            let mut app = fix::app(Size::new(width, 15));
            type_keys(&mut app, "/");
            type_keys(&mut app, typed);
            let (before, under) = bottom(&app);
            let shown = before.strip_prefix("filter: ").unwrap();
            let is_end = shown.strip_prefix('…').is_some_and(|end| typed.ends_with(end) && end.len() > 8);
            assert!(shown == typed || is_end, "{width}: {before}");
            assert_eq!(under, " ", "{width}: {before}");
        }
    }
}

#[test]
fn a_long_text_takes_the_room_of_the_keys() {
    let line = |typed: &str| {
        let mut app = fix::app(USUAL);
        type_keys(&mut app, "/");
        type_keys(&mut app, typed);
        bottom(&app).0
    };
    assert_eq!(line(&"x".repeat(71)), format!("filter: {}", "x".repeat(71)));
    assert_eq!(line(&"x".repeat(72)), format!("filter: …{}", "x".repeat(70)));
}
