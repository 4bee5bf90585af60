//! What an operator asks for.
#![forbid(unsafe_code)]

use rpm_runtime::model::Tick;
use rpm_runtime::policy::Note;

use super::{Books, Chair, Why};

impl Books {
    pub(super) fn asked_to_stop(&mut self, now: Tick) {
        let delay = self.params.shutdown_delay;
        match self.stop {
            None => {
                self.stop = Some((now.after(delay), None));
                self.owed.push(Note::StopRequested { delay });
            }
            Some((_, why)) if self.began.is_none() => self.stop = Some((now, why)),
            Some(_) => {
                let mut hurried = false;
                for life in self.lives.values_mut().filter(|l| l.killed.is_none()) {
                    life.kill_due = Some(now);
                    hurried = true;
                }
                for group in self.groups.values_mut().filter(|g| g.killed.is_none()) {
                    group.kill_due = now;
                    hurried = true;
                }
                if hurried {
                    self.owed.push(Note::Hurried);
                }
            }
        }
    }

    pub(super) fn asked_to_restart(&mut self, now: Tick) {
        if self.stop.is_some() {
            return;
        }
        self.owed.push(Note::RestartRequested);
        self.code = 0;
        for slot in &mut self.slots {
            slot.streak = 0;
            match slot.chair {
                Chair::Down | Chair::Due(_) => slot.chair = Chair::Due(now),
                Chair::Seated(pid) => {
                    self.lives.get_mut(&pid).unwrap().told = Some(Why::Restart);
                    slot.chair = Chair::Held;
                }
                Chair::Held | Chair::Asked => {}
            }
        }
        for life in self.lives.values_mut() {
            if life.told == Some(Why::NotReady) && !life.undead {
                life.told = Some(Why::Restart);
            }
        }
    }
}
