//! When a worker must be ready: what it said, where it listens, how old it is.
#![forbid(unsafe_code)]

use rpm_runtime::model::{ListenerId, Pid, PortId, PortSet, ReadyBy, SlotId, Tick};
use rpm_runtime::policy::ready::STILL_STARTING;
use rpm_runtime::policy::{Apart, Missing, Note, ReadyRule};

use super::{Books, Chair, Life, id};

/// What is known of the ports of the service.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PortBook {
    /// The program serves no port.
    silent: bool,
    /// A port that an environment names, and on which a worker listened.
    used: Option<PortId>,
    /// One that is not waited for any more.
    unused: Option<PortId>,
    told_late: PortSet,
    told_slow: Option<Tick>,
}

/// Where a worker listened in its start phase, and the port that its environment names.
pub(super) type Served = (PortSet, Option<PortId>);

/// How a worker becomes ready, as far as it is on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start {
    pub(super) told: Option<ReadyBy>,
    pub(super) listens: PortSet,
    /// In its start phase.
    opened: PortSet,
    port: Option<PortId>,
    /// When its age alone makes it ready.
    pub(super) alive_at: Option<Tick>,
    pub(super) ready_by: Option<Tick>,
    pub(super) tell_at: Option<Tick>,
}

/// A worker became ready although these siblings ask for more. They must have left their slots in the same decision: that
/// is told only after it.
#[derive(Debug)]
pub(super) struct Doubt {
    pid: Pid,
    missing: Missing,
    siblings: Vec<Pid>,
}

/// Whose ports are expected of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// Those of the worker before it in its slot only.
    Slot,
    /// Also those of its siblings.
    Anybody,
}

fn only(port: Option<PortId>) -> PortSet {
    port.into_iter().collect()
}

impl Start {
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

    /// A worker leaves its slot, and no successor is there yet.
    pub(super) fn keep_ports(&mut self, now: Tick, life: &Life) {
        if self.is_up(now, life)
            && let Some(slot) = self.slots.get_mut(life.slot)
        {
            slot.served = Some((life.start.opened, life.start.port));
        }
    }

    fn ready_ones(&self) -> impl Iterator<Item = (Pid, &Life)> {
        let seated = self.seated().map(|pid| (pid, &self.lives[&pid]));
        seated.filter(|(_, life)| life.ready.is_some())
    }

    /// All others that are up and have the same port in their environment.
    fn others_up(
        &self,
        now: Tick,
        but: Option<usize>,
        port: Option<PortId>,
    ) -> impl Iterator<Item = (Pid, &Life)> {
        let others = self.siblings(port);
        others.filter(move |(_, life)| Some(life.slot) != but && self.is_up(now, life))
    }

    /// What all of them have.
    fn common(&self, now: Tick, but: Option<usize>, port: Option<PortId>) -> PortSet {
        let mut all: Option<PortSet> = None;
        for (_, life) in self.others_up(now, but, port) {
            all = Some(all.map_or(life.start.opened, |all| all.common(life.start.opened)));
        }
        all.unwrap_or_default()
    }

    /// The ports of the worker before it in its slot, if they are expected of it.
    fn before(&self, now: Tick, life: &Life) -> Option<PortSet> {
        let slot = &self.slots[life.slot];
        let present = match slot.chair {
            Chair::Seated(pid) => Some(self.lives[&pid]),
            _ => None,
        };
        let before = match present {
            Some(old) if old.ready.is_some() && old.is_another(life) => {
                let up = self.is_up(now, &old);
                up.then_some((old.start.opened, old.start.port))
            }
            _ => slot.served,
        };
        before
            .filter(|(_, port)| *port == life.start.port)
            .map(|(ports, _)| ports)
    }

    /// The ports that follow from its predecessor, or else from the others.
    fn concluded(&self, now: Tick, life: &Life, whose: Whose) -> PortSet {
        if !self.params.ports.is_empty() {
            return PortSet::EMPTY;
        }
        match (self.before(now, life), whose) {
            (Some(ports), _) => ports,
            (None, Whose::Anybody) => self.common(now, Some(life.slot), life.start.port),
            (None, Whose::Slot) => PortSet::EMPTY,
        }
    }

    /// Whether it listens wherever its predecessor did in its start, if it is still in its own.
    pub(super) fn serves_all(&self, now: Tick, life: &Life) -> bool {
        let started = now.since(life.started) >= self.params.ready_timeout;
        started
            || self
                .concluded(now, life, Whose::Anybody)
                .is_subset(life.start.listens)
    }

    /// Whether only its age counts: it has never listened, and perhaps never will.
    pub(super) fn may_serve_no_port(&self, life: &Life) -> bool {
        let may = matches!(self.params.ready, ReadyRule::Listens { or_alive: Some(_) });
        may && life.start.listens.is_empty() && !self.slots[life.slot].tells
    }

    /// The port of its environment, if it is waited for.
    fn named(&self, start: &Start) -> Option<PortId> {
        let waits = matches!(self.params.ready, ReadyRule::Listens { .. });
        let waits = waits && self.params.ports.is_empty() && start.port != self.ports.unused;
        start.port.filter(|_| waits)
    }

    /// What it has not done yet.
    pub(super) fn missing(&self, now: Tick, life: &Life) -> Option<Missing> {
        self.missing_of(now, life, Whose::Anybody)
    }

    fn missing_of(&self, now: Tick, life: &Life, whose: Whose) -> Option<Missing> {
        let word = life.start.told.is_none().then_some(Missing::Word);
        let ports = || self.missing_ports(now, life, whose);
        match self.params.ready {
            ReadyRule::Alive(_) | ReadyRule::Told => word,
            ReadyRule::Asked => ports().or(word),
            ReadyRule::Listens { .. } => ports(),
        }
    }

    /// The ready ones with the same port in their environment.
    fn siblings(&self, port: Option<PortId>) -> impl Iterator<Item = (Pid, &Life)> {
        let ready = self.ready_ones();
        ready.filter(move |(_, one)| one.start.port == port)
    }

    fn missing_ports(&self, now: Tick, life: &Life, whose: Whose) -> Option<Missing> {
        let (start, listed) = (life.start, self.params.ports);
        let listens = start.listens;
        let named = self.named(&start);
        let concluded = self.concluded(now, life, whose);
        let expected = listed.and(concluded).and(only(named));
        let nowhere = listens.is_empty();
        if whose == Whose::Anybody && listed.is_empty() && !nowhere && !start.uses_its_port() {
            let siblings = self.siblings(start.port);
            let others = siblings.fold(PortSet::EMPTY, |all, (_, one)| all.and(one.start.listens));
            if !others.is_empty() && !others.meets(listens) {
                let expected = others;
                return Some(Missing::Elsewhere { expected, listens });
            }
        }
        (nowhere || !expected.minus(listens).is_empty()).then_some(Missing::Ports {
            expected,
            listens,
            named,
        })
    }

    /// Whether no slot has a worker or will have one by itself.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.chair == Chair::Down)
    }

    /// Where clients wait if nobody is ready.
    pub(super) fn apart(&self) -> Option<Apart> {
        let n = self.params.instances;
        let anteroom = ListenerId(n + self.params.surge.of(n, true));
        let apart = |except| Some(Apart { anteroom, except });
        if self.is_empty() {
            return apart(None);
        }
        let ReadyRule::Listens { .. } = self.params.ready else {
            return apart(None).filter(|_| self.params.waits_apart);
        };
        let mut awaited = self.params.ports;
        if awaited.is_empty() {
            for (ports, _) in self.slots.iter().filter_map(|slot| slot.served) {
                awaited = awaited.and(ports);
            }
            let starts = |life: &&Life| life.ready.is_none() && life.leaves.is_none();
            for life in self.lives.values().filter(starts) {
                awaited = awaited.and(only(self.named(&life.start)));
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
        let before = self.slots[self.lives[&pid].slot].served;
        let before = before.map_or(PortSet::EMPTY, |(ports, _)| ports);
        let expected = self
            .common(now, None, None)
            .and(before)
            .and(self.params.ports);
        let expected = expected.contains(port);
        self.ports.silent = false;
        let life = self.lives.get_mut(&pid).unwrap();
        let new = !life.start.listens.contains(port);
        life.start.listens = life.start.listens.with(port);
        let (slot, after) = (life.slot, now.since(life.started));
        if new {
            self.slowest = self.slowest.max(after);
        }
        if after <= self.params.ready_timeout {
            life.start.opened = life.start.opened.with(port);
        }
        let listens = life.start.listens;
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
                    listens,
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
            let excused = std::mem::take(&mut self.excused) == Some(pid);
            let alone = self.missing_of(now, &life, Whose::Slot);
            assert!(excused || alone.is_none(), "{alone:?}: {life:?}");
            self.doubts(now, pid, excused);
            assert_eq!(by, start.told.unwrap_or(ReadyBy::Listen));
        }
        let life = self.lives.get_mut(&pid).unwrap();
        life.ready = Some(now);
        self.slots[life.slot].tells |= by != ReadyBy::Age;
        if start.uses_its_port() {
            self.ports.used = start.port;
            self.tally.hit("port of the environment");
        }
    }

    /// What only siblings ask of it may be missing if they leave: see [`Doubt`].
    fn doubts(&mut self, now: Tick, pid: Pid, excused: bool) {
        let life = self.lives[&pid];
        let port = life.start.port;
        let Some(missing) = self.missing(now, &life) else {
            return;
        };
        let elsewhere = matches!(missing, Missing::Elsewhere { .. });
        if excused && !elsewhere {
            return;
        }
        let siblings: Vec<Pid> = if elsewhere {
            let serve = |(_, one): &(Pid, &Life)| !one.start.listens.is_empty();
            let siblings = self.siblings(port).filter(serve);
            siblings.map(|(pid, _)| pid).collect()
        } else {
            let up = self.others_up(now, Some(life.slot), port);
            up.map(|(pid, _)| pid).collect()
        };
        self.tally.hit("siblings left");
        self.doubtful.push(Doubt {
            pid,
            missing,
            siblings,
        });
    }

    /// Whether its time is over, and nobody of its slot ever listened.
    fn is_silent(&self, now: Tick, life: &Life) -> bool {
        let late = life.start.ready_by.is_some_and(|by| by <= now);
        late && self.may_serve_no_port(life)
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
        self.is_excused(now, pid);
        assert!(self.ports.used != Some(port) && self.ports.unused != Some(port));
        self.ports.unused = Some(port);
        self.tally.hit("port of the environment unused");
    }

    /// Its time is over, and it listens somewhere.
    fn is_excused(&mut self, now: Tick, pid: Pid) {
        let life = self.lives[&pid];
        let may = match self.params.ready {
            ReadyRule::Listens { .. } => true,
            ReadyRule::Asked => life.start.told.is_some(),
            _ => false,
        };
        assert!(
            may && life.ready.is_none() && life.leaves.is_none(),
            "{life:?}"
        );
        assert!(life.start.ready_by.is_some_and(|by| by <= now), "{life:?}");
        assert!(!life.start.listens.is_empty(), "{life:?}");
        self.excused = Some(pid);
    }

    /// It lacks ports that follow from others, but nobody serves in its place.
    pub(super) fn said_lacks(&mut self, now: Tick, note: Note) {
        let Note::LacksPorts {
            slot,
            pid,
            lacks,
            listens,
        } = note
        else {
            panic!("{note:?}");
        };
        self.is_excused(now, pid);
        let life = self.lives[&pid];
        assert_eq!((slot, listens), (id(life.slot), life.start.listens));
        assert_eq!(self.slots[life.slot].chair, Chair::Seated(pid), "{life:?}");
        assert!(
            !self.on_trial(now, life) && self.params.ports.is_empty(),
            "{life:?}"
        );
        let Some(Missing::Ports { expected, .. }) = self.missing(now, &life) else {
            panic!("{life:?}");
        };
        assert_eq!(expected.minus(listens), lacks);
        self.tally.hit("lacks ports");
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
        assert_eq!(self.missing(now, &life), Some(missing));
        let lately = |told: Tick| now.since(told) < STILL_STARTING;
        assert!(!self.ports.told_slow.is_some_and(lately), "again");
        self.ports.told_slow = Some(now);
        self.tally.hit("still starting");
    }

    /// A worker is not ready in time, and there is no excuse.
    pub(super) fn said_not_ready(&mut self, now: Tick, slot: SlotId, pid: Pid, missing: Missing) {
        let life = self.lives[&pid];
        assert_eq!(slot, id(life.slot));
        let start = life.start;
        assert!(life.ready.is_none() && start.ready_by.is_some_and(|by| by <= now));
        assert_eq!(life.leaves, None);
        assert_eq!(self.missing(now, &life), Some(missing), "{life:?}");
        assert!(!self.is_silent(now, &life), "{life:?}");
        let excuse = matches!(missing, Missing::Ports { .. })
            && match self.params.ready {
                ReadyRule::Listens { .. } => true,
                ReadyRule::Asked => start.told.is_some(),
                _ => false,
            };
        let rises = self.slots[life.slot].chair != Chair::Seated(pid);
        let excuse = excuse && !start.listens.is_empty() && self.params.ports.is_empty();
        assert!(!excuse || rises || self.on_trial(now, life), "{life:?}");
        self.late.push(pid);
    }

    /// Nobody who has done everything waits. Of those that are slow at the same time one is told of.
    pub(super) fn nobody_is_kept_waiting(&mut self, now: Tick) {
        let lately = |told: Tick| now.since(told) < STILL_STARTING;
        if self.ports.told_slow.is_some_and(lately) {
            for life in self.lives.values_mut() {
                life.start.tell_at = life.start.tell_at.filter(|at| *at > now);
            }
        }
        assert_eq!(self.excused, None, "for nothing");
        for doubt in std::mem::take(&mut self.doubtful) {
            let Doubt {
                pid,
                missing,
                siblings,
            } = doubt;
            let stays = self.seated().find(|seated| siblings.contains(seated));
            assert_eq!(stays, None, "{pid} lacks {missing:?}: {self:?}");
        }
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
                    assert!(self.missing(now, &life).is_some(), "{pid}: {self:?}");
                }
                let told = life.start.tell_at.is_none_or(|at| at > now);
                assert!(life.ready.is_some() || told, "not told: {life:?}");
            }
        }
    }
}
