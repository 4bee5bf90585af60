//! What the loop asks the fleet between two turns: the targets of new connections, the workers to watch, the processes
//! that may be signalled.

use crate::model::{ListenerId, Pid, PortSet, SlotId, Tick};

use super::fleet::{Checked, Drains, Fleet, Mode, Seek};
use super::rotation::Rotation;
use super::slot::{Retiring, Seat, Slot, Step};

impl Fleet {
    /// The listeners that get new connections.
    pub fn rotation(&self) -> Rotation {
        let live = self.slots.iter().filter(|slot| slot.serves());
        let all = self.is_empty();
        let expected = self.slots.iter();
        let expected = expected.filter(|slot| all || slot.seat != Seat::Stopped);
        Rotation {
            live: live.map(|slot| slot.listener).collect(),
            expected: expected.map(Slot::queue).collect(),
            apart: self.apart(),
            seats: self
                .slots
                .iter()
                .map(|slot| (slot.listener, slot.id))
                .collect(),
        }
    }

    /// Whether no slot has a worker or will have one, unless an operator starts it.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.seat == Seat::Stopped)
    }

    /// The ports whose numbers mean something.
    pub fn ports_in_use(&self) -> PortSet {
        let seated = self.slots.iter().flat_map(Slot::seats);
        let workers = seated.filter_map(Seat::worker);
        let workers = workers.chain(self.retiring.iter().map(|gone| &gone.worker));
        let served = self.slots.iter().filter_map(|slot| slot.served);
        let known = served.fold(self.params.ports, |all, before| all.and(before.ports));
        workers.fold(known, |all, worker| {
            let named = worker.port.into_iter().collect();
            all.and(worker.listens).and(named)
        })
    }

    /// The listeners of slots that have no worker which serves, but will have one, while another slot serves. Their queues
    /// stand still.
    pub fn unserved(&self) -> Vec<ListenerId> {
        if !self.slots.iter().any(Slot::serves) {
            return Vec::new();
        }
        let waits = |slot: &&Slot| match slot.seat {
            Seat::Waiting { .. } | Seat::Held | Seat::Launching | Seat::Starting { .. } => true,
            Seat::Stopped | Seat::Ready { .. } => false,
        };
        let slots = self.slots.iter().filter(waits);
        slots.map(|slot| slot.listener).collect()
    }

    /// How many workers there should be: one for each slot.
    pub fn desired(&self) -> u16 {
        u16::try_from(self.slots.len()).unwrap_or(u16::MAX)
    }

    /// Number of listeners that each shared port needs. Listeners with a lower number may be requested.
    pub fn listeners(&self) -> u16 {
        let slots = self.slots.iter().flat_map(|slot| {
            let next = slot.successor.map(|next| next.listener);
            std::iter::once(slot.listener).chain(next)
        });
        let all = slots.chain(self.spares.iter().copied());
        let highest = all.fold(self.anteroom, ListenerId::max);
        highest.0.saturating_add(1)
    }

    /// The draining workers, and what to watch for at each of them at `now`.
    pub fn draining(&self, now: Tick) -> impl Iterator<Item = Drains> + '_ {
        let drains = self.retiring.iter().filter(|gone| gone.drains());
        drains.map(move |gone| Drains {
            slot: gone.slot,
            pid: gone.worker.pid,
            listener: gone.worker.listener,
            seek: seek(gone, now),
        })
    }

    /// In the drain before the stop: every worker that may have a request in progress. [`super::Event::Quiet`] ends
    /// the drain.
    pub fn stop_drain(&self) -> Option<Vec<(Pid, ListenerId)>> {
        let Mode::Draining { .. } = self.mode else {
            return None;
        };
        let seated = self
            .slots
            .iter()
            .flat_map(Slot::seats)
            .filter_map(Seat::worker);
        let retiring = self.retiring.iter().filter(|gone| gone.drains());
        let retiring = retiring.map(|gone| &gone.worker);
        Some(
            seated
                .chain(retiring)
                .map(|w| (w.pid, w.listener))
                .collect(),
        )
    }

    /// Workers with health checks: they are ready, or were ready once.
    pub fn checked_workers(&self) -> impl Iterator<Item = Checked> + '_ {
        let reloads = self.reload.is_some();
        let of = move |slot: &Slot| {
            let (slot, seats) = (
                slot.id,
                [Some(slot.seat), slot.successor.map(|next| next.seat)],
            );
            seats
                .into_iter()
                .enumerate()
                .filter_map(move |(place, seat)| {
                    let Some(Seat::Ready { worker, .. }) = seat else {
                        return None;
                    };
                    Some(Checked {
                        slot,
                        pid: worker.pid,
                        listener: worker.listener,
                        // The next step waits for the first check that passes.
                        eager: place == 1 || (reloads && !worker.fit),
                    })
                })
        };
        self.slots.iter().flat_map(of)
    }

    /// Every process that may be signalled.
    pub fn workers(&self) -> impl Iterator<Item = (SlotId, Pid)> + '_ {
        let seated = self.slots.iter().flat_map(|slot| {
            let workers = slot.seats().filter_map(Seat::worker);
            workers.map(|worker| (slot.id, worker.pid))
        });
        let retiring = self
            .retiring
            .iter()
            .filter(|gone| !gone.sweeping)
            .map(|gone| (gone.slot, gone.worker.pid));
        seated.chain(retiring)
    }

    /// Process groups whose leader is reaped and whose other processes have not ended yet.
    pub fn sweeping(&self) -> impl Iterator<Item = Pid> + '_ {
        self.retiring
            .iter()
            .filter(|gone| gone.sweeping)
            .map(|gone| gone.worker.pid)
    }
}

fn seek(gone: &Retiring, now: Tick) -> Seek {
    let Step::Choosing {
        patience, scrape, ..
    } = gone.step
    else {
        return Seek::End;
    };
    match patience {
        // The patience begins after the scrape, so that a slow one takes nothing of it.
        _ if scrape.keeps_from_looks(now) => Seek::Nothing,
        None => Seek::Disposition,
        Some(patience) => Seek::Moment(patience.aim(now)),
    }
}
