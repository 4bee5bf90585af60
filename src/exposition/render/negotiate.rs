//! Content negotiation: the format by `Accept`, gzip by `Accept-Encoding` (RFC 9110, section 12.5).

use crate::exposition::Format;

/// The format for this `Accept` header. OpenMetrics must be requested by name and version, and with at least the same
/// quality as text. If nothing matches, the answer is text, because a page that may be readable is better than none.
pub fn negotiate(accept: Option<&str>) -> Format {
    let mut open_metrics: Option<Preference> = None;
    let mut text: Option<Preference> = None;
    for (place, range) in ranges(accept.unwrap_or_default()).enumerate() {
        let (slot, exactness) = match range.name.as_str() {
            "application/openmetrics-text" if matches!(range.version, None | Some("1.0.0")) => {
                (&mut open_metrics, 2)
            }
            "text/plain" if matches!(range.version, None | Some("0.0.4")) => (&mut text, 2),
            "text/*" => (&mut text, 1),
            "*/*" => (&mut text, 0),
            _ => continue,
        };
        // For each format the most exact range counts, even if a wider range has a higher quality.
        let better = slot.is_none_or(|known| {
            exactness > known.exactness
                || exactness == known.exactness && range.quality > known.quality
        });
        if better {
            *slot = Some(Preference {
                quality: range.quality,
                exactness,
                place,
            });
        }
    }
    let wins = open_metrics.is_some_and(|preference| {
        let over = text.is_none_or(|text| {
            let first = text.exactness < preference.exactness || preference.place < text.place;
            preference.quality > text.quality || preference.quality >= text.quality && first
        });
        preference.quality > 0.0 && over
    });
    if wins {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// Whether this `Accept-Encoding` header names gzip and does not refuse it.
pub fn takes_gzip(accept_encoding: Option<&str>) -> bool {
    ranges(accept_encoding.unwrap_or_default())
        .any(|range| matches!(range.name.as_str(), "gzip" | "x-gzip") && range.quality > 0.0)
}

/// How much a format is wanted, and by which range.
#[derive(Clone, Copy)]
struct Preference {
    quality: f32,
    exactness: u8,
    place: usize,
}

struct Range<'a> {
    /// The name in lower case.
    name: String,
    version: Option<&'a str>,
    /// From 0 (never) to 1.
    quality: f32,
}

/// The members of such a header. Members whose quality is not a number from 0 to 1 are left out.
fn ranges(header: &str) -> impl Iterator<Item = Range<'_>> {
    header.split(',').filter_map(|member| {
        let mut parts = member.split(';');
        let name = parts.next()?.trim().to_ascii_lowercase();
        let mut range = Range {
            name,
            version: None,
            quality: 1.0,
        };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match key.trim() {
                "q" | "Q" => {
                    let quality = value.parse().ok();
                    range.quality = quality.filter(|quality| (0.0..=1.0).contains(quality))?;
                }
                key if key.eq_ignore_ascii_case("version") => range.version = Some(value),
                _ => {}
            }
        }
        Some(range)
    })
}

#[cfg(test)]
mod tests;
