//! A random walk: workers count, restart, end, return, change their bounds, answer or not. A simple model keeps the
//! last page of every life and adds up.

use std::collections::BTreeMap;
use std::fmt::Write;

use proptest::prelude::*;

use super::{Merger, ProcessKey, Rules, SlotId, lines};
use crate::exposition::{Dropped, Family, Format, MetricType, PageLimits, Parsed, parse};

const BOUNDS: [&[u32]; 3] = [&[1, 2, 4], &[2, 4, 8], &[4]];

/// One step of the walk.
#[derive(Clone, Debug)]
enum Step {
    /// A worker starts in a slot, next to the present one, with these bounds.
    Start(u16, usize),
    /// The n-th living worker observes these numbers and is asked.
    Work(usize, Vec<u32>),
    /// Its counters restart at zero, perhaps with other bounds.
    Reset(usize, usize),
    /// It does not answer.
    Silent(usize),
    /// It ends.
    Die(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..3_u16, 0..3_usize).prop_map(|(slot, bounds)| Step::Start(slot, bounds)),
        8 => (0..9_usize, prop::collection::vec(0..10_u32, 0..6))
            .prop_map(|(worker, values)| Step::Work(worker, values)),
        1 => (0..9_usize, 0..3_usize).prop_map(|(worker, bounds)| Step::Reset(worker, bounds)),
        1 => (0..9_usize).prop_map(Step::Silent),
        2 => (0..9_usize).prop_map(Step::Die),
    ]
}

/// A process.
#[derive(Clone, Debug)]
struct Worker {
    process: u64,
    slot: u16,
    bounds: usize,
    observed: Vec<u32>,
    answered: bool,
    asked: bool,
    /// The last value of its gauge.
    said: usize,
}

impl Worker {
    fn up_to(&self, bound: u32) -> u32 {
        let below = self.observed.iter().filter(|value| **value <= bound);
        u32::try_from(below.count()).unwrap()
    }

    fn page(&self) -> Parsed {
        let all = self.observed.len();
        let mut text = format!(
            "# TYPE n_total counter\nn_total {all}\n# TYPE g gauge\ng {all}\n# TYPE h histogram\n"
        );
        for bound in BOUNDS[self.bounds] {
            writeln!(text, "h_bucket{{le=\"{bound}\"}} {}", self.up_to(*bound)).unwrap();
        }
        let sum: u32 = self.observed.iter().sum();
        writeln!(
            text,
            "h_bucket{{le=\"+Inf\"}} {all}\nh_sum {sum}\nh_count {all}"
        )
        .unwrap();
        parse(text.as_bytes(), Format::Text, &PageLimits::default()).unwrap()
    }
}

/// The result of one run from zero.
#[derive(Clone, Debug)]
struct Stretch {
    process: u64,
    worker: Worker,
    live: bool,
}

#[derive(Debug, Default)]
struct Model {
    workers: Vec<Worker>,
    born: u64,
    /// For the counter.
    all: Vec<Stretch>,
    /// For the histogram: those that were not dropped.
    kept: Vec<Stretch>,
}

impl Model {
    /// Takes a page of a worker.
    fn seen(&mut self, worker: &Worker) {
        let lists = [
            (&mut self.all, counter_fell as fn(&Worker, &Worker) -> bool),
            (&mut self.kept, bucket_fell),
        ];
        for (list, fell) in lists {
            let own = list
                .iter_mut()
                .find(|one| one.live && one.process == worker.process);
            match own {
                Some(one) if !fell(&one.worker, worker) => one.worker = worker.clone(),
                found => {
                    if let Some(old) = found {
                        old.live = false;
                    }
                    list.push(Stretch {
                        process: worker.process,
                        worker: worker.clone(),
                        live: true,
                    });
                }
            }
        }
        self.forget();
    }

    fn dead(&mut self, process: u64) {
        for list in [&mut self.all, &mut self.kept] {
            for one in list.iter_mut().filter(|one| one.process == process) {
                one.live = false;
            }
        }
        self.forget();
    }

    /// The documented rule for layouts.
    fn forget(&mut self) {
        let live: Vec<&Stretch> = self.kept.iter().filter(|one| one.live).collect();
        let Some(bounds) = live.first().map(|one| one.worker.bounds) else {
            return;
        };
        let oldest = live.iter().map(|one| one.process).min().unwrap();
        let others = || self.kept.iter().filter(|one| one.worker.bounds != bounds);
        let is_one = live.iter().all(|one| one.worker.bounds == bounds);
        if is_one && others().count() > 0 && others().all(|one| one.process <= oldest) {
            self.kept.retain(|one| one.live);
        }
    }

    fn counted(&self) -> usize {
        self.all.iter().map(|one| one.worker.observed.len()).sum()
    }

    /// The lines of the histogram.
    fn histogram(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.kept.is_empty() {
            return lines;
        }
        for bound in 0..10_u32 {
            let has = |one: &Stretch| BOUNDS[one.worker.bounds].contains(&bound);
            if self.kept.iter().all(has) {
                let count: u32 = self.kept.iter().map(|one| one.worker.up_to(bound)).sum();
                lines.push(format!("h_bucket{{le=\"{bound}\"}} {count}"));
            }
        }
        let all: usize = self.kept.iter().map(|one| one.worker.observed.len()).sum();
        let sum: u32 = self.kept.iter().flat_map(|one| &one.worker.observed).sum();
        lines.push(format!("h_bucket{{le=\"+Inf\"}} {all}"));
        lines.push(format!("h_sum {sum}"));
        lines.push(format!("h_count {all}"));
        lines
    }

    fn gauges(&self) -> Vec<String> {
        let mut slots: BTreeMap<u16, &Worker> = BTreeMap::new();
        for worker in self.workers.iter().filter(|worker| worker.asked) {
            slots.insert(worker.slot, worker);
        }
        let speaking = slots.values().filter(|worker| worker.answered);
        speaking
            .map(|worker| format!("g{{worker=\"{}\"}} {}", worker.slot, worker.said))
            .collect()
    }
}

/// Whether the counter visibly restarted.
fn counter_fell(old: &Worker, new: &Worker) -> bool {
    new.observed.len() < old.observed.len()
}

/// Whether the histogram visibly restarted.
fn bucket_fell(old: &Worker, new: &Worker) -> bool {
    let fell = |bound: &u32| new.up_to(*bound) < old.up_to(*bound);
    old.bounds != new.bounds || counter_fell(old, new) || BOUNDS[old.bounds].iter().any(fell)
}

/// Applies one step to the model and to the merger.
fn walk(step: Step, model: &mut Model, merger: &mut Merger) {
    let count = model.workers.len();
    let nth = |n: usize| n.checked_rem(count);
    match step {
        Step::Start(slot, bounds) => {
            model.born += 1;
            model.workers.push(Worker {
                process: model.born,
                slot,
                bounds,
                observed: Vec::new(),
                answered: false,
                asked: false,
                said: 0,
            });
        }
        Step::Work(n, values) => {
            let Some(at) = nth(n) else { return };
            let worker = &mut model.workers[at];
            worker.observed.extend(values);
            (worker.asked, worker.answered) = (true, true);
            worker.said = worker.observed.len();
            let worker = worker.clone();
            let parsed = worker.page();
            assert_eq!(parsed.dropped, Dropped::default());
            merger.take(SlotId(worker.slot), ProcessKey(worker.process), parsed.page);
            model.seen(&worker);
        }
        Step::Reset(n, bounds) => {
            let Some(at) = nth(n) else { return };
            model.workers[at].observed.clear();
            model.workers[at].bounds = bounds;
        }
        Step::Silent(n) => {
            let Some(at) = nth(n) else { return };
            let worker = &mut model.workers[at];
            (worker.asked, worker.answered) = (true, false);
            merger.missing(SlotId(worker.slot), ProcessKey(worker.process));
        }
        Step::Die(n) => {
            let Some(at) = nth(n) else { return };
            let worker = model.workers.remove(at);
            merger.process_ended(ProcessKey(worker.process));
            model.dead(worker.process);
        }
    }
}

/// The lines of one kind.
fn of(families: &[Family], kind: MetricType) -> Vec<String> {
    let those = families.iter().filter(|family| family.kind == kind);
    lines(&those.cloned().collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_merged_is_what_was_last_seen(steps in prop::collection::vec(step(), 1..80)) {
        let (mut model, mut merger) = (Model::default(), Merger::new(Rules::default()));
        let mut last = 0;
        for step in steps {
            walk(step, &mut model, &mut merger);
            let merged = merger.merged();
            let counted = model.counted();
            prop_assert!(counted >= last);
            last = counted;
            let counter = of(&merged, MetricType::Counter);
            if model.all.is_empty() {
                prop_assert_eq!(counter, Vec::<String>::new());
            } else {
                prop_assert_eq!(counter, [format!("n_total {counted}")]);
            }
            prop_assert_eq!(of(&merged, MetricType::Histogram), model.histogram());
            prop_assert_eq!(of(&merged, MetricType::Gauge), model.gauges());
            // The output is a valid, sorted page.
            let again = Parsed::of(merged.clone());
            prop_assert_eq!(again.dropped, Dropped::default());
            prop_assert_eq!(again.page.families, merged);
        }
    }

    #[test]
    fn the_order_of_answers_makes_no_difference(
        sizes in prop::collection::vec(0..9_u32, 1..8),
        turn in 0..8_usize,
    ) {
        let worker = |(slot, size): (usize, &u32)| Worker {
            process: slot as u64,
            slot: u16::try_from(slot).unwrap(),
            bounds: 0,
            observed: (0..*size).collect(),
            answered: true,
            asked: true,
            said: 0,
        };
        let mut workers: Vec<Worker> = sizes.iter().enumerate().map(worker).collect();
        let mut results = Vec::new();
        for _ in 0..2 {
            let mut merger = Merger::new(Rules::default());
            for worker in &workers {
                merger.take(SlotId(worker.slot), ProcessKey(worker.process), worker.page().page);
            }
            results.push(merger.merged());
            workers.reverse();
            let count = workers.len();
            workers.rotate_left(turn % count);
        }
        prop_assert_eq!(&results[0], &results[1]);
    }
}
