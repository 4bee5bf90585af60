//! Which listeners of a group get new connections, and where clients wait while no worker serves.

use crate::model::{Bpf, ListenerId};
use crate::policy::Rotation;
use crate::policy::steering::{drawing_program, program};

use super::group::{Group, Listener};

impl Group {
    /// The listeners that get new connections: those of live workers that took them here. If there is none, the
    /// anteroom; if there is none either, the expected listeners that a worker has or had; if there is none either, all expected ones. So clients wait in a
    /// queue that a worker will serve.
    pub(super) fn targets(&self, rotation: &Rotation) -> Vec<usize> {
        let places = self.places();
        let listens = |number: &usize| places.get(*number).is_some_and(Option::is_some);
        let pick = |from: &[ListenerId], keep: fn(&Listener) -> bool| -> Vec<usize> {
            let numbers = from.iter().map(|listener| usize::from(listener.0));
            numbers
                .filter(listens)
                .filter(|number| self.listeners.get(*number).is_some_and(keep))
                .collect()
        };
        let mut targets = pick(&rotation.live, |listener| listener.taken);
        if targets.is_empty()
            && let Some(anteroom) = self.anteroom
        {
            targets = pick(&[anteroom], |_| true);
        }
        if targets.is_empty() {
            targets = pick(&rotation.expected, |listener| listener.ever);
        }
        if targets.is_empty() {
            targets = pick(&rotation.expected, |_| true);
        }
        if targets.is_empty() {
            targets.extend(self.order.numbers());
        }
        targets
    }

    /// The index in the kernel's group for each listener number; `None` if the listener is not in the group.
    fn places(&self) -> Vec<Option<u32>> {
        let mut places = vec![None; self.listeners.len()];
        for (index, number) in self.order.places() {
            if let Some(place) = places.get_mut(number) {
                *place = Some(index);
            }
        }
        places
    }

    /// The steering program for this rotation; `None` for a common socket.
    pub(super) fn wanted(&self, rotation: &Rotation) -> Option<Vec<Bpf>> {
        let how = self.steering?;
        let mut targets = self.targets(rotation);
        self.leave_out_held_back(&mut targets);
        // Sorted by number, not by index, so that a hash still selects the same slot after a repair.
        targets.sort_unstable();
        let places = self.places();
        let place = |number: &usize| places.get(*number).copied().flatten();
        targets.retain(|number| place(number).is_some());
        let live: Vec<u32> = targets.iter().filter_map(place).collect();
        let nowhere = live.first().copied().unwrap_or(0);
        let members = u32::try_from(self.order.count()).ok()?;
        let numbers = self.order.numbers().max().map_or(0, |highest| highest + 1);
        let places: Vec<u32> = (0..numbers)
            .map(|number| place(&number).unwrap_or(nowhere))
            .collect();
        if let Some(chances) = self.uneven_chances(&targets) {
            let live: Vec<(u32, u32)> = live.iter().copied().zip(chances).collect();
            return drawing_program(members, &places, &live, how.probe);
        }
        let homes = rotation.homes(|number| place(&number).filter(|index| live.contains(index)));
        program(members, &places, &live, &homes, how.balance, how.probe)
    }

    /// Lets the anteroom listen as soon as it is needed. Without descriptors clients wait at the workers.
    pub(super) fn open_anteroom(&mut self, rotation: &Rotation) {
        let Some(anteroom) = self.anteroom.filter(|_| self.steering.is_some()) else {
            return;
        };
        let number = self.number(anteroom);
        if self.order.contains(number) || self.is_served(rotation) {
            return;
        }
        if self.extend(number + 1).is_err() {
            return;
        }
        if let Some(new) = self.listeners.get_mut(number) {
            new.apart = true;
        }
        // If it fails, the next call tries again.
        let _ = self.enter(vec![number]);
    }
}
