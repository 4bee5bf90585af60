//! Counts the workers' connections on request.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::drain::Inspector;
use crate::model::{BalanceSample, Pid, SlotId, Snapshot, WorkerView};
use crate::ports::SharedPorts;

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
