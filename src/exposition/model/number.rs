//! Numbers in the formats.

/// Parses a decimal number, `NaN`, `+Inf` or `-Inf`. `None` for anything else, and for a number that is too large.
pub fn number(text: &str) -> Option<f64> {
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
