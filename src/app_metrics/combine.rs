//! The page for a scrape: the runtime's families and the workers'.

use crate::exposition::{Family, Page};

/// Prefix of the metrics that every client library exports for its own process.
const PROCESS: &str = "process_";

/// Merges both, sorted by name. `process_*` always means the workers here, even if they have no such metrics: a name
/// whose meaning changes would be worse than none. The workers' names never have the prefix of the runtime's own.
pub(super) fn combine(own: Page, workers: Vec<Family>) -> Page {
    let own = own.families.into_iter();
    let mut families: Vec<Family> = own
        .filter(|family| !family.name.starts_with(PROCESS))
        .collect();
    families.extend(workers);
    families.sort_by(|one, other| one.text_name().cmp(&other.text_name()));
    Page { families }
}

/// The last complete page with a new part of the runtime.
pub(super) fn refreshed(own: Page, before: &Page) -> Page {
    let is_there = |family: &Family| {
        let name = &family.name;
        own.families.iter().any(|known| known.name == *name) && !name.starts_with(PROCESS)
    };
    let workers = before.families.iter();
    let workers = workers.filter(|family| !is_there(family)).cloned();
    let workers = workers.collect();
    combine(own, workers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::{Format, PageLimits, parse};

    fn page(text: &str) -> Page {
        parse(text.as_bytes(), Format::Text, &PageLimits::default())
            .unwrap()
            .page
    }

    #[test]
    fn process_metrics_are_those_of_the_workers() {
        let own = page("rpm_ready 1\nprocess_open_fds 9\nprocess_threads 3\n");
        let workers = page("a 1\nprocess_open_fds{worker=\"0\"} 20\nz 2\n");
        let both = combine(own, workers.families);
        let names: Vec<&str> = both.families.iter().map(|family| &*family.name).collect();
        assert_eq!(names, ["a", "process_open_fds", "rpm_ready", "z"]);
        let value = both.families[1].samples[0].value;
        assert!((value - 20.0).abs() < 0.1);
    }

    #[test]
    fn an_old_page_gives_what_the_runtime_alone_does_not_know() {
        let before =
            page("app 1\nrpm_ready 0\nrpm_metrics_series 7\nprocess_threads{worker=\"0\"} 9\n");
        let both = refreshed(page("rpm_ready 1\nprocess_threads 3\n"), &before);
        let all: Vec<(&str, f64)> = both
            .families
            .iter()
            .map(|family| (&*family.name, family.samples[0].value))
            .collect();
        assert_eq!(
            all,
            [
                ("app", 1.0),
                ("process_threads", 9.0),
                ("rpm_metrics_series", 7.0),
                ("rpm_ready", 1.0)
            ]
        );
        let none = refreshed(page("rpm_ready 1\nprocess_threads 3\n"), &Page::default());
        assert_eq!(none.families.len(), 1);
    }
}
