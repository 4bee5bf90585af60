//! The stream of `events`.

use std::task::{Context, Poll, Waker};

use crate::control::{Items, Next, Page};
use crate::supervisor::report::Events;

/// Events from a number on.
#[derive(Debug)]
pub(super) struct Happened {
    events: Events,
    /// The number of the next one to send.
    next: u64,
    /// The number of the next one when the client asked: none before it is missing because the client was slow.
    asked: u64,
    follow: bool,
    /// Whom new events wake.
    waits: Option<Waker>,
}

impl Happened {
    /// The last `lines` events, or all that are kept; with `follow` none, and those that come.
    pub(super) fn new(events: Events, lines: Option<usize>, follow: bool) -> Self {
        let lines = lines.unwrap_or(if follow { 0 } else { usize::MAX });
        let (next, asked) = (events.last(lines), events.end());
        Self {
            events,
            next,
            asked,
            follow,
            waits: None,
        }
    }
}

impl Items for Happened {
    fn fill(&mut self, page: &mut Page) -> Next {
        while page.has_room() {
            let found = self.events.from(self.next);
            let found = found.filter(|(number, _)| self.follow || *number < self.asked);
            let Some((number, event)) = found else {
                return if self.follow { Next::Wait } else { Next::End };
            };
            page.lost(number.saturating_sub(self.next.max(self.asked)));
            page.put(&event);
            self.next = number + 1;
        }
        Next::More
    }

    fn follows(&self) -> bool {
        self.follow
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.waits = Some(context.waker().clone());
        self.events.poll(self.next, context)
    }
}

impl Drop for Happened {
    fn drop(&mut self) {
        if let Some(waker) = &self.waits {
            self.events.forget(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use serde_json::Value;

    use super::*;
    use crate::control::protocol::What;

    fn scaled(to: usize) -> What {
        What::Scaled { from: 0, to }
    }

    /// What the items say: numbers, and below 0 how many are lost.
    fn items(happened: &mut Happened) -> Vec<i64> {
        let mut page = Page::new(1 << 20);
        assert_ne!(happened.fill(&mut page), Next::More);
        let lines = String::from_utf8(page.lines().to_vec()).unwrap();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["item"].take());
        lines
            .map(|item| match item["lost"].as_i64() {
                Some(lost) => -lost,
                None => item["to"].as_i64().unwrap_or(0),
            })
            .collect()
    }

    #[test]
    fn the_last_events_come_first_and_then_what_happens() {
        let events = Events::default();
        for to in 1..=5 {
            events.push(scaled(to));
        }
        let mut all = Happened::new(events.clone(), None, false);
        let mut some = Happened::new(events.clone(), Some(2), true);
        let mut new = Happened::new(events.clone(), None, true);
        events.push(scaled(6));
        assert_eq!(items(&mut all), [1, 2, 3, 4, 5]);
        assert_eq!(items(&mut some), [4, 5, 6]);
        assert_eq!(items(&mut new), [6]);
        events.push(scaled(7));
        assert_eq!(items(&mut new), [7]);
        assert_eq!(items(&mut new), Vec::<i64>::new());
    }

    #[test]
    fn events_that_were_forgotten_before_they_were_sent_are_counted() {
        let events = Events::default();
        let mut slow = Happened::new(events.clone(), None, true);
        for to in 1..=1000 {
            events.push(scaled(to));
        }
        let got = items(&mut slow);
        let lost = usize::try_from(-got[0]).unwrap();
        assert_eq!(lost + got.len() - 1, 1000);
        assert_eq!(got[1..].first(), Some(&i64::try_from(lost + 1).unwrap()));
        // Who asks now has lost nothing.
        let mut new = Happened::new(events, None, false);
        assert_eq!(items(&mut new), got[1..]);
    }

    #[derive(Debug)]
    struct Idle;

    impl Wake for Idle {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn followers_that_leave_are_forgotten() {
        let (events, idle) = (Events::default(), Arc::new(Idle));
        let waker = Waker::from(Arc::clone(&idle));
        let mut context = Context::from_waker(&waker);
        for _ in 0..1000 {
            let mut stream = Happened::new(events.clone(), None, true);
            assert_eq!(stream.poll_more(&mut context), Poll::Pending);
        }
        // A waker that is kept keeps its task in memory.
        assert_eq!(Arc::strong_count(&idle), 2);
    }

    #[test]
    fn many_messages_of_workers_push_out_no_other_event() {
        let events = Events::default();
        events.push(scaled(8));
        for _ in 0..1000 {
            events.push(What::Message {
                slot: 0,
                pid: 7,
                text: "{}".into(),
            });
        }
        events.push(scaled(9));
        let mut all = Happened::new(events.clone(), None, false);
        let got = items(&mut all);
        assert_eq!((got[0], got.last()), (8, Some(&9)));
        assert!(got.len() < 100, "{}", got.len());
        let mut last = Happened::new(events, Some(3), false);
        assert_eq!(items(&mut last), [0, 0, 9]);
    }

    #[test]
    fn many_commands_and_failed_checks_push_out_no_other_event() {
        let events = Events::default();
        events.push(scaled(8));
        for _ in 0..500 {
            events.push(What::Command {
                command: "reload".into(),
                uid: 0,
                pid: 7,
                refused: None,
            });
            events.push(What::CheckFailed {
                slot: 0,
                pid: 7,
                why: "no answer".into(),
                answer: None,
            });
        }
        events.push(scaled(9));
        let mut all = Happened::new(events.clone(), None, false);
        let got = items(&mut all);
        assert_eq!((got[0], got.last()), (8, Some(&9)));
        // The page of the runtime shows them in their order.
        let recent = events.recent(3);
        let names: Vec<bool> = recent
            .iter()
            .map(|event| matches!(event.what, What::Scaled { .. }))
            .collect();
        assert_eq!(names, [false, false, true]);
    }
}
