//! What each key does in the views besides connections, and in groups, without a terminal.

use std::sync::Arc;

use ratatui::{
    crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind},
    layout::Size,
};
use tcplife_core::{
    connection::ConnId,
    state::State,
    suspect::Verdict,
    timeline::Since,
    view::{GroupBy, GroupKey, GroupRow, SortKey},
};

use super::{
    app::{App, Tab, Target},
    fixtures::{self as fix, LARGE, SMALL, USUAL, type_keys},
    frame::Frame,
    lines::LeakKey,
    pane::Pane,
    snapshot_tests::text,
    update::{Event, Next, update},
};
use crate::stays::By;

/// A screen on a view, with its data.
fn on(tab: &str, size: Size) -> App {
    let mut app = fix::app(size);
    type_keys(&mut app, tab);
    fix::answer(&mut app);
    app
}

fn group(pid: u32, suspicious: usize) -> GroupRow {
    let key = GroupKey::Process(Some((pid, [b'x'; 16])));
    GroupRow {
        key,
        count: 3,
        by_state: [0; State::COUNT],
        suspicious,
        oldest: Since::Seen(fix::NOW),
        retransmits: 0,
    }
}

/// A screen with these groups.
fn grouped(pids: &[u32]) -> App {
    let mut app = fix::app(USUAL);
    type_keys(&mut app, "a");
    answer_groups(&mut app, pids);
    app
}

fn answer_groups(app: &mut App, pids: &[u32]) {
    let groups = pids.iter().map(|&pid| group(pid, 0)).collect();
    let page = tcplife_core::view::Page { groups, matched: 3 * pids.len(), total: 99, ..Default::default() };
    let frame = Frame { page: page.into(), ..fix::frame(app) };
    fix::feed(app, frame);
}

#[test]
fn a_cycles_through_the_groups_and_back() {
    let mut app = fix::app(USUAL);
    for by in GroupBy::ALL.into_iter().map(Some).chain([None]) {
        type_keys(&mut app, "a");
        assert_eq!(app.request().query.group, by);
    }
}

#[test]
fn the_cursor_follows_its_group_and_enter_shows_its_connections() {
    let mut app = grouped(&[1, 2, 3]);
    type_keys(&mut app, "jj");
    assert_eq!(app.list.target, Target::Group(group(3, 0).key));
    answer_groups(&mut app, &[3, 1, 2]);
    assert_eq!(app.list.position, 0);
    type_keys(&mut app, "\n");
    assert_eq!((app.list.text.as_str(), app.list.group), ("pid:3", None));
    fix::answer(&mut app);
    assert_eq!(app.list.selected(), Some(ConnId(1)), "a connection again");
}

#[test]
fn what_a_group_has_no_use_for_is_told_and_changes_nothing() {
    let mut app = grouped(&[1, 2]);
    let before = app.request();
    for (key, words) in [("c", "a group: "), ("K", "a group: "), ("s", "groups "), ("S", "groups ")] {
        type_keys(&mut app, key);
        assert!(
            app.notice.as_deref().is_some_and(|notice| notice.starts_with(words)),
            "{key}: {:?}",
            app.notice
        );
        assert_eq!((app.request(), &app.clipboard), (before.clone(), &None), "{key}");
    }
    let mut app = on("2", USUAL);
    for key in ["c", "K"] {
        type_keys(&mut app, key);
        assert!(app.notice.as_deref().is_some_and(|notice| notice.starts_with("a group: ")), "{key}");
        assert_eq!(app.clipboard, None, "{key}");
    }
    let mut app = fix::blank(USUAL, super::theme::Theme::Colours);
    type_keys(&mut app, "2K");
    assert_eq!(app.notice, None, "there is nothing at all");
}

#[test]
fn the_order_is_told_where_no_heading_has_room_to_show_it() {
    let mut app = fix::app(SMALL);
    for (key, words) in
        [("ss", "sorted by state ▲"), ("S", "sorted by state ▼"), ("ssss", "sorted by local ▲")]
    {
        type_keys(&mut app, key);
        assert_eq!(app.notice.as_deref(), Some(words));
    }
}

#[test]
fn esc_leaves_groups_before_it_drops_filters() {
    let mut app = grouped(&[101]);
    app.list.text = "nginx".to_owned();
    type_keys(&mut app, "\x1b");
    assert_eq!((app.list.group, app.list.text.as_str()), (None, "nginx"));
    type_keys(&mut app, "\x1b");
    assert_eq!(app.list.text, "");
}

#[test]
fn what_is_wrong_with_a_filter_is_told_while_it_is_typed() {
    let mut app = fix::app(USUAL);
    type_keys(&mut app, "/pid:");
    assert_eq!(app.problem(), None);
    type_keys(&mut app, "x");
    assert_eq!(app.problem().as_deref(), Some("pid:x: not a process id"));
}

#[test]
fn copying_goes_to_the_terminal_and_says_so_until_the_next_key() {
    let mut app = fix::app(LARGE);
    type_keys(&mut app, "jjc");
    let text = "CLOSE_WAIT 2m05s nginx[812] 10.0.0.1:8080 10.0.0.2:40003 netns 4026531840";
    assert_eq!(app.clipboard.take().as_deref(), Some(text));
    assert_eq!(app.notice, Some(format!("copied: {text}")));
    type_keys(&mut app, "K");
    let command = app.clipboard.take().unwrap();
    assert!(command.starts_with("sudo ss -K -t state close-wait 'src 10.0.0.1:8080 and dst"), "{command}");
    type_keys(&mut app, "k");
    assert_eq!((app.notice.as_deref(), app.clipboard.as_deref()), (None, None));
}

#[test]
fn leaks_unfold_to_sockets_and_a_socket_opens() {
    let mut app = on("2", USUAL);
    assert_eq!(super::lines::leak_keys(&app).len(), 2, "two processes leak; a third has a young socket only");
    type_keys(&mut app, "\n");
    assert_eq!(super::lines::leak_keys(&app).len(), 5);
    type_keys(&mut app, "j\n");
    assert!(app.leaks.pane.is_open() && app.request().settings);
    type_keys(&mut app, "K");
    assert!(app.clipboard.as_deref().is_some_and(|text| text.contains("40001'")), "{:?}", app.clipboard);
    type_keys(&mut app, "\x1b\x1b");
    assert_eq!(app.leaks.pane, Pane::Closed);
    type_keys(&mut app, "\x1bG");
    assert_eq!((super::lines::leak_keys(&app).len(), app.leaks.cursor.at), (2, 1));
}

#[test]
fn a_key_right_after_the_view_of_leaks_was_opened_is_for_its_first_line() {
    let mut app = fix::app(USUAL);
    let frame = Frame { leaks: fix::views::leaks(), ..fix::frame(&app) };
    fix::feed(&mut app, frame);
    type_keys(&mut app, "2\n");
    assert_eq!(super::lines::leak_keys(&app).len(), 5);
}

#[test]
fn a_process_with_nothing_but_what_is_left_of_connections_is_shown_as_well() {
    let mut app = on("2", LARGE);
    let mut leaks = (*fix::views::leaks()).clone();
    leaks.suspects.truncate(2);
    for suspect in &mut leaks.suspects {
        (suspect.verdict, suspect.facts.state) = (Verdict::EndedUnclosed, State::Closed);
    }
    let frame = Frame { leaks: Arc::new(leaks), ..fix::frame(&app) };
    fix::feed(&mut app, frame);
    let shown = text(&app);
    for words in ["0 leaked of 0 that wait, 2 ended", "java pid 4194304   ! 2 ended ", " 2 ended_unclosed"] {
        assert!(shown.contains(words), "{words:?} is not in {shown}");
    }
    type_keys(&mut app, "1");
    let shown = text(&app);
    assert!(shown.contains("! 2 ended"), "{shown}");
}

/// What is typed behind it is no key of the view that has no rows to select.
#[test]
fn a_filter_is_for_connections_wherever_it_is_begun() {
    for (tab, shown) in [
        ("1", Tab::Connections),
        ("2", Tab::Connections),
        ("3", Tab::Connections),
        ("4", Tab::Connections),
        ("5", Tab::Events),
    ] {
        let mut app = on(tab, USUAL);
        type_keys(&mut app, "/mysql q\n");
        assert_eq!((app.tab, app.text()), (shown, "mysql q"), "from {tab}");
    }
}

/// New data without the suspects of these numbers.
fn without(app: &mut App, gone: &[u64]) {
    let mut leaks = (*fix::views::leaks()).clone();
    leaks.suspects.retain(|suspect| !gone.contains(&suspect.connection.id().0));
    let frame = Frame { leaks: Arc::new(leaks), ..fix::frame(app) };
    fix::feed(app, frame);
}

#[test]
fn the_cursor_stays_on_a_socket_wherever_its_line_goes() {
    let mut app = on("2", USUAL);
    type_keys(&mut app, "\njj");
    let second = Some(LeakKey::Socket(ConnId(102)));
    assert_eq!((app.leaks.cursor.on, app.leaks.cursor.at), (second, 2));
    without(&mut app, &[101]);
    assert_eq!((app.leaks.cursor.on, app.leaks.cursor.at), (second, 1));
    type_keys(&mut app, "c");
    assert!(app.clipboard.take().is_some_and(|text| text.contains(":40002")));
    without(&mut app, &[101, 102, 104]);
    assert_eq!(app.leaks.cursor.at, 0, "what comes in its place");
}

#[test]
fn a_socket_that_is_read_is_copied_when_it_is_gone_and_no_other_one_is_ended() {
    let mut app = on("2", USUAL);
    type_keys(&mut app, "\nj\n");
    without(&mut app, &[101]);
    assert!(
        matches!(&app.leaks.pane, Pane::Gone(detail, _) if detail.row.id == ConnId(101)),
        "{:?}",
        app.leaks.pane
    );
    type_keys(&mut app, "K");
    assert_eq!((app.clipboard.take(), app.notice.is_some()), (None, true));
    type_keys(&mut app, "c");
    assert!(app.clipboard.take().is_some_and(|text| text.contains(":40001")));
    type_keys(&mut app, "\x1b\x1b");
    assert_eq!(app.leaks.cursor.on, Some(LeakKey::Socket(ConnId(102))));
}

#[test]
fn the_end_of_a_socket_that_is_read_is_shown() {
    let mut app = on("2", USUAL);
    type_keys(&mut app, "\nj\n");
    assert_eq!(app.request().query.selected, Some(ConnId(101)), "so that it is told of");
    let mut ended = app.leaks.pane.detail().unwrap().clone();
    ended.row.state = State::Closed;
    let mut frame = (*app.frame).clone();
    frame.leaks = Arc::default();
    Arc::make_mut(&mut frame.page).detail = Some(ended);
    fix::feed(&mut app, frame);
    assert!(
        matches!(&app.leaks.pane, Pane::Live(detail) if detail.row.state == State::Closed),
        "{:?}",
        app.leaks.pane
    );
}

#[test]
fn keys_before_the_data_of_a_view_move_nothing() {
    let mut app = on("3", USUAL);
    type_keys(&mut app, "G");
    let cursor = app.stays.cursor;
    type_keys(&mut app, "1");
    fix::answer(&mut app);
    type_keys(&mut app, "3k");
    assert_eq!(app.stays.cursor, cursor);
    fix::answer(&mut app);
    assert_eq!(app.stays.cursor, cursor);
}

#[test]
fn b_cycles_through_what_stays_are_grouped_by() {
    let mut app = on("3", USUAL);
    for by in By::ALL.into_iter().map(Some).chain([None]) {
        type_keys(&mut app, "b");
        assert_eq!(app.request().by, by);
    }
    type_keys(&mut app, "jj");
    assert_eq!(app.stays.cursor.at, 2);
    type_keys(&mut app, "b");
    assert_eq!(app.stays.cursor.at, 0, "other lines");
}

#[test]
fn events_have_a_filter() {
    let mut app = on("5", USUAL);
    type_keys(&mut app, "/comm:nginx\n");
    assert_eq!(app.request().query.text, "comm:nginx");
    type_keys(&mut app, "\x1b");
    assert_eq!(app.request().query.text, "");
}

#[test]
fn a_click_on_a_head_sorts_and_a_second_one_turns_the_order() {
    let mut app = fix::app(LARGE);
    let click = |column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    assert_eq!(update(&mut app, click(42, 4)), Next::Draw);
    assert_eq!((app.list.sort, app.list.descending), (SortKey::Owner, false));
    update(&mut app, click(42, 4));
    assert!(app.list.descending);
    assert_eq!(update(&mut app, click(199, 4)), Next::Wait, "no column");
}

#[test]
fn a_click_selects_a_line_of_any_view() {
    for (tab, lines) in [("2", 2), ("3", 3), ("4", 4)] {
        let mut app = on(tab, LARGE);
        let click = |row| {
            let kind = MouseEventKind::Down(MouseButton::Left);
            Event::Mouse(MouseEvent { kind, column: 9, row, modifiers: KeyModifiers::NONE })
        };
        assert_eq!(update(&mut app, click(6)), Next::Draw, "{tab}");
        let at = match tab {
            "2" => app.leaks.cursor.at,
            "3" => app.stays.cursor.at,
            _ => app.ports.at,
        };
        assert_eq!(at, 1, "{tab}");
        assert_eq!(update(&mut app, click(5 + lines)), Next::Wait, "{tab}: nothing there");
    }
}

#[test]
fn every_key_is_harmless_in_every_view_without_data() {
    for tab in ["1", "2", "3", "4", "5"] {
        let mut app = fix::blank(USUAL, super::theme::Theme::Colours);
        type_keys(&mut app, tab);
        for code in
            [KeyCode::Enter, KeyCode::PageDown, KeyCode::End, KeyCode::Home, KeyCode::Up, KeyCode::Esc]
        {
            update(&mut app, fix::key(code));
        }
        type_keys(&mut app, "abcKsSf\x1b?\x1bjkgG");
    }
}

/// A screen with the detail of the connection that has everything.
fn with_detail(size: Size) -> App {
    let mut app = fix::app(size);
    type_keys(&mut app, "j\n");
    fix::answer(&mut app);
    app
}

#[test]
fn a_detail_without_rows_beside_it_scrolls_by_lines_and_screens() {
    let mut app = with_detail(SMALL);
    let selected = app.list.selected();
    type_keys(&mut app, "jjk");
    assert_eq!((app.detail_top, app.list.selected()), (1, selected));
    type_keys(&mut app, "G");
    let last = app.detail_top;
    update(&mut app, fix::key(KeyCode::PageDown));
    assert_eq!(app.detail_top, last, "no further than to its end");
    update(&mut app, fix::key(KeyCode::PageUp));
    assert!(app.detail_top < last);
    type_keys(&mut app, "g");
    assert_eq!(app.detail_top, 0);
    let wheel =
        MouseEvent { kind: MouseEventKind::ScrollDown, column: 5, row: 9, modifiers: KeyModifiers::NONE };
    update(&mut app, Event::Mouse(wheel));
    assert_eq!((app.detail_top, app.list.selected()), (3, selected));
    type_keys(&mut app, "\x1b");
    assert_eq!(app.detail_top, 0, "the next one begins at its top");
}

#[test]
fn a_detail_beside_rows_scrolls_by_screens_and_goes_with_the_row() {
    let mut app = on("2", Size::new(60, 34));
    type_keys(&mut app, "\nj\n");
    let first = app.leaks.pane.clone();
    update(&mut app, fix::key(KeyCode::PageDown));
    assert_eq!(app.leaks.pane, first);
    let scrolled = app.detail_top;
    assert!(scrolled > 0);
    type_keys(&mut app, "k");
    assert_eq!((app.leaks.pane, app.detail_top), (Pane::Closed, 0), "a process has no detail");
}
