//! What is typed and pasted into the line of the text filter.

use ratatui::crossterm::event::KeyCode;

use super::{
    app::{App, Overlay},
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
    assert_eq!(app.text().chars().count(), 64);
}

#[test]
fn a_filter_has_a_longest_length_and_no_control_characters() {
    let mut app = fix::app(USUAL);
    type_keys(&mut app, "/");
    type_keys(&mut app, &"x".repeat(1000));
    update(&mut app, fix::key(KeyCode::Char('\u{9b}')));
    assert_eq!(app.text(), "x".repeat(64));
}
