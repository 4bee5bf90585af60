//! The grammar of RPM_APP_METRICS_GAUGES.

use glob::Pattern;

use crate::config::faults::{Wrong, quote};
use crate::config::grammar::{list, words};
use crate::config::nearest::nearest;
use crate::model::{Aggregation, Word as _};

/// Most entries: each gauge of each page is compared with all of them.
const MOST: usize = 64;

/// Prefix of the runtime's own metrics; metrics of workers may not have it.
const OWN: &str = "rpm_";

/// Other names for the same aggregations: those of prom-client and prometheus_client, and likely guesses.
const ELSEWHERE: [(&str, Aggregation); 7] = [
    ("average", Aggregation::Avg),
    ("mean", Aggregation::Avg),
    ("omit", Aggregation::Drop),
    ("mostrecent", Aggregation::Last),
    ("livemostrecent", Aggregation::Last),
    ("all", Aggregation::Worker),
    ("liveall", Aggregation::Worker),
];

/// Patterns and words, in the order in which they are compared with a name.
pub(super) fn gauges(text: &str) -> Result<Vec<(String, Aggregation)>, Wrong> {
    let mut gauges: Vec<(String, Aggregation)> = Vec::new();
    let mut earlier: Vec<Pattern> = Vec::new();
    let mut complaints = Vec::new();
    for part in list(text) {
        match entry(part) {
            Err(what) => complaints.push(format!("{} {what}", quote(part))),
            Ok((name, pattern, aggregation)) => {
                complaints.extend(useless(name, &earlier));
                earlier.push(pattern);
                gauges.push((name.to_owned(), aggregation));
            }
        }
    }
    if !complaints.is_empty() {
        return Err(wrong(complaints.join(", ")));
    }
    match gauges.len() {
        0 => Err(wrong("names no metric")),
        1..=MOST => Ok(gauges),
        more => Err(wrong(format!("has {more} entries, more than {MOST}"))),
    }
}

fn wrong(what: impl Into<String>) -> Wrong {
    let words = words::<Aggregation>();
    let accepted = format!(
        "PATTERN=WORD, separated by commas, such as queue_*=sum,cache_ratio=avg; * stands for any letters, the first \
         that matches counts; words are {words}"
    );
    Wrong::new(what, accepted)
}

fn entry(text: &str) -> Result<(&str, Pattern, Aggregation), String> {
    let (name, word) = text
        .split_once('=')
        .ok_or("has no = and no word behind it")?;
    let (name, word) = (name.trim(), word.trim());
    let pattern = pattern(name)?;
    let aggregation = aggregation(word)?;
    Ok((name, pattern, aggregation))
}

/// Accepts the patterns that the merger accepts, and says why not. A test compares the two.
fn pattern(text: &str) -> Result<Pattern, String> {
    let odd = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '*'));
    if text.is_empty() {
        return Err("names no metric".to_owned());
    }
    if let Some(c) = text.chars().find(odd) {
        let c = quote(c.to_string());
        return Err(format!("holds {c}, which no metric has in its name"));
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("begins with a digit, and no metric does".to_owned());
    }
    if text.contains("**") {
        return Err("has two * side by side, and one is enough".to_owned());
    }
    if text.starts_with(OWN) {
        return Err(format!(
            "begins with {OWN}, as the runtime's own metrics do, which are not merged"
        ));
    }
    Pattern::new(text).map_err(|error| format!("is not a pattern: {}", error.msg))
}

fn aggregation(word: &str) -> Result<Aggregation, String> {
    if word.is_empty() {
        return Err("has no word behind =".to_owned());
    }
    if let Some(aggregation) = Aggregation::from_word(word) {
        return Ok(aggregation);
    }
    let other = ELSEWHERE
        .iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(word));
    let hint = other
        .map(|(_, known)| known.word())
        .or_else(|| nearest(word, Aggregation::ALL.iter().map(|known| known.word())))
        .map_or_else(String::new, |known| format!(" ({known}?)"));
    Err(format!("has the unknown word {}{hint}", quote(word)))
}

/// The reason if an entry would never apply. If an earlier pattern matches the text of this one, with its stars as
/// letters, it also matches every name that this one matches.
fn useless(name: &str, earlier: &[Pattern]) -> Option<String> {
    let before = earlier.iter().find(|pattern| pattern.matches(name))?;
    let before = before.as_str();
    Some(if before == name {
        format!("{} stands there twice", quote(name))
    } else {
        let (name, before) = (quote(name), quote(before));
        format!("{name} never counts, since {before} stands before it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_in_their_order() {
        for text in [
            "*=sum",
            "a=sum,b=max,c=min,d=last,e=avg,f=worker,g=drop",
            "queue_*=sum,*_ratio=avg,a:b*c=max,_9=min,*1=last",
            "cache_bytes=avg,*_bytes=max,*=sum",
            "ab*=sum,a*b=sum,a*=sum",
        ] {
            assert_eq!(
                (super::super::APP_METRICS_GAUGES.show)(&gauges(text).unwrap()),
                text
            );
        }
        let read = gauges(" a* = SUM , ,b=Avg,").unwrap();
        let expected = [("a*", Aggregation::Sum), ("b", Aggregation::Avg)];
        assert_eq!(read, expected.map(|(name, word)| (name.to_owned(), word)));
        let count = |count: u32| {
            let entries: Vec<String> = (0..count).map(|at| format!("a{at}=sum")).collect();
            gauges(&entries.join(","))
        };
        assert_eq!(count(64).map(|all| all.len()), Ok(64));
        assert_eq!(count(65).unwrap_err().what, "has 65 entries, more than 64");
    }

    #[test]
    fn entries_that_cannot_be_meant() {
        let table = [
            (",", "names no metric"),
            ("queue", "\"queue\" has no = and no word behind it"),
            ("queue=", "\"queue=\" has no word behind ="),
            ("=sum", "\"=sum\" names no metric"),
            (
                "queue=summ",
                "\"queue=summ\" has the unknown word \"summ\" (sum?)",
            ),
            (
                "a=Average,b=omit",
                "\"a=Average\" has the unknown word \"Average\" (avg?), \
                 \"b=omit\" has the unknown word \"omit\" (drop?)",
            ),
            (
                "queue=median",
                "\"queue=median\" has the unknown word \"median\"",
            ),
            (
                "a=sum=max",
                "\"a=sum=max\" has the unknown word \"sum=max\"",
            ),
            (
                "http requests=sum",
                "\"http requests=sum\" holds \" \", which no metric has in its name",
            ),
            (
                "que?e=sum",
                "\"que?e=sum\" holds \"?\", which no metric has in its name",
            ),
            (
                "gr\u{f6}\u{df}e=sum",
                "\"gr\u{f6}\u{df}e=sum\" holds \"\u{f6}\", which no metric has in its name",
            ),
            (
                "5xx=sum",
                "\"5xx=sum\" begins with a digit, and no metric does",
            ),
            (
                "a**=sum",
                "\"a**=sum\" has two * side by side, and one is enough",
            ),
            (
                "rpm_worker_*=sum",
                "\"rpm_worker_*=sum\" begins with rpm_, as the runtime's own metrics do, which are not merged",
            ),
            ("a=sum,b=max,a=sum", "\"a\" stands there twice"),
            ("*=sum,*=max", "\"*\" stands there twice"),
            (
                "*=worker,queue=sum",
                "\"queue\" never counts, since \"*\" stands before it",
            ),
            (
                "a*c=worker,ab*bc=sum",
                "\"ab*bc\" never counts, since \"a*c\" stands before it",
            ),
        ];
        for (text, complaint) in table {
            assert_eq!(gauges(text).unwrap_err().what, complaint, "{text}");
        }
    }
}
