use super::super::fixtures::{crash, list};
use super::*;

fn state(workers: u16) -> State {
    let mut state = State::new();
    state.listed(list(workers));
    state.log = Log::Waits;
    state
}

fn press(state: &mut State, keys: &str) -> Vec<Wish> {
    keys.chars()
        .filter_map(|key| state.key(Key::Char(key)))
        .collect()
}

#[test]
fn what_ends_workers_is_done_only_after_yes() {
    let mut four = state(4);
    for (key, order) in [
        ('r', Order::Reload),
        ('R', Order::Restart(0)),
        ('-', Order::Scale(-1)),
    ] {
        assert_eq!(four.key(Key::Char(key)), None);
        assert_eq!(four.mode, Mode::Confirm(order));
        assert_eq!(four.key(Key::Char('n')), None);
        assert_eq!(four.mode, Mode::Watch);
        assert_eq!(four.said.as_ref().unwrap().text, "nothing was done");
        four.key(Key::Char(key));
        assert_eq!(four.key(Key::Char('y')), Some(Wish::Order(order)));
        assert_eq!(four.mode, Mode::Watch);
        four.answered(true, "done");
    }
    assert_eq!(press(&mut four, "=+"), [Wish::Order(Order::Scale(1))]);
}

#[test]
fn no_command_is_given_while_another_one_has_no_answer() {
    let mut four = state(4);
    assert_eq!(press(&mut four, "+++++"), [Wish::Order(Order::Scale(1))]);
    let said = |state: &State| state.said.clone().unwrap().text;
    assert_eq!(said(&four), "the last command has no answer yet");
    assert_eq!(press(&mut four, "ryRy-y"), []);
    four.answered(false, "refused");
    assert_eq!(said(&four), "refused");
    assert_eq!(press(&mut four, "ry+"), [Wish::Order(Order::Reload)]);
}

#[test]
fn a_question_about_a_runtime_goes_with_it() {
    let mut four = state(4);
    press(&mut four, "r");
    let mut other = list(4);
    other.runtime.pid += 1;
    four.listed(other);
    assert_eq!(press(&mut four, "y"), []);
}

#[test]
fn nothing_is_ordered_while_no_runtime_answers() {
    let mut four = state(4);
    four.key(Key::Char('r'));
    four.lost("it closed the connection\x1b[2J");
    assert_eq!(four.mode, Mode::Watch, "the question goes");
    assert_eq!(four.lost.as_deref(), Some("it closed the connection?[2J"));
    assert_eq!(press(&mut four, "r+R-y"), []);
    assert!(!four.said.as_ref().unwrap().good);
    four.listed(list(4));
    assert_eq!(four.lost, None);
    assert_eq!(press(&mut four, "ry"), [Wish::Order(Order::Reload)]);
}

#[test]
fn the_selection_stays_on_its_slot_when_the_order_changes() {
    let mut four = state(4);
    assert_eq!(four.selected(), Some(0));
    press(&mut four, "jj");
    assert_eq!(four.selected(), Some(2));
    let mut ill = list(4);
    crash(&mut ill.workers[3]);
    four.listed(ill);
    assert_eq!(four.rows()[0].worker.slot, 3);
    assert_eq!(four.selected(), Some(2));
    press(&mut four, "g");
    assert_eq!(four.selected(), Some(3));
    four.key(Key::End);
    assert_eq!(four.selected(), Some(2));
    four.key(Key::Down);
    assert_eq!(four.selected(), Some(2), "there is none below");
    four.listed(list(1));
    assert_eq!(four.selected(), Some(0), "its slot is gone");
}

#[test]
fn as_long_as_nobody_chose_the_selection_is_on_the_worker_that_is_ill() {
    let mut four = state(4);
    let mut ill = list(4);
    crash(&mut ill.workers[2]);
    four.listed(ill.clone());
    assert_eq!(four.selected(), Some(2));
    crash(&mut ill.workers[1]);
    four.listed(ill);
    assert_eq!(four.selected(), Some(2), "it is ill as well, and was first");
    let mut other = list(4);
    crash(&mut other.workers[1]);
    four.listed(other);
    assert_eq!(four.selected(), Some(1));
    four.listed(list(4));
    assert_eq!(
        four.selected(),
        Some(1),
        "it has healed, and no other is ill"
    );
}

#[test]
fn the_filter_is_written_kept_and_thrown_away() {
    let mut many = state(20);
    press(&mut many, "/1");
    assert_eq!((many.rows().len(), many.selected()), (1, Some(1)));
    assert_eq!(press(&mut many, "7q"), [], "letters belong to the filter");
    many.key(Key::Backspace);
    many.key(Key::Enter);
    assert_eq!((many.rows().len(), many.selected()), (1, Some(17)));
    assert_eq!(many.filter, "17");
    many.key(Key::Escape);
    assert_eq!(many.rows().len(), 20);
    press(&mut many, "/zzz");
    assert_eq!((many.rows().len(), many.selected()), (0, None));
    assert_eq!(press(&mut many, "z"), []);
    many.key(Key::Escape);
    assert_eq!(many.rows().len(), 20);
    many.key(Key::Char('/'));
    for _ in 0..500 {
        many.key(Key::Char('x'));
    }
    assert_eq!(many.filter.chars().count(), LONGEST_FILTER);
}

#[test]
fn keys_lead_in_and_out_of_help_and_log() {
    let mut four = state(4);
    press(&mut four, "?");
    assert_eq!(four.mode, Mode::Help);
    assert_eq!(press(&mut four, "q"), [], "any key leads back");
    assert_eq!(four.mode, Mode::Watch);
    press(&mut four, "l");
    assert!(four.big_log);
    four.key(Key::Escape);
    assert!(!four.big_log);
    assert_eq!(press(&mut four, "q"), [Wish::Quit]);
    for mode in [
        Mode::Watch,
        Mode::Help,
        Mode::Filter,
        Mode::Confirm(Order::Reload),
    ] {
        four.mode = mode;
        assert_eq!(four.key(Key::Ctrl('c')), Some(Wish::Quit));
        assert_eq!(four.key(Key::Ctrl('z')), Some(Wish::Suspend));
        assert_eq!(four.key(Key::Ctrl('l')), Some(Wish::Redraw));
    }
}

#[test]
fn without_a_log_its_key_says_why() {
    let mut four = state(4);
    four.log = Log::None("RPM_LOG_RING is 0".to_owned());
    press(&mut four, "l");
    assert!(!four.big_log);
    let said = four.said.unwrap().text;
    assert_eq!(said, "there is no log: RPM_LOG_RING is 0");
}

#[test]
fn what_was_said_goes_after_some_answers() {
    let mut four = state(4);
    four.say(true, "reload 3\nhas begun");
    for _ in 1..SAID_FOR {
        four.listed(list(4));
        assert_eq!(four.said.as_ref().unwrap().text, "reload 3?has begun");
    }
    four.listed(list(4));
    assert_eq!(four.said, None);
}

#[test]
fn the_same_answer_again_adds_nothing() {
    let mut one = list(1);
    one.workers[0].queue = Some(1);
    let mut state = State::new();
    for _ in 0..9 {
        state.listed(one.clone());
    }
    assert_eq!(state.past.cpu.len(), 1);
    assert_eq!(state.rows()[0].why, None);
    for second in [1.0, 2.0] {
        one.uptime_seconds += second;
        state.listed(one.clone());
    }
    let why = state.rows()[0].why.clone();
    assert_eq!(why.unwrap(), "does not accept: 1 in its queue for 3s");
}

#[test]
fn another_runtime_begins_anew() {
    let mut four = state(4);
    let mut next = list(4);
    next.health.failures = 7;
    four.listed(next.clone());
    assert_eq!(four.new_failures(), 7);
    next.runtime.pid += 1;
    next.health.failures = 2;
    four.listed(next);
    assert_eq!(four.new_failures(), 0);
    assert_eq!(four.past.cpu.len(), 1);
    assert!(four.said.as_ref().unwrap().text.contains("another runtime"));
}
