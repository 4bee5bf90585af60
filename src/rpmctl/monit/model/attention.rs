//! Which worker needs somebody, and why, in words.

use rpm_runtime::control::protocol::{Place, Worker};

use crate::plain::plain;
use crate::words::human;

/// How much a worker needs somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// It does not serve, and nobody wanted that.
    Ill,
    /// It serves, or somebody wanted that it does not; have a look.
    Look,
    /// It starts or leaves.
    Moves,
    /// It serves.
    Well,
}

/// A worker that came back from a failure is shown for so long, seconds.
const RECENT: f64 = 300.0;

/// Answers in a row with a queue that is not empty, after which it is shown: a busy worker has one for a moment.
pub const LONG_QUEUE: u32 = 3;

/// How a worker does, and what is to be said of it. `queued`: how many answers in a row found something in its queue.
pub fn judge(worker: &Worker, queued: u32) -> (Grade, Option<String>) {
    match worker.place {
        Place::Rising => (
            Grade::Moves,
            Some(format!("next worker{}", started(worker))),
        ),
        Place::Leaving => (Grade::Moves, Some(leaves(worker))),
        Place::Slot => match worker.state.as_str() {
            "backoff" => waits(worker),
            "stopped" => down(worker),
            "halted" => (Grade::Look, Some("an operator stopped it".to_owned())),
            "starting" if failed(worker) => {
                let text = format!("{}{}; starts again", end(worker), restarts(worker));
                (Grade::Ill, Some(text + &ready_by(worker)))
            }
            "starting" => (Grade::Moves, Some(format!("starts{}", ready_by(worker)))),
            "ready" => serves(worker, queued),
            _ => (Grade::Moves, Some(leaves(worker))),
        },
    }
}

fn waits(worker: &Worker) -> (Grade, Option<String>) {
    if failed(worker) {
        let due = worker.due_seconds.map(human);
        let due = due.map_or_else(|| "soon".to_owned(), |due| format!("in {due}"));
        let text = format!("{}{}; starts again {due}", end(worker), restarts(worker));
        (Grade::Ill, Some(text))
    } else {
        let text = format!("waits for its start{}", ready_by(worker));
        (Grade::Moves, Some(text))
    }
}

fn down(worker: &Worker) -> (Grade, Option<String>) {
    if failed(worker) && worker.last_exit.as_deref() != Some("exit code 0") {
        (Grade::Ill, Some(format!("stays down: {}", end(worker))))
    } else {
        let last = worker
            .last_exit
            .as_ref()
            .map(|_| format!(": {}", end(worker)));
        (
            Grade::Look,
            Some(format!("is stopped{}", last.unwrap_or_default())),
        )
    }
}

fn serves(worker: &Worker, queued: u32) -> (Grade, Option<String>) {
    if worker.in_rotation == Some(false) {
        return (Grade::Look, Some("gets no new connections".to_owned()));
    }
    let waiting = worker.queue.unwrap_or(0);
    if waiting > 0 && queued >= LONG_QUEUE {
        let text = format!("does not accept: {waiting} in its queue for {queued}s");
        return (Grade::Look, Some(text));
    }
    let uptime = worker.uptime_seconds.unwrap_or(RECENT);
    if failed(worker) && uptime < RECENT {
        let text = format!("serves again after {}{}", end(worker), restarts(worker));
        return (Grade::Look, Some(text));
    }
    (Grade::Well, None)
}

fn leaves(worker: &Worker) -> String {
    let due = worker.due_seconds.map(human);
    match (worker.state.as_str(), due) {
        ("draining", Some(due)) => format!("finishes its requests, for {due} at most"),
        ("draining", None) => "finishes its requests".to_owned(),
        (_, Some(due)) => format!("stops, is killed in {due}"),
        (_, None) => "stops".to_owned(),
    }
}

fn started(worker: &Worker) -> String {
    match worker.state.as_str() {
        "starting" => format!(" starts{}", ready_by(worker)),
        "ready" => " is ready".to_owned(),
        _ => " waits".to_owned(),
    }
}

fn ready_by(worker: &Worker) -> String {
    let due = worker.due_seconds.map(human);
    due.map_or_else(String::new, |due| format!(", due in {due}"))
}

fn restarts(worker: &Worker) -> String {
    match worker.restarts {
        0 => String::new(),
        1 => ", 1 restart".to_owned(),
        count => format!(", {count} restarts"),
    }
}

/// Whether the last worker of the slot ended and nobody had asked for it.
fn failed(worker: &Worker) -> bool {
    let cause = worker.last_cause.as_deref();
    cause.is_some_and(|cause| !matches!(cause, "reload" | "scale" | "stop" | "restart" | "halt"))
}

/// How the last worker ended, and why, if that says more.
pub fn end(worker: &Worker) -> String {
    let exit = worker.last_exit.as_deref().map(plain);
    let cause = worker.last_cause.as_deref().map(plain);
    match (exit, cause.as_deref()) {
        (Some(exit), Some("exit" | "signal") | None) => exit,
        (Some(exit), Some(cause)) => format!("{exit} ({cause})"),
        (None, Some(cause)) => cause.to_owned(),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures::worker;
    use super::*;

    fn told(change: impl FnOnce(&mut Worker)) -> (Grade, String) {
        let mut worker = worker(3);
        change(&mut worker);
        let (grade, text) = judge(&worker, 0);
        (grade, text.unwrap_or_default())
    }

    fn crashed(worker: &mut Worker, cause: &str) {
        worker.last_exit = Some("exit code 1".to_owned());
        worker.last_cause = Some(cause.to_owned());
        worker.restarts = 3;
    }

    #[test]
    fn a_worker_that_waits_after_a_failure_is_ill_and_the_reason_is_told() {
        let (grade, text) = told(|worker| {
            crashed(worker, "exit");
            worker.state = "backoff".to_owned();
            worker.due_seconds = Some(4.2);
        });
        assert_eq!(grade, Grade::Ill);
        assert_eq!(text, "exit code 1, 3 restarts; starts again in 4s");
        let (grade, text) = told(|worker| {
            crashed(worker, "oom");
            worker.state = "starting".to_owned();
        });
        assert_eq!(grade, Grade::Ill);
        assert_eq!(text, "exit code 1 (oom), 3 restarts; starts again");
        let (grade, _) = told(|worker| {
            crashed(worker, "restart");
            worker.state = "backoff".to_owned();
        });
        assert_eq!(grade, Grade::Moves, "somebody wanted it");
    }

    #[test]
    fn a_worker_that_stays_down_is_ill_unless_it_ended_well() {
        let down = |worker: &mut Worker| worker.state = "stopped".to_owned();
        let (grade, text) = told(|worker| {
            crashed(worker, "unhealthy");
            down(worker);
        });
        assert_eq!(
            (grade, text.as_str()),
            (Grade::Ill, "stays down: exit code 1 (unhealthy)")
        );
        let (grade, text) = told(|worker| {
            crashed(worker, "exit");
            worker.last_exit = Some("exit code 0".to_owned());
            down(worker);
        });
        assert_eq!(
            (grade, text.as_str()),
            (Grade::Look, "is stopped: exit code 0")
        );
    }

    #[test]
    fn a_slot_that_somebody_stopped_is_told() {
        let (grade, text) = told(|worker| {
            crashed(worker, "halt");
            worker.state = "halted".to_owned();
        });
        assert_eq!(
            (grade, text.as_str()),
            (Grade::Look, "an operator stopped it")
        );
        // And started it again.
        for (state, expected) in [
            ("backoff", Grade::Moves),
            ("starting", Grade::Moves),
            ("ready", Grade::Well),
        ] {
            let (grade, text) = told(|worker| {
                crashed(worker, "halt");
                worker.state = state.to_owned();
                worker.uptime_seconds = Some(1.0);
            });
            assert_eq!(grade, expected, "{state}: {text}");
        }
    }

    #[test]
    fn a_worker_that_serves_is_looked_at_if_it_came_back_or_gets_nothing() {
        let (grade, text) = told(|worker| {
            crashed(worker, "signal");
            worker.uptime_seconds = Some(12.0);
        });
        assert_eq!(grade, Grade::Look);
        assert_eq!(text, "serves again after exit code 1, 3 restarts");
        let (grade, _) = told(|worker| crashed(worker, "signal"));
        assert_eq!(grade, Grade::Well, "long ago");
        let (grade, text) = told(|worker| worker.in_rotation = Some(false));
        assert_eq!(
            (grade, text.as_str()),
            (Grade::Look, "gets no new connections")
        );
    }

    #[test]
    fn a_queue_that_stays_is_told() {
        let mut stuck = worker(1);
        stuck.queue = Some(7);
        assert_eq!(judge(&stuck, LONG_QUEUE - 1).0, Grade::Well);
        let (grade, text) = judge(&stuck, LONG_QUEUE);
        assert_eq!(grade, Grade::Look);
        assert_eq!(text.unwrap(), "does not accept: 7 in its queue for 3s");
    }

    #[test]
    fn what_starts_or_leaves_is_no_illness() {
        let (grade, text) = told(|worker| {
            worker.place = Place::Leaving;
            worker.state = "draining".to_owned();
            worker.due_seconds = Some(25.0);
        });
        assert_eq!(
            (grade, text.as_str()),
            (Grade::Moves, "finishes its requests, for 25s at most")
        );
        let (grade, text) = told(|worker| {
            worker.place = Place::Rising;
            worker.state = "starting".to_owned();
            worker.due_seconds = Some(30.0);
        });
        assert_eq!(
            (grade, text.as_str()),
            (Grade::Moves, "next worker starts, due in 30s")
        );
    }
}
