//! Values in words, for a terminal.

use std::time::Duration;

use rpm_runtime::control::protocol::{Counts, Health};

pub use super::plain::plain;

/// A duration with two units at most: `850ms`, `12s`, `3m5s`, `2h10m`, `4d3h`.
pub fn human(seconds: f64) -> String {
    let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    let whole = time.as_secs();
    let (days, hours) = (whole / 86_400, whole / 3600 % 24);
    let (minutes, rest) = (whole / 60 % 60, whole % 60);
    match whole {
        0 => format!("{}ms", time.as_millis()),
        1..60 => format!("{rest}s"),
        60..3600 => format!("{minutes}m{rest}s"),
        3600..86_400 => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

/// A point in time in UTC, to the millisecond: `2026-03-01T09:05:07.250Z`. `seconds` since 1970.
pub fn utc(seconds: f64) -> String {
    let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    let (mut days, day) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) && year < 9999 {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
    ] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (day / 3600, day / 60 % 60, day % 60);
    let (of_month, milliseconds) = (days + 1, time.subsec_millis());
    format!(
        "{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z"
    )
}

/// A size in the unit that fits: `512K`, `34.1M`, `1.2G`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn size(bytes: u64) -> String {
    let kilo = bytes as f64 / 1024.0;
    let (value, unit) = if kilo < 1024.0 {
        (kilo, "K")
    } else if kilo < 1024.0 * 1024.0 {
        (kilo / 1024.0, "M")
    } else {
        (kilo / 1024.0 / 1024.0, "G")
    };
    if value < 100.0 && unit != "K" {
        format!("{value:.1}{unit}")
    } else {
        format!("{value:.0}{unit}")
    }
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

/// The workers that are not ready; `None` if all are.
pub fn others(workers: &Counts) -> Option<String> {
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
    fn sizes_have_three_digits() {
        let table = [
            (0, "0K"),
            (512 << 10, "512K"),
            (35_756_441, "34.1M"),
            (350 << 20, "350M"),
            (1_288_490_189, "1.2G"),
        ];
        for (bytes, expected) in table {
            assert_eq!(size(bytes), expected, "{bytes}");
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
