//! `rpmctl reload`.

use rpm_runtime::control::protocol::{Begun, Command, Health, Reload};

use super::args::{Globals, Waiting};
use super::connection::Connection;
use super::exit::Failure;
use super::print;
use super::progress::Progress;
use super::words::{and_others, human, plain};

pub fn run(globals: &Globals, waiting: &Waiting) -> Result<(), Failure> {
    let mut progress = Progress::new(waiting.timeout);
    let mut connection = progress.open(globals)?;
    let answer = progress.ask::<Begun>(&mut connection, Command::Reload)?;
    let begun = answer.value;
    if waiting.wait {
        let outcome = follow(&mut connection, begun.reload, &mut progress);
        progress.end();
        return report(globals, &outcome?);
    }
    if globals.json {
        return print(&format!("{}\n", answer.raw));
    }
    print(&format!("{}\n", what_began(&begun)))
}

/// What the answer to `reload` says.
pub fn what_began(begun: &Begun) -> String {
    let what = if begun.remembered {
        "follows the one in progress"
    } else {
        "has begun"
    };
    format!("reload {} {what}", begun.reload)
}

/// Asks until the reload has ended.
fn follow(
    connection: &mut Connection,
    number: u64,
    progress: &mut Progress,
) -> Result<Reload, Failure> {
    loop {
        let health = progress.ask::<Health>(connection, Command::Health)?.value;
        match judge(&health, number)? {
            Stand::Over(reload) => return Ok(reload),
            Stand::Goes(what) => progress.step(&what)?,
        }
    }
}

/// How far a reload is.
#[derive(Debug, PartialEq)]
enum Stand {
    Over(Reload),
    Goes(String),
}

fn judge(health: &Health, number: u64) -> Result<Stand, Failure> {
    if let Some(reload) = health.reloads.iter().find(|one| one.number == number) {
        if reload.result.is_some() {
            return Ok(Stand::Over(reload.clone()));
        }
        let waits = and_others(&health.workers);
        return Ok(Stand::Goes(format!(
            "reload {number}: {} of {} workers replaced{waits}",
            reload.replaced, reload.workers
        )));
    }
    match health.reloads.last() {
        Some(last) if last.number > number => {
            let text = format!(
                "reload {number} has ended, and so many came after it that its result is gone"
            );
            Err(Failure::failed(text))
        }
        Some(last) if last.result.is_none() => Ok(Stand::Goes(format!(
            "reload {number} waits for reload {}: {} of {} workers replaced",
            last.number, last.replaced, last.workers
        ))),
        _ => {
            let text = format!("reload {number} does not come: a stop or a restart came first");
            Err(Failure::failed(text))
        }
    }
}

fn report(globals: &Globals, reload: &Reload) -> Result<(), Failure> {
    if globals.json {
        let text = serde_json::to_string(reload);
        let text = text.map_err(|error| Failure::failed(error.to_string()))?;
        print(&format!("{text}\n"))?;
    }
    let Reload {
        number,
        workers,
        replaced,
        seconds,
        ..
    } = reload;
    let how = format!(
        "{replaced} of {workers} workers replaced in {}",
        human(*seconds)
    );
    let why = || {
        reload
            .why
            .as_deref()
            .map_or_else(|| "no reason is known".to_owned(), plain)
    };
    match reload.result.as_deref() {
        Some("success") if globals.json => Ok(()),
        Some("success") => print(&format!("reload {number} finished: {how}\n")),
        Some("superseded") => Err(Failure::failed(format!(
            "reload {number} was ended by a stop or a restart: {how}"
        ))),
        _ => Err(Failure::failed(format!(
            "reload {number} failed, {how}, the others stay: {}",
            why()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use rpm_runtime::control::protocol::Counts;

    use super::*;

    fn reload(number: u64, result: Option<&str>) -> Reload {
        Reload {
            number,
            generation: 1,
            workers: 8,
            replaced: 3,
            result: result.map(str::to_owned),
            why: None,
            seconds: 1.5,
        }
    }

    fn health(reloads: Vec<Reload>) -> Health {
        Health {
            state: "reloading".to_owned(),
            ready: true,
            started: true,
            desired: 8,
            generation: 1,
            workers: Counts {
                starting: 1,
                ..Counts::default()
            },
            reloads,
            failures: 0,
            last_failure: None,
            failed: Vec::new(),
        }
    }

    #[test]
    fn the_stand_of_a_reload_is_told_from_its_place_among_the_last_ones() {
        let goes = |text: &str| Stand::Goes(text.to_owned());
        let own = judge(&health(vec![reload(1, None)]), 1).unwrap();
        assert_eq!(own, goes("reload 1: 3 of 8 workers replaced, 1 starting"));
        let before = judge(&health(vec![reload(1, None)]), 2).unwrap();
        assert_eq!(
            before,
            goes("reload 2 waits for reload 1: 3 of 8 workers replaced")
        );
        let over = reload(1, Some("failure"));
        let ended = judge(&health(vec![over.clone(), reload(2, None)]), 1).unwrap();
        assert_eq!(ended, Stand::Over(over.clone()));
        let dropped = judge(&health(vec![over]), 2).unwrap_err();
        assert!(dropped.why().contains("does not come"), "{dropped:?}");
        let late = judge(&health(vec![reload(9, None)]), 1).unwrap_err();
        assert!(late.why().contains("its result is gone"), "{late:?}");
    }
}
