//! The model: the kernel, the thread that chooses, and clients, in microseconds.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use super::super::*;
use crate::policy::balance::{Hearing, Pace, Plan, Queue};

/// From an arrival to the thread that sees it.
pub(super) const REACTION: u64 = 60;
/// CPU time of a look and a choice with its program.
pub(super) const CHOICE: u64 = 50;
/// CPU time of an arrival that is only counted.
pub(super) const SIGHT: u64 = 10;
/// CPU time of a count.
pub(super) const COUNT: u64 = 700;

/// From an arrival to its `accept`, if the worker is idle; and for each `accept`.
pub(super) const WAKE: u64 = 50;
pub(super) const ACCEPT: u64 = 15;

pub(super) const FOREVER: u64 = u64::MAX / 2;

/// Who chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Ours,
    /// As ours, but the connections of these workers cannot be seen.
    Unseen,
    RoundRobin,
    Random,
    /// Knows everything at once.
    Ideal,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) at: u64,
    pub(super) life: u64,
}

pub(super) struct World {
    pub(super) how: How,
    pub(super) open: Vec<u32>,
    /// Time of the end, worker.
    pub(super) ends: BinaryHeap<Reverse<(u64, usize)>>,
    /// By worker.
    pub(super) chances: Vec<u32>,
    pub(super) chance: Box<dyn FnMut() -> u64>,
    pub(super) turn: usize,
    pub(super) arrivals: Arrivals,
    /// For each worker: when those in its queue are accepted; what is known of the queue.
    pub(super) queues: Vec<(VecDeque<u64>, Queue)>,
    /// Arrivals that the kernel told of, by worker.
    pub(super) told: Vec<u32>,
    pub(super) pace: Pace,
    pub(super) plan: Plan,
    /// An arrival ends the wait then.
    pub(super) woken: Option<u64>,
    /// The thread is at work until then.
    pub(super) busy: u64,
    /// What it has used was written down until then.
    pub(super) noted: u64,
    pub(super) used: u64,
    pub(super) looks: u64,
    /// CPU time of a count.
    pub(super) count: u64,
    /// CPU time of a look and a choice with its program.
    pub(super) choice: u64,
    /// One wake-up in so many gets its CPU only after a millisecond.
    pub(super) stalls: Option<u64>,
}

fn tick(at: u64) -> Tick {
    Tick(Duration::from_micros(at))
}

impl World {
    pub(super) fn new(how: How, workers: usize, seed: u64) -> Self {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        let chance = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let mut arrivals = Arrivals::new(true);
        let pace = Pace::new(tick(0));
        (0..workers).for_each(|number| arrivals.begin(number));
        Self {
            how,
            open: vec![0; workers],
            ends: BinaryHeap::new(),
            chances: vec![1; workers],
            chance: Box::new(chance),
            turn: 0,
            plan: pace.plan(tick(0), workers, &arrivals),
            arrivals,
            queues: vec![Default::default(); workers],
            told: vec![0; workers],
            pace,
            woken: None,
            busy: 0,
            noted: 0,
            used: 0,
            looks: 0,
            count: COUNT,
            choice: CHOICE,
            stalls: None,
        }
    }

    pub(super) fn ours(&self) -> bool {
        matches!(self.how, How::Ours | How::Unseen)
    }

    pub(super) fn use_cpu(&mut self, now: u64, cost: u64) {
        let passed = Duration::from_micros(now.saturating_sub(self.noted));
        self.arrivals.passed(passed, Duration::from_micros(cost));
        self.noted = self.noted.max(now);
        self.used += cost;
        self.busy = self.busy.max(now) + cost;
    }

    pub(super) fn close_until(&mut self, now: u64) {
        while let Some(Reverse((at, worker))) = self.ends.peek().copied() {
            if at > now {
                return;
            }
            self.ends.pop();
            self.open[worker] -= 1;
        }
    }

    /// The next step of the thread, if nobody comes.
    pub(super) fn next(&self) -> Option<u64> {
        let until = self
            .plan
            .until
            .map(|until| u64::try_from(until.0.as_micros()).unwrap());
        let next = [until, self.woken].into_iter().flatten().min();
        next.map(|next| next.max(self.busy))
    }

    /// One turn of the thread.
    pub(super) fn step(&mut self, now: u64) {
        self.woken = None;
        if !self.plan.looks {
            self.use_cpu(now, 0);
            self.plan = self.pace.plan(tick(now), self.open.len(), &self.arrivals);
            return;
        }
        self.look(now);
        let due = self.arrivals.count_at(self.pace.is_quiet());
        if due.is_some_and(|due| due <= tick(self.busy)) {
            self.close_until(self.busy);
            let seen = self.how == How::Ours;
            let open = self.open.iter().map(|open| seen.then_some(*open));
            let open = (0..).zip(open).collect();
            let cost = Duration::from_micros(self.count);
            self.busy += self.count;
            self.used += self.count;
            self.arrivals
                .counted((tick(self.busy), cost), open, &BTreeSet::new());
            self.choose(self.busy);
        }
        self.plan = self
            .pace
            .plan(tick(self.busy), self.open.len(), &self.arrivals);
    }

    pub(super) fn look(&mut self, now: u64) {
        self.looks += 1;
        let pause = self.pace.since_look(tick(now), self.open.len());
        let (mut arrived, mut moved, mut waiting) = (0, false, false);
        for (number, (waits, queue)) in self.queues.iter_mut().enumerate() {
            while waits.front().is_some_and(|at| *at <= now) {
                waits.pop_front();
            }
            let length = u32::try_from(waits.len()).unwrap();
            let count = queue.arrived(length, std::mem::take(&mut self.told[number]));
            self.arrivals.arrived(number, count, tick(now));
            arrived += count;
            moved |= !queue.seen(length, pause);
            waiting |= length > 0;
        }
        let before = self.chances.clone();
        self.choose(now);
        let news = moved || arrived > 0 || before != self.chances;
        self.pace.looked(tick(self.busy), news, waiting);
    }

    pub(super) fn choose(&mut self, now: u64) {
        let all: Vec<usize> = (0..self.open.len()).collect();
        self.chances = self
            .arrivals
            .chances(tick(now), &all, &vec![false; all.len()]);
        self.arrivals.chosen(tick(now));
        self.use_cpu(now, self.choice);
    }

    pub(super) fn run_until(&mut self, now: u64) {
        while let Some(at) = self.next().filter(|at| *at <= now) {
            self.step(at);
        }
        self.close_until(now);
    }

    pub(super) fn arrive(&mut self, client: Client) -> usize {
        self.run_until(client.at);
        let to = match self.how {
            How::RoundRobin => {
                self.turn += 1;
                self.turn % self.open.len()
            }
            How::Ideal => (0..self.open.len())
                .min_by_key(|at| self.open[*at])
                .unwrap(),
            How::Ours | How::Unseen | How::Random => {
                let sum: u32 = self.chances.iter().sum();
                let mut left = (self.chance)() % u64::from(sum);
                let hit = |chance: &u32| {
                    let chance = u64::from(*chance);
                    let hit = left < chance;
                    left = left.wrapping_sub(chance);
                    hit
                };
                self.chances.iter().position(hit).unwrap()
            }
        };
        self.open[to] += 1;
        let queue = &mut self.queues[to].0;
        let idle = (client.at + WAKE).max(queue.back().copied().unwrap_or(0));
        queue.push_back(idle + ACCEPT);
        self.ends
            .push(Reverse((client.at.saturating_add(client.life), to)));
        if self.ours() {
            match self.plan.hearing {
                Hearing::Nothing => {}
                Hearing::Counts => {
                    self.told[to] += 1;
                    self.use_cpu(client.at.max(self.busy), SIGHT);
                    self.plan = self
                        .pace
                        .plan(tick(self.busy), self.open.len(), &self.arrivals);
                }
                Hearing::Ends => {
                    self.told[to] += 1;
                    if self.woken.is_none() {
                        let late = self
                            .stalls
                            .is_some_and(|stalls| (self.chance)().is_multiple_of(stalls));
                        self.woken = Some(client.at + REACTION + if late { 1_000 } else { 0 });
                    }
                }
            }
        }
        to
    }

    /// The last connection of this worker is closed then.
    pub(super) fn hang_up(&mut self, worker: usize, at: u64) {
        let mut ends: Vec<_> = std::mem::take(&mut self.ends).into_vec();
        let own = ends.iter_mut().filter(|Reverse((_, of))| *of == worker);
        own.max_by_key(|Reverse((end, _))| *end).unwrap().0.0 = at;
        self.ends = ends.into();
    }

    pub(super) fn spread(&self) -> f64 {
        let sum: u32 = self.open.iter().sum();
        let most = self.open.iter().max().copied().unwrap_or(0);
        let workers = u32::try_from(self.open.len()).unwrap();
        f64::from(most * workers) / f64::from(sum.max(1))
    }

    /// Replaces a worker: its clients come again at once, at the others.
    pub(super) fn replace(&mut self, worker: usize, now: u64) {
        self.run_until(now);
        self.chances[worker] = 0;
        if self.chances.iter().all(|chance| *chance == 0) {
            self.chances.fill(1);
            self.chances[worker] = 0;
        }
        let ended: Vec<_> = self.ends.drain().collect();
        let (gone, stay): (Vec<_>, Vec<_>) = ended
            .into_iter()
            .partition(|Reverse((_, at))| *at == worker);
        self.ends = stay.into_iter().collect();
        self.open[worker] = 0;
        self.arrivals.begin(worker);
        for (number, _) in gone.iter().enumerate() {
            let at = now + u64::try_from(number).unwrap() * 50;
            self.arrive(Client { at, life: FOREVER });
        }
    }
}
