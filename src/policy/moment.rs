//! What the end of a worker would cost at this moment, for workers whose clients never leave a longer pause.

use std::cmp::Ordering;

use super::drain::{Connection, DOUBT, NEWBORN};

/// Whether the end of the worker would lose a request on this connection now. As [`super::drain::at_work`], but without
/// waiting times. An answer counts as complete with its first part. Sent data counts as delivered even if it is not
/// acknowledged: the kernel continues to send it after the process has ended, and a client that has not acknowledged
/// the last answer has sent nothing since.
pub fn would_cost(connection: &Connection) -> bool {
    if !connection.established || connection.unread > 0 {
        return true;
    }
    let Some(past) = connection.past else {
        return true;
    };
    match past.bytes {
        Some((0, _)) => return past.sent.min(past.received) < NEWBORN,
        Some((_, 0)) if connection.unsent == 0 => return true,
        Some(_) | None => {}
    }
    if connection.unsent > 0 {
        return past.waiting != Some(false) || past.received < past.sent;
    }
    match past.received.cmp(&past.sent) {
        Ordering::Less => true,
        Ordering::Greater => false,
        Ordering::Equal => past.acknowledged >= past.received && past.received < DOUBT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::drain::{Past, at_work};
    use std::time::Duration;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Answered 4 ms ago, after a request 8 ms ago; the client has not acknowledged the answer yet.
    fn just_answered() -> Connection {
        Connection {
            established: true,
            unread: 0,
            unsent: 200,
            past: Some(Past {
                sent: ms(4),
                received: ms(8),
                acknowledged: ms(8),
                bytes: Some((80, 400)),
                waiting: Some(false),
            }),
        }
    }

    fn with(change: impl FnOnce(&mut Past)) -> Connection {
        let mut connection = just_answered();
        if let Some(past) = &mut connection.past {
            change(past);
        }
        connection
    }

    #[test]
    fn an_answer_on_its_way_costs_nothing() {
        assert!(!would_cost(&just_answered()));
        assert!(
            at_work(&just_answered()),
            "though it may only be a part of one"
        );
        // Within one clock step: the client sent no new request before it acknowledged.
        assert!(!would_cost(&with(|past| past.received = ms(4))));
        let first = with(|past| past.bytes = Some((80, 0)));
        assert!(!would_cost(&first), "nor has one that got its first");
    }

    #[test]
    fn an_answer_that_waits_to_be_sent_may_not_be_all() {
        assert!(would_cost(&with(|past| past.waiting = Some(true))));
        assert!(
            would_cost(&with(|past| past.waiting = None)),
            "nor is that known"
        );
    }

    #[test]
    fn a_request_costs() {
        let acknowledged = |sent, received, acknowledged| {
            let mut connection = with(|past| {
                past.sent = ms(sent);
                past.received = ms(received);
                past.acknowledged = ms(acknowledged);
            });
            connection.unsent = 0;
            would_cost(&connection)
        };
        assert!(acknowledged(8, 4, 4), "it came after the last answer");
        assert!(acknowledged(4, 4, 4), "or perhaps");
        assert!(
            !acknowledged(4, 4, 0),
            "the answer was acknowledged by itself"
        );
        assert!(!acknowledged(4, 8, 4), "it was answered");
        assert!(!acknowledged(600, 600, 600), "the client has gone to sleep");
        let mut unread = just_answered();
        unread.unread = 1;
        assert!(would_cost(&unread));
        let mut first = with(|past| past.bytes = Some((80, 0)));
        first.unsent = 0;
        assert!(would_cost(&first));
    }

    #[test]
    fn what_cannot_be_told_costs() {
        let mut closing = just_answered();
        closing.established = false;
        let mut unknown = just_answered();
        unknown.past = None;
        let newborn = with(|past| {
            past.bytes = Some((0, 0));
            past.received = ms(50);
        });
        assert!(would_cost(&closing) && would_cost(&unknown) && would_cost(&newborn));
        assert!(!would_cost(&with(|past| {
            past.bytes = Some((0, 0));
            (past.sent, past.received) = (ms(500), ms(500));
        })));
    }
}
