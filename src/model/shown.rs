//! Figures as people read them.

use std::time::Duration;

/// Seconds, rounded down to whole milliseconds, so that few digits are shown.
pub fn seconds(time: Duration) -> f64 {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    // A duration adds its parts, and 3.47 would be 3.4699999999999998.
    (Duration::from_millis(milliseconds).as_secs_f64() * 1000.0).round() / 1000.0
}

/// A duration with two units at most: `850ms`, `12s`, `3m5s`, `2h10m`, `4d3h`.
pub fn duration(time: Duration) -> String {
    let whole = time.as_secs();
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    match whole {
        0 => format!("{}ms", time.as_millis()),
        1..60 => format!("{whole}s"),
        60..3600 => format!("{minutes}m{}s", whole % 60),
        3600..86_400 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_with_few_digits() {
        let shown = |milliseconds| seconds(Duration::from_millis(milliseconds)).to_string();
        assert_eq!(
            [shown(3_470), shown(1), shown(9_000)],
            ["3.47", "0.001", "9"]
        );
        assert_eq!(
            seconds(Duration::from_micros(1_234_567)).to_string(),
            "1.234"
        );
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let table = [
            (0, "0ms"),
            (850, "850ms"),
            (12_900, "12s"),
            (185_000, "3m5s"),
            (7_800_000, "2h10m"),
            (356_400_000, "4d3h"),
        ];
        for (milliseconds, expected) in table {
            assert_eq!(duration(Duration::from_millis(milliseconds)), expected);
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
}
