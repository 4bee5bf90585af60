//! Renders a page.

use crate::exposition::model::{canonical_number, write_number};
use crate::exposition::{Exemplar, Family, Format, Labels, MetricType, Sample, Suffix};

use super::head::{self, Head};

/// Appends `families` to `out` in their order. Returns the number of families that were left out because their names
/// collide in OpenMetrics; always 0 for text 0.0.4.
pub fn render(families: &[Family], format: Format, out: &mut Vec<u8>) -> usize {
    match format {
        Format::Text => {
            for family in families {
                text(family, out);
            }
            0
        }
        Format::OpenMetrics => {
            let heads = head::open_metrics(families);
            for (family, head) in families.iter().zip(&heads) {
                if let Some(head) = head {
                    open_metrics(family, head, out);
                }
            }
            put(out, &["# EOF\n"]);
            heads.iter().filter(|head| head.is_none()).count()
        }
    }
}

fn text(family: &Family, out: &mut Vec<u8>) {
    // In text 0.0.4 these two are not part of a histogram, so each becomes a family of its own.
    let apart = |suffix| matches!(suffix, Suffix::Gcount | Suffix::Gsum);
    let announce = |head: &Head<'_>, out: &mut Vec<u8>| {
        if let Some(help) = &family.help {
            put(out, &["# HELP ", &head.name, " "]);
            escape(out, help, b"\\\n");
            put(out, &["\n"]);
        }
        let word = head.kind.word(Format::Text);
        put(out, &["# TYPE ", &head.name, " ", word, "\n"]);
    };
    announce(&head::text(family), out);
    for sample in &family.samples {
        // The format cannot express when a series began.
        if !apart(sample.suffix) && sample.suffix != Suffix::Created {
            line(family, sample, out);
            put(out, &["\n"]);
        }
    }
    if family.kind != MetricType::GaugeHistogram {
        return;
    }
    for suffix in [Suffix::Gcount, Suffix::Gsum] {
        let head = Head {
            name: format!("{}{}", family.name, suffix.text()).into(),
            kind: MetricType::Gauge,
        };
        let mut samples = family.samples.iter().filter(|s| s.suffix == suffix);
        if let Some(first) = samples.next() {
            announce(&head, out);
            for sample in std::iter::once(first).chain(samples) {
                line(family, sample, out);
                put(out, &["\n"]);
            }
        }
    }
}

fn open_metrics(family: &Family, head: &Head<'_>, out: &mut Vec<u8>) {
    let word = head.kind.word(Format::OpenMetrics);
    put(out, &["# TYPE ", &head.name, " ", word, "\n"]);
    if let Some(unit) = family.unit.as_deref().filter(|unit| head.takes_unit(unit)) {
        put(out, &["# UNIT ", &head.name, " ", unit, "\n"]);
    }
    if let Some(help) = &family.help {
        put(out, &["# HELP ", &head.name, " "]);
        escape(out, help, b"\\\n\"");
        put(out, &["\n"]);
    }
    for sample in &family.samples {
        // A family that is written under the name of its samples has no other samples.
        if sample.suffix == Suffix::Created
            && matches!(head.kind, MetricType::Unknown | MetricType::Gauge)
        {
            continue;
        }
        line(family, sample, out);
        let exemplar = sample.exemplar.as_deref();
        if let Some(exemplar) = exemplar.filter(|_| head.takes_exemplars(sample.suffix)) {
            add_exemplar(exemplar, out);
        }
        put(out, &["\n"]);
    }
}

/// Appends one sample, without the line end. It is the same in both formats.
fn line(family: &Family, sample: &Sample, out: &mut Vec<u8>) {
    put(out, &[&family.name, sample.suffix.text()]);
    if !sample.labels.is_empty() {
        put(out, &["{"]);
        match (family.kind, sample.suffix) {
            (_, Suffix::Bucket) => labels_with(&sample.labels, "le=\"", out),
            (MetricType::Summary, Suffix::None) => labels_with(&sample.labels, "quantile=\"", out),
            _ => put(out, &[sample.labels.as_str()]),
        }
        put(out, &["}"]);
    }
    put(out, &[" "]);
    write_number(out, sample.value);
}

/// Appends the labels with the number after `start` in its canonical form. Quotes in values are escaped, so `start`
/// matches only a label name, or the end of a longer label name (which is checked).
fn labels_with(labels: &Labels, start: &str, out: &mut Vec<u8>) {
    let text = labels.as_str();
    let found = text
        .match_indices(start)
        .find(|(at, _)| *at == 0 || text[..*at].ends_with(','));
    let split = found.and_then(|(at, _)| {
        let (before, rest) = text.split_at(at + start.len());
        let (bound, after) = rest.split_at(rest.find('"')?);
        Some((before, bound.parse().ok()?, after))
    });
    match split {
        Some((before, bound, after)) => put(out, &[before, &canonical_number(bound), after]),
        None => put(out, &[text]),
    }
}

fn add_exemplar(exemplar: &Exemplar, out: &mut Vec<u8>) {
    if !exemplar.is_short() {
        return;
    }
    put(out, &[" # {", exemplar.labels.as_str(), "} "]);
    write_number(out, exemplar.value);
    if let Some(time) = exemplar.timestamp {
        put(out, &[" "]);
        write_number(out, time);
    }
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends `text` with a backslash before each byte in `special`; a newline becomes `\n`.
fn escape(out: &mut Vec<u8>, text: &str, special: &[u8]) {
    for byte in text.bytes() {
        if special.contains(&byte) {
            out.push(b'\\');
        }
        out.push(if byte == b'\n' { b'n' } else { byte });
    }
}

#[cfg(test)]
mod tests;
