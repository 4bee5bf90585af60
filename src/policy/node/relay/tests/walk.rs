//! Random events, and a model that follows every message to every slot.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::super::*;

/// The number is that of the sending, and so the order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Letter {
    number: u64,
    length: usize,
}

impl Message for Letter {
    fn bytes(&self) -> usize {
        self.length
    }
}

/// Where a letter for one slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Held or lost.
    Away,
    Queued(Member),
    Taken(Member),
}

/// What a walk does next. The first number chooses one of the workers that are alive.
#[derive(Clone, Copy, Debug)]
enum Move {
    Join(u16),
    Ready(usize),
    Stops(usize),
    Left(usize),
    Take(usize, usize),
    Send(usize, usize),
    Resize(u16),
    Stranger,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => (0_u16..5).prop_map(Move::Join),
        4 => any::<usize>().prop_map(Move::Ready),
        1 => any::<usize>().prop_map(Move::Stops),
        2 => any::<usize>().prop_map(Move::Left),
        4 => (any::<usize>(), 1_usize..5).prop_map(|(who, count)| Move::Take(who, count)),
        9 => (any::<usize>(), 0_usize..200).prop_map(|(who, length)| Move::Send(who, length)),
        1 => (0_u16..5).prop_map(Move::Resize),
        1 => Just(Move::Stranger),
    ]
}

#[derive(Debug)]
struct Worker {
    slot: SlotId,
    told: bool,
    queue: VecDeque<Parcel<Letter>>,
}

struct Walk {
    relay: Relay<Letter>,
    bound: usize,
    slots: u16,
    next: u64,
    alive: BTreeMap<Member, Worker>,
    /// The workers of each slot that became ready, the last one at the end.
    ready: HashMap<u16, Vec<Member>>,
    sent: u64,
    /// For each slot, where its letters are.
    letters: HashMap<u16, BTreeMap<u64, Place>>,
    /// Newer letters that another worker had when this one came back: the exception of the order.
    excused: HashMap<(u16, u64), u64>,
    lost: Losses,
    strangers: u64,
}

impl Walk {
    fn new(slots: u16, bound: usize) -> Self {
        Self {
            relay: Relay::new(slots, bound),
            bound,
            slots,
            next: 0,
            alive: BTreeMap::new(),
            ready: HashMap::new(),
            sent: 0,
            letters: HashMap::new(),
            excused: HashMap::new(),
            lost: Losses::default(),
            strangers: 0,
        }
    }

    fn pick(&self, who: usize) -> Option<Member> {
        let count = self.alive.len();
        let at = who.checked_rem(count)?;
        self.alive.keys().nth(at).copied()
    }

    fn receiver(&self, slot: u16) -> Option<Member> {
        self.ready.get(&slot)?.last().copied()
    }

    fn forget_ready(&mut self, member: Member) {
        for ready in self.ready.values_mut() {
            ready.retain(|other| *other != member);
        }
    }

    fn step(&mut self, step: Move) {
        match step {
            Move::Join(slot) if slot < self.slots => self.join(slot),
            Move::Join(_) => {}
            Move::Ready(who) => {
                if let Some(member) = self.pick(who) {
                    self.becomes_ready(member);
                }
            }
            Move::Stops(who) => {
                if let Some(member) = self.pick(who) {
                    self.forget_ready(member);
                    self.alive.get_mut(&member).unwrap().told = true;
                    self.relay.stops(member);
                }
            }
            Move::Left(who) => {
                if let Some(member) = self.pick(who) {
                    self.leaves(member);
                }
            }
            Move::Take(who, count) => {
                if let Some(member) = self.pick(who) {
                    self.takes(member, count);
                }
            }
            Move::Send(who, length) => {
                if let Some(member) = self.pick(who) {
                    self.sends(member, length);
                }
            }
            Move::Resize(slots) => {
                self.relay.resize(slots);
                for slot in slots..self.slots {
                    self.ready.remove(&slot);
                }
                self.slots = slots;
            }
            Move::Stranger => {
                let letter = Letter {
                    number: 0,
                    length: 7,
                };
                assert_eq!(self.relay.send(Member(u64::MAX), &letter), []);
                self.strangers += 1;
            }
        }
        self.check();
    }

    fn join(&mut self, slot: u16) {
        self.next += 1;
        let (member, slot) = (Member(self.next), SlotId(slot));
        self.relay.join(slot, member);
        let worker = Worker {
            slot,
            told: false,
            queue: VecDeque::new(),
        };
        self.alive.insert(member, worker);
    }

    fn becomes_ready(&mut self, member: Member) {
        let worker = &self.alive[&member];
        let slot = worker.slot.0;
        let counts = !worker.told && slot < self.slots;
        let given = self.relay.ready(member);
        if counts {
            let ready = self.ready.entry(slot).or_default();
            if !ready.contains(&member) {
                ready.push(member);
            }
            assert_eq!(self.relay.slots[usize::from(slot)].held.len(), 0);
        } else {
            assert_eq!(given, []);
        }
        assert!(given.iter().all(|(to, _)| self.receiver(slot) == Some(*to)));
        self.deliver(given);
    }

    fn leaves(&mut self, member: Member) {
        self.forget_ready(member);
        let worker = self.alive.remove(&member).unwrap();
        let slot = worker.slot.0;
        let letters = self.letters.entry(slot).or_default();
        for parcel in &worker.queue {
            letters.insert(parcel.message.number, Place::Away);
        }
        let newest = letters
            .iter()
            .rev()
            .find(|(_, place)| **place != Place::Away)
            .map_or(0, |(number, _)| *number);
        for parcel in &worker.queue {
            self.excused.insert((slot, parcel.message.number), newest);
        }
        let count = worker.queue.len();
        let given = self.relay.left(member, worker.queue.into());
        match self.receiver(slot) {
            // Nothing is lost on the way to another worker of the slot.
            Some(_) => assert_eq!(given.len(), count),
            None => assert_eq!(given, []),
        }
        assert!(given.iter().all(|(to, _)| self.receiver(slot) == Some(*to)));
        self.deliver(given);
    }

    fn takes(&mut self, member: Member, count: usize) {
        let worker = self.alive.get_mut(&member).unwrap();
        let letters = self.letters.entry(worker.slot.0).or_default();
        for parcel in worker.queue.drain(..count.min(worker.queue.len())) {
            let place = letters.insert(parcel.message.number, Place::Taken(member));
            assert_eq!(place, Some(Place::Queued(member)));
        }
    }

    fn sends(&mut self, member: Member, length: usize) {
        self.sent += 1;
        let letter = Letter {
            number: self.sent,
            length,
        };
        let own = self.alive[&member].slot.0;
        let mut receivers = BTreeSet::new();
        for slot in (0..self.slots).filter(|slot| *slot != own) {
            let letters = self.letters.entry(slot).or_default();
            letters.insert(self.sent, Place::Away);
            receivers.extend(self.receiver(slot));
        }
        let given = self.relay.send(member, &letter);
        let to: Vec<Member> = given.iter().map(|(to, _)| *to).collect();
        assert_eq!(to.len(), receivers.len(), "once for each slot");
        assert_eq!(to.into_iter().collect::<BTreeSet<_>>(), receivers);
        self.deliver(given);
    }

    /// Checks the order, and puts the letters into the queues of the receivers.
    fn deliver(&mut self, given: Vec<(Member, Parcel<Letter>)>) {
        for (to, parcel) in given {
            let worker = self.alive.get_mut(&to).unwrap();
            assert!(!worker.told);
            let (slot, number) = (worker.slot.0, parcel.message.number);
            let letters = self.letters.entry(slot).or_default();
            let newer = letters
                .iter()
                .rev()
                .find(|(_, place)| **place != Place::Away)
                .map_or(0, |(newest, _)| *newest);
            let excused = self.excused.get(&(slot, number)).copied().unwrap_or(0);
            assert!(
                newer < number || newer <= excused,
                "{number} for slot {slot} comes behind {newer}"
            );
            // No letter comes that was not for this slot, and none that is somewhere else.
            let before = letters.insert(number, Place::Queued(to));
            assert_eq!(before, Some(Place::Away));
            worker.queue.push_back(parcel);
        }
    }

    /// Each letter of each slot is taken, in a queue, held, or counted as lost.
    fn check(&mut self) {
        let (mut away, mut held, mut bytes) = (0_u64, 0_u64, 0);
        for (at, slot) in self.relay.slots.iter().enumerate() {
            let numbers: Vec<u64> = slot.held.iter().map(|one| one.message.number).collect();
            assert!(numbers.is_sorted_by(|one, other| one < other));
            assert!(slot.size <= self.bound);
            let size: usize = slot.held.iter().map(Parcel::size).sum();
            assert_eq!(slot.size, size);
            let at = u16::try_from(at).unwrap();
            for number in &numbers {
                assert_eq!(self.letters[&at][number], Place::Away);
            }
            if self.receiver(at).is_some() {
                assert_eq!(numbers, [0; 0]);
            }
            held += numbers.len() as u64;
            bytes += size - numbers.len() * ENTRY;
        }
        assert_eq!(self.relay.held(), (usize::try_from(held).unwrap(), bytes));
        for letters in self.letters.values() {
            let gone = letters.values().filter(|place| **place == Place::Away);
            away += gone.count() as u64;
        }
        let new = self.relay.lost();
        for (sum, new) in [
            (&mut self.lost.bound, new.bound),
            (&mut self.lost.slot_gone, new.slot_gone),
            (&mut self.lost.unknown_sender, new.unknown_sender),
            (&mut self.lost.unknown_receiver, new.unknown_receiver),
        ] {
            sum.messages += new.messages;
            sum.bytes += new.bytes;
        }
        let lost = self.lost.bound.messages + self.lost.slot_gone.messages;
        assert_eq!(away, held + lost);
        assert_eq!(self.lost.unknown_sender.messages, self.strangers);
        assert_eq!(self.lost.unknown_receiver, Lost::default());
    }
}

proptest! {
    #[test]
    fn each_message_reaches_each_other_slot_once_or_is_held_or_counted(
        slots in 0_u16..5,
        bound in prop_oneof![Just(0), 0_usize..2000],
        steps in prop::collection::vec(moves(), 0..150),
    ) {
        let mut walk = Walk::new(slots, bound);
        for step in steps {
            walk.step(step);
        }
    }

    #[test]
    fn without_a_bound_and_without_removed_slots_nothing_is_lost(
        slots in 1_u16..5,
        steps in prop::collection::vec(moves(), 0..150),
    ) {
        let mut walk = Walk::new(slots, usize::MAX);
        for step in steps {
            if !matches!(step, Move::Resize(_)) {
                walk.step(step);
            }
        }
        // All workers end, and each slot gets one more.
        while let Some(member) = walk.pick(0) {
            walk.leaves(member);
        }
        for slot in 0..slots {
            walk.join(slot);
            walk.becomes_ready(Member(walk.next));
            walk.takes(Member(walk.next), usize::MAX);
        }
        walk.check();
        prop_assert_eq!(walk.relay.held(), (0, 0));
        let arrived = |place: &Place| matches!(place, Place::Taken(_));
        prop_assert!(walk.letters.values().all(|letters| letters.values().all(arrived)));
    }
}
