//! Figures as people read them.

use std::time::Duration;

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
