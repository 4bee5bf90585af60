//! After whatever happened: if from now on every worker becomes ready, passes its checks, and drains and ends when it
//! shall, the fleet comes to rest, with a worker in every chair but those that stay down.
#![forbid(unsafe_code)]

use rpm_runtime::model::WorkerState;
use rpm_runtime::policy::Event;

use crate::books::Books;
use crate::world::World;

/// For each chair: a wait, a worker, its successor of each of two reloads, each with its start, drain, grace and end;
/// and as much for who was leaving.
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
            // A worker that could not be started before may be one too many.
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
        self.tell_all(Books::stay, |pid| Event::Ready { pid });
        let passed = true;
        self.tell_all(Books::stay, |pid| Event::Checked { pid, passed });
        self.tell_all(Books::drain, |pid| Event::Drained { pid });
    }

    fn rests(&mut self) {
        self.books.tally.hit("rest");
        assert_eq!(self.fleet.next_deadline(), None);
        let snapshot = self.fleet.snapshot();
        let staffed = [WorkerState::Ready, WorkerState::Stopped];
        assert!(snapshot.slots.iter().all(|s| staffed.contains(&s.state)));
        assert!(snapshot.rising.is_empty());
        let ready = snapshot.slots.iter();
        let ready = ready.filter(|slot| slot.state == WorkerState::Ready);
        assert_eq!(self.fleet.rotation().live.len(), ready.count());
        assert_eq!(self.fleet.draining().count(), 0);
    }
}
