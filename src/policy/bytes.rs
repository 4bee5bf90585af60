//! Memory sizes as text.

use std::fmt;

/// A number of bytes. Displayed in the unit that gives the smallest whole number, such as `300Mi` or `2G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("K", 1000),
    ("", 1),
];

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS
            .iter()
            .filter(|(_, size)| self.0 > 0 && self.0.is_multiple_of(*size));
        match whole.min_by_key(|(_, size)| self.0 / size) {
            Some((unit, size)) => write!(f, "{}{unit}", self.0 / size),
            None => f.write_str("0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_that_leaves_the_smallest_whole_number() {
        let table = [
            (0, "0"),
            (1, "1"),
            (1000, "1K"),
            (1024, "1Ki"),
            (1537, "1537"),
            (300 << 20, "300Mi"),
            (300_000_000, "300M"),
            (3_000_000_000, "3G"),
            (3 << 30, "3Gi"),
            (2048 << 30, "2Ti"),
            ((1 << 30) + 1, "1073741825"),
        ];
        for (bytes, shown) in table {
            assert_eq!(Bytes(bytes).to_string(), shown);
        }
    }
}
