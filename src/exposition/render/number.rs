//! Formats numbers for a page.

use std::io::Write;

/// Range of values that are written without an exponent; others would need too many digits.
const PLAIN: std::ops::Range<f64> = 1e-5..1e21;

/// Appends a value with as many digits as are needed to read the same number again.
pub(super) fn value(out: &mut Vec<u8>, value: f64) {
    // Writing to memory does not fail.
    let _ = match (value, value.abs()) {
        (_, size) if size == 0.0 || PLAIN.contains(&size) => write!(out, "{value}"),
        (_, size) if size.is_finite() => write!(out, "{value:e}"),
        (f64::INFINITY, _) => write!(out, "+Inf"),
        (f64::NEG_INFINITY, _) => write!(out, "-Inf"),
        _ => write!(out, "NaN"),
    };
}

/// Formats a bound or a quantile, which is part of the identity of a series. Uses the canonical form of OpenMetrics, to
/// which Prometheus 3 converts every other form.
pub(super) fn canonical(value: f64) -> String {
    if !value.is_finite() {
        let mut text = Vec::new();
        self::value(&mut text, value);
        return String::from_utf8(text).unwrap_or_default();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        let mut plain = value.to_string();
        if !plain.contains('.') {
            plain += ".0";
        }
        plain
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_what_they_were() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.1, "0.1"),
            (268_435_456.0, "268435456"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (1e20, "100000000000000000000"),
            (1e21, "1e21"),
            (1e-5, "0.00001"),
            (1e-6, "1e-6"),
            (f64::MAX, "1.7976931348623157e308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            let mut out = Vec::new();
            value(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn bounds_are_spelled_as_openmetrics_says() {
        for (number, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (-1.0, "-1.0"),
            (0.005, "0.005"),
            (2.5, "2.5"),
            (10.0, "10.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e-10, "1e-10"),
            (100_000.0, "100000.0"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (1e10, "1e+10"),
            (1e100, "1e+100"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(canonical(number), text);
        }
    }
}
