//! A page as lines in either format, parsed without code of the runtime.

use std::collections::BTreeMap;

/// Its series, as written.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Counters, and everything that belongs to histograms and summaries.
    pub counted: BTreeMap<String, f64>,
    /// Everything else.
    pub other: BTreeMap<String, f64>,
}

impl Page {
    #[track_caller]
    pub fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut counts = false;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let kind = rest.rsplit(' ').next().unwrap();
                counts = ["counter", "histogram", "summary"].contains(&kind);
            }
            if line.starts_with('#') {
                continue;
            }
            // No label value looks like the begin of an exemplar.
            let sample = line.split(" # {").next().unwrap();
            let (series, value) = sample.rsplit_once(' ').unwrap();
            let into = if counts {
                &mut page.counted
            } else {
                &mut page.other
            };
            let before = into.insert(series.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "twice: {line}");
        }
        page
    }

    /// All series.
    pub fn len(&self) -> usize {
        self.counted.len() + self.other.len()
    }

    /// A count that must exist.
    #[track_caller]
    pub fn count(&self, series: &str) -> u64 {
        let value = self.counted.get(series);
        whole(*value.unwrap_or_else(|| panic!("no {series}: {self:?}")))
    }

    /// Workers whose last answer came in time, and those whose did not.
    pub fn asked(&self) -> [Vec<String>; 2] {
        let of = |wanted: u64| {
            let slots = self.other.iter().filter_map(|(series, value)| {
                let rest = series.strip_prefix("rpm_metrics_worker_scrape_success{worker=\"")?;
                let slot = rest.strip_suffix("\"}")?;
                (whole(*value) == wanted).then(|| slot.to_owned())
            });
            slots.collect()
        };
        [of(1), of(0)]
    }
}

/// A value that is a count.
#[track_caller]
pub fn whole(value: f64) -> u64 {
    let text = format!("{value}");
    let parsed = text.parse();
    parsed.unwrap_or_else(|_| panic!("{text} is no count"))
}

/// Checks that no counter is lower than on an earlier page, and that none of those that `stay` disappears.
#[track_caller]
pub fn never_fall(pages: &[Page], stay: impl Fn(&str) -> bool) {
    let mut known: BTreeMap<&str, f64> = BTreeMap::new();
    for (number, page) in pages.iter().enumerate() {
        for (series, now) in &page.counted {
            let before = known.insert(series, *now).unwrap_or(0.0);
            let grows = *now >= before;
            assert!(
                grows,
                "{series} falls from {before} to {now} on page {number}"
            );
        }
        let mut gone = known
            .keys()
            .filter(|series| !page.counted.contains_key(**series));
        let gone = gone.find(|series| stay(series));
        assert_eq!(gone, None, "vanishes on page {number}");
    }
}
