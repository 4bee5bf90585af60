//! The model: the kernel, the thread that chooses, and clients, in microseconds.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use super::super::*;

/// From an arrival to the thread that sees it.
pub(super) const REACTION: u64 = 60;
/// CPU time of a choice with its program.
pub(super) const CHOICE: u64 = 50;
/// CPU time of an arrival that is only counted.
pub(super) const SIGHT: u64 = 4;
/// CPU time of a count.
pub(super) const COUNT: u64 = 400;
/// Between two looks while connections arrive.
pub(super) const LOOK: u64 = 5_000;
/// Looks without an arrival until the thread sleeps.
pub(super) const REST: u32 = 4;

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
    /// For each worker: when those in its queue are accepted; how many the last look saw.
    pub(super) queues: Vec<(VecDeque<u64>, u32)>,
    /// Listeners with an arrival that the thread has not seen.
    pub(super) unseen: BTreeSet<usize>,
    /// The next step of the thread; `None`: it sleeps.
    pub(super) next: Option<u64>,
    /// The thread is at work until then.
    pub(super) busy: u64,
    /// What it has used was written down until then.
    pub(super) noted: u64,
    pub(super) used: u64,
    pub(super) rest: u32,
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
        let mut arrivals = Arrivals::follow();
        (0..workers).for_each(|number| arrivals.begin(number));
        Self {
            how,
            open: vec![0; workers],
            ends: BinaryHeap::new(),
            chances: vec![1; workers],
            chance: Box::new(chance),
            turn: 0,
            arrivals,
            queues: vec![Default::default(); workers],
            unseen: BTreeSet::new(),
            next: None,
            busy: 0,
            noted: 0,
            used: 0,
            rest: 0,
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

    /// One turn of the thread.
    pub(super) fn step(&mut self, now: u64) {
        let tick = Tick(Duration::from_micros(now));
        let seen = std::mem::take(&mut self.unseen);
        self.rest = if seen.is_empty() && self.arrivals.fresh == 0 {
            self.rest + 1
        } else {
            0
        };
        for number in 0..self.open.len() {
            let (queue, before) = &mut self.queues[number];
            while queue.front().is_some_and(|at| *at <= now) {
                queue.pop_front();
            }
            let length = u32::try_from(queue.len()).unwrap();
            let grown = length.saturating_sub(*before);
            *before = length;
            let count = grown.max(u32::from(seen.contains(&number)));
            self.arrivals.arrived(number, count, tick);
        }
        self.choose(now);
        let quiet = self.rest > 0;
        if self.arrivals.wants_count(tick, quiet) {
            self.close_until(now);
            let seen = self.how == How::Ours;
            let open = self.open.iter().map(|open| seen.then_some(*open));
            let open = (0..).zip(open).collect();
            self.arrivals
                .counted((tick, Duration::from_micros(COUNT)), &open, true);
            self.use_cpu(self.busy, COUNT);
            self.choose(self.busy);
        }
        let wait = u64::try_from(
            self.arrivals
                .owed()
                .min(Duration::from_millis(50))
                .as_micros(),
        )
        .unwrap();
        self.next = (self.rest < REST).then_some(self.busy + LOOK.max(wait));
    }

    pub(super) fn choose(&mut self, now: u64) {
        let all: Vec<usize> = (0..self.open.len()).collect();
        self.chances = self.arrivals.chances(&all, &vec![false; all.len()]);
        self.arrivals.chosen();
        self.use_cpu(now, CHOICE);
    }

    pub(super) fn run_until(&mut self, now: u64) {
        while let Some(at) = self.next.filter(|at| *at <= now) {
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
            let woken = (client.at + REACTION).max(self.busy);
            match self.arrivals.attention() {
                _ if self.next.is_none() => {
                    self.rest = 0;
                    self.unseen.insert(to);
                    self.next = Some(woken);
                }
                Attention::Exact => {
                    self.unseen.insert(to);
                    self.next = self.next.map(|next| next.min(woken));
                }
                Attention::Counting => {
                    self.arrivals
                        .arrived(to, 1, Tick(Duration::from_micros(client.at)));
                    self.use_cpu(client.at.max(self.busy), SIGHT);
                }
                Attention::Blind => {
                    self.unseen.insert(to);
                }
            }
        }
        to
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
