//! The places of the clients: who gets one, and who has to leave for it. And how fast something may happen.

use std::time::Duration;

use crate::sys::peer::Peer;

/// The clients that are here. `H` ends one.
#[derive(Debug)]
pub(super) struct Guests<H> {
    /// In the order in which they came.
    seats: Vec<Seat<H>>,
    next: u64,
}

#[derive(Debug)]
struct Seat<H> {
    id: u64,
    peer: Peer,
    /// The runtime works for it.
    served: bool,
    handle: Option<H>,
}

/// Whether there is a place for a new client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// If this client leaves.
    Instead(u64),
    /// The runtime works for all clients.
    None,
}

impl<H> Default for Guests<H> {
    fn default() -> Self {
        Self {
            seats: Vec::new(),
            next: 0,
        }
    }
}

impl<H> Guests<H> {
    /// Looks for a place among `places`, of which `for_root` are for root only. If there is none, the client leaves that
    /// waits for the longest time, of the process that has the most; for root, of all, and for others, of those that are
    /// not root.
    pub(super) fn room(&self, peer: Peer, places: usize, for_root: usize) -> Room {
        let root = peer.uid == 0;
        let others = self.seats.iter().filter(|seat| seat.peer.uid != 0).count();
        if self.seats.len() < places && (root || others < places.saturating_sub(for_root)) {
            return Room::Free;
        }
        let mut longest: Option<(usize, u64)> = None;
        for seat in &self.seats {
            if seat.served || !(root || seat.peer.uid != 0) {
                continue;
            }
            let own = self.seats.iter().filter(|one| one.peer == seat.peer);
            let own = own.count();
            if longest.is_none_or(|(most, _)| own > most) {
                longest = Some((own, seat.id));
            }
        }
        longest.map_or(Room::None, |(_, id)| Room::Instead(id))
    }

    /// A client gets a place. Returns its number.
    pub(super) fn enter(&mut self, peer: Peer) -> u64 {
        let id = self.next;
        self.next += 1;
        self.seats.push(Seat {
            id,
            peer,
            served: false,
            handle: None,
        });
        id
    }

    /// What ends this client.
    pub(super) fn ends_with(&mut self, id: u64, handle: H) {
        if let Some(seat) = self.seat(id) {
            seat.handle = Some(handle);
        }
    }

    /// Whether the runtime works for this client now.
    pub(super) fn served(&mut self, id: u64, served: bool) {
        if let Some(seat) = self.seat(id) {
            seat.served = served;
        }
    }

    /// The place is free again. Returns what ends the client, if it is still here.
    pub(super) fn leave(&mut self, id: u64) -> Option<H> {
        let at = self.seats.iter().position(|seat| seat.id == id)?;
        self.seats.remove(at).handle
    }

    fn seat(&mut self, id: u64) -> Option<&mut Seat<H>> {
        self.seats.iter_mut().find(|seat| seat.id == id)
    }
}

/// How fast something may happen: a number of times at once, then one more after each pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    at_once: Duration,
    pause: Duration,
    /// When all that has happened is paid for, in the time of the caller.
    paid: Duration,
}

impl Pace {
    pub(super) fn new(burst: u32, pause: Duration) -> Self {
        Self {
            at_once: pause.saturating_mul(burst),
            pause,
            paid: Duration::ZERO,
        }
    }

    /// How long to wait before it happens once more.
    pub(super) fn due(&self, now: Duration) -> Duration {
        let next = self.paid.max(now).saturating_add(self.pause);
        next.saturating_sub(self.at_once).saturating_sub(now)
    }

    /// It happens.
    pub(super) fn pay(&mut self, now: Duration) {
        self.paid = self.paid.max(now).saturating_add(self.pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(pid: i32, uid: u32) -> Peer {
        Peer { pid, uid }
    }

    /// As many clients as are named, each by its process and user.
    fn with(peers: &[(i32, u32)]) -> Guests<()> {
        let mut guests = Guests::default();
        for (pid, uid) in peers {
            let id = guests.enter(peer(*pid, *uid));
            guests.ends_with(id, ());
        }
        guests
    }

    #[test]
    fn the_oldest_client_of_the_process_with_the_most_leaves() {
        let guests = with(&[(5, 9), (7, 9), (7, 9), (8, 9)]);
        assert_eq!(guests.room(peer(1, 9), 5, 0), Room::Free);
        assert_eq!(guests.room(peer(1, 9), 4, 0), Room::Instead(1));
        let equal = with(&[(5, 9), (6, 9), (7, 9)]);
        assert_eq!(equal.room(peer(1, 9), 3, 0), Room::Instead(0));
    }

    #[test]
    fn who_is_served_does_not_leave() {
        let mut guests = with(&[(7, 9), (7, 9), (8, 9)]);
        guests.served(0, true);
        assert_eq!(guests.room(peer(1, 9), 3, 0), Room::Instead(1));
        guests.served(1, true);
        assert_eq!(guests.room(peer(1, 9), 3, 0), Room::Instead(2));
        guests.served(2, true);
        assert_eq!(guests.room(peer(1, 9), 3, 0), Room::None);
        guests.served(0, false);
        assert_eq!(guests.room(peer(1, 9), 3, 0), Room::Instead(0));
    }

    #[test]
    fn some_places_are_for_root_and_root_leaves_for_nobody_else() {
        let guests = with(&[(7, 9), (7, 9), (8, 9)]);
        assert_eq!(guests.room(peer(1, 9), 4, 1), Room::Instead(0));
        assert_eq!(guests.room(peer(1, 0), 4, 1), Room::Free);
        let all_root = with(&[(3, 0), (3, 0)]);
        assert_eq!(all_root.room(peer(1, 9), 2, 1), Room::None);
        assert_eq!(all_root.room(peer(1, 0), 2, 1), Room::Instead(0));
    }

    #[test]
    fn a_place_is_free_when_its_client_has_left() {
        let mut guests = with(&[(7, 9)]);
        assert_eq!(guests.leave(0), Some(()));
        assert_eq!(guests.leave(0), None);
        assert_eq!(guests.room(peer(1, 9), 1, 0), Room::Free);
        assert_eq!(guests.enter(peer(1, 9)), 1);
    }

    #[test]
    fn after_the_first_ones_each_waits_for_one_pause_more() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(2, second);
        let mut wait = |now: Duration| {
            let due = pace.due(now);
            pace.pay(now);
            due.as_secs()
        };
        let waits: Vec<u64> = (0..4).map(|_| wait(second * 9)).collect();
        assert_eq!(waits, [0, 0, 1, 2]);
        // Three of the four pauses are over.
        assert_eq!(wait(second * 12), 0);
        assert_eq!(wait(second * 12), 1);
        assert_eq!(wait(second * 99), 0);
    }
}
