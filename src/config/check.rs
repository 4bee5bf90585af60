//! The output of --check.

use std::fmt::Write as _;

use super::reader::Line;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

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
