//! What is kept of single workers for `rpmctl describe`: the names of their variables, and how the last ones ended.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::rc::Rc;
use std::time::Duration;

use crate::control::protocol::cut;
use crate::log::Tail;
use crate::model::{Cause, Exit, Pid, SlotId};

/// Ends that are kept of one slot.
const OF_ONE: usize = 5;

/// Ends that are kept in all, so that many slots do not take much memory.
const IN_ALL: usize = 256;

/// Of so many of them the last lines are kept, about 1 KiB each.
const WITH_LINES: usize = 64;

/// The names of variables; workers that have the same ones share them.
type Names = Rc<[String]>;

/// How a worker ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) slot: SlotId,
    pub(super) pid: Pid,
    /// When, seconds since 1970.
    pub(super) at: u64,
    pub(super) exit: Exit,
    pub(super) cause: Cause,
    pub(super) uptime: Duration,
    said: Said,
}

/// The last lines of stderr.
#[derive(Clone, Debug)]
enum Said {
    /// The thread of the log may still read them.
    Comes(Tail),
    Lines(Vec<String>),
}

impl Said {
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Comes(tail) => tail
                .lines(false)
                .into_iter()
                .map(|line| cut(line).into_owned())
                .collect(),
            Self::Lines(lines) => lines.clone(),
        }
    }
}

/// What is kept. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lives(Rc<RefCell<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    names: HashMap<Pid, Names>,
    /// Of the worker that was started last.
    last: Option<Names>,
    /// In their order.
    ends: VecDeque<End>,
}

impl Lives {
    /// A worker was started with variables of these names.
    pub(super) fn started<'a>(&self, pid: Pid, names: impl Iterator<Item = &'a OsStr>) {
        let names: Vec<String> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        let mut kept = self.0.borrow_mut();
        let last = kept.last.take().filter(|last| **last == *names);
        let names = last.unwrap_or_else(|| names.into());
        kept.last = Some(Rc::clone(&names));
        kept.names.insert(pid, names);
    }

    /// A worker has ended. `tail` has the end of its stderr.
    pub(super) fn ended(&self, mut end: End, tail: Option<Tail>) {
        let mut kept = self.0.borrow_mut();
        if let Some(tail) = tail {
            end.said = Said::Comes(tail);
        }
        let ends = &mut kept.ends;
        let of_slot = |one: &End| one.slot == end.slot;
        if ends.iter().filter(|one| of_slot(one)).count() >= OF_ONE
            && let Some(oldest) = ends.iter().position(of_slot)
        {
            ends.remove(oldest);
        } else if ends.len() >= IN_ALL {
            ends.pop_front();
        }
        // Of some that ended just before, the thread may still read: workers often end together.
        for earlier in ends.iter_mut() {
            if matches!(&earlier.said, Said::Comes(tail) if tail.has_ended()) {
                earlier.said = Said::Lines(earlier.said.lines());
            }
        }
        ends.push_back(end);
        let silent = ends.len().saturating_sub(WITH_LINES);
        for earlier in ends.iter_mut().take(silent) {
            earlier.said = Said::Lines(Vec::new());
        }
    }

    /// The process of a worker is gone.
    pub(super) fn forget(&self, pid: Pid) {
        self.0.borrow_mut().names.remove(&pid);
    }

    /// The names of the variables that a living worker got.
    pub(super) fn names(&self, pid: Pid) -> Vec<String> {
        let kept = self.0.borrow();
        kept.names
            .get(&pid)
            .map(|names| names.to_vec())
            .unwrap_or_default()
    }

    /// How the last workers of a slot ended, the latest at the end, with the last lines of each.
    pub(super) fn ends(&self, slot: SlotId) -> Vec<(End, Vec<String>)> {
        let kept = self.0.borrow();
        let of_slot = kept.ends.iter().filter(|end| end.slot == slot);
        of_slot.map(|end| (end.clone(), end.said.lines())).collect()
    }
}

impl End {
    /// An end of which nothing was said.
    pub(super) fn new(
        slot: SlotId,
        pid: Pid,
        at: u64,
        exit: Exit,
        cause: Cause,
        uptime: Duration,
    ) -> Self {
        Self {
            slot,
            pid,
            at,
            exit,
            cause,
            uptime,
            said: Said::Lines(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(raw: i32) -> Pid {
        Pid::new(raw).unwrap()
    }

    fn end(slot: u16, raw: i32) -> End {
        let uptime = Duration::from_secs(3);
        End::new(
            SlotId(slot),
            pid(raw),
            7,
            Exit::Code(1),
            Cause::Exit,
            uptime,
        )
    }

    fn pids(lives: &Lives, slot: u16) -> Vec<i32> {
        let ends = lives.ends(SlotId(slot)).into_iter();
        ends.map(|(end, _)| end.pid.get()).collect()
    }

    #[test]
    fn the_last_ends_of_each_slot_are_kept_and_not_too_many_in_all() {
        let lives = Lives::default();
        for raw in 10..20 {
            lives.ended(end(0, raw), None);
        }
        lives.ended(end(1, 30), None);
        assert_eq!(pids(&lives, 0), [15, 16, 17, 18, 19]);
        assert_eq!(pids(&lives, 1), [30]);
        for slot in 2..2 + u16::try_from(IN_ALL).unwrap() {
            lives.ended(end(slot, 40), None);
        }
        assert_eq!(pids(&lives, 0), Vec::<i32>::new());
        assert_eq!(lives.0.borrow().ends.len(), IN_ALL);
    }

    #[test]
    fn what_an_ended_worker_said_is_kept_also_if_it_is_read_later() {
        let lives = Lives::default();
        let tail = Tail::default();
        tail.write_for_test(b"first\n");
        lives.ended(end(0, 10), Some(tail.clone()));
        tail.write_for_test("é".repeat(300).as_bytes());
        let said = lives.ends(SlotId(0)).remove(0).1;
        assert_eq!(said, ["first".to_owned(), "é".repeat(200) + "…"]);
        // Once all is read, the next end turns them into text.
        tail.end_for_test();
        lives.ended(end(0, 11), None);
        tail.write_for_test(b"\nlater\n");
        assert_eq!(lives.ends(SlotId(0)).remove(0).1, said);
        // Of many only the latest have lines.
        for slot in 1..=u16::try_from(WITH_LINES).unwrap() {
            lives.ended(end(slot, 12), None);
        }
        assert_eq!(lives.ends(SlotId(0)).remove(0).1, Vec::<String>::new());
    }

    #[test]
    fn workers_that_end_together_keep_what_each_of_them_said() {
        let lives = Lives::default();
        let tails = [10, 11].map(|raw| {
            let tail = Tail::default();
            lives.ended(end(0, raw), Some(tail.clone()));
            tail
        });
        tails[0].write_for_test(b"first\n");
        tails[1].write_for_test(b"second\n");
        let said = lives.ends(SlotId(0)).into_iter().map(|(_, said)| said);
        assert_eq!(said.collect::<Vec<_>>(), [["first"], ["second"]]);
    }

    #[test]
    fn workers_with_the_same_names_share_them() {
        let lives = Lives::default();
        let (both, one) = (["A", "B"].map(OsStr::new), ["A"].map(OsStr::new));
        lives.started(pid(10), both.into_iter());
        lives.started(pid(11), both.into_iter());
        lives.started(pid(12), one.into_iter());
        assert_eq!(lives.names(pid(11)), ["A", "B"]);
        assert_eq!(lives.names(pid(12)), ["A"]);
        let same = |kept: &Kept| Rc::ptr_eq(&kept.names[&pid(10)], &kept.names[&pid(11)]);
        assert!(same(&lives.0.borrow()));
        lives.forget(pid(10));
        assert_eq!(lives.names(pid(10)), Vec::<String>::new());
    }
}
