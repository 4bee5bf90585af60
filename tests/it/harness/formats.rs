//! Parses the output formats of the log.

use std::collections::BTreeMap;

use serde_json::Value;

/// RPM_LOG_FORMAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Raw,
    Prefix,
    Json,
}

/// One log line without its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub time: Option<String>,
    /// The level, if it is one of the runtime's own lines.
    pub own: Option<String>,
    /// Unknown in raw format.
    pub slot: Option<u64>,
    /// Known only in JSON.
    pub stream: Option<String>,
    /// The number of the cut line to which this piece belongs; unknown in prefix format.
    pub piece_of: Option<String>,
    /// A further piece of a cut line.
    pub continued: bool,
    pub text: String,
}

impl Form {
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Prefix => "prefix",
            Self::Json => "json",
        }
    }

    /// Panics if the line does not have this format.
    #[track_caller]
    pub fn entry(self, line: &str) -> Entry {
        match self {
            Self::Raw => raw(line),
            Self::Prefix => prefix(line),
            Self::Json => json(line),
        }
    }

    /// The lines of the workers, joined from their pieces, in the order of arrival.
    ///
    /// The pieces of a line are adjacent within their stream, so prefix format needs workers that use only one stream.
    #[track_caller]
    pub fn written<'a>(self, lines: impl IntoIterator<Item = &'a String>) -> Vec<String> {
        let mut written: Vec<String> = Vec::new();
        let mut last: BTreeMap<(Option<u64>, Option<String>), usize> = BTreeMap::new();
        for line in lines {
            let entry = self.entry(line);
            if entry.own.is_some() {
                continue;
            }
            let key = (entry.slot, entry.stream);
            if entry.continued {
                let at = last.get(&key);
                let at = *at.unwrap_or_else(|| panic!("a piece of nothing: {line:?}"));
                written[at] += &entry.text;
            } else {
                last.insert(key, written.len());
                written.push(entry.text);
            }
        }
        written
    }
}

fn worker(text: &str) -> Entry {
    Entry {
        time: None,
        own: None,
        slot: None,
        stream: None,
        piece_of: None,
        continued: false,
        text: text.to_owned(),
    }
}

fn raw(line: &str) -> Entry {
    match line.strip_prefix("[rpm-runtime] ") {
        None => worker(line),
        Some(own) => {
            let (level, text) = own.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
            Entry {
                own: Some(level.to_owned()),
                ..worker(text)
            }
        }
    }
}

fn prefix(line: &str) -> Entry {
    let first = line.split(' ').next().unwrap_or_default();
    let (time, rest) = if is_time(first) {
        (Some(first.to_owned()), &line[first.len() + 1..])
    } else {
        (None, line)
    };
    let own = raw(rest);
    if own.own.is_some() {
        return Entry { time, ..own };
    }
    let inside = rest
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "));
    let (label, text) = inside.unwrap_or_else(|| panic!("no prefix: {line:?}"));
    let slot = label.rsplit_once(':').map_or("", |(_, slot)| slot);
    let continued = slot.ends_with('+');
    let number = slot.trim_end_matches('+').parse();
    let slot = number.unwrap_or_else(|_| panic!("no slot: {line:?}"));
    Entry {
        time,
        slot: Some(slot),
        continued,
        ..worker(text)
    }
}

fn json(line: &str) -> Entry {
    let value: Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    let word = |key: &str| value[key].as_str().map(str::to_owned);
    let stream = word("stream").unwrap_or_else(|| panic!("no stream: {line:?}"));
    let text = word("message").unwrap_or_default();
    let time = word("time");
    if stream == "runtime" {
        let level = word("level");
        return Entry {
            time,
            own: Some(level.unwrap_or_else(|| panic!("no level: {line:?}"))),
            ..worker(&text)
        };
    }
    let slot = value["worker"].as_u64();
    assert!(slot.is_some(), "no worker: {line:?}");
    let ordinal = value["partial_ordinal"].as_u64();
    Entry {
        time,
        slot,
        stream: Some(stream),
        piece_of: word("partial_id"),
        continued: ordinal.is_some_and(|ordinal| ordinal > 1),
        ..worker(&text)
    }
}

/// Whether it is a time in RFC 3339 with milliseconds, in UTC: `2026-11-22T04:40:12.345Z`.
pub fn is_time(text: &str) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00.000Z";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    };
    text.len() == SHAPE.len() && text.as_bytes().iter().zip(SHAPE).all(fits)
}
