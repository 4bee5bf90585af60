//! Finds the known name that a misspelt one was meant to be.

/// The known name that is nearest to `name`, if it is near enough: at most three typing errors, and at most one for every
/// three letters after the common prefix `RPM_`.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let own = name.strip_prefix("RPM_").unwrap_or(name);
    let letters = own.chars().count();
    let most = (letters / 3).min(3);
    known
        .map(|candidate| {
            let rest = candidate.strip_prefix("RPM_").unwrap_or(candidate);
            (slips(own, rest), candidate)
        })
        .filter(|(slips, _)| *slips <= most)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// The edit distance: letters to insert, delete, replace or swap with their neighbour to turn `from` into `to`. Case does
/// not count.
fn slips(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().map(|c| c.to_ascii_uppercase()).collect();
    let to: Vec<char> = to.chars().map(|c| c.to_ascii_uppercase()).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let replaced = last[column] + usize::from(a != b);
            let mut best = replaced.min(last[column + 1] + 1).min(line[column] + 1);
            let swapped = row > 0 && column > 0 && *a == to[column - 1] && from[row - 1] == *b;
            if swapped {
                best = best.min(before_last[column - 1] + 1);
            }
            line.push(best);
        }
        before_last = std::mem::replace(&mut last, line);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        let table = [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("INSTANSES", "INSTANCES", 1),
            ("INSATNCES", "INSTANCES", 1),
            ("instances", "INSTANCES", 0),
            ("kitten", "sitting", 3),
        ];
        for (from, to, expected) in table {
            assert_eq!(slips(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["RPM_INSTANCES", "RPM_PORTS", "RPM_READY"];
        let table = [
            ("RPM_INSTANCE_S", Some("RPM_INSTANCES")),
            ("RPM_PORT", Some("RPM_PORTS")),
            ("RPM_instances", Some("RPM_INSTANCES")),
            ("RPM_X", None),
            ("RPM_COLOUR", None),
            ("RPM_", None),
        ];
        for (name, expected) in table {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
    }
}
