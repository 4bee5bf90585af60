//! Conflicts between workers.

use super::{Conflict, Merger, ProcessKey, is, merger, open, page, take};
use crate::app_metrics::merge::Disagreement;

fn conflict(kind: Disagreement, name: &str, first: bool) -> Conflict {
    let name = name.into();
    Conflict { kind, name, first }
}

/// Number of conflicts by type, help, buckets, label.
fn counted(merger: &Merger) -> [u64; 4] {
    Disagreement::ALL.map(|kind| merger.conflicts().of(kind))
}

#[test]
fn the_first_type_stays_as_long_as_somebody_has_it() {
    let mut merger = merger();
    let (gauge, counter) = ("# TYPE a gauge\na 1\n", "# TYPE a counter\na 5\n");
    take(&mut merger, 0, 1, page(counter));
    let found = take(&mut merger, 1, 2, page(gauge));
    assert_eq!(found, [conflict(Disagreement::Type, "a", true)]);
    // Counted once for each worker, and logged once for all.
    assert_eq!(take(&mut merger, 1, 2, page(gauge)), []);
    let found = take(&mut merger, 2, 3, page(gauge));
    assert_eq!(found, [conflict(Disagreement::Type, "a", false)]);
    is(&merger, &["a 5"]);
    merger.process_ended(ProcessKey(1));
    is(&merger, &["a 5"]);
    assert_eq!(take(&mut merger, 1, 2, page(gauge)), []);
    is(&merger, &["a{worker=\"1\"} 1"]);
    assert_eq!(counted(&merger), [2, 0, 0, 0]);
}

#[test]
fn one_worker_may_change_its_mind() {
    let mut merger = merger();
    take(&mut merger, 0, 1, page("# TYPE a counter\na 5\n"));
    assert_eq!(take(&mut merger, 0, 1, page("# TYPE a gauge\na 1\n")), []);
    is(&merger, &["a{worker=\"0\"} 1"]);
}

#[test]
fn a_sample_cannot_be_of_two_families() {
    let mut merger = merger();
    take(
        &mut merger,
        0,
        1,
        page("# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\n"),
    );
    let found = take(
        &mut merger,
        1,
        2,
        page("# TYPE a_count gauge\na_count 1\n# TYPE a_sum gauge\na_sum 1\n"),
    );
    assert_eq!(
        found,
        [
            conflict(Disagreement::Type, "a_count", true),
            conflict(Disagreement::Type, "a_sum", true)
        ]
    );
    is(&merger, &["a_bucket{le=\"+Inf\"} 1", "a_count 1"]);
    merger.process_ended(ProcessKey(1));
    take(&mut merger, 1, 2, page("# TYPE a_count gauge\na_count 1\n"));
    is(&merger, &["a_count{worker=\"1\"} 1"]);
}

#[test]
fn the_first_help_and_unit_stay_as_long_as_who_said_them() {
    let mut merger = merger();
    let with = |help: &str, unit: &str| open(&format!("# TYPE a_b_c gauge\n{help}{unit}a_b_c 1\n"));
    let said = |merger: &Merger| {
        let family = merger.merged().remove(0);
        (
            family.help.unwrap_or_default(),
            family.unit.unwrap_or_default(),
        )
    };
    take(&mut merger, 0, 1, with("", ""));
    assert_eq!(
        take(
            &mut merger,
            1,
            2,
            with("# HELP a_b_c x\n", "# UNIT a_b_c c\n")
        ),
        []
    );
    assert_eq!(said(&merger), ("x".into(), "c".into()));
    let found = take(&mut merger, 2, 3, with("# HELP a_b_c y\n", ""));
    assert_eq!(found, [conflict(Disagreement::Help, "a_b_c", true)]);
    let found = take(&mut merger, 3, 4, with("", "# UNIT a_b_c b_c\n"));
    assert_eq!(found, [conflict(Disagreement::Help, "a_b_c", false)]);
    assert_eq!(said(&merger), ("x".into(), "c".into()));
    merger.process_ended(ProcessKey(1));
    assert_eq!(take(&mut merger, 2, 3, with("# HELP a_b_c y\n", "")), []);
    assert_eq!(said(&merger), ("y".into(), "c".into()));
    assert_eq!(counted(&merger), [0, 2, 0, 0]);
}

#[test]
fn the_label_worker_of_a_program_is_renamed() {
    let mut merger = merger();
    let text = "# TYPE a gauge\na{worker=\"x\"} 1\na{exported_worker=\"y\",worker=\"z\"} 2\na{coworker=\"x\"} 3\n\
                # TYPE b_total counter\nb_total{q=\"worker=\\\"\"} 1\nb_total{worker=\"x\"} 2\n";
    let found = take(&mut merger, 3, 1, page(text));
    assert_eq!(
        found,
        [
            conflict(Disagreement::Label, "a", true),
            conflict(Disagreement::Label, "b_total", true)
        ]
    );
    is(
        &merger,
        &[
            "a{coworker=\"x\",worker=\"3\"} 3",
            "a{exported_exported_worker=\"z\",exported_worker=\"y\",worker=\"3\"} 2",
            "a{exported_worker=\"x\",worker=\"3\"} 1",
            "b_total{exported_worker=\"x\"} 2",
            "b_total{q=\"worker=\\\"\"} 1",
        ],
    );
    assert_eq!(counted(&merger), [0, 0, 0, 2]);
}

#[test]
fn names_of_the_runtime_are_refused() {
    let mut merger = merger();
    let text = "# TYPE rpm_ready gauge\nrpm_ready 0\n# TYPE rpm_x_total counter\nrpm_x_total{a=\"1\"} 1\nrpm_x_total 1\nrpmx 1\n";
    assert_eq!(take(&mut merger, 0, 1, page(text)), []);
    is(&merger, &["rpmx{worker=\"0\"} 1"]);
    assert_eq!(merger.dropped().invalid, 3);
    // A name is not free through a suffix either; but a label may be renamed.
    take(
        &mut merger,
        0,
        1,
        open("# TYPE rpm counter\nrpm_total 1\n# TYPE rpm gauge\nrpm 900\n"),
    );
    is(&merger, &["rpm{worker=\"0\"} 900"]);
    take(
        &mut merger,
        0,
        1,
        page("# TYPE rpm summary\nrpm_sum 1\nrpm_count 1\n"),
    );
    is(&merger, &[]);
    assert_eq!(merger.dropped().invalid, 6);
}

#[test]
fn a_page_does_not_contradict_itself_to_the_end() {
    // The parser never produces this.
    let twice = || {
        let mut families = page("# TYPE a counter\na 1\n").families;
        families.extend(page("# TYPE a gauge\na 2\n").families);
        super::Page { families }
    };
    let mut merger = merger();
    for _ in 0..3 {
        take(&mut merger, 0, 1, twice());
        is(&merger, &["a 1"]);
    }
}
