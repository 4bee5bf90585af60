//! Determines the format of a worker's page.

use crate::exposition::Format;

/// Longest untrusted type to show, characters.
const SHOWN: usize = 64;

/// The format by the Content-Type of an answer. Without a Content-Type, text 0.0.4 is assumed. The error names the
/// actual type.
pub(super) fn format_of(content_type: Option<&str>) -> Result<Format, String> {
    let Some(whole) = content_type else {
        return Ok(Format::Text);
    };
    let kind = whole.split(';').next().unwrap_or_default().trim();
    let is = |known: &str| kind.eq_ignore_ascii_case(known);
    if is("application/openmetrics-text") {
        Ok(Format::OpenMetrics)
    } else if is("text/plain") || kind.is_empty() {
        Ok(Format::Text)
    } else {
        let shown: String = kind.chars().take(SHOWN).collect();
        Err(format!(
            "the answer is {}, not metrics: is it the right path? (RPM_APP_METRICS)",
            shown.escape_debug()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_of_prometheus_are_known() {
        for (sent, expected) in [
            (None, Format::Text),
            (Some(""), Format::Text),
            (Some("text/plain"), Format::Text),
            (
                Some("text/plain; version=0.0.4; charset=utf-8"),
                Format::Text,
            ),
            (Some("Text/Plain;charset=utf-8"), Format::Text),
            (
                Some("application/openmetrics-text; version=1.0.0; charset=utf-8"),
                Format::OpenMetrics,
            ),
            (Some("application/openmetrics-text"), Format::OpenMetrics),
        ] {
            assert_eq!(format_of(sent), Ok(expected), "{sent:?}");
        }
    }

    #[test]
    fn what_is_something_else_is_said() {
        let html = format_of(Some("text/html; charset=utf-8")).unwrap_err();
        assert_eq!(
            html,
            "the answer is text/html, not metrics: is it the right path? (RPM_APP_METRICS)"
        );
        for other in [
            "application/json",
            "text/plainly",
            "application/vnd.google.protobuf",
        ] {
            assert!(format_of(Some(other)).is_err(), "{other}");
        }
        let long = format_of(Some(&"x\n".repeat(500))).unwrap_err();
        assert!(long.len() < 300 && !long.contains('\n'), "{long}");
    }
}
