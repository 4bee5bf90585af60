use proptest::prelude::*;

use super::Labels;
use crate::exposition::{Format, PageLimits, parse};

fn labels(pairs: &[(&str, &str)]) -> Option<Labels> {
    Labels::new(pairs.iter().copied())
}

#[test]
fn they_are_sorted_and_escaped() {
    let labels = labels(&[("b", "1"), ("a", "x\"y\\z\n"), ("empty", "")]).unwrap();
    assert_eq!(labels.as_str(), "a=\"x\\\"y\\\\z\\n\",b=\"1\"");
    assert_eq!(labels.get("a").unwrap(), "x\"y\\z\n");
    assert_eq!(labels.get("empty"), None);
    assert_eq!(labels.get("x"), None);
    assert_eq!(Labels::default().as_str(), "");
    assert!(Labels::default().is_empty());
}

#[test]
fn names_that_are_none_and_pairs_are_refused() {
    for name in [
        "", "1a", "a-b", "a:b", "__name__", "__x", "a b", "a=\"\"", "é",
    ] {
        assert_eq!(labels(&[(name, "1")]), None, "{name}");
    }
    assert_eq!(labels(&[("a", "1"), ("b", "2"), ("a", "1")]), None);
    for name in ["a", "_a", "A9_", "_"] {
        assert!(labels(&[(name, "1")]).is_some(), "{name}");
    }
}

#[test]
fn one_is_added_replaced_and_taken_away() {
    let all = labels(&[("a", "1"), ("worker", "x")]).unwrap();
    assert_eq!(all.with("m", "2").as_str(), "a=\"1\",m=\"2\",worker=\"x\"");
    assert_eq!(all.with("worker", "3").as_str(), "a=\"1\",worker=\"3\"");
    assert_eq!(all.without("a").as_str(), "worker=\"x\"");
    assert_eq!(all.without("b"), all);
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(pairs in prop::collection::btree_map("[a-zA-Z][a-z0-9_]{0,3}", "[a-c\"\\\\\n,={}é ]{1,6}", 0..6)) {
        let made = Labels::new(pairs.iter()).unwrap();
        let out: Vec<(String, String)> =
            made.iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect();
        prop_assert_eq!(out, pairs.into_iter().collect::<Vec<_>>());
        prop_assert!(!made.as_str().contains('\n'));
        let more = made.with("zz_zz", "1");
        prop_assert_eq!(more.without_or("zz_zz", &made), more.without("zz_zz"));
        prop_assert_eq!(more.without_or("zz_zz", &more), more.without("zz_zz"));
        prop_assert_eq!(&more.without("zz_zz"), &made);
        // Longer than any of the names.
        let again = made.with("zzzzz", "1").without("zzzzz");
        prop_assert_eq!(again, made);
    }

    /// Sorted or not, with an escape, an empty value, a duplicate name, or an extra comma or blank: both ways of
    /// parsing give these labels, or none.
    #[test]
    fn what_is_read_is_what_was_written(
        pairs in prop::collection::vec(("[a-c_]{1,2}", "[a-c\"\\\\\n,={}é ]{0,3}"), 0..4),
        comma in "[,]?",
        blank in "[ ]?",
    ) {
        let written: Vec<String> = pairs
            .iter()
            .map(|(name, value)| {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                format!("{name}=\"{value}\"")
            })
            .collect();
        let comma = if pairs.is_empty() { "" } else { &*comma };
        let line = format!("x{{{}{comma}{blank}}} 1\n", written.join(","));
        let parsed = parse(line.as_bytes(), Format::Text, &PageLimits::default());
        let read = parsed.ok().and_then(|parsed| {
            let family = parsed.page.families.into_iter().next()?;
            Some(family.samples[0].labels.clone())
        });
        prop_assert_eq!(read, Labels::new(pairs), "{}", line);
    }
}
