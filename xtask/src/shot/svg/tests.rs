//! Screens of a few cells and what becomes of them.

use super::*;

const TOP: u32 = 0;

fn line(captured: &str) -> Vec<(u16, Cell)> {
    Screen::read(captured, 12, 1).unwrap().cells(0).collect()
}

fn words_of(captured: &str) -> Vec<String> {
    words(&line(captured), TOP).iter().map(ToString::to_string).collect()
}

#[test]
fn each_word_has_its_column_and_its_width() {
    let found = words_of("ab  c");
    assert_eq!(found[0], r#"<text x="200" y="152" textLength="192">ab</text>"#);
    assert_eq!(found[1], r#"<text x="584" y="152">c</text>"#);
}

#[test]
fn a_change_of_look_begins_another_word() {
    let found = words_of("a\x1b[1mb\x1b[0;31mc");
    assert_eq!(found.len(), 3);
    assert!(found[1].contains(r#" font-weight="bold">b<"#), "{}", found[1]);
    assert!(found[2].contains(r##" fill="#ff7b72">c<"##), "{}", found[2]);
}

#[test]
fn a_wide_character_stands_alone() {
    let found = words_of("a服b");
    assert_eq!(found.len(), 3);
    assert!(found[1].contains(r#"textLength="192">服<"#), "{}", found[1]);
    assert!(found[2].contains(r#"x="488""#), "{}", found[2]);
}

#[test]
fn backgrounds_and_underlines_run_through_spaces() {
    let reversed = shapes(&line("\x1b[7ma b\x1b[0m c"), TOP);
    assert_eq!(reversed, [Shape { x: 200, y: 0, width: 3 * 96, height: 208, fill: INK }]);
    let underlined = shapes(&line("\x1b[4ma b\x1b[0m c"), TOP);
    assert_eq!(underlined, [Shape { x: 200, y: UNDERLINE, width: 3 * 96, height: THIN, fill: INK }]);
}

#[test]
fn bars_and_rules_are_shapes_and_join() {
    let bar = shapes(&line("██▌"), TOP);
    assert_eq!(bar.len(), 1);
    assert_eq!((bar[0].width, bar[0].height), (2 * 96 + 48, 208));
    let heights: Vec<u32> = shapes(&line("▁▄█"), TOP).iter().map(|shape| shape.height).collect();
    assert_eq!(heights, [26, 104, 208]);
    assert_eq!(shapes(&line("───"), TOP).len(), 1);
    assert!(words_of("█▁▏─").is_empty());
}

#[test]
fn text_is_escaped() {
    assert_eq!(Escaped("<a & \"b\">").to_string(), "&lt;a &amp; &quot;b&quot;&gt;");
    assert_eq!(Escaped("a\u{1b}[2J\u{0}b").to_string(), "a\u{fffd}[2J\u{fffd}b");
    assert!(words_of("<&>")[0].ends_with(">&lt;&amp;&gt;</text>"));
}

#[test]
fn a_picture_is_as_large_as_its_screen() {
    let screen = Screen::read("one\ntwo\n", 12, 2).unwrap();
    let svg = picture(&screen, "a < b").unwrap();
    assert!(svg.starts_with("<svg "));
    assert!(svg.contains(r#"width="155" height="81" viewBox="0 0 1552 816""#), "{svg}");
    assert!(svg.contains("<title>a &lt; b</title>"));
    assert_eq!(svg.matches("<text ").count(), 2);
    assert!(svg.ends_with("</svg>\n"));
}
