use std::fs;
use std::path::PathBuf;

use rpm_runtime::control::protocol::List;

use super::super::fixtures::{NAMES, at_work, crash, list, state};
use super::super::keys::Key;
use super::super::model::{Log, LogLine};
use super::*;

pub(super) const COLOURS: Look = Look {
    colour: true,
    ascii: false,
};

/// The cells as lines without their blanks at the end, as `tmux capture-pane -p` prints them.
fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let lines = buffer.content.chunks(width).map(|row| {
        let line: String = row.iter().map(ratatui_core::buffer::Cell::symbol).collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

fn stored(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/snapshots/monit")
        .join(name)
}

/// Compares with a stored file, or writes it.
#[expect(clippy::disallowed_methods, reason = "a test reads its switch")]
#[track_caller]
pub(super) fn compare(name: &str, now: &str) {
    let path = stored(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, now).unwrap();
    }
    let before = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        before == now,
        "{name} differs; UPDATE_SNAPSHOTS=1 writes it anew. Now it is:\n{now}"
    );
}

/// What a runtime answers in this state, for the tests in a real terminal. A later version may have more fields.
#[track_caller]
fn answer(name: &str, state: &State) {
    let before = fs::read_to_string(stored(name)).unwrap_or_default();
    let same = serde_json::from_str::<Option<List>>(&before);
    if same.ok().as_ref() != Some(&state.list) {
        let list = serde_json::to_string(&state.list).unwrap();
        compare(name, &format!("{list}\n"));
    }
}

#[test]
fn fixed_states_look_as_stored() {
    for name in NAMES {
        let state = state(name);
        for (width, height) in [(80, 24), (200, 50), (40, 10)] {
            let drawn = draw(&state, COLOURS, (width, height));
            compare(&format!("{name}-{width}x{height}.txt"), &text(&drawn));
        }
        answer(&format!("{name}.json"), &state);
    }
}

#[test]
fn questions_help_and_a_big_log_look_as_stored() {
    let mut state = state("ill");
    state.log = at_work();
    state.key(Key::Char('r'));
    compare(
        "question-80x24.txt",
        &text(&draw(&state, COLOURS, (80, 24))),
    );
    compare(
        "question-40x10.txt",
        &text(&draw(&state, COLOURS, (40, 10))),
    );
    state.key(Key::Escape);
    state.key(Key::Char('?'));
    for (width, height) in [(80, 24), (40, 10)] {
        let drawn = draw(&state, COLOURS, (width, height));
        compare(&format!("help-{width}x{height}.txt"), &text(&drawn));
    }
    state.key(Key::Char('q'));
    state.key(Key::Char('l'));
    compare("log-80x24.txt", &text(&draw(&state, COLOURS, (80, 24))));
}

#[test]
fn a_screen_that_is_too_small_says_so() {
    let state = state("healthy");
    for size in [(39, 24), (80, 9), (9, 1), (1, 1)] {
        let shown = text(&draw(&state, COLOURS, size));
        let start: String = "too small".chars().take(usize::from(size.0)).collect();
        assert!(shown.starts_with(start.trim_end()), "{shown}");
    }
    let shown = text(&draw(&state, COLOURS, (39, 9)));
    assert!(shown.contains("39x9\nneeds 40x10\nq quits\n"), "{shown}");
}

#[test]
fn every_size_can_be_drawn() {
    for name in NAMES {
        let mut state = state(name);
        state.log = at_work();
        for key in ['x', 'l', '?', '/', 'r'] {
            state.key(Key::Char(key));
            for width in [1, 39, 40, 59, 69, 70, 129, 130, 220] {
                for height in [1, 9, 10, 13, 14, 17, 29, 30, 60] {
                    let drawn = draw(&state, COLOURS, (width, height));
                    assert_eq!((drawn.area.width, drawn.area.height), (width, height));
                }
            }
            state.key(Key::Escape);
        }
    }
}

#[test]
fn what_is_ill_is_red_and_with_no_color_there_is_none() {
    use ratatui_core::style::{Color, Modifier};

    let state = state("ill");
    let coloured = draw(&state, COLOURS, (80, 24));
    let line = |start: &str| {
        let shown = text(&coloured);
        let line = shown.lines().position(|line| line.starts_with(start));
        u16::try_from(line.unwrap_or_else(|| panic!("{start}: {shown}"))).unwrap()
    };
    assert_eq!(coloured[(1, line(" ! slot 2"))].fg, Color::Red);
    assert_eq!(coloured[(1, line(" ! slot 1"))].fg, Color::Yellow);
    let selected = line(">   2");
    assert!(
        coloured[(0, selected)]
            .modifier
            .contains(Modifier::REVERSED)
    );
    let plain = Look {
        colour: false,
        ascii: false,
    };
    let without = draw(&state, plain, (80, 24));
    assert_eq!(text(&without), text(&coloured));
    assert!(
        without
            .content
            .iter()
            .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
    assert!(
        without[(1, line(" ! slot 2"))]
            .modifier
            .contains(Modifier::BOLD)
    );
}

#[test]
fn without_unicode_everything_is_ascii() {
    let mut state = state("reload");
    let mut odd = list(3);
    odd.runtime.app = "caf\u{e9}".to_owned();
    state.listed(odd);
    state.log = at_work();
    let plain = Look {
        colour: true,
        ascii: true,
    };
    let shown = text(&draw(&state, plain, (200, 50)));
    assert!(shown.is_ascii(), "{shown}");
    assert!(shown.contains("caf?"), "{shown}");
}

#[test]
fn texts_of_others_do_not_steer_the_terminal() {
    const EVIL: &str = "a\x1b[2J\x1b]0;title\x07b\nc\u{9b}31md\u{85}e\t";
    let mut state = State::new();
    let mut hostile = list(3);
    hostile.runtime.app = EVIL.to_owned();
    hostile.health.state = EVIL.to_owned();
    hostile.runtime.version = EVIL.to_owned();
    hostile.health.last_failure = Some(EVIL.to_owned());
    hostile.workers[0].status = Some(EVIL.to_owned());
    hostile.workers[1].state = EVIL.to_owned();
    crash(&mut hostile.workers[2]);
    hostile.workers[2].last_exit = Some(EVIL.to_owned());
    hostile.workers[2].last_cause = Some(EVIL.to_owned());
    state.listed(hostile.clone());
    hostile.health.failures += 1;
    state.listed(hostile.clone());
    state.say(false, EVIL);
    state.log = Log::Lines {
        lines: vec![LogLine::new(0.0, true, EVIL)],
        lost: 0,
    };
    for lost in [false, true] {
        for (width, height) in [(80, 24), (200, 50), (40, 10)] {
            let drawn = draw(&state, COLOURS, (width, height));
            let symbols = drawn.content.iter().flat_map(|cell| cell.symbol().chars());
            let bad: Vec<char> = symbols.filter(|letter| letter.is_control()).collect();
            assert_eq!(bad, [], "{}", text(&drawn));
        }
        if !lost {
            let shown = text(&draw(&state, COLOURS, (200, 50)));
            assert!(shown.contains("a?[2J?]0;title?b?c?31md?e"), "{shown}");
            state.lost(EVIL);
        }
    }
}

#[test]
fn the_page_with_the_selected_worker_is_shown() {
    let mut state = State::new();
    state.listed(list(512));
    let shown = text(&draw(&state, COLOURS, (80, 24)));
    assert!(shown.contains("\n>   0 "), "{shown}");
    state.key(Key::Char('G'));
    let shown = text(&draw(&state, COLOURS, (80, 24)));
    assert!(shown.contains("\n> 511 "), "{shown}");
}
