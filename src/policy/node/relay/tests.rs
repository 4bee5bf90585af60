use super::*;

mod walk;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Text(String);

impl Message for Text {
    fn bytes(&self) -> usize {
        self.0.len()
    }
}

const OLD: Member = Member(10);
const NEW: Member = Member(20);
const ONE: Member = Member(11);
const TWO: Member = Member(12);

/// Three slots with ready workers: OLD, ONE and TWO.
fn three() -> Relay<Text> {
    let mut relay = Relay::new(3, 10_000);
    for (slot, member) in [(0, OLD), (1, ONE), (2, TWO)] {
        relay.join(SlotId(slot), member);
        assert_eq!(relay.ready(member), []);
    }
    relay
}

fn send(relay: &mut Relay<Text>, from: Member, text: &str) -> Vec<(Member, Parcel<Text>)> {
    relay.send(from, &Text(text.to_owned()))
}

/// What was given, as `10:text`.
fn shown(given: &[(Member, Parcel<Text>)]) -> Vec<String> {
    given
        .iter()
        .map(|(Member(to), parcel)| format!("{to}:{}", parcel.message.0))
        .collect()
}

fn parcels(given: Vec<(Member, Parcel<Text>)>, of: Member) -> Vec<Parcel<Text>> {
    given
        .into_iter()
        .filter_map(|(to, parcel)| (to == of).then_some(parcel))
        .collect()
}

fn lost(messages: u64, bytes: u64) -> Lost {
    Lost { messages, bytes }
}

#[test]
fn a_message_goes_to_every_other_slot_once() {
    let mut relay = three();
    assert_eq!(shown(&send(&mut relay, ONE, "a")), ["10:a", "12:a"]);
    assert_eq!(shown(&send(&mut relay, OLD, "b")), ["11:b", "12:b"]);
    assert_eq!(relay.held(), (0, 0));
    assert_eq!(relay.lost(), Losses::default());
}

#[test]
fn messages_wait_for_a_worker_that_is_not_ready() {
    let mut relay = Relay::new(2, 10_000);
    relay.join(SlotId(1), ONE);
    assert_eq!(shown(&send(&mut relay, ONE, "before it starts")), [""; 0]);
    relay.join(SlotId(0), OLD);
    assert_eq!(shown(&send(&mut relay, ONE, "starting")), [""; 0]);
    assert_eq!(relay.held(), (2, 24));
    assert_eq!(
        shown(&relay.ready(OLD)),
        ["10:before it starts", "10:starting"]
    );
    assert_eq!(relay.held(), (0, 0));
    assert_eq!(shown(&send(&mut relay, ONE, "ready")), ["10:ready"]);
}

#[test]
fn in_a_reload_the_target_changes_when_the_new_worker_is_ready() {
    let mut relay = three();
    relay.join(SlotId(0), NEW);
    assert_eq!(shown(&send(&mut relay, ONE, "a")), ["10:a", "12:a"]);
    assert_eq!(relay.ready(NEW), []);
    assert_eq!(shown(&send(&mut relay, ONE, "b")), ["20:b", "12:b"]);
}

#[test]
fn what_the_old_worker_had_not_taken_goes_to_the_new_one() {
    let mut relay = three();
    relay.join(SlotId(0), NEW);
    let mut queue = parcels(send(&mut relay, ONE, "a"), OLD);
    queue.extend(parcels(send(&mut relay, TWO, "b"), OLD));
    relay.ready(NEW);
    relay.stops(OLD);
    assert_eq!(shown(&send(&mut relay, ONE, "c")), ["20:c", "12:c"]);
    queue.reverse();
    assert_eq!(shown(&relay.left(OLD, queue)), ["20:a", "20:b"]);
    assert_eq!(relay.lost(), Losses::default());
}

#[test]
fn what_a_worker_had_not_taken_waits_before_what_is_newer() {
    let mut relay = three();
    let first = parcels(send(&mut relay, ONE, "a"), OLD);
    let second = parcels(send(&mut relay, ONE, "b"), OLD);
    assert_eq!(shown(&relay.left(OLD, second)), [""; 0]);
    assert_eq!(shown(&send(&mut relay, ONE, "c")), ["12:c"]);
    relay.join(SlotId(0), NEW);
    assert_eq!(shown(&relay.ready(NEW)), ["20:b", "20:c"]);
    assert_eq!(first.len(), 1, "it was taken and does not come back");
}

#[test]
fn a_worker_that_was_told_to_stop_gets_nothing_more() {
    let mut relay = three();
    let queue = parcels(send(&mut relay, ONE, "a"), OLD);
    relay.stops(OLD);
    assert_eq!(shown(&send(&mut relay, ONE, "b")), ["12:b"]);
    assert_eq!(relay.ready(OLD), [], "a late event");
    assert_eq!(shown(&send(&mut relay, OLD, "c")), ["11:c", "12:c"]);
    relay.join(SlotId(0), NEW);
    relay.left(OLD, queue);
    assert_eq!(shown(&relay.ready(NEW)), ["20:a", "20:b"]);
}

#[test]
fn messages_come_back_from_two_workers_in_the_order_in_which_they_were_sent() {
    let mut relay = three();
    let old = parcels(send(&mut relay, ONE, "a"), OLD);
    relay.join(SlotId(0), NEW);
    relay.ready(NEW);
    let new = parcels(send(&mut relay, ONE, "b"), NEW);
    relay.stops(OLD);
    relay.stops(NEW);
    send(&mut relay, ONE, "c");
    relay.left(OLD, old);
    relay.left(NEW, new);
    relay.join(SlotId(0), Member(30));
    assert_eq!(shown(&relay.ready(Member(30))), ["30:a", "30:b", "30:c"]);
}

#[test]
fn when_a_reload_is_given_up_the_old_worker_is_the_receiver_again() {
    let mut relay = three();
    relay.join(SlotId(0), NEW);
    relay.ready(NEW);
    let queue = parcels(send(&mut relay, ONE, "a"), NEW);
    relay.stops(NEW);
    assert_eq!(shown(&send(&mut relay, ONE, "b")), ["10:b", "12:b"]);
    assert_eq!(shown(&relay.left(NEW, queue)), ["10:a"]);
}

#[test]
fn when_the_new_worker_dies_the_old_one_gets_its_messages_until_it_is_told_to_stop() {
    let mut relay = three();
    relay.join(SlotId(0), NEW);
    relay.ready(NEW);
    let queue = parcels(send(&mut relay, ONE, "a"), NEW);
    assert_eq!(shown(&relay.left(NEW, queue)), ["10:a"]);
    assert_eq!(shown(&send(&mut relay, ONE, "b")), ["10:b", "12:b"]);
    relay.stops(OLD);
    assert_eq!(shown(&send(&mut relay, ONE, "c")), ["12:c"]);
    assert_eq!(relay.held(), (1, 1));
}

#[test]
fn a_worker_that_is_not_ready_sends_to_all_slots_but_its_own() {
    let mut relay = three();
    relay.join(SlotId(0), NEW);
    assert_eq!(shown(&send(&mut relay, NEW, "a")), ["11:a", "12:a"]);
    assert_eq!(relay.held(), (0, 0), "nothing for its own slot");
}

#[test]
fn what_is_held_is_bounded_and_the_oldest_stay() {
    let mut relay = Relay::new(2, 2 * (ENTRY + 3));
    relay.join(SlotId(1), ONE);
    for text in ["aaa", "bbb", "", "ccc"] {
        assert_eq!(send(&mut relay, ONE, text), []);
    }
    assert_eq!(relay.held(), (2, 6));
    let want = Losses {
        bound: lost(2, 3),
        ..Losses::default()
    };
    assert_eq!(relay.lost(), want);
    assert_eq!(relay.lost(), Losses::default(), "each loss is told once");
    relay.join(SlotId(0), OLD);
    assert_eq!(shown(&relay.ready(OLD)), ["10:aaa", "10:bbb"]);
}

#[test]
fn what_comes_back_takes_the_place_of_what_is_newer() {
    let mut relay = Relay::new(2, 2 * (ENTRY + 3));
    relay.join(SlotId(0), OLD);
    relay.join(SlotId(1), ONE);
    relay.ready(OLD);
    let queue = parcels(send(&mut relay, ONE, "old"), OLD);
    relay.stops(OLD);
    send(&mut relay, ONE, "new");
    send(&mut relay, ONE, "end");
    relay.left(OLD, queue);
    assert_eq!(relay.lost().bound, lost(1, 3));
    relay.join(SlotId(0), NEW);
    assert_eq!(shown(&relay.ready(NEW)), ["20:old", "20:new"]);
}

#[test]
fn what_is_held_for_a_slot_that_is_removed_is_lost() {
    let mut relay = three();
    relay.stops(TWO);
    let queue = parcels(send(&mut relay, ONE, "aa"), TWO);
    assert_eq!(queue, []);
    relay.resize(2);
    assert_eq!(relay.lost().slot_gone, lost(1, 2));
    assert_eq!(shown(&send(&mut relay, ONE, "b")), ["10:b"]);
    // The worker of that slot drains and is still heard.
    assert_eq!(shown(&send(&mut relay, TWO, "c")), ["10:c", "11:c"]);
    relay.resize(3);
    assert_eq!(relay.held(), (0, 0));
    assert_eq!(shown(&send(&mut relay, ONE, "d")), ["10:d"]);
    assert_eq!(relay.held(), (1, 1), "the slot is there again");
}

#[test]
fn what_a_worker_of_a_removed_slot_had_not_taken_is_lost() {
    let mut relay = three();
    let queue = parcels(send(&mut relay, ONE, "aa"), TWO);
    relay.resize(2);
    assert_eq!(relay.ready(TWO), []);
    assert_eq!(relay.left(TWO, queue), []);
    let want = Losses {
        slot_gone: lost(1, 2),
        ..Losses::default()
    };
    assert_eq!(relay.lost(), want);
}

#[test]
fn an_unknown_worker_does_no_harm() {
    let mut relay = three();
    let stranger = Member(99);
    assert_eq!(relay.ready(stranger), []);
    relay.stops(stranger);
    assert_eq!(send(&mut relay, stranger, "aa"), []);
    let queue = parcels(send(&mut relay, ONE, "bbb"), OLD);
    relay.left(OLD, Vec::new());
    assert_eq!(relay.left(OLD, queue), [], "it has left already");
    let want = Losses {
        unknown_sender: lost(1, 2),
        unknown_receiver: lost(1, 3),
        ..Losses::default()
    };
    assert_eq!(relay.lost(), want);
}

#[test]
fn events_that_come_twice_change_nothing() {
    let mut relay = three();
    relay.join(SlotId(0), NEW);
    relay.ready(NEW);
    relay.join(SlotId(2), NEW);
    assert_eq!(relay.ready(OLD), []);
    assert_eq!(shown(&send(&mut relay, ONE, "a")), ["20:a", "12:a"]);
}
