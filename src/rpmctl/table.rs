//! Tables of text.

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// Columns with their headings, two blanks apart. The last one is not filled up.
pub fn draw(columns: &[(&str, Side)], rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, (title, _))| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            cells.map(|cell| width(cell)).fold(width(title), usize::max)
        })
        .collect();
    let mut text = String::new();
    let titles: Vec<String> = columns
        .iter()
        .map(|(title, _)| (*title).to_owned())
        .collect();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let side = columns.get(at).map_or(Side::Left, |(_, side)| *side);
            let room = widths
                .get(at)
                .map_or(0, |most| most - width(cell).min(*most));
            let blanks = " ".repeat(room);
            if at > 0 {
                line.push_str("  ");
            }
            match side {
                Side::Left => line.extend([cell.as_str(), &blanks]),
                Side::Right => line.extend([&blanks, cell.as_str()]),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_on_the_right_and_words_on_the_left() {
        let columns = [
            ("SLOT", Side::Right),
            ("STATE", Side::Left),
            ("PID", Side::Right),
        ];
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["0", "ready", "17"]), row(["100", "é", "20000"])];
        let expected = "SLOT  STATE    PID\n   0  ready     17\n 100  é      20000\n";
        assert_eq!(draw(&columns, &rows), expected);
    }
}
