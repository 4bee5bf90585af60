//! The output of --check.

use std::fmt::Write as _;
use std::time::Duration;

use super::admin::MetricsSource;
use super::config::Config;
use super::reader::Line;
use super::show;
use crate::policy::last_scrape_limit;

/// Longest value that takes part in the alignment of the columns.
const WIDEST: usize = 48;

/// One line per setting: name, value, source, and the calculation of the value if it is not obvious.
pub fn table(lines: &[Line]) -> String {
    let width = |text: &str| text.chars().count();
    let names = lines.iter().map(|line| width(line.name)).max().unwrap_or(0);
    let values = lines
        .iter()
        .map(|line| width(&line.value))
        .filter(|width| *width <= WIDEST)
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for line in lines {
        let note = line
            .note
            .as_ref()
            .map_or_else(String::new, |note| format!(" ({note})"));
        // a String takes everything
        let _ = writeln!(
            text,
            "{:<names$}  {:<values$}  {}{note}",
            line.name, line.value, line.source
        );
    }
    text
}

/// Time for the end: SIGKILL, and the last lines of the log.
const END: Duration = Duration::from_secs(5);

/// How long a stop may take in all, and what must be granted for it. `None` in the role of tini, where the program alone
/// decides.
pub fn stop_budget(config: &Config) -> Option<String> {
    if config.one_shot() {
        return None;
    }
    let life = &config.life;
    let drain = life.drain_timeout;
    let drain = if config.shares_ports() {
        drain
    } else {
        Duration::ZERO
    };
    let scrape = match config.admin.app_metrics.source {
        Some(MetricsSource::Path { .. }) if config.shares_ports() => {
            last_scrape_limit(life.stop_timeout)
        }
        _ => None,
    };
    let parts = [
        ("RPM_SHUTDOWN_DELAY", life.shutdown_delay),
        ("RPM_DRAIN_TIMEOUT", drain),
        ("the last scrape", scrape.unwrap_or_default()),
        ("RPM_STOP_TIMEOUT", life.stop_timeout),
    ];
    let sum: Duration = parts.iter().map(|(_, time)| *time).sum();
    let all = sum.saturating_add(END);
    let seconds = all.as_secs() + u64::from(all.subsec_nanos() > 0);
    let mut text = format!("A stop takes at most {seconds}s: ");
    for (name, time) in parts.iter().filter(|(_, time)| !time.is_zero()) {
        let _ = write!(text, "{name} {} + ", show::duration(time)); // a String takes everything
    }
    let _ = write!(
        text,
        "{} for the end. What stops the container must wait as long: terminationGracePeriodSeconds: {seconds} (30 by default), \
         docker stop --time {seconds} (10 by default).",
        show::duration(&END),
    );
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::config::testing::{NEVER, good};

    #[test]
    fn the_budget_of_a_stop_counts_what_applies() {
        let start = |vars: &[(&str, &str)]| {
            let text = stop_budget(&good(vars).config)?;
            let (sum, rest) = text.split_once(" for the end. ").unwrap();
            assert!(rest.contains("terminationGracePeriodSeconds: "), "{rest}");
            Some(sum.to_owned())
        };
        let cases: [(&[(&str, &str)], &str); 4] = [
            (&[], "20s: RPM_DRAIN_TIMEOUT 5s + RPM_STOP_TIMEOUT 10s + 5s"),
            (
                &[
                    ("RPM_SHUTDOWN_DELAY", "1500ms"),
                    ("RPM_APP_METRICS", "/metrics"),
                ],
                "23s: RPM_SHUTDOWN_DELAY 1500ms + RPM_DRAIN_TIMEOUT 5s + the last scrape 1s + RPM_STOP_TIMEOUT 10s + 5s",
            ),
            (&[("RPM_PORTS", "off")], "15s: RPM_STOP_TIMEOUT 10s + 5s"),
            (
                &[("RPM_STOP_TIMEOUT", "0"), ("RPM_DRAIN_TIMEOUT", "0")],
                "5s: 5s",
            ),
        ];
        for (vars, expected) in cases {
            let expected = format!("A stop takes at most {expected}");
            assert_eq!(start(vars), Some(expected));
        }
        assert_eq!(start(&[NEVER]), None);
    }

    #[test]
    fn columns_are_aligned() {
        let line = |name, value: &str, source, note: Option<&str>| Line {
            name,
            value: value.to_owned(),
            source,
            note: note.map(str::to_owned),
        };
        let lines = [
            line("RPM_COMMAND", "node app.js", Source::CommandLine, None),
            line(
                "RPM_INSTANCES",
                "2",
                Source::Environment,
                Some("affinity 2 -> 2"),
            ),
            line("RPM_READY", "auto", Source::File("/run/x".into()), None),
            line("RPM_PORTS", &"1".repeat(49), Source::Default, None),
        ];
        let expected = format!(
            "RPM_COMMAND    node app.js  command line\n\
             RPM_INSTANCES  2            environment (affinity 2 -> 2)\n\
             RPM_READY      auto         file /run/x\n\
             RPM_PORTS      {}  default\n",
            "1".repeat(49)
        );
        assert_eq!(table(&lines), expected);
    }
}
