//! Counts the workers' connections on request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::drain::Inspector;
use crate::model::{BalanceSample, Pid, SlotId, Snapshot, WorkerView};
use crate::ports::{Census, SharedPorts};

/// Can count on any thread, one count at a time. A count takes a few milliseconds, or tens of milliseconds with
/// thousands of connections.
#[derive(Debug)]
pub(super) struct Connections {
    ports: SharedPorts,
    /// Opened by the first count, because it costs a descriptor.
    sight: Mutex<Option<Inspector>>,
}

impl Connections {
    /// Counts the connections on these ports.
    pub(super) fn on(ports: &SharedPorts) -> Self {
        Self {
            ports: ports.clone(),
            sight: Mutex::default(),
        }
    }

    /// The state of the balance of these ports.
    pub(super) fn balance(&self) -> Option<BalanceSample> {
        self.ports.balance()
    }

    /// Connections by slot: those of its worker, and of its earlier workers that still drain. `None` if unknown, for
    /// example after the stop has released the ports. A slot is missing if its number is unknown.
    pub(super) fn count(&self, snapshot: &Snapshot) -> Option<BTreeMap<SlotId, u64>> {
        let ports = self.ports.shared_addresses()?;
        let seated = |worker: &WorkerView| Some((worker.slot, worker.pid?));
        let workers = snapshot.slots.iter().chain(&snapshot.retiring);
        let workers: Vec<(SlotId, Pid)> = workers.filter_map(seated).collect();
        let mut counts: BTreeMap<SlotId, u64> =
            snapshot.slots.iter().map(|slot| (slot.slot, 0)).collect();
        for (slot, _) in &workers {
            counts.remove(slot);
        }
        let mut sight = self.sight.lock().unwrap_or_else(PoisonError::into_inner);
        let sight = sight.get_or_insert_with(Inspector::new);
        sight.with_unix(self.ports.unix_addresses());
        counts.extend(sight.connections(&workers, &ports)?);
        Some(counts)
    }
}

/// Counts for the balance: the connections of each worker that has a slot, on TCP ports.
pub(super) fn census(ports: &SharedPorts, snapshot: &Arc<Mutex<Snapshot>>) -> Census {
    let (ports, snapshot) = (ports.clone(), Arc::clone(snapshot));
    let mut sight = None;
    Box::new(move || {
        let addresses = ports.shared_addresses()?;
        let seen = snapshot.lock();
        let workers = in_slots_and_others(&seen.unwrap_or_else(PoisonError::into_inner));
        let sight = sight.get_or_insert_with(Inspector::new);
        let open = sight.connections(&workers, &addresses)?;
        let in_slots = workers.into_iter().filter(|(slot, _)| *slot != OTHERS);
        Some(
            in_slots
                .map(|(slot, pid)| (pid, open.get(&slot).copied()))
                .collect(),
        )
    })
}

/// The place of workers that have no slot yet or have left it. No slot has this number.
const OTHERS: SlotId = SlotId(u16::MAX);

/// The workers that have a slot; and the others, because each connection that nobody is known to hold is searched for.
fn in_slots_and_others(seen: &Snapshot) -> Vec<(SlotId, Pid)> {
    let slots = seen
        .slots
        .iter()
        .filter_map(|view| Some((view.slot, view.pid?)));
    let others = seen.rising.iter().chain(&seen.retiring);
    let others = others.filter_map(|view| Some((OTHERS, view.pid?)));
    slots.chain(others).collect()
}
