//! `rpmctl wait`.

use rpm_runtime::control::protocol::{Command, Health};

use super::args::{Globals, Wait};
use super::exit::Failure;
use super::progress::{Progress, STEP};
use super::words::state;
use super::{pause, print};

pub fn run(globals: &Globals, what: &Wait) -> Result<(), Failure> {
    let progress = Progress::new(what.timeout);
    loop {
        let seen = progress
            .open(globals)
            .and_then(|mut connection| connection.ask::<Health>(Command::Health));
        let missing = match seen {
            Ok(answer) => match judge(&answer.value, what.started)? {
                None if globals.json => return print(&format!("{}\n", answer.raw)),
                None => return Ok(()),
                Some(missing) => missing,
            },
            Err(failure) if failure.may_pass() => failure.why().to_owned(),
            Err(failure) => return Err(failure),
        };
        let left = progress.left();
        if left.is_zero() {
            return Err(progress.late(&missing));
        }
        pause(STEP.min(left));
    }
}

/// What is missing; `None` if nothing is. Fails if it will never come.
fn judge(health: &Health, started: bool) -> Result<Option<String>, Failure> {
    let (is, word) = if started {
        (health.started, "started")
    } else {
        (health.ready, "ready")
    };
    if is {
        return Ok(None);
    }
    let why = format!("not {word}: {}", state(health));
    if matches!(health.state.as_str(), "draining" | "stopping") {
        return Err(Failure::failed(why));
    }
    Ok(Some(why))
}

#[cfg(test)]
mod tests {
    use rpm_runtime::control::protocol::Counts;

    use super::*;

    fn health(state: &str, ready: bool, started: bool) -> Health {
        Health {
            state: state.to_owned(),
            ready,
            started,
            desired: 2,
            generation: 0,
            workers: Counts::default(),
            reloads: Vec::new(),
            failures: 0,
            last_failure: None,
            failed: Vec::new(),
        }
    }

    #[test]
    fn it_ends_when_it_is_so_and_when_it_will_never_be() {
        assert_eq!(judge(&health("running", true, true), false), Ok(None));
        assert_eq!(judge(&health("starting", true, false), false), Ok(None));
        let missing = judge(&health("starting", true, false), true).unwrap();
        assert_eq!(
            missing.unwrap(),
            "not started: starting, 0 of 2 ready, generation 0"
        );
        let never = judge(&health("stopping", false, true), false).unwrap_err();
        assert!(!never.may_pass());
    }
}
