//! The grammar of sizes of memory, and of numbers and percentages of workers.

use super::faults::{Wrong, quote};
use super::grammar::number;
use crate::policy::{self, Bytes, LEAST_MEMORY, MAX_INSTANCES, Share};

const SIZES: &str = "a whole number with a unit, such as 300Mi, 1Gi, 300M or 1G, at least 1Mi, or a percentage of \
     a worker's share of the memory limit, such as 80%";

/// Units and their sizes in bytes, as in Kubernetes.
const UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("K", 1000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
];

/// RPM_MAX_MEMORY, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Most {
    /// A size for each worker.
    Size(Bytes),
    /// A percentage of the memory limit divided by the number of workers.
    Percent(u16),
}

/// Parses RPM_MAX_MEMORY.
pub(super) fn most(text: &str) -> Result<Most, Wrong> {
    let text = text.trim();
    match text.strip_suffix('%') {
        Some(digits) => percent(digits, 100)
            .map(Most::Percent)
            .map_err(|what| Wrong::new(what, SIZES)),
        None => size(text).map(Most::Size),
    }
}

fn size(text: &str) -> Result<Bytes, Wrong> {
    let size = amount(text).and_then(|(bytes, has_unit)| match at_least(bytes) {
        Err(what) if !has_unit => Err(format!("{what}; the unit is missing")),
        checked => checked.map_err(str::to_owned),
    });
    size.map_err(|what| Wrong::new(what, SIZES))
}

/// A size from `low` to `high`, both included; `None` is no upper bound.
pub(super) fn between(text: &str, low: Bytes, high: Option<Bytes>) -> Result<Bytes, Wrong> {
    let bounds = match high {
        Some(high) => format!("from {low} to {high}"),
        None => format!("at least {low}"),
    };
    let checked = amount(text.trim()).and_then(|(bytes, has_unit)| {
        if bytes < low {
            let hint = if has_unit {
                ""
            } else {
                "; the unit is missing"
            };
            Err(format!("is below {low}{hint}"))
        } else if let Some(high) = high.filter(|high| bytes > *high) {
            Err(format!("is above {high}"))
        } else {
            Ok(bytes)
        }
    });
    checked.map_err(|what| {
        let accepted = format!("a whole number with a unit, such as 512Ki, 10Mi or 1G, {bounds}");
        Wrong::new(what, accepted)
    })
}

/// The number of bytes, and whether a unit was given.
fn amount(text: &str) -> Result<(Bytes, bool), String> {
    let wrong = |what: &str| Err(what.to_owned());
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return wrong(match unit.as_bytes().first() {
            None => "is blank",
            Some(b'-') => "is negative",
            Some(_) => "does not begin with a number",
        });
    }
    if unit.starts_with(['.', ',']) {
        return wrong("has a fraction");
    }
    let Some((_, factor)) = UNITS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(unit))
    else {
        return wrong(&format!("has the unknown unit {}", quote(unit)));
    };
    let bytes = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*factor));
    match bytes {
        None => wrong("is more than any machine has"),
        Some(bytes) => Ok((Bytes(bytes), !unit.is_empty())),
    }
}

/// A percentage of the share of one worker as a size, and how it was calculated.
pub(super) fn share_of_limit(
    percent: u16,
    limit: Option<u64>,
    workers: u16,
) -> Result<(Bytes, String), Wrong> {
    let Some(limit) = limit else {
        let what = "is a part of the memory limit, and there is none that can be seen";
        return Err(Wrong::new(
            what,
            "a size such as 300Mi, or a container with a memory limit",
        ));
    };
    let (bytes, how) = policy::share_of_limit(percent, limit, workers);
    match at_least(bytes) {
        Ok(bytes) => Ok((bytes, how)),
        Err(what) => Err(Wrong::new(
            format!("{what}: {how} is {bytes}"),
            "a higher percentage, fewer workers, or a higher memory limit",
        )),
    }
}

/// A smaller number probably lacks its unit.
fn at_least(bytes: Bytes) -> Result<Bytes, &'static str> {
    if bytes < LEAST_MEMORY {
        Err("is less than any program needs")
    } else {
        Ok(bytes)
    }
}

/// RPM_RELOAD_SURGE: a number up to 512, or a percentage up to 1000.
pub(super) fn surge(text: &str) -> Result<Share, Wrong> {
    share(text, 1000)
}

/// RPM_RELOAD_UNAVAILABLE: a number up to 512, or a percentage up to 100.
pub(super) fn unavailable(text: &str) -> Result<Share, Wrong> {
    share(text, 100)
}

fn share(text: &str, most: u16) -> Result<Share, Wrong> {
    let accepted = format!(
        "a whole number from 0 to {MAX_INSTANCES}, or a percentage of RPM_INSTANCES from 0% to {most}%"
    );
    let text = text.trim();
    let parsed = match text.strip_suffix('%') {
        Some(digits) => percent(digits, most).map(Share::Percent),
        None => whole(text, MAX_INSTANCES).map(Share::Number),
    };
    parsed.map_err(|what| Wrong::new(what, accepted))
}

/// The number before a `%`.
fn percent(digits: &str, most: u16) -> Result<u16, String> {
    let digits = digits.trim_end();
    if digits.contains(['.', ',']) {
        return Err("has a fraction".to_owned());
    }
    whole(digits, most).map_err(|what| match what.strip_prefix("is above ") {
        Some(bound) => format!("is above {bound}%"),
        None => what,
    })
}

fn whole(text: &str, most: u16) -> Result<u16, String> {
    let value = number(text, 0, u32::from(most)).map_err(|wrong| wrong.what)?;
    u16::try_from(value).map_err(|_| format!("is above {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let good = [
            ("300Mi", 300 << 20),
            ("300M", 300_000_000),
            (" 1G ", 1_000_000_000),
            ("1gi", 1 << 30),
            ("2T", 2_000_000_000_000),
            ("1Ti", 1 << 40),
            ("2048Ki", 2 << 20),
            ("2000k", 2_000_000),
            ("1048576", 1 << 20),
        ];
        for (text, bytes) in good {
            assert_eq!(most(text), Ok(Most::Size(Bytes(bytes))), "{text}");
        }
        assert_eq!(most("80%"), Ok(Most::Percent(80)));
        assert_eq!(most(" 100 % "), Ok(Most::Percent(100)));
        let bad = [
            ("", "is blank"),
            ("-1G", "is negative"),
            ("Mi", "does not begin with a number"),
            ("1.5Gi", "has a fraction"),
            ("1,5G", "has a fraction"),
            ("300MB", "has the unknown unit \"MB\""),
            ("300 Mi", "has the unknown unit \" Mi\""),
            ("0", "is less than any program needs; the unit is missing"),
            ("300", "is less than any program needs; the unit is missing"),
            ("1023Ki", "is less than any program needs"),
            ("0Gi", "is less than any program needs"),
            ("99999999999Ti", "is more than any machine has"),
            ("99999999999999999999", "is more than any machine has"),
            ("101%", "is above 100%"),
            ("8.5%", "has a fraction"),
            ("-5%", "is negative"),
            ("%", "is not a whole number"),
            ("50%%", "is not a whole number"),
        ];
        for (text, complaint) in bad {
            assert_eq!(most(text).unwrap_err().what, complaint, "{text}");
        }
    }

    #[test]
    fn sizes_between_bounds() {
        let (low, high) = (Bytes(1 << 10), Bytes(1 << 20));
        for (text, bytes) in [(" 1Ki ", 1 << 10), ("1024", 1 << 10), ("1Mi", 1 << 20)] {
            assert_eq!(between(text, low, Some(high)), Ok(Bytes(bytes)), "{text}");
        }
        assert_eq!(between("1Ti", low, None), Ok(Bytes(1 << 40)));
        let bad = [
            ("10", "is below 1Ki; the unit is missing"),
            ("1K", "is below 1Ki"),
            ("1025Ki", "is above 1Mi"),
            ("1MB", "has the unknown unit \"MB\""),
            ("", "is blank"),
        ];
        for (text, complaint) in bad {
            let wrong = between(text, low, Some(high)).unwrap_err();
            assert_eq!(wrong.what, complaint, "{text}");
            assert!(wrong.accepted.ends_with("from 1Ki to 1Mi"), "{text}");
        }
        let open = between("1", low, None).unwrap_err();
        assert!(open.accepted.ends_with("at least 1Ki"));
    }

    #[test]
    fn a_share_of_the_limit_needs_one() {
        assert!(share_of_limit(80, None, 4).is_err());
        let (bytes, how) = share_of_limit(80, Some(1 << 30), 4).unwrap();
        assert_eq!(bytes, Bytes(209_715 << 10));
        assert_eq!(how, "80% of memory limit 1Gi for 4 workers");
        assert_eq!(
            share_of_limit(100, Some(u64::MAX), 1).unwrap().0,
            Bytes(!1023)
        );
        assert_eq!(
            share_of_limit(1, Some(64 << 20), 4).unwrap_err().what,
            "is less than any program needs: 1% of memory limit 64Mi for 4 workers is 163Ki"
        );
    }

    #[test]
    fn shares_of_the_workers() {
        assert_eq!(surge("0"), Ok(Share::Number(0)));
        assert_eq!(surge(" 512 "), Ok(Share::Number(512)));
        assert_eq!(surge("1000%"), Ok(Share::Percent(1000)));
        assert_eq!(unavailable("25 %"), Ok(Share::Percent(25)));
        let bad = [
            (surge("513"), "is above 512"),
            (surge("1001%"), "is above 1000%"),
            (surge("-1"), "is negative"),
            (surge("1.5"), "is not a whole number"),
            (surge("half"), "is not a whole number"),
            (unavailable("101%"), "is above 100%"),
            (unavailable("2.5%"), "has a fraction"),
            (unavailable("%"), "is not a whole number"),
        ];
        for (result, complaint) in bad {
            assert_eq!(result.unwrap_err().what, complaint);
        }
    }
}
