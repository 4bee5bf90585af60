//! The rows of the table: which, and in which order.

use std::collections::BTreeMap;

use rpm_runtime::control::protocol::{List, Place, Worker};

use super::attention::{Grade, judge};
use crate::plain::plain;

/// A row.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    pub worker: &'a Worker,
    /// Of the worker in this row.
    pub grade: Grade,
    /// What is to be said of it.
    pub why: Option<String>,
}

/// First the slots that need somebody. The rows of a slot stand together.
pub fn rows<'a>(list: &'a List, queued: &BTreeMap<u16, u32>, filter: &str) -> Vec<Row<'a>> {
    let words: Vec<String> = filter.split_whitespace().map(str::to_lowercase).collect();
    let rows = list.workers.iter().map(|worker| {
        let queued = queued.get(&worker.slot).copied().unwrap_or(0);
        let (grade, why) = judge(worker, queued);
        Row { worker, grade, why }
    });
    let mut rows: Vec<Row> = rows.filter(|row| matches(row, &words)).collect();
    let mut best: BTreeMap<u16, Grade> = BTreeMap::new();
    for row in &rows {
        let slot = best.entry(row.worker.slot).or_insert(row.grade);
        *slot = row.grade.min(*slot);
    }
    let place = |place: Place| match place {
        Place::Slot => 0,
        Place::Rising => 1,
        Place::Leaving => 2,
    };
    rows.sort_by_key(|row| {
        let slot = row.worker.slot;
        (best.get(&slot).copied(), slot, place(row.worker.place))
    });
    rows
}

/// Each word must be somewhere in the row, or be its slot. `!` is for those that need somebody.
fn matches(row: &Row, words: &[String]) -> bool {
    let worker = row.worker;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    words.iter().all(|word| match word.as_str() {
        "!" => row.grade <= Grade::Look,
        word if number(word) => {
            let pid = worker.pid.map(|pid| pid.to_string());
            worker.slot.to_string() == word || pid.as_deref() == Some(word)
        }
        word => {
            let texts = [
                Some(&worker.state),
                worker.last_exit.as_ref(),
                worker.last_cause.as_ref(),
                worker.status.as_ref(),
                row.why.as_ref(),
            ];
            let mut texts = texts.into_iter().flatten();
            texts.any(|text| plain(text).to_lowercase().contains(word))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures::{list, worker};
    use super::*;

    fn slots(list: &List, filter: &str) -> Vec<u16> {
        let rows = rows(list, &BTreeMap::new(), filter);
        rows.iter().map(|row| row.worker.slot).collect()
    }

    #[test]
    fn slots_that_need_somebody_come_first_and_rows_of_a_slot_stand_together() {
        let mut four = list(4);
        four.workers[2].state = "backoff".to_owned();
        four.workers[2].last_cause = Some("exit".to_owned());
        four.workers[3].in_rotation = Some(false);
        let mut leaving = worker(1);
        leaving.place = Place::Leaving;
        leaving.state = "draining".to_owned();
        four.workers.push(leaving);
        assert_eq!(slots(&four, ""), [2, 3, 1, 1, 0]);
        let shown = rows(&four, &BTreeMap::new(), "");
        assert_eq!(shown[2].worker.place, Place::Slot);
    }

    #[test]
    fn every_word_of_a_filter_has_to_match() {
        let mut many = list(12);
        many.workers[7].state = "backoff".to_owned();
        many.workers[7].last_cause = Some("oom".to_owned());
        many.workers[9].status = Some("Rebuilding the INDEX".to_owned());
        let table: [(&str, &[u16]); 6] = [
            ("!", &[7]),
            ("oom", &[7]),
            ("1", &[1]),
            ("index", &[9]),
            ("index oom", &[]),
            ("107", &[7]),
        ];
        for (filter, expected) in table {
            assert_eq!(slots(&many, filter), expected, "{filter}");
        }
        assert_eq!(slots(&many, " ").len(), 12);
    }
}
