//! Values in words, for a terminal.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use rpm_runtime::control::protocol::{Counts, Health};
use rpm_runtime::model::shown;

pub use super::plain::plain;
pub use shown::size;

/// A duration, as [`shown::duration`] writes it. `seconds` below 0 and those that are no number are 0.
pub fn human(seconds: f64) -> String {
    shown::duration(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
}

/// A point in time in UTC, to the millisecond: `2026-03-01T09:05:07.250Z`. `seconds` since 1970.
pub fn utc(seconds: f64) -> String {
    let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    let whole = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let time =
        DateTime::from_timestamp(whole, time.subsec_nanos()).unwrap_or(DateTime::<Utc>::MAX_UTC);
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The state in a line: `running, 4 of 4 ready, generation 2`.
pub fn state(health: &Health) -> String {
    let Health {
        state,
        desired,
        generation,
        workers,
        ..
    } = health;
    let others = others(workers);
    let others = others.map_or_else(String::new, |others| format!(" ({others})"));
    format!(
        "{state}, {} of {desired} ready{others}, generation {generation}",
        workers.ready
    )
}

/// The workers that are not ready, as the end of a sentence: `, 1 starting`; nothing if all are ready.
pub fn and_others(workers: &Counts) -> String {
    others(workers).map_or_else(String::new, |others| format!(", {others}"))
}

/// The workers that are not ready; `None` if all are.
fn others(workers: &Counts) -> Option<String> {
    let all = [
        (workers.starting, "starting"),
        (workers.backoff, "waiting for a restart"),
        (workers.stopped, "stopped"),
        (workers.halted, "halted"),
        (workers.draining, "draining"),
        (workers.retiring, "stopping"),
    ];
    let some = all.iter().filter(|(count, _)| *count > 0);
    let some: Vec<String> = some
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    (!some.is_empty()).then(|| some.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        let table = [
            (0.0, "0ms"),
            (0.85, "850ms"),
            (12.9, "12s"),
            (185.0, "3m5s"),
            (7800.0, "2h10m"),
            (356_400.0, "4d3h"),
            (-1.0, "0ms"),
            (f64::NAN, "0ms"),
        ];
        for (seconds, expected) in table {
            assert_eq!(human(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn a_time_is_shown_in_utc() {
        let table = [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (951_782_400.0, "2000-02-29T00:00:00.000Z"),
            (951_868_799.5, "2000-02-29T23:59:59.500Z"),
            (1_772_355_907.25, "2026-03-01T09:05:07.250Z"),
            (1_798_761_599.0, "2026-12-31T23:59:59.000Z"),
            (-5.0, "1970-01-01T00:00:00.000Z"),
        ];
        for (seconds, expected) in table {
            assert_eq!(utc(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn only_workers_that_are_not_ready_are_named() {
        assert_eq!(others(&Counts::default()), None);
        let counts = Counts {
            ready: 3,
            starting: 1,
            draining: 2,
            ..Counts::default()
        };
        assert_eq!(others(&counts).unwrap(), "1 starting, 2 draining");
    }
}
