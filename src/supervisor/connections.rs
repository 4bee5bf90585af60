//! The workers' connections, for who counts them now and then.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::drain::Sight;
use crate::model::{BalanceSample, Pid, SlotId, Snapshot, WorkerView};
use crate::ports::SharedPorts;

/// Counts on any thread, one count at a time. A few milliseconds, or, with thousands of connections, some ten.
#[derive(Debug)]
pub(super) struct Connections {
    ports: SharedPorts,
    /// Opened by the first count: until then nobody wants to know, and it is a descriptor.
    sight: Mutex<Option<Sight>>,
}

impl Connections {
    /// Those on these ports.
    pub(super) fn on(ports: &SharedPorts) -> Self {
        Self {
            ports: ports.clone(),
            sight: Mutex::default(),
        }
    }

    /// What the balance of these ports does.
    pub(super) fn balance(&self) -> Option<BalanceSample> {
        self.ports.balance()
    }

    /// By slot: those of its worker, and of the ones before it that still drain. `None`, or a slot missing: that is not
    /// known, as once the stop has let the ports go.
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
        let sight = sight.get_or_insert_with(Sight::new);
        counts.extend(sight.connections(&workers, &ports)?);
        Some(counts)
    }
}
