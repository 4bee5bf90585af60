//! Tests of rows of looks, and of the judgement of one connection.

use super::*;

const IDLE: Look = Look {
    queued: 0,
    handshakes: false,
    open: 0,
    busy: 0,
    costs: 0,
    visible: true,
    hidden: false,
    unseen: 0,
    least: Duration::ZERO,
};
const DARK: Look = Look {
    visible: false,
    ..IDLE
};
const NOW: Tick = Tick(Duration::from_secs(7));

fn looks(drain: &mut Drain, look: Look, count: u32) -> Vec<bool> {
    (0..count).map(|_| drain.look(NOW, &look)).collect()
}

#[test]
fn five_passing_looks_in_a_row_end_a_drain() {
    for aim in [Aim::Empty, Aim::Quiet] {
        let mut drain = Drain::new(aim);
        assert_eq!(
            looks(&mut drain, IDLE, 6),
            [false, false, false, false, true, true]
        );
    }
}

#[test]
fn a_failing_look_starts_the_count_anew() {
    let failing = [
        Look { queued: 1, ..IDLE },
        Look {
            open: 1,
            busy: 1,
            ..IDLE
        },
    ];
    for aim in [Aim::Empty, Aim::Quiet] {
        for look in failing {
            let mut drain = Drain::new(aim);
            assert!(!looks(&mut drain, IDLE, 4).contains(&true));
            assert!(!drain.look(NOW, &look));
            assert_eq!(
                looks(&mut drain, IDLE, 5),
                [false, false, false, false, true]
            );
        }
    }
}

#[test]
fn an_idle_connection_and_a_handshake_keep_a_worker_from_being_empty_only() {
    let looks = [
        Look { open: 3, ..IDLE },
        Look {
            handshakes: true,
            ..IDLE
        },
    ];
    for look in looks {
        assert!(
            !Aim::Empty.passes(&look) && Aim::Quiet.passes(&look),
            "{look:?}"
        );
        assert!(look.is_quiet());
    }
}

#[test]
fn who_cannot_be_seen_is_waited_for_longer() {
    for aim in [Aim::Empty, Aim::Quiet] {
        let mut drain = Drain::new(aim);
        let mut at = |after: u64, look: Look| drain.look(NOW.after(ms(after)), &look);
        // The number of looks in that time does not matter.
        assert!(!(0..500).any(|_| at(0, DARK)) && !at(999, DARK) && at(1000, DARK));
        let queued = Look { queued: 1, ..DARK };
        assert!(!at(2000, queued) && !at(2001, DARK) && !at(3000, DARK));
        assert!(!at(3001, DARK) && !at(3002, DARK) && at(3003, DARK));
    }
    assert!(!DARK.is_quiet());
    // A connection that was seen anyway counts.
    assert!(!Aim::Empty.passes(&Look { open: 1, ..DARK }));
}

#[test]
fn a_pause_grows_with_the_cost_of_a_look_and_has_a_bound() {
    let paused = |choosing| [0, 1, 4, 15, 20, 60, 100, 300].map(|cost| pause(choosing, ms(cost)));
    assert_eq!(paused(false), [10, 10, 20, 75, 100, 100, 100, 300].map(ms));
    assert_eq!(paused(true), [2, 5, 20, 75, 100, 100, 100, 300].map(ms));
}

#[test]
fn looks_of_two_kinds_are_no_row() {
    let mut drain = Drain::new(Aim::Empty);
    looks(&mut drain, DARK, 9);
    assert!(!looks(&mut drain, IDLE, 4).contains(&true));
    assert!(!drain.look(NOW.after(BLIND * 2), &DARK));
    assert_eq!(
        looks(&mut drain, IDLE, 5),
        [false, false, false, false, true]
    );
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Ages in ms of the last data sent, the last data received, and the last acknowledgement.
fn past(sent: u64, received: u64, acknowledged: u64, bytes: (u64, u64)) -> Connection {
    Connection {
        established: true,
        unread: 0,
        unsent: 0,
        past: Some(Past {
            sent: ms(sent),
            received: ms(received),
            acknowledged: ms(acknowledged),
            bytes: Some(bytes),
            waiting: Some(false),
        }),
    }
}

/// A connection whose answer was acknowledged long ago.
fn answered() -> Connection {
    past(1000, 1004, 960, (80, 200))
}

#[test]
fn an_answered_connection_is_idle() {
    assert!(!at_work(&answered()));
}

#[test]
fn what_is_not_read_not_taken_or_half_closed_is_at_work() {
    let base = answered();
    for connection in [
        Connection { unread: 1, ..base },
        Connection { unsent: 1, ..base },
        Connection {
            established: false,
            ..base
        },
    ] {
        assert!(at_work(&connection), "{connection:?}");
    }
}

#[test]
fn a_request_without_its_answer_is_at_work_however_old() {
    for age in [0, 4, 500, 3_600_000] {
        // A request after an earlier answer, and the first request.
        assert!(at_work(&past(age + 1, age, age, (80, 200))), "{age}");
        assert!(at_work(&past(age + 1, age, age, (80, 0))), "{age}");
        // The request came within the same clock step as the connection.
        assert!(at_work(&past(age, age, age, (80, 0))), "{age}");
    }
}

#[test]
fn what_has_just_moved_is_at_work() {
    let settled = u64::try_from(SETTLE.as_millis()).unwrap();
    for (age, busy) in [(0, true), (settled - 1, true), (settled, false)] {
        // An answer that may continue, or an acknowledgement after which the client prepares its next data.
        assert_eq!(at_work(&past(age, 3000, 2000, (80, 200))), busy, "{age}");
        assert_eq!(at_work(&past(2000, 3000, age, (80, 200))), busy, "{age}");
    }
}

#[test]
fn a_silent_client_is_about_to_speak_for_a_moment() {
    let newborn = u64::try_from(NEWBORN.as_millis()).unwrap();
    for (age, busy) in [(0, true), (newborn - 1, true), (newborn, false)] {
        assert_eq!(at_work(&past(age, age, age, (0, 0))), busy, "{age}");
        // The last traffic was a greeting by the server.
        assert_eq!(at_work(&past(age, 5000, 5000, (0, 20))), busy, "{age}");
    }
}

#[test]
fn a_tie_is_decided_by_a_later_acknowledgement_or_by_time() {
    let doubt = u64::try_from(DOUBT.as_millis()).unwrap();
    assert!(!at_work(&past(60, 60, 20, (80, 200))));
    for (age, busy) in [(20, true), (doubt - 1, true), (doubt, false)] {
        assert_eq!(at_work(&past(age, age, age, (80, 200))), busy, "{age}");
        // Some paths in the kernel do not record the acknowledgement that comes with data.
        assert_eq!(at_work(&past(age, age, age + 9, (80, 200))), busy, "{age}");
    }
}

#[test]
fn an_old_kernel_counts_no_bytes() {
    let mut connection = answered();
    connection.past = connection.past.map(|past| Past {
        bytes: None,
        ..past
    });
    assert!(!at_work(&connection));
}

#[test]
fn without_a_past_all_are_at_work() {
    let unknown = Connection {
        past: None,
        ..answered()
    };
    assert!(at_work(&unknown));
}

#[test]
fn a_client_that_does_not_answer_is_given_up() {
    assert!(may_complete(0) && may_complete(1) && !may_complete(2) && !may_complete(255));
}

/// A datagram that the program has read is in no queue, so the worker needs some time more.
#[test]
fn a_worker_with_datagrams_is_empty_after_the_grace_alone() {
    let look = Look {
        least: Duration::from_millis(50),
        ..IDLE
    };
    let mut drain = Drain::new(Aim::Empty);
    let at = |ms| Tick::default().after(Duration::from_millis(ms));
    for ms in [0, 10, 20, 30, 40] {
        assert!(!drain.look(at(ms), &look), "{ms}");
    }
    let waits = Look { queued: 1, ..look };
    assert!(!drain.look(at(50), &waits));
    for ms in [60, 70, 80, 90, 100] {
        assert!(!drain.look(at(ms), &look), "{ms}");
    }
    assert!(drain.look(at(110), &look));
}
