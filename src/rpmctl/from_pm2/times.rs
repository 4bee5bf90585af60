//! Times and sizes: pm2's forms, and ours.

use super::app::{App, whole};
use super::value::{Value, number_of};

/// The longest time that a variable takes, in milliseconds.
const LONGEST: u64 = 24 * 60 * 60 * 1000;

/// A time in the form of our variables, with the largest unit that fits. The error ends a sentence that begins with the
/// key.
pub fn time(milliseconds: u64) -> Result<String, String> {
    if milliseconds > LONGEST {
        return Err("is above 24h, the most that is possible here".to_owned());
    }
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let unit = units
        .iter()
        .find(|(size, _)| milliseconds > 0 && milliseconds.is_multiple_of(*size));
    Ok(match unit {
        Some((size, unit)) => format!("{}{unit}", milliseconds / size),
        None => format!("{milliseconds}ms"),
    })
}

/// `min_uptime`: milliseconds, or a text such as `10s`, `5m` or `1h`.
pub fn uptime(app: &mut App<'_>, name: &'static str) -> Option<u64> {
    const WANTED: &str = "milliseconds from 100, or a text such as 10s, 5m or 1h";
    let (written, value) = app.raw(name)?;
    let units = [('h', 3_600_000.0), ('m', 60_000.0), ('s', 1000.0)];
    let found = with_unit(value, &units);
    // pm2 compares numbers alone with its smallest value.
    let is_number = !matches!(value, Value::Text(text) if number_of(text).is_none());
    let found = found.filter(|found| !is_number || *found >= 100);
    if found.is_none() {
        app.refused(&written, value, WANTED);
    }
    found
}

/// `max_memory_restart`: bytes, or a text such as `300M`. The units are powers of 1024.
pub fn size(app: &mut App<'_>, name: &'static str) -> Option<u64> {
    const WANTED: &str = "bytes, or a text such as 200K, 300M or 1G";
    let (written, value) = app.raw(name)?;
    let units = [('G', 1_073_741_824.0), ('M', 1_048_576.0), ('K', 1024.0)];
    let found = with_unit(value, &units);
    if found.is_none() {
        app.refused(&written, value, WANTED);
    }
    found
}

/// A number, or whole digits with one of these units.
fn with_unit(value: &Value, units: &[(char, f64)]) -> Option<u64> {
    let number = match value {
        Value::Number(number) => *number,
        Value::Text(text) => number_of(text).or_else(|| {
            let unit = units.iter().find(|(unit, _)| text.ends_with(*unit))?;
            let digits = text.strip_suffix(unit.0)?;
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            Some(number_of(digits).filter(|_| plain)? * unit.1)
        })?,
        _ => return None,
    };
    whole(number)
}

/// A number of bytes in the form of our variables.
pub fn bytes(bytes: u64) -> String {
    let units = [(30, "Gi"), (20, "Mi"), (10, "Ki")];
    let unit = units
        .iter()
        .find(|(power, _)| bytes > 0 && bytes.is_multiple_of(1 << power));
    match unit {
        Some((power, unit)) => format!("{}{unit}", bytes >> power),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_get_the_largest_unit_that_fits() {
        for (milliseconds, text) in [
            (0, "0ms"),
            (1, "1ms"),
            (1500, "1500ms"),
            (10_000, "10s"),
            (60_000, "1m"),
            (90_000, "90s"),
            (86_400_000, "24h"),
        ] {
            assert_eq!(time(milliseconds).as_deref(), Ok(text));
        }
        assert!(time(86_400_001).is_err());
    }

    #[test]
    fn units_are_those_of_pm2() {
        let read = |text: &str| {
            let units = [('G', 1_073_741_824.0), ('M', 1_048_576.0), ('K', 1024.0)];
            with_unit(&Value::Text(text.to_owned()), &units).map(bytes)
        };
        for (text, size) in [
            ("300M", Some("300Mi")),
            ("1G", Some("1Gi")),
            ("1024M", Some("1Gi")),
            ("200K", Some("200Ki")),
            ("314572800", Some("300Mi")),
            ("1000001", Some("1000001")),
            ("300MB", None),
            ("1.5G", None),
            ("300m", None),
            ("G", None),
            ("-1", None),
        ] {
            assert_eq!(read(text).as_deref(), size, "{text}");
        }
    }
}
