//! Numbers as the formats write them.

/// A decimal number, `NaN`, `+Inf` or `-Inf`; `None` for what is none, or too large.
pub fn number(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let written = || !text.bytes().any(|byte| byte.is_ascii_digit());
    (value.is_finite() || written()).then_some(value)
}

/// Whether it can be how often something happened.
pub(crate) fn is_count(value: f64) -> bool {
    is_amount(value) && value.fract() == 0.0
}

/// Whether a counter can have this value. None is infinite: it would be so for ever.
pub(super) fn is_amount(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// Whether it is 0 or 1.
pub(super) fn is_flag(value: f64) -> bool {
    is_count(value) && value <= 1.0
}
