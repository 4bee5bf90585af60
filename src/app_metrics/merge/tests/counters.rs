//! Counters never decrease.

use super::{ProcessKey, SlotId, is, merger, open, page, take};

fn requests(number: u32) -> super::Page {
    page(&format!(
        "# TYPE requests_total counter\nrequests_total {number}\n"
    ))
}

#[test]
fn they_are_what_all_count() {
    let mut merger = merger();
    take(
        &mut merger,
        0,
        1,
        page("# TYPE a_total counter\na_total{x=\"1\"} 1\na_total{x=\"2\"} 10\n"),
    );
    take(
        &mut merger,
        1,
        2,
        page("# TYPE a_total counter\na_total{x=\"3\"} 7\na_total{x=\"1\"} 2\n"),
    );
    is(
        &merger,
        &[
            "a_total{x=\"1\"} 3",
            "a_total{x=\"2\"} 10",
            "a_total{x=\"3\"} 7",
        ],
    );
}

#[test]
fn a_worker_that_ends_or_does_not_answer_takes_nothing_away() {
    let mut merger = merger();
    take(&mut merger, 0, 1, requests(5));
    take(&mut merger, 1, 2, requests(7));
    merger.missing(SlotId(0), ProcessKey(1));
    is(&merger, &["requests_total 12"]);
    merger.process_ended(ProcessKey(1));
    is(&merger, &["requests_total 12"]);
    // Its successor starts at zero.
    take(&mut merger, 0, 3, requests(1));
    is(&merger, &["requests_total 13"]);
    merger.process_ended(ProcessKey(2));
    merger.process_ended(ProcessKey(3));
    is(&merger, &["requests_total 13"]);
}

#[test]
fn a_worker_that_begins_anew_takes_nothing_away() {
    let mut merger = merger();
    for number in [5, 9, 2, 2, 3] {
        take(&mut merger, 0, 1, requests(number));
    }
    is(&merger, &["requests_total 12"]);
    // A series that disappeared for a while.
    take(&mut merger, 0, 1, page(""));
    is(&merger, &["requests_total 12"]);
    take(&mut merger, 0, 1, requests(4));
    is(&merger, &["requests_total 13"]);
}

#[test]
fn both_workers_of_a_slot_count_in_a_reload() {
    let mut merger = merger();
    take(&mut merger, 0, 1, requests(5));
    take(&mut merger, 0, 2, requests(1));
    take(&mut merger, 0, 1, requests(6));
    is(&merger, &["requests_total 7"]);
}

#[test]
fn an_answer_that_comes_after_the_end_is_not_counted_again() {
    let mut merger = merger();
    take(&mut merger, 0, 1, requests(5));
    merger.process_ended(ProcessKey(1));
    assert_eq!(take(&mut merger, 0, 1, requests(6)), []);
    merger.missing(SlotId(0), ProcessKey(1));
    is(&merger, &["requests_total 5"]);
}

#[test]
fn fractions_do_not_make_them_fall() {
    let mut merger = merger();
    let mut last = 0.0;
    let cpu = |seconds: f64| page(&format!("# TYPE cpu_total counter\ncpu_total {seconds}\n"));
    for round in 0..200_u32 {
        let process = u64::from(round % 7 + round / 20 * 7);
        take(
            &mut merger,
            0,
            process,
            cpu(0.1 * f64::from(round / 3) + 0.7),
        );
        if round % 5 == 0 {
            merger.process_ended(ProcessKey(process));
        }
        let now = merger.merged()[0].samples[0].value;
        assert!(now >= last, "{now} after {last}");
        last = now;
    }
}

#[test]
fn a_counter_keeps_its_name_without_total() {
    let mut merger = merger();
    take(
        &mut merger,
        0,
        1,
        page("# TYPE a counter\na 1\n# TYPE b_total counter\nb_total 1\n"),
    );
    take(
        &mut merger,
        1,
        2,
        page("# TYPE a counter\na 1\n# TYPE b_total counter\nb_total 1\n"),
    );
    is(&merger, &["a 2", "b_total 2"]);
    let names: Vec<_> = merger
        .merged()
        .into_iter()
        .map(|family| family.name)
        .collect();
    assert_eq!(names, ["a".into(), Box::from("b")]);
}

#[test]
fn what_is_unknown_is_a_counter_if_it_is_named_so() {
    let mut merger = merger();
    take(
        &mut merger,
        0,
        1,
        page("a_total 1\na_total{b=\"1\"} -1\nb 1\n"),
    );
    take(
        &mut merger,
        1,
        2,
        page("# TYPE a_total counter\na_total 2\n"),
    );
    is(&merger, &["a_total 3", "b{worker=\"0\"} 1"]);
    assert_eq!(merger.dropped().invalid, 1);
}

#[test]
fn a_gauge_of_the_same_name_is_another_family() {
    let mut merger = merger();
    let text = "# TYPE a gauge\na 1\n# TYPE a counter\na_total 2\n";
    take(&mut merger, 0, 1, open(text));
    assert_eq!(take(&mut merger, 1, 2, open(text)), []);
    is(
        &merger,
        &["a{worker=\"0\"} 1", "a{worker=\"1\"} 1", "a_total 4"],
    );
}

#[test]
fn the_newest_exemplar_is_shown() {
    let mut merger = merger();
    let with = |id: &str, time: &str| {
        open(&format!(
            "# TYPE a counter\na_total 1 # {{id=\"{id}\"}} 1{time}\n"
        ))
    };
    let shown = |merger: &super::Merger| {
        let families = merger.merged();
        let exemplar = families[0].samples[0].exemplar.as_ref().unwrap();
        exemplar.labels.get("id").unwrap().into_owned()
    };
    for (process, id, time, want) in [
        (1, "a", "", "a"),
        (1, "b", "", "b"),
        (2, "c", " 10", "c"),
        (1, "d", " 9", "c"),
        (1, "e", "", "c"),
        (1, "f", " 10.5", "f"),
    ] {
        take(&mut merger, 0, process, with(id, time));
        assert_eq!(shown(&merger), want);
    }
    take(&mut merger, 0, 1, open("# TYPE a counter\na_total 1\n"));
    assert_eq!(shown(&merger), "f");
}

#[test]
fn when_they_began_is_not_told() {
    let mut merger = merger();
    take(
        &mut merger,
        0,
        1,
        page("# TYPE a_created gauge\na_created 1\n# TYPE user_created gauge\nuser_created 1\n"),
    );
    take(
        &mut merger,
        1,
        2,
        open("# TYPE a counter\na_total 1\na_created 5\n"),
    );
    is(&merger, &["a_total 1", "user_created{worker=\"0\"} 1"]);
}
