use super::*;
use crate::model::{Exit, Pid, RunState, Trigger, WorkerView};
use crate::policy::{Missing, NotUp, PortTable};

/// The slots with the generations of their workers; what is told as the next step; what is shown.
type Row<'a> = (
    &'a [(WorkerState, u32)],
    Option<(usize, usize)>,
    (usize, usize),
);

fn hear(listening: &mut Listening, note: Note, last_lines: &[String]) {
    listening.hear(&Told {
        note,
        unix_seconds: 7,
        ports: &PortTable::default(),
        last_lines,
        not_passed: None,
        unseen: None,
        blind: false,
    });
}

fn begins(generation: u32) -> Note {
    Note::ReloadBegins {
        trigger: Trigger::Operator,
        generation: Generation(generation),
        workers: 2,
    }
}

fn ended(result: ReloadResult) -> Note {
    Note::ReloadEnded {
        result,
        replaced: 1,
        took: Duration::from_secs(3),
    }
}

#[test]
fn what_everybody_may_read_of_a_failure_has_nothing_of_its_check() {
    let reloads = Reloads::default();
    let config = crate::config::testing::with(&[("RPM_READY", "http:/up?token=sesame")]);
    let mut listening = Listening::new(&Arc::new(config), &reloads);
    hear(&mut listening, begins(1), &[]);
    let note = Note::NotUp {
        slot: SlotId(1),
        pid: Pid::new(77),
        why: NotUp::NotReady {
            after: Duration::from_secs(9),
            missing: Missing::Word,
        },
    };
    listening.hear(&Told {
        note,
        unix_seconds: 7,
        ports: &PortTable::default(),
        last_lines: &[],
        not_passed: Some("GET /up?token=sesame on port 3000: status 404"),
        unseen: None,
        blind: false,
    });
    let view = reloads.views(&Snapshot::default(), 8).pop().unwrap();
    let (open, whole) = (view.why.unwrap(), view.why_and_lines.unwrap());
    assert!(open.ends_with("the path of RPM_READY with a success"));
    assert_eq!(
        whole,
        format!("{open} (GET /up?token=sesame on port 3000: status 404)")
    );
}

#[test]
fn the_end_of_a_reload_is_kept_with_its_reason() {
    let reloads = Reloads::default();
    let mut listening = Listening::new(&Arc::new(crate::config::testing::with(&[])), &reloads);
    assert_eq!(reloads.next(), 1);
    hear(&mut listening, begins(1), &[]);
    assert_eq!(reloads.next(), 2);
    let why = NotUp::Ended(Exit::Code(3));
    let note = Note::NotUp {
        slot: SlotId(1),
        pid: Pid::new(77),
        why,
    };
    hear(&mut listening, note, &["Error: no such file".to_owned()]);
    hear(&mut listening, ended(ReloadResult::Failure), &[]);
    let last = reloads.all().pop().unwrap();
    assert_eq!(last.ended.unwrap().result, ReloadResult::Failure);
    let (why, with_lines) = last.why.unwrap();
    assert_eq!(
        why,
        "the new worker of slot 1 did not come up: it exited with code 3"
    );
    assert_eq!(
        with_lines,
        format!("{why}; its last lines: Error: no such file")
    );
    // A replacement that fails without a reload changes no record.
    hear(&mut listening, note, &[]);
    assert_eq!(reloads.all().len(), 1);
    let (count, failed) = reloads.failures();
    assert_eq!((count, failed.len()), (2, 2));
    assert_eq!((failed[1].0, failed[1].1), (2, SlotId(1)));
    for _ in 0..20 {
        hear(&mut listening, note, &[]);
    }
    let (count, failed) = reloads.failures();
    assert_eq!((count, failed.len()), (22, KEPT_FAILURES));
    assert_eq!(failed[0].0, 15, "the latest are kept");
    assert_eq!(reloads.next(), 2);
}

#[test]
fn only_the_last_reloads_are_kept_and_their_numbers_go_on() {
    let reloads = Reloads::default();
    let mut listening = Listening::new(&Arc::new(crate::config::testing::with(&[])), &reloads);
    for generation in 1..=20 {
        hear(&mut listening, begins(generation), &[]);
        hear(&mut listening, ended(ReloadResult::Success), &[]);
    }
    let numbers: Vec<u64> = reloads.all().iter().map(|record| record.number).collect();
    assert_eq!(numbers, (13..=20).collect::<Vec<u64>>());
}

#[test]
fn a_reload_counts_the_slots_that_come_and_go_while_it_runs() {
    let reloads = Reloads::default();
    let mut listening = Listening::new(&Arc::new(crate::config::testing::with(&[])), &reloads);
    hear(&mut listening, begins(1), &[]);
    let seen = |states: &[(WorkerState, u32)]| {
        let slots = (0..)
            .zip(states)
            .map(|(slot, (state, generation))| WorkerView {
                generation: Generation(*generation),
                ..WorkerView::blank(slot, *state)
            });
        Snapshot {
            state: RunState::Reloading,
            generation: Generation(1),
            slots: slots.collect(),
            ..Snapshot::default()
        }
    };
    let (old, new) = ((WorkerState::Ready, 0), (WorkerState::Ready, 1));
    let (due, halted) = ((WorkerState::Backoff, 1), (WorkerState::Halted, 1));
    let table: [Row<'_>; 5] = [
        (&[old, old], None, (0, 2)),
        (&[new, old], Some((1, 2)), (1, 2)),
        (&[new, old, due], None, (1, 3)),
        (&[new, old, new], Some((2, 3)), (2, 3)),
        (&[new, halted, new], None, (2, 2)),
    ];
    for (states, told, shown) in table {
        let snapshot = seen(states);
        assert_eq!(reloads.step(&snapshot), told, "{states:?}");
        let view = reloads.views(&snapshot, 7).pop().unwrap();
        assert_eq!((view.replaced, view.workers), shown, "{states:?}");
    }
    // Who asks meanwhile has an older snapshot.
    let _ = reloads.step(&seen(&[new]));
    let view = reloads.views(&seen(&[new, new]), 7).pop().unwrap();
    assert_eq!((view.replaced, view.workers), (2, 2));
}

#[test]
fn a_long_reason_is_cut_between_two_letters() {
    let text = sentence(SlotId(0), "it ended", &["é".repeat(4000)]);
    assert!(text.len() <= LONGEST + '…'.len_utf8(), "{}", text.len());
    assert!(text.ends_with('…'));
}
