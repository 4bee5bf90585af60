//! Messages between workers: each goes to every other slot exactly once.
//!
//! | the slot | its message |
//! |---|---|
//! | has a receiver | is given to it |
//! | has none: down, not ready, told to stop | is held until it has one |
//!
//! The receiver of a slot is the one of its workers that became ready last, among those that live and were not told to
//! stop. So in a reload it changes when the new worker is ready, and changes back if the reload is given up.
//!
//! What a worker was given and had not taken at its end goes to the next receiver. **Order**: a slot gets the messages of
//! all senders as they were sent. One case is excepted: what a worker gives back comes behind newer messages if another
//! worker of its slot got these meanwhile. Among itself it is in order then too.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::model::SlotId;

/// What holding a message costs beside its own bytes, bytes. So many empty messages are bounded too.
pub const ENTRY: usize = 64;

/// What is relayed.
pub trait Message: Clone {
    /// Its length.
    fn bytes(&self) -> usize;
}

impl Message for Arc<[u8]> {
    fn bytes(&self) -> usize {
        self.len()
    }
}

/// One worker's channel. A number is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member(pub u64);

/// A message on its way to one slot. The queue of a worker keeps it whole, because it may have to give it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel<M> {
    /// Its place among all messages that were sent.
    number: u64,
    /// What is written to the channel.
    pub message: M,
}

/// Messages that did not arrive. One that is lost for two slots counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Their number.
    pub messages: u64,
    /// Their lengths together.
    pub bytes: u64,
}

/// Lost messages by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// More was to be held than the bound allows: the newest.
    pub bound: Lost,
    /// Their slot was removed.
    pub slot_gone: Lost,
    /// Their sender is no worker that is known. They count once.
    pub unknown_sender: Lost,
    /// They came back from a worker that is not known.
    pub unknown_receiver: Lost,
}

/// The workers of all slots, and what is held for them.
#[derive(Debug)]
pub struct Relay<M> {
    slots: Vec<Slot<M>>,
    members: BTreeMap<Member, State>,
    /// Bound of what is held for each slot, bytes.
    bound: usize,
    sent: u64,
    losses: Losses,
}

#[derive(Clone, Copy, Debug)]
struct State {
    slot: SlotId,
    told_to_stop: bool,
}

#[derive(Debug)]
struct Slot<M> {
    /// Ready, alive and not told to stop. The last one is the receiver.
    ready: Vec<Member>,
    /// In the order in which they were sent. Empty while there is a receiver.
    held: VecDeque<Parcel<M>>,
    /// Of `held`, with [`ENTRY`] for each, bytes.
    size: usize,
}

impl<M: Message> Relay<M> {
    /// Holds up to `held_bytes` for each slot. A message counts its length and [`ENTRY`].
    pub fn new(slots: u16, held_bytes: usize) -> Self {
        let mut relay = Self {
            slots: Vec::new(),
            members: BTreeMap::new(),
            bound: held_bytes,
            sent: 0,
            losses: Losses::default(),
        };
        relay.resize(slots);
        relay
    }

    /// A worker of this slot was started. It may send, but gets nothing before it is ready.
    pub fn join(&mut self, slot: SlotId, member: Member) {
        self.members.entry(member).or_insert(State {
            slot,
            told_to_stop: false,
        });
    }

    /// The worker is ready: it is the receiver of its slot from now on. Returns what was held.
    pub fn ready(&mut self, member: Member) -> Vec<(Member, Parcel<M>)> {
        let Some(state) = self.members.get(&member).filter(|one| !one.told_to_stop) else {
            return Vec::new();
        };
        let Some(slot) = self.slots.get_mut(usize::from(state.slot.0)) else {
            return Vec::new();
        };
        if !slot.ready.contains(&member) {
            slot.ready.push(member);
        }
        slot.release()
    }

    /// The worker is told to stop now. It may still send, but gets nothing more, also if it is ready later.
    pub fn stops(&mut self, member: Member) {
        if let Some(state) = self.members.get_mut(&member) {
            state.told_to_stop = true;
            if let Some(slot) = self.slots.get_mut(usize::from(state.slot.0)) {
                slot.ready.retain(|other| *other != member);
            }
        }
    }

    /// The worker has ended. `not_taken`: what it was given and has not taken, in any order. It goes to the receiver of its
    /// slot, or is held.
    pub fn left(&mut self, member: Member, not_taken: Vec<Parcel<M>>) -> Vec<(Member, Parcel<M>)> {
        self.stops(member);
        let Some(state) = self.members.remove(&member) else {
            self.losses.unknown_receiver.count_all(&not_taken);
            return Vec::new();
        };
        let Some(slot) = self.slots.get_mut(usize::from(state.slot.0)) else {
            self.losses.slot_gone.count_all(&not_taken);
            return Vec::new();
        };
        slot.take_back(not_taken);
        let given = slot.release();
        slot.keep_to(self.bound, &mut self.losses.bound);
        given
    }

    /// To every slot but the sender's own. Returns what is given to receivers; the rest is held.
    pub fn send(&mut self, from: Member, message: &M) -> Vec<(Member, Parcel<M>)> {
        let Some(state) = self.members.get(&from) else {
            self.losses.unknown_sender.count(message);
            return Vec::new();
        };
        let own = usize::from(state.slot.0);
        self.sent += 1;
        let mut given = Vec::with_capacity(self.slots.len());
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if at == own {
                continue;
            }
            let parcel = Parcel {
                number: self.sent,
                message: message.clone(),
            };
            if let Some(receiver) = slot.ready.last() {
                given.push((*receiver, parcel));
            } else {
                slot.hold(parcel);
                slot.keep_to(self.bound, &mut self.losses.bound);
            }
        }
        given
    }

    /// The number of slots has changed. What is held for slots that are removed is lost.
    pub fn resize(&mut self, slots: u16) {
        let slots = usize::from(slots);
        for gone in self.slots.drain(slots.min(self.slots.len())..) {
            self.losses.slot_gone.count_all(&gone.held);
        }
        self.slots.resize_with(slots, Slot::new);
    }

    /// What was lost since the last call.
    pub fn lost(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    /// Messages that are held now and the sum of their lengths in bytes. One that is held for two slots counts twice.
    pub fn held(&self) -> (usize, usize) {
        self.slots.iter().fold((0, 0), |(messages, bytes), slot| {
            let count = slot.held.len();
            (messages + count, bytes + slot.size - count * ENTRY)
        })
    }
}

impl<M: Message> Slot<M> {
    const fn new() -> Self {
        Self {
            ready: Vec::new(),
            held: VecDeque::new(),
            size: 0,
        }
    }

    /// Holds the newest message.
    fn hold(&mut self, parcel: Parcel<M>) {
        self.size += parcel.size();
        self.held.push_back(parcel);
    }

    /// Holds messages that came back among the others, by their number.
    fn take_back(&mut self, parcels: Vec<Parcel<M>>) {
        for parcel in parcels {
            self.hold(parcel);
        }
        self.held
            .make_contiguous()
            .sort_by_key(|parcel| parcel.number);
    }

    /// Gives to the receiver what is held.
    fn release(&mut self) -> Vec<(Member, Parcel<M>)> {
        let Some(receiver) = self.ready.last() else {
            return Vec::new();
        };
        self.size = 0;
        let held = std::mem::take(&mut self.held);
        held.into_iter().map(|parcel| (*receiver, parcel)).collect()
    }

    /// Gives up the newest messages above the bound. The oldest stay: some of them may have come back from a worker, and
    /// its successor must get these.
    fn keep_to(&mut self, bound: usize, lost: &mut Lost) {
        while self.size > bound {
            let Some(parcel) = self.held.pop_back() else {
                return;
            };
            self.size -= parcel.size();
            lost.count(&parcel.message);
        }
    }
}

impl<M: Message> Parcel<M> {
    fn size(&self) -> usize {
        self.message.bytes().saturating_add(ENTRY)
    }
}

impl Lost {
    fn count(&mut self, message: &impl Message) {
        self.messages += 1;
        self.bytes += message.bytes() as u64;
    }

    fn count_all<'a, M: Message + 'a>(&mut self, parcels: impl IntoIterator<Item = &'a Parcel<M>>) {
        for parcel in parcels {
            self.count(&parcel.message);
        }
    }
}

#[cfg(test)]
mod tests;
