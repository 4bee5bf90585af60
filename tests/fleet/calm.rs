//! After any history: if from now on every worker becomes ready, passes its checks, and drains and ends as told, the
//! fleet comes to rest, with a worker in every slot except those that stay down.
#![forbid(unsafe_code)]

use rpm_runtime::model::WorkerState;
use rpm_runtime::policy::Event;

use crate::books::Books;
use crate::world::{World, told_ready};

/// For each slot: a wait, a worker, its successor in each of two reloads, each with start, drain, grace and end; and
/// the same for retiring workers.
const WAKES: usize = 40;

impl World {
    pub fn calm(&mut self) {
        if self.books.stops() {
            return;
        }
        self.amid = None;
        self.system.calm = true;
        self.system.refuse = 0;
        let most = WAKES * (2 + self.books.chairs());
        let mut wakes = 0;
        loop {
            self.do_well();
            // A worker whose start failed before may exceed the limit.
            if self.books.finished || self.books.stops() {
                break;
            }
            if self.books.at_rest() {
                self.rests();
                break;
            }
            assert!(wakes < most, "no rest: {:?}\n{:?}", self.books, self.fleet);
            wakes += 1;
            self.deadline();
        }
        self.system.calm = false;
    }

    fn do_well(&mut self) {
        self.words();
        self.tell_all(Books::stay, told_ready);
        self.all_listen(0b111);
        let passed = true;
        self.tell_all(Books::stay, |pid| Event::Checked { pid, passed });
        self.tell_all(Books::drain, |pid| Event::Drained { pid });
        self.tell_all(Books::scraping, |pid| Event::Scraped { pid });
    }

    fn rests(&mut self) {
        self.books.tally.hit("rest");
        // It may still wait until ports are closed that nobody has.
        assert_eq!(self.fleet.next_deadline(), self.books.ports_settle());
        let snapshot = self.fleet.snapshot();
        let staffed = [
            WorkerState::Ready,
            WorkerState::Stopped,
            WorkerState::Halted,
        ];
        assert!(snapshot.slots.iter().all(|s| staffed.contains(&s.state)));
        assert!(snapshot.rising.is_empty());
        let ready = snapshot.slots.iter();
        let ready = ready.filter(|slot| slot.state == WorkerState::Ready);
        assert_eq!(self.fleet.rotation().live.len(), ready.count());
        assert_eq!(self.fleet.draining(self.now).count(), 0);
    }
}
