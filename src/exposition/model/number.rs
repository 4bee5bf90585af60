//! Numbers in the formats: parsing, checking, writing.

use std::fmt::{self, Write};

/// Parses a decimal number, `NaN`, `+Inf` or `-Inf`. `None` for anything else, and for a number that is too large.
pub fn parse_number(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let written = || !text.bytes().any(|byte| byte.is_ascii_digit());
    (value.is_finite() || written()).then_some(value)
}

/// Whether the value can be a number of events.
pub(crate) fn is_count(value: f64) -> bool {
    is_amount(value) && value.fract() == 0.0
}

/// Whether a counter can have this value. An infinite value is refused, because the counter would stay infinite.
pub(in crate::exposition) fn is_amount(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// Whether the value is 0 or 1.
pub(in crate::exposition) fn is_flag(value: f64) -> bool {
    is_count(value) && value <= 1.0
}

/// Range of values that are written without an exponent; others would need too many digits.
const PLAIN: std::ops::Range<f64> = 1e-5..1e21;

/// Appends a value with as many digits as are needed to read the same number again.
pub(in crate::exposition) fn write_number(out: &mut Vec<u8>, value: f64) {
    let mut out = Bytes(out);
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
pub(in crate::exposition) fn canonical_number(value: f64) -> String {
    if !value.is_finite() {
        let mut text = Vec::new();
        write_number(&mut text, value);
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

/// Text is written into it.
struct Bytes<'a>(&'a mut Vec<u8>);

impl Write for Bytes<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
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
            write_number(&mut out, number);
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
            assert_eq!(canonical_number(number), text);
        }
    }
}
