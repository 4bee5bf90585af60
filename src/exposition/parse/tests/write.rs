//! A page that is parsed, written and parsed again is the same.

use std::fmt::Write;

use proptest::prelude::*;

use super::{PageLimits, parse};
use crate::exposition::{Dropped, Format, Page};

/// A minimal writer of OpenMetrics.
fn write(page: &Page) -> String {
    let mut out = String::new();
    for family in &page.families {
        let (name, kind) = (&family.name, format!("{:?}", family.kind).to_lowercase());
        writeln!(out, "# TYPE {name} {kind}").unwrap();
        for sample in &family.samples {
            let (suffix, labels, value) =
                (sample.suffix.text(), sample.labels.as_str(), sample.value);
            writeln!(out, "{name}{suffix}{{{labels}}} {value}").unwrap();
        }
    }
    out + "# EOF\n"
}

/// A page of lines that are related to each other.
fn page() -> impl Strategy<Value = String> {
    let kind = "(counter|gauge|histogram|summary|info|stateset|unknown|gaugehistogram)";
    let name = "[ab](_total|_bucket|_sum|_count|_info|_gcount|_gsum|_created)?";
    let value = r#"(0|1|1\.0|\+Inf|\\n|\\\\|\\"| )"#;
    let labels = format!("(\\{{((le|quantile|a)=\"{value}\",?){{0,2}}\\}})?");
    let line = format!("(# TYPE [ab] {kind}|{name}{labels} (0|1|2|NaN))\n");
    proptest::string::string_regex(&format!("({line}){{0,30}}# EOF\n")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn it_is_the_same(page in page()) {
        let limits = PageLimits::default();
        if let Ok(first) = parse(page.as_bytes(), Format::OpenMetrics, &limits) {
            // Go has families with the same name; this writer writes them as Go does.
            let written = write(&first.page);
            let again = parse(written.as_bytes(), Format::OpenMetrics, &limits).unwrap();
            prop_assert_eq!(again.dropped, Dropped::default(), "{}", written);
            prop_assert_eq!(format!("{:?}", again.page), format!("{:?}", first.page));
        }
    }
}
