//! Numbers as JavaScript writes and reads them.

/// As `String(number)`, but -0 keeps its sign, as Node prints it.
pub fn text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return number.to_string();
    }
    // Both print the shortest digits that give the same number; JavaScript also prints the sign of the exponent.
    let text = format!("{number:e}");
    if text.contains("e-") {
        text
    } else {
        text.replace('e', "e+")
    }
}

/// As `Number(text)`.
pub fn of(text: &str) -> f64 {
    let text = text.trim_matches(is_space);
    if text.is_empty() {
        return 0.0;
    }
    for (prefix, radix) in [
        ("0x", 16),
        ("0X", 16),
        ("0o", 8),
        ("0O", 8),
        ("0b", 2),
        ("0B", 2),
    ] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return if !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix)) {
                integer(digits, radix)
            } else {
                f64::NAN
            };
        }
    }
    if decimal(text) == text.len() {
        parsed(text)
    } else {
        f64::NAN
    }
}

/// As `parseFloat(text)`: what follows the number is ignored.
pub fn float(text: &str) -> f64 {
    let text = text.trim_start_matches(is_space);
    text.get(..decimal(text)).map_or(f64::NAN, parsed)
}

/// As `parseInt(text)`: what follows the digits is ignored.
pub fn int(text: &str) -> f64 {
    let text = text.trim_start_matches(is_space);
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((text, 10), |digits| (digits, 16));
    let end = digits.find(|digit: char| !digit.is_digit(radix));
    match digits.get(..end.unwrap_or(digits.len())) {
        None | Some("") => f64::NAN,
        Some(digits) => sign * integer(digits, radix),
    }
}

fn is_space(letter: char) -> bool {
    letter.is_whitespace() || letter == '\u{feff}'
}

fn integer(digits: &str, radix: u32) -> f64 {
    if radix == 10 {
        return parsed(digits);
    }
    let digits = digits.chars().filter_map(|digit| digit.to_digit(radix));
    digits.fold(0.0, |number, digit| {
        number * f64::from(radix) + f64::from(digit)
    })
}

fn parsed(text: &str) -> f64 {
    match text.trim_start_matches(['+', '-']) {
        "Infinity" if text.starts_with('-') => f64::NEG_INFINITY,
        "Infinity" => f64::INFINITY,
        _ => text.parse().unwrap_or(f64::NAN),
    }
}

/// Length of the decimal number with which `text` begins.
fn decimal(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    if text
        .get(sign..)
        .is_some_and(|rest| rest.starts_with("Infinity"))
    {
        return sign + "Infinity".len();
    }
    let whole = digits(sign);
    let mut end = sign + whole;
    let mut any = whole;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
            any += fraction;
        }
    }
    if any == 0 {
        return 0;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by Node 20: `String(Number(text))`, of `parseFloat(text)`, of `parseInt(text)`.
    #[test]
    fn text_is_read_as_javascript_reads_it() {
        let table = [
            ("", "0", "NaN", "NaN"),
            (" 12 ", "12", "12", "12"),
            ("12.5kg", "NaN", "12.5", "12"),
            ("0x1f", "31", "0", "31"),
            ("-0x1f", "NaN", "-0", "-31"),
            ("0x", "NaN", "0", "NaN"),
            ("0b101", "5", "0", "0"),
            ("+7", "7", "7", "7"),
            ("-", "NaN", "NaN", "NaN"),
            ("1e3", "1000", "1000", "1"),
            ("1e", "NaN", "1", "1"),
            (".5", "0.5", "0.5", "NaN"),
            ("5.", "5", "5", "5"),
            (".", "NaN", "NaN", "NaN"),
            ("Infinity", "Infinity", "Infinity", "NaN"),
            ("-Infinityx", "NaN", "-Infinity", "NaN"),
            ("inf", "NaN", "NaN", "NaN"),
            ("nan", "NaN", "NaN", "NaN"),
            ("\u{a0}3\u{feff}", "3", "3", "3"),
            ("1e400", "Infinity", "Infinity", "1"),
            ("é", "NaN", "NaN", "NaN"),
        ];
        for (given, number, decimal, whole) in table {
            let got = [of(given), float(given), int(given)].map(super::text);
            assert_eq!(got, [number, decimal, whole], "{given:?}");
        }
    }

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        let table = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (1e-6, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (0.1 + 0.2, "0.30000000000000004"),
        ];
        for (number, want) in table {
            assert_eq!(text(number), want);
        }
    }
}
