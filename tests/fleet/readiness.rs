//! When a worker must be ready: what it said, where it listens, how old it is.
#![forbid(unsafe_code)]

use rpm_runtime::model::{ListenerId, Pid, PortId, PortSet, ReadyBy, SlotId, Tick};
use rpm_runtime::policy::ready::STILL_STARTING;
use rpm_runtime::policy::{Apart, Missing, Note, ReadyRule};

use super::{Books, Chair, Life, id};

/// What is known of the ports of the service.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PortBook {
    /// Where workers listened that were up for long enough, and are gone.
    served: PortSet,
    /// The program serves no port.
    silent: bool,
    /// The port of the environment was used, or was not.
    named: Option<bool>,
    told_late: PortSet,
}

/// How a worker becomes ready, as far as it is on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start {
    pub(super) told: Option<ReadyBy>,
    listens: PortSet,
    port: Option<PortId>,
    /// When its age alone makes it ready.
    pub(super) alive_at: Option<Tick>,
    pub(super) ready_by: Option<Tick>,
    pub(super) tell_at: Option<Tick>,
}

fn only(port: Option<PortId>) -> PortSet {
    port.into_iter().collect()
}

impl Start {
    /// Where it serves whatever its environment says.
    fn serves(&self) -> PortSet {
        self.listens.minus(only(self.port))
    }

    fn uses_its_port(&self) -> bool {
        self.port.is_some_and(|port| self.listens.contains(port))
    }
}

impl Books {
    pub(super) fn start(&self, now: Tick, slot: usize, port: Option<PortId>) -> Start {
        let tells = self.slots.get(slot).is_some_and(|slot| slot.tells);
        let by_age = match self.params.ready {
            ReadyRule::Alive(wait) => Some(wait),
            ReadyRule::Listens { or_alive } if self.ports.silent && !tells => or_alive,
            _ => None,
        };
        let limit = self.params.ready_timeout;
        Start {
            port,
            alive_at: by_age.map(|wait| now.after(wait)),
            ready_by: by_age.is_none().then(|| now.after(limit)),
            tell_at: (by_age.is_none() && STILL_STARTING < limit)
                .then(|| now.after(STILL_STARTING)),
            ..Start::default()
        }
    }

    fn is_up(&self, now: Tick, life: &Life) -> bool {
        life.ready.is_some() && now.since(life.started) >= self.params.min_uptime
    }

    /// A worker has no slot any more.
    pub(super) fn keep_ports(&mut self, now: Tick, life: &Life) {
        if self.is_up(now, life) {
            self.ports.served = self.ports.served.and(life.start.serves());
        }
    }

    /// The reload has succeeded.
    pub(super) fn forget_ports(&mut self) {
        self.ports.served = PortSet::EMPTY;
    }

    fn ready_ones(&self) -> impl Iterator<Item = &Life> {
        let seated = self.seated().map(|pid| &self.lives[&pid]);
        seated.filter(|life| life.ready.is_some())
    }

    pub(super) fn served(&self, now: Tick) -> PortSet {
        let up = self.ready_ones().filter(|life| self.is_up(now, life));
        up.fold(self.ports.served, |all, life| all.and(life.start.serves()))
    }

    /// Whether it listens wherever its predecessors did.
    pub(super) fn serves_all(&self, now: Tick, life: &Life) -> bool {
        self.served(now).is_subset(life.start.listens)
    }

    /// What it has not done yet.
    pub(super) fn missing(&self, now: Tick, start: &Start) -> Option<Missing> {
        let word = start.told.is_none().then_some(Missing::Word);
        let ports = || self.missing_ports(now, start);
        match self.params.ready {
            ReadyRule::Alive(_) | ReadyRule::Told => word,
            ReadyRule::Asked => ports().or(word),
            ReadyRule::Listens { .. } => ports(),
        }
    }

    fn missing_ports(&self, now: Tick, start: &Start) -> Option<Missing> {
        let listens = start.listens;
        let listed = self.params.ports;
        let served = self.served(now);
        let expected = match start.port {
            _ if !listed.is_empty() => listed,
            Some(port) if self.ports.named != Some(false) => served.with(port),
            _ => served,
        };
        let nowhere = listens.is_empty();
        if listed.is_empty() && !nowhere && !start.uses_its_port() {
            let siblings = self.ready_ones().map(|life| life.start.listens);
            let others = siblings.fold(served, PortSet::and);
            if !others.is_empty() && !others.meets(listens) {
                let expected = others;
                return Some(Missing::Elsewhere { expected, listens });
            }
        }
        if nowhere || !expected.minus(listens).is_empty() {
            return Some(Missing::Ports { expected, listens });
        }
        None
    }

    /// Where clients wait if nobody is ready.
    pub(super) fn apart(&self) -> Option<Apart> {
        let n = self.params.instances;
        let anteroom = ListenerId(n + self.params.surge.of(n, true));
        let apart = |except| Some(Apart { anteroom, except });
        let ReadyRule::Listens { .. } = self.params.ready else {
            return apart(None).filter(|_| self.params.waits_apart);
        };
        let mut awaited = self.params.ports;
        if awaited.is_empty() {
            awaited = self.ports.served;
            let starts = |life: &&Life| life.ready.is_none() && life.leaves.is_none();
            for life in self.lives.values().filter(starts) {
                if self.ports.named != Some(false) {
                    awaited = awaited.and(only(life.start.port));
                }
            }
        }
        match awaited.iter().collect::<Vec<_>>()[..] {
            [] => None,
            [one] => apart(Some(one)),
            _ => apart(None),
        }
    }

    fn slot_holds(&self, pid: Pid) -> bool {
        self.lives.get(&pid).is_some_and(|l| l.leaves.is_none())
    }

    pub(super) fn told_ready(&mut self, pid: Pid, by: ReadyBy) {
        self.ran = true;
        if self.slot_holds(pid) {
            let life = self.lives.get_mut(&pid).unwrap();
            life.start.told = Some(by);
            self.slots[life.slot].tells = true;
        }
    }

    pub(super) fn listens(&mut self, now: Tick, pid: Pid, port: PortId) {
        self.ran = true;
        if !self.slot_holds(pid) {
            return;
        }
        let expected = self.served(now).and(self.params.ports).contains(port);
        self.ports.silent = false;
        let life = self.lives.get_mut(&pid).unwrap();
        let new = !life.start.listens.contains(port);
        life.start.listens = life.start.listens.with(port);
        let (slot, after) = (life.slot, now.since(life.started));
        if life.ready.is_some() && new {
            self.slots[slot].tells = true;
            let told = self.params.ready == ReadyRule::Told;
            if (told || !expected) && !self.ports.told_late.contains(port) {
                self.ports.told_late = self.ports.told_late.with(port);
                self.tally.hit("listens late");
                self.owed.push(Note::ListensLate {
                    slot: id(slot),
                    pid,
                    port,
                    after,
                });
            }
        }
    }

    /// A worker became ready: it has done everything, or is old enough, or its time is over and it serves no port.
    pub(super) fn said_ready(&mut self, now: Tick, slot: SlotId, pid: Pid, by: ReadyBy) {
        let life = self.lives[&pid];
        assert_eq!(slot, id(life.slot));
        assert!(life.ready.is_none() && life.leaves.is_none(), "{life:?}");
        let start = life.start;
        let old = start.alive_at.is_some_and(|at| at <= now);
        let silent = self.is_silent(now, &life);
        if old {
            assert_eq!(by, ReadyBy::Age);
        } else if silent && by == ReadyBy::Age {
            self.tally.hit("serves no port");
            self.owed.push(Note::ServesNoPort { slot, pid });
            self.falls_silent(pid);
        } else {
            assert_eq!(self.missing(now, &start), None, "not yet: {life:?}");
            assert_eq!(by, start.told.unwrap_or(ReadyBy::Listen));
        }
        let life = self.lives.get_mut(&pid).unwrap();
        life.ready = Some(now);
        self.slots[life.slot].tells |= by != ReadyBy::Age;
        if start.uses_its_port() {
            // It may have been given up for another worker.
            self.ports.named = self.ports.named.or(Some(true));
            self.tally.hit("port of the environment");
        }
    }

    /// Whether its time is over, and nobody of its slot ever listened.
    fn is_silent(&self, now: Tick, life: &Life) -> bool {
        let may = matches!(self.params.ready, ReadyRule::Listens { or_alive: Some(_) });
        let late = life.start.ready_by.is_some_and(|by| by <= now);
        may && late && life.start.listens.is_empty() && !self.slots[life.slot].tells
    }

    fn falls_silent(&mut self, first: Pid) {
        let ReadyRule::Listens {
            or_alive: Some(wait),
        } = self.params.ready
        else {
            panic!("{:?}", self.params.ready);
        };
        self.ports.silent = true;
        for (pid, life) in &mut self.lives {
            let starts = life.ready.is_none() && life.leaves.is_none() && *pid != first;
            let tells = self.slots.get(life.slot).is_some_and(|slot| slot.tells);
            if starts && !tells && life.start.listens.is_empty() {
                life.start.alive_at = Some(life.started.after(wait));
                (life.start.ready_by, life.start.tell_at) = (None, None);
            }
        }
    }

    pub(super) fn said_port_unused(&mut self, now: Tick, note: Note) {
        let Note::PortUnused {
            slot,
            pid,
            port,
            listens,
        } = note
        else {
            panic!("{note:?}");
        };
        let life = self.lives[&pid];
        let start = life.start;
        assert_eq!(
            (slot, Some(port), listens),
            (id(life.slot), start.port, start.listens)
        );
        let may = matches!(self.params.ready, ReadyRule::Listens { or_alive: Some(_) });
        assert!(
            may && life.ready.is_none() && life.leaves.is_none(),
            "{life:?}"
        );
        assert!(start.ready_by.is_some_and(|by| by <= now), "{life:?}");
        assert_eq!(self.ports.named, None);
        self.ports.named = Some(false);
        assert_eq!(self.missing(now, &start), None, "{life:?}");
        self.tally.hit("port of the environment unused");
    }

    pub(super) fn said_still_starting(&mut self, now: Tick, note: Note) {
        let Note::StillStarting {
            slot,
            pid,
            after,
            missing,
        } = note
        else {
            panic!("{note:?}");
        };
        let life = self.lives[&pid];
        assert_eq!((slot, after), (id(life.slot), now.since(life.started)));
        assert!(life.ready.is_none() && life.leaves.is_none(), "{life:?}");
        assert!(life.start.tell_at.is_some_and(|at| at <= now), "{life:?}");
        assert_eq!(self.missing(now, &life.start), Some(missing));
        self.lives.get_mut(&pid).unwrap().start.tell_at = None;
        self.tally.hit("still starting");
    }

    /// A worker is not ready in time, and there is no excuse.
    pub(super) fn said_not_ready(&mut self, now: Tick, slot: SlotId, pid: Pid, missing: Missing) {
        let life = self.lives[&pid];
        assert_eq!(slot, id(life.slot));
        let start = life.start;
        assert!(life.ready.is_none() && start.ready_by.is_some_and(|by| by <= now));
        assert_eq!(life.leaves, None);
        assert_eq!(self.missing(now, &start), Some(missing), "{life:?}");
        assert!(!self.is_silent(now, &life), "{life:?}");
        self.late.push(pid);
    }

    /// Nobody who has done everything waits.
    pub(super) fn nobody_is_kept_waiting(&self, now: Tick) {
        for slot in &self.slots {
            let present = match slot.chair {
                Chair::Seated(pid) => Some(pid),
                _ => None,
            };
            for pid in present
                .into_iter()
                .chain(slot.next.and_then(|next| next.pid))
            {
                let life = self.lives[&pid];
                if life.ready.is_none() {
                    assert!(self.missing(now, &life.start).is_some(), "{pid}: {self:?}");
                }
            }
        }
    }
}
