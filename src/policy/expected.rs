//! Which ports are expected of a starting worker, and what it has not done yet; the rules are in [`super::ready`].

use crate::model::{PortId, PortSet, SlotId, Tick};

use super::fleet::Fleet;
use super::slot::{Seat, Service, Slot, Worker};
use super::{Apart, Missing, ReadyRule};

impl Fleet {
    /// The ready workers, without successors, each with its slot.
    fn ready_workers(&self) -> impl Iterator<Item = (SlotId, &Worker)> {
        self.slots.iter().filter_map(|slot| match &slot.seat {
            Seat::Ready { worker, .. } => Some((slot.id, worker)),
            _ => None,
        })
    }

    /// The ports that every worker serves which is up and has `named` in its environment; without the one of slot `but`.
    pub(super) fn served_by_all(
        &self,
        now: Tick,
        but: Option<SlotId>,
        named: Option<PortId>,
    ) -> PortSet {
        let others = self.ready_workers().filter(|(id, _)| Some(*id) != but);
        let up = others.filter(|(_, worker)| self.is_up(now, worker) && worker.port == named);
        let all = up.map(|(_, worker)| worker.opened);
        all.reduce(PortSet::common).unwrap_or_default()
    }

    /// When less may be concluded for a starting worker, because one more of the others is up.
    pub(super) fn conclusion_deadline(&self) -> Option<Tick> {
        let concludes = matches!(
            self.params.ready,
            ReadyRule::Asked | ReadyRule::Listens { .. }
        );
        let mut seats = self.slots.iter().flat_map(Slot::seats);
        let starting = seats.any(|seat| matches!(seat, Seat::Starting { .. }));
        let ready = self.ready_workers();
        let up_at = ready.map(|(_, worker)| worker.started.after(self.params.min_uptime));
        let next = up_at.filter(|at| *at > self.looked).min();
        next.filter(|_| concludes && starting)
    }

    pub(super) fn is_up(&self, now: Tick, worker: &Worker) -> bool {
        worker.was_ready && now.since(worker.started) >= self.params.min_uptime
    }

    /// The worker of slot `at` leaves it: what it served is expected of the next one.
    pub(super) fn remember_ports(&mut self, now: Tick, at: usize) {
        let worker = self.slots.get(at).and_then(|slot| slot.seat.worker());
        let up = worker.filter(|worker| self.is_up(now, worker));
        if let Some(service) = up.map(Worker::service)
            && let Some(slot) = self.slots.get_mut(at)
        {
            slot.served = Some(service);
        }
    }

    /// What the worker before this one in its slot served.
    fn before(&self, now: Tick, slot: &Slot, worker: &Worker) -> Option<Service> {
        match slot.seat {
            Seat::Ready { worker: old, .. } if old.pid != worker.pid => {
                self.is_up(now, &old).then(|| old.service())
            }
            _ => slot.served,
        }
    }

    /// The ports on which it must listen as far as that is concluded from other workers.
    pub(super) fn concluded(&self, now: Tick, slot: &Slot, worker: &Worker) -> PortSet {
        if !self.params.ports.is_empty() {
            return PortSet::EMPTY;
        }
        let before = self.before(now, slot, worker);
        // Another environment, other ports.
        let before = before.filter(|before| before.named == worker.port);
        let others = || self.served_by_all(now, Some(slot.id), worker.port);
        before.map_or_else(others, |before| before.ports)
    }

    /// The port that its environment names, if it is waited for.
    pub(super) fn named(&self, worker: &Worker) -> Option<PortId> {
        let waits = matches!(self.params.ready, ReadyRule::Listens { .. });
        let waits = waits && self.params.ports.is_empty() && worker.port != self.port_unused;
        worker.port.filter(|_| waits)
    }

    /// Where clients wait while no worker is ready, so that none accepts before it is.
    pub(super) fn apart(&self) -> Option<Apart> {
        let anteroom = self.anteroom;
        if self.is_empty() {
            // In the workers' own queues, those that still drain would find them.
            return Some(Apart {
                anteroom,
                except: None,
            });
        }
        let except = match self.params.ready {
            ReadyRule::Alive(_) | ReadyRule::Told | ReadyRule::Asked => {
                return self.params.waits_apart.then_some(Apart {
                    anteroom,
                    except: None,
                });
            }
            ReadyRule::Listens { .. } => {
                let mut all = self.awaited().iter();
                // If nothing is known, any port will do.
                let first = all.next()?;
                Some(first).filter(|_| all.next().is_none())
            }
        };
        Some(Apart { anteroom, except })
    }

    /// The ports that are expected of some worker that is starting, or of every one.
    fn awaited(&self) -> PortSet {
        if !self.params.ports.is_empty() {
            return self.params.ports;
        }
        let served = self.slots.iter().filter_map(|slot| slot.served);
        let served = served.fold(PortSet::EMPTY, |all, before| all.and(before.ports));
        let seats = self.slots.iter().flat_map(Slot::seats);
        let starting = seats.filter_map(|seat| match seat {
            Seat::Starting { worker, .. } => self.named(worker),
            _ => None,
        });
        starting.fold(served, PortSet::with)
    }

    /// The ports of its siblings, if this one listens on none of them, and on none that its environment names. Siblings
    /// with another environment may have other ports.
    fn elsewhere(&self, worker: &Worker) -> Option<PortSet> {
        let named = worker
            .port
            .is_some_and(|port| worker.listens.contains(port));
        if named || !self.params.ports.is_empty() || worker.listens.is_empty() {
            return None;
        }
        let siblings = self.ready_workers().map(|(_, other)| other);
        let siblings = siblings.filter(|other| other.port == worker.port);
        let all = siblings.fold(PortSet::EMPTY, |all, other| all.and(other.listens));
        (!all.is_empty() && !all.meets(worker.listens)).then_some(all)
    }

    /// What this worker has not done yet; `None` if it is ready. Its age is not considered.
    pub(super) fn missing(&self, now: Tick, slot: &Slot, worker: &Worker) -> Option<Missing> {
        let told = worker.told.is_some();
        match self.params.ready {
            ReadyRule::Alive(_) | ReadyRule::Told => (!told).then_some(Missing::Word),
            ReadyRule::Asked => self
                .missing_ports(now, slot, worker, None)
                .or((!told).then_some(Missing::Word)),
            ReadyRule::Listens { .. } => self.missing_ports(now, slot, worker, self.named(worker)),
        }
    }

    /// `named`: the port of its environment, if it is waited for.
    pub(super) fn missing_ports(
        &self,
        now: Tick,
        slot: &Slot,
        worker: &Worker,
        named: Option<PortId>,
    ) -> Option<Missing> {
        let listens = worker.listens;
        if let Some(expected) = self.elsewhere(worker) {
            return Some(Missing::Elsewhere { expected, listens });
        }
        let expected = self.params.ports.and(self.concluded(now, slot, worker));
        let expected = named.map_or(expected, |port| expected.with(port));
        let lacks = listens.is_empty() || !expected.is_subset(listens);
        lacks.then_some(Missing::Ports {
            expected,
            listens,
            named,
        })
    }
}
