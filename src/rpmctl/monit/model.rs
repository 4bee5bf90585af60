//! What the screen shows, and what keys and answers change in it. No clock, no terminal, no socket.

pub mod attention;
mod log;
mod past;
pub mod rows;

use std::collections::BTreeMap;

use rpm_runtime::control::protocol::{List, Place};

use super::keys::Key;
use crate::plain::plain;
use attention::Grade;
pub use log::{LINES, Log, LogLine};
use past::Past;
use rows::{Row, rows};

/// For so many answers the outcome of a command is shown.
const SAID_FOR: u32 = 10;

/// Longest filter, letters.
const LONGEST_FILTER: usize = 60;

/// What the keys mean at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The screen.
    Watch,
    /// The filter is being written.
    Filter,
    /// The list of keys.
    Help,
    /// A question: is this meant?
    Confirm(Order),
}

/// What the runtime is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Reload,
    Restart(u16),
    Scale(i32),
}

/// What a key asks of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The end.
    Quit,
    /// The shell (Ctrl-Z).
    Suspend,
    /// Every cell anew (Ctrl-L): something else has written on the terminal.
    Redraw,
    /// A command to the runtime.
    Order(Order),
}

/// A line on the bottom: how a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub text: String,
    pub good: bool,
    /// Answers until it goes.
    left: u32,
}

/// The whole state.
#[derive(Debug)]
pub struct State {
    /// The last answer.
    pub list: Option<List>,
    /// Why there is none now.
    pub lost: Option<String>,
    /// The sums of the last minutes, and the present CPU of each worker.
    pub past: Past,
    pub filter: String,
    pub mode: Mode,
    /// The log has the whole screen.
    pub big_log: bool,
    pub said: Option<Said>,
    pub log: Log,
    /// The slot that the person chose.
    chosen: Option<u16>,
    /// The slot that is shown while the person has chosen none: the one that is ill.
    found: Option<u16>,
    /// Of each slot, in how many answers in a row something waited.
    queued: BTreeMap<u16, u32>,
    /// How many new workers had not come up when the screen began.
    failures: u64,
    /// A command has no answer yet. No other one is given: a key that is held down would queue many.
    ordered: bool,
}

impl State {
    pub fn new() -> Self {
        Self {
            list: None,
            lost: None,
            past: Past::default(),
            filter: String::new(),
            mode: Mode::Watch,
            big_log: false,
            said: None,
            log: Log::Waits,
            chosen: None,
            found: None,
            queued: BTreeMap::new(),
            failures: 0,
            ordered: false,
        }
    }

    /// The workers in the order in which they are shown, without those that the filter hides.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let list = self.list.as_ref();
        list.map_or_else(Vec::new, |list| rows(list, &self.queued, &self.filter))
    }

    /// The slot whose log is shown, and which `R` restarts.
    pub fn selected(&self) -> Option<u16> {
        self.chosen.or(self.found)
    }

    /// New workers that did not come up since the screen began.
    pub fn new_failures(&self) -> u64 {
        let now = self.list.as_ref().map(|list| list.health.failures);
        now.unwrap_or(0).saturating_sub(self.failures)
    }

    /// An answer has come.
    pub fn listed(&mut self, list: List) {
        let other = self.list.as_ref().map(|before| before.runtime.pid) != Some(list.runtime.pid);
        let younger = self
            .list
            .as_ref()
            .is_some_and(|before| before.uptime_seconds > list.uptime_seconds);
        if other || younger {
            if self.list.is_some() {
                self.say(
                    true,
                    &format!("another runtime answers now, pid {}", list.runtime.pid),
                );
                // It was asked about the one before.
                self.take_back();
            }
            self.past = Past::default();
            self.failures = list.health.failures;
            self.queued.clear();
        }
        // Who asks soon after another one gets the same answer.
        let known = self.list.as_ref().map(|before| before.uptime_seconds);
        if known != Some(list.uptime_seconds) || other {
            self.past.add(&list);
            self.count_queues(&list);
        }
        self.list = Some(list);
        self.lost = None;
        if let Some(said) = &mut self.said {
            said.left = said.left.saturating_sub(1);
        }
        self.said.take_if(|said| said.left == 0);
        self.choose();
    }

    fn count_queues(&mut self, list: &List) {
        let slots = list.workers.iter();
        let slots = slots.filter(|worker| worker.place == Place::Slot);
        let queued = slots.filter(|worker| worker.queue.unwrap_or(0) > 0);
        let count = |slot| {
            let before = self.queued.get(&slot).copied();
            before.unwrap_or(0).saturating_add(1)
        };
        self.queued = queued
            .map(|worker| (worker.slot, count(worker.slot)))
            .collect();
    }

    /// No answer came.
    pub fn lost(&mut self, why: &str) {
        self.lost = Some(plain(why));
        self.take_back();
    }

    /// The question goes.
    fn take_back(&mut self) {
        if matches!(self.mode, Mode::Confirm(_)) {
            self.mode = Mode::Watch;
        }
    }

    /// A command has its answer.
    pub fn answered(&mut self, good: bool, text: &str) {
        self.ordered = false;
        self.say(good, text);
    }

    /// Says how something ended.
    pub fn say(&mut self, good: bool, text: &str) {
        self.said = Some(Said {
            text: plain(text),
            good,
            left: SAID_FOR,
        });
    }

    /// Keeps the selection on a slot that is there. While the person has chosen none, it goes to one that is ill, and stays
    /// there until another one is and this one is not.
    fn choose(&mut self) {
        let rows = self.rows();
        let slots: Vec<(u16, Grade)> = rows
            .iter()
            .map(|row| (row.worker.slot, row.grade))
            .collect();
        let here = |slot: u16| slots.iter().find(|(at, _)| *at == slot);
        if self.chosen.is_some_and(|slot| here(slot).is_none()) {
            self.chosen = None;
        }
        let stays = self.found.and_then(here);
        let first = slots.first();
        let better = first.filter(|(_, grade)| {
            *grade <= Grade::Look && stays.is_none_or(|(_, now)| grade < now && *now > Grade::Look)
        });
        let lowest = slots.iter().min_by_key(|(slot, _)| *slot);
        let next = better.or(stays).or(lowest);
        self.found = next.map(|(slot, _)| *slot);
    }

    /// A key.
    pub fn key(&mut self, key: Key) -> Option<Wish> {
        match key {
            Key::Ctrl('c') => return Some(Wish::Quit),
            Key::Ctrl('z') => return Some(Wish::Suspend),
            Key::Ctrl('l') => return Some(Wish::Redraw),
            _ => {}
        }
        match self.mode.clone() {
            Mode::Filter => {
                self.edit(key);
                None
            }
            Mode::Help => {
                self.mode = Mode::Watch;
                None
            }
            Mode::Confirm(order) => {
                self.mode = Mode::Watch;
                if key == Key::Char('y') {
                    return Some(self.order(order));
                }
                self.say(true, "nothing was done");
                None
            }
            Mode::Watch => self.watch(key),
        }
    }

    fn watch(&mut self, key: Key) -> Option<Wish> {
        match key {
            Key::Char('q') => return Some(Wish::Quit),
            Key::Char('?' | 'h') => self.mode = Mode::Help,
            Key::Char('/') => self.mode = Mode::Filter,
            Key::Char('l') | Key::Enter => match &self.log {
                Log::None(why) => {
                    let text = format!("there is no log: {why}");
                    self.say(false, &text);
                }
                Log::Waits | Log::Lines { .. } => self.big_log = !self.big_log,
            },
            Key::Char('j') | Key::Down => self.go(1),
            Key::Char('k') | Key::Up => self.go(-1),
            Key::PageDown => self.go(10),
            Key::PageUp => self.go(-10),
            Key::Char('g') | Key::Home => self.go(isize::MIN),
            Key::Char('G') | Key::End => self.go(isize::MAX),
            Key::Escape => {
                if self.big_log {
                    self.big_log = false;
                } else {
                    self.filter.clear();
                    self.chosen = None;
                }
                self.choose();
            }
            Key::Char('r') => self.ask(Order::Reload),
            Key::Char('R') => {
                if let Some(slot) = self.selected() {
                    self.ask(Order::Restart(slot));
                }
            }
            Key::Char('-') => self.ask(Order::Scale(-1)),
            // One more worker does no harm, and `-` takes it away.
            Key::Char('+') if self.reachable() => return Some(self.order(Order::Scale(1))),
            _ => {}
        }
        None
    }

    /// Asks whether it is meant: it ends workers.
    fn ask(&mut self, order: Order) {
        if self.reachable() {
            self.mode = Mode::Confirm(order);
        }
    }

    fn reachable(&mut self) -> bool {
        let is = self.list.is_some() && self.lost.is_none();
        if !is {
            self.say(false, "no runtime can be reached now");
        } else if self.ordered {
            self.say(false, "the last command has no answer yet");
        }
        is && !self.ordered
    }

    /// Gives a command.
    fn order(&mut self, order: Order) -> Wish {
        self.ordered = true;
        Wish::Order(order)
    }

    fn edit(&mut self, key: Key) {
        match key {
            Key::Enter => self.mode = Mode::Watch,
            Key::Escape => {
                self.filter.clear();
                self.mode = Mode::Watch;
            }
            Key::Backspace => drop(self.filter.pop()),
            Key::Ctrl('u') => self.filter.clear(),
            Key::Char(letter) if self.filter.chars().count() < LONGEST_FILTER => {
                self.filter.push(letter);
            }
            Key::Down => self.go(1),
            Key::Up => self.go(-1),
            _ => {}
        }
        self.choose();
    }

    /// Moves the selection by so many slots.
    fn go(&mut self, by: isize) {
        let mut slots: Vec<u16> = self.rows().iter().map(|row| row.worker.slot).collect();
        slots.dedup();
        let at = self
            .selected()
            .and_then(|slot| slots.iter().position(|one| *one == slot));
        let last = slots.len().saturating_sub(1);
        let to = at.unwrap_or(0).saturating_add_signed(by).min(last);
        self.chosen = slots.get(to).copied().or(self.chosen);
    }
}

#[cfg(test)]
mod tests;
