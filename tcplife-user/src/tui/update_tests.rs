//! What each key does, without a terminal.

use std::sync::Arc;

use ratatui::{
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind},
    layout::Size,
};
use tcplife_core::{
    connection::ConnId,
    state::State,
    view::{Page, SortKey},
};

use super::{
    app::{App, Overlay, Stream, Tab, Target, connected_states},
    fixtures::{self as fix, LARGE, SMALL, USUAL, type_keys},
    frame::{Flow, Frame, View},
    log::{Logged, What, Whose},
    pane::Pane,
    update::{Event, Next, stream_top, update},
};

fn selected(app: &App) -> Option<u64> {
    app.list.selected().map(|id| id.0)
}

/// A screen over `count` connections, of which the answer has those that were asked for.
fn many(count: u64) -> App {
    let mut app = fix::blank(USUAL, super::theme::Theme::Colours);
    serve(&mut app, count);
    app
}

fn serve(app: &mut App, count: u64) {
    let request = app.request();
    let query = &request.query;
    let all = 0..usize::try_from(count).unwrap();
    let rows = all.clone().skip(query.offset).take(query.limit);
    let page = Page {
        rows: rows.map(|n| fix::row(n as u64, State::Established, 0, None)).collect(),
        matched: all.len(),
        total: all.len(),
        selected: query.selected.map(|id| usize::try_from(id.0).unwrap()),
        ..Page::default()
    };
    fix::feed(app, Frame { request, page: Arc::new(page), now: fix::NOW, ..Frame::default() });
}

#[test]
fn q_and_ctrl_c_quit_and_a_typed_q_does_not() {
    let ctrl_c = || Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert_eq!(type_keys(&mut fix::app(USUAL), "q"), Next::Quit);
    for keys in ["", "?", "f", "/", "\n", "5"] {
        let mut app = fix::app(USUAL);
        type_keys(&mut app, keys);
        assert_eq!(update(&mut app, ctrl_c()), Next::Quit, "{keys:?}");
    }
    let mut app = fix::app(USUAL);
    assert_eq!(type_keys(&mut app, "/q"), Next::Draw);
    assert_eq!(app.text(), "q");
}

#[test]
fn ctrl_z_stops_from_anywhere() {
    let ctrl_z = || Event::Key(KeyEvent::new(KeyCode::Char('z'), KeyModifiers::CONTROL));
    for keys in ["", "?", "f", "/", "\n", "5"] {
        let mut app = fix::app(USUAL);
        type_keys(&mut app, keys);
        assert_eq!(update(&mut app, ctrl_z()), Next::Stop, "{keys:?}");
    }
}

#[test]
fn a_key_without_meaning_draws_nothing() {
    let mut app = fix::app(USUAL);
    assert_eq!(type_keys(&mut app, "Z"), Next::Wait);
    assert_eq!(update(&mut app, fix::key(KeyCode::F(5))), Next::Wait);
}

#[test]
fn the_cursor_moves_and_stops_at_both_ends() {
    let mut app = fix::app(USUAL);
    assert_eq!(selected(&app), Some(1));
    type_keys(&mut app, "jjk");
    assert_eq!(selected(&app), Some(2));
    type_keys(&mut app, "kkkk");
    assert_eq!(selected(&app), Some(1));
    type_keys(&mut app, "G");
    assert_eq!(selected(&app), Some(11));
    type_keys(&mut app, "j");
    assert_eq!(selected(&app), Some(11));
    type_keys(&mut app, "g");
    assert_eq!(selected(&app), Some(1));
    update(&mut app, fix::key(KeyCode::PageDown));
    assert_eq!(selected(&app), Some(11));
}

#[test]
fn a_place_that_is_not_loaded_becomes_a_connection_with_the_answer() {
    let mut app = many(100_000);
    let visible = app.visible_rows();
    type_keys(&mut app, "G");
    assert_eq!((app.list.target, app.list.position), (Target::Position, 99_999));
    assert_eq!(app.list.top, 100_000 - visible);
    let query = app.request().query;
    assert_eq!((query.offset, query.limit), (100_000 - 2 * visible, 3 * visible));
    serve(&mut app, 100_000);
    assert_eq!(selected(&app), Some(99_999));
    assert!(app.row(99_999).is_some() && app.row(0).is_none());
}

#[test]
fn scrolling_by_a_screen_needs_no_answer_first() {
    let mut app = many(1000);
    update(&mut app, fix::key(KeyCode::PageDown));
    assert_eq!(selected(&app), Some(app.visible_rows() as u64));
    assert!((app.list.top..app.list.top + app.visible_rows()).all(|position| app.row(position).is_some()));
}

#[test]
fn the_cursor_follows_its_connection_wherever_the_row_goes() {
    let mut app = fix::app(USUAL);
    type_keys(&mut app, "jj");
    assert_eq!(selected(&app), Some(3));
    let mut frame = fix::frame(&app);
    Arc::make_mut(&mut frame.page).rows.rotate_right(2);
    fix::feed(&mut app, frame);
    assert_eq!((selected(&app), app.list.position), (Some(3), 4));
}

#[test]
fn the_cursor_keeps_its_place_when_the_connection_is_gone() {
    let mut app = fix::app(USUAL);
    type_keys(&mut app, "jj");
    let mut frame = fix::frame(&app);
    let page = Arc::make_mut(&mut frame.page);
    page.rows.remove(2);
    page.matched -= 1;
    fix::feed(&mut app, frame);
    assert_eq!((selected(&app), app.list.position), (Some(4), 2));
}

#[test]
fn an_answer_that_was_under_way_does_not_move_the_cursor() {
    let mut app = fix::app(USUAL);
    let mut late = fix::frame(&app);
    type_keys(&mut app, "jj");
    let page = Arc::make_mut(&mut late.page);
    page.rows.retain(|row| row.id != ConnId(3));
    page.selected = Some(0);
    fix::feed(&mut app, late);
    assert_eq!((selected(&app), app.list.position), (Some(3), 2));
}

#[test]
fn at_the_top_another_order_stays_at_the_top_and_elsewhere_it_follows() {
    let mut app = fix::app(USUAL);
    type_keys(&mut app, "ss");
    assert_eq!((app.list.sort, app.list.descending), (SortKey::State, false));
    assert_eq!(app.list.target, Target::Position);
    let mut late = fix::frame(&app);
    late.request.query.sort = SortKey::Age;
    fix::feed(&mut app, late);
    assert_eq!(app.list.target, Target::Position, "rows of the old order are not taken");
    let mut frame = fix::frame(&app);
    Arc::make_mut(&mut frame.page).rows.reverse();
    fix::feed(&mut app, frame);
    assert_eq!(selected(&app), Some(11));
    type_keys(&mut app, "jS");
    assert!(app.list.descending);
    assert_eq!(selected(&app), Some(10));
}

#[test]
fn every_column_can_be_sorted_by_and_the_first_comes_again() {
    let mut app = fix::app(USUAL);
    let mut keys = vec![app.list.sort];
    for _ in 1..SortKey::ALL.len() {
        type_keys(&mut app, "s");
        keys.push(app.list.sort);
    }
    assert_eq!(keys, SortKey::ALL);
    type_keys(&mut app, "s");
    assert_eq!((app.list.sort, app.list.descending), (SortKey::Suspicion, true));
}

#[test]
fn a_typed_filter_counts_at_once_enter_keeps_it_and_esc_drops_it() {
    let mut app = fix::app(USUAL);
    type_keys(&mut app, "/ngin");
    assert_eq!(app.request().query.text, "ngin");
    update(&mut app, fix::key(KeyCode::Backspace));
    assert_eq!(app.request().query.text, "ngi");
    type_keys(&mut app, "\n");
    assert_eq!((app.overlay.clone(), app.request().query.text.as_str()), (Overlay::None, "ngi"));
    type_keys(&mut app, "/nx");
    assert_eq!(app.request().query.text, "nginx");
    type_keys(&mut app, "\x1b");
    assert_eq!((app.overlay.clone(), app.request().query.text.as_str()), (Overlay::None, ""));
}

#[test]
fn listeners_are_hidden_until_they_are_asked_for() {
    let mut app = fix::app(USUAL);
    assert!(!app.list.shows(State::Listen));
    assert!(State::ALL[1..].iter().all(|&state| app.list.shows(state)));
    type_keys(&mut app, "fg \x1b");
    assert!(app.list.shows(State::Listen));
    type_keys(&mut app, "\x1b");
    assert_eq!(app.list.states, connected_states(), "Esc drops the choice");
}

#[test]
fn states_are_shown_or_hidden_or_the_only_ones() {
    let mut app = fix::app(USUAL);
    type_keys(&mut app, "f ");
    assert!(!app.list.shows(State::CloseWait) && app.list.shows(State::Established));
    type_keys(&mut app, "\n");
    assert_eq!(app.overlay, Overlay::None);
    assert_eq!(app.list.states, [State::CloseWait].into_iter().collect());
    type_keys(&mut app, "fa\x1b");
    assert!(State::ALL.iter().all(|&state| app.list.shows(state)));
    type_keys(&mut app, "f\nf ");
    assert_eq!(app.list.states, [State::CloseWait].into_iter().collect(), "none would stand for all");
    assert!(app.notice.is_some());
}

#[test]
fn a_choice_of_states_on_the_command_line_is_kept() {
    let mut setup = fix::app(USUAL).setup;
    setup.filter.states.insert(State::Listen);
    let mut app = App::new(setup, USUAL);
    assert!(app.list.shows(State::Listen));
    assert!(app.request().query.filter.states.contains(State::Listen));
    type_keys(&mut app, "\x1b");
    assert!(app.list.shows(State::Listen));
}

#[test]
fn space_stops_the_data_and_lets_it_go_on() {
    let mut app = fix::app(USUAL);
    let later = fix::NOW + fix::HOUR;
    assert_eq!(app.clock(later), later);
    assert_eq!(update(&mut app, Event::Tick), Next::Draw);
    type_keys(&mut app, " ");
    assert_eq!((app.request().flow, app.clock(later)), (Flow::Paused, fix::NOW));
    assert_eq!(update(&mut app, Event::Tick), Next::Draw, "the uptime goes on");
    type_keys(&mut app, "j ");
    assert_eq!(app.request().flow, Flow::Live);
}

#[test]
fn the_detail_is_of_the_selected_connection_and_goes_with_it() {
    let mut app = fix::app(LARGE);
    type_keys(&mut app, "jj\n");
    assert_eq!(app.list.pane, Pane::Waiting);
    fix::answer(&mut app);
    assert!(matches!(&app.list.pane, Pane::Live(detail) if detail.row.id == ConnId(3)));
    type_keys(&mut app, "k");
    assert!(app.list.pane.is_open());
    fix::answer(&mut app);
    assert!(matches!(&app.list.pane, Pane::Live(detail) if detail.row.id == ConnId(2)));
    type_keys(&mut app, "\x1b");
    assert_eq!(app.list.pane, Pane::Closed);
    type_keys(&mut app, "\n\n");
    assert_eq!(app.list.pane, Pane::Closed, "Enter closes it as well");
}

#[test]
fn the_detail_of_a_connection_that_is_gone_stays_until_it_is_closed() {
    let mut app = fix::app(LARGE);
    type_keys(&mut app, "jj\n");
    fix::answer(&mut app);
    let mut frame = fix::frame(&app);
    let page = Arc::make_mut(&mut frame.page);
    page.rows.remove(2);
    fix::feed(&mut app, frame);
    assert!(matches!(&app.list.pane, Pane::Gone(detail, _) if detail.row.id == ConnId(3)));
    assert_eq!(selected(&app), Some(3));
    type_keys(&mut app, "\x1b");
    assert_eq!(selected(&app), Some(4));
}

#[test]
fn there_is_no_detail_of_nothing() {
    let mut app = fix::blank(USUAL, super::theme::Theme::Colours);
    type_keys(&mut app, "\n");
    assert_eq!(app.list.pane, Pane::Closed);
}

#[test]
fn the_cursor_stays_in_view_when_the_terminal_or_the_pane_takes_room() {
    let mut app = many(100);
    let last = app.visible_rows() - 1;
    for _ in 0..last {
        type_keys(&mut app, "j");
    }
    assert_eq!(app.list.top, 0);
    type_keys(&mut app, "\n");
    assert_eq!(app.list.top, last + 1 - app.visible_rows().max(1));
    update(&mut app, Event::Resize(SMALL));
    assert!(app.list.top <= last && last < app.list.top + app.visible_rows().max(1));
    for size in [Size::new(0, 0), Size::new(1, 1), Size::new(500, 200)] {
        update(&mut app, Event::Resize(size));
        type_keys(&mut app, "jkG g");
    }
}

#[test]
fn the_help_scrolls_to_its_end_and_no_further() {
    let mut app = fix::app(SMALL);
    type_keys(&mut app, "?G");
    let Overlay::Help(last) = app.overlay else { panic!("{:?}", app.overlay) };
    assert!(last > 0);
    type_keys(&mut app, "jjk");
    assert_eq!(app.overlay, Overlay::Help(last - 1));
    type_keys(&mut app, "q");
    assert_eq!(app.overlay, Overlay::None);
}

#[test]
fn the_mouse_selects_scrolls_and_changes_tabs() {
    let mut app = many(100);
    let at =
        |kind, column, row| Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
    let press = MouseEventKind::Down(MouseButton::Left);
    assert_eq!(update(&mut app, at(press, 5, 7)), Next::Draw);
    assert_eq!(selected(&app), Some(2), "line 5 is the first row");
    update(&mut app, at(MouseEventKind::ScrollDown, 5, 7));
    assert_eq!(selected(&app), Some(5));
    assert_eq!(update(&mut app, at(press, 5, 0)), Next::Wait);
    assert_eq!(update(&mut app, at(press, 35, 3)), Next::Draw);
    assert_eq!(app.tab, Tab::Events);
}

#[test]
fn tabs_go_round_and_have_numbers() {
    let mut app = fix::app(USUAL);
    for tab in Tab::ALL.into_iter().skip(1).chain([Tab::Connections]) {
        type_keys(&mut app, "\t");
        assert_eq!((app.tab, app.request().tab), (tab, tab));
    }
    update(&mut app, fix::key(KeyCode::BackTab));
    assert_eq!(app.tab, Tab::Events);
    for (tab, number) in Tab::ALL.into_iter().zip(["1", "2", "3", "4", "5"]) {
        type_keys(&mut app, number);
        assert_eq!(app.tab, tab);
    }
}

fn log(newest: u64) -> Arc<[Logged]> {
    let whose = Whose { local: ([0; 4], 0).into(), remote: ([0; 4], 0).into(), netns: 1, owner: None };
    let what = What::Move { from: State::SynSent, to: State::Established, elapsed: None };
    (newest - 99..=newest).rev().map(|number| Logged { number, at: number, what, whose }).collect()
}

#[test]
fn events_stay_where_they_are_while_new_ones_come() {
    let mut app = fix::app(USUAL);
    type_keys(&mut app, "5");
    let feed = |app: &mut App, newest| {
        let frame = Frame { view: View::Log(log(newest)), ..fix::frame(app) };
        fix::feed(app, frame);
    };
    feed(&mut app, 100);
    type_keys(&mut app, "jj");
    assert_eq!((app.stream, stream_top(&app)), (Stream::At(98), 2));
    feed(&mut app, 110);
    assert_eq!(stream_top(&app), 12);
    feed(&mut app, 1000);
    assert_eq!(stream_top(&app), 100 - app.visible_rows(), "forgotten: the oldest that are left");
    type_keys(&mut app, "g");
    assert_eq!((app.stream, stream_top(&app)), (Stream::Newest, 0));
    type_keys(&mut app, "G");
    assert_eq!(stream_top(&app), 100 - app.visible_rows());
}

#[test]
fn what_was_copied_and_has_no_room_in_the_bottom_line_is_shown_whole_until_a_key_that_does_nothing_else() {
    let mut app = fix::app(USUAL);
    for key in ["q", "\x1b", "\n", " ", "j", "K"] {
        type_keys(&mut app, "gjjK");
        let (command, before) = (app.clipboard.take().unwrap(), app.request());
        assert_eq!((&app.overlay, &app.notice), (&Overlay::Copied(command), &None));
        assert_eq!(type_keys(&mut app, key), Next::Draw, "{key:?}");
        assert_eq!((&app.overlay, app.request(), &app.clipboard), (&Overlay::None, before, &None), "{key:?}");
    }
}
