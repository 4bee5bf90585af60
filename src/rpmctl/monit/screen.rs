//! From cells to the bytes that a terminal understands: only what changed since the last frame.

use std::io::Write;

use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::style::{Color, Modifier};

/// What the terminal shows.
#[derive(Debug, Default)]
pub struct Screen {
    shown: Option<Buffer>,
}

impl Screen {
    /// The bytes that turn what is shown into `next`. None if nothing changed.
    pub fn frame(&mut self, next: Buffer) -> Vec<u8> {
        let mut bytes = Vec::new();
        let before = self.shown.take().filter(|shown| shown.area == next.area);
        let before = before.unwrap_or_else(|| {
            bytes.extend_from_slice(b"\x1b[0m\x1b[2J");
            Buffer::empty(next.area)
        });
        let mut pen = Pen::default();
        for (x, y, cell) in before.diff(&next) {
            pen.reach(&mut bytes, (x, y), &next);
            pen.put(&mut bytes, cell, (x, y));
        }
        pen.end(&mut bytes);
        self.shown = Some(next);
        bytes
    }

    /// Something else has written on the terminal: the next frame is whole.
    pub fn forget(&mut self) {
        self.shown = None;
    }
}

/// Where the next letter goes, and how it will look.
#[derive(Debug, Default)]
struct Pen {
    at: Option<(u16, u16)>,
    style: Option<Dress>,
}

type Dress = (Color, Color, Modifier);

const PLAIN: Dress = (Color::Reset, Color::Reset, Modifier::empty());

fn style(cell: &Cell) -> Dress {
    (cell.fg, cell.bg, cell.modifier)
}

/// Whether it is one cell wide for every terminal. They disagree about some letters, so after another one the place is told
/// again.
fn is_narrow(cell: &Cell) -> bool {
    cell.symbol().chars().all(|letter| {
        letter.is_ascii() || ('\u{2500}'..='\u{259f}').contains(&letter) || letter == '·'
    })
}

impl Pen {
    /// Goes to a cell. Over a small gap by what stands there, which takes fewer bytes.
    fn reach(&mut self, bytes: &mut Vec<u8>, (x, y): (u16, u16), shown: &Buffer) {
        const SMALL: u16 = 5;
        if self.at == Some((x, y)) {
            return;
        }
        let from = self
            .at
            .filter(|(at, row)| *row == y && *at < x && x - at <= SMALL);
        let gap: Option<Vec<&Cell>> = from.map(|(at, _)| {
            let between = (at..x).filter_map(|x| shown.cell((x, y)));
            between.collect()
        });
        let same = |cell: &&Cell| self.style.unwrap_or(PLAIN) == style(cell) && is_narrow(cell);
        match gap {
            Some(gap) if gap.iter().all(same) => {
                for cell in gap {
                    bytes.extend_from_slice(cell.symbol().as_bytes());
                }
            }
            _ => {
                let _ = write!(bytes, "\x1b[{};{}H", y + 1, x + 1); // a Vec takes everything
            }
        }
    }

    fn put(&mut self, bytes: &mut Vec<u8>, cell: &Cell, (x, y): (u16, u16)) {
        let style = style(cell);
        if self.style.unwrap_or(PLAIN) != style {
            dress(bytes, style);
            self.style = Some(style);
        }
        bytes.extend_from_slice(cell.symbol().as_bytes());
        self.at = is_narrow(cell).then_some((x + 1, y));
    }

    fn end(&self, bytes: &mut Vec<u8>) {
        if self.style.unwrap_or(PLAIN) != PLAIN {
            bytes.extend_from_slice(b"\x1b[0m");
        }
    }
}

/// Select Graphic Rendition, from nothing.
fn dress(bytes: &mut Vec<u8>, (fg, bg, modifier): Dress) {
    bytes.extend_from_slice(b"\x1b[0");
    for (one, code) in [
        (Modifier::BOLD, 1),
        (Modifier::DIM, 2),
        (Modifier::UNDERLINED, 4),
        (Modifier::REVERSED, 7),
    ] {
        if modifier.contains(one) {
            let _ = write!(bytes, ";{code}");
        }
    }
    for (colour, base) in [(fg, 30), (bg, 40)] {
        if let Some(number) = number(colour) {
            let _ = write!(bytes, ";{}", base + number);
        }
    }
    bytes.push(b'm');
}

/// The colours that every terminal has; the person has chosen how they look.
fn number(colour: Color) -> Option<u8> {
    match colour {
        Color::Red => Some(1),
        Color::Green => Some(2),
        Color::Yellow => Some(3),
        Color::Cyan => Some(6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ratatui_core::layout::Rect;
    use ratatui_core::style::Style;

    use super::*;

    fn buffer(lines: [&str; 2]) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 2));
        for (y, line) in (0..).zip(lines) {
            buffer.set_string(0, y, line, Style::new());
        }
        buffer
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap().replace('\x1b', "^")
    }

    #[test]
    fn only_what_changed_is_written() {
        let mut screen = Screen::default();
        let first = screen.frame(buffer(["up 9s", "slot 1"]));
        assert_eq!(text(first), "^[0m^[2J^[1;1Hup 9s^[2;1Hslot 1");
        assert_eq!(text(screen.frame(buffer(["up 9s", "slot 1"]))), "");
        assert_eq!(
            text(screen.frame(buffer(["up 8s", "slot 12"]))),
            "^[1;4H8^[2;7H2"
        );
        screen.forget();
        let whole = text(screen.frame(buffer(["", "x"])));
        assert_eq!(whole, "^[0m^[2J^[2;1Hx");
    }

    #[test]
    fn a_screen_of_another_size_is_written_anew() {
        let mut screen = Screen::default();
        screen.frame(buffer(["abc", ""]));
        let mut small = Buffer::empty(Rect::new(0, 0, 3, 1));
        small.set_string(0, 0, "ab", Style::new());
        assert_eq!(text(screen.frame(small)), "^[0m^[2J^[1;1Hab");
    }

    #[test]
    fn styles_are_written_where_they_change_and_end_with_the_frame() {
        let mut screen = Screen::default();
        screen.frame(buffer(["", ""]));
        let mut next = buffer(["", ""]);
        let ill = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
        next.set_string(0, 0, "ab", ill);
        next.set_string(2, 0, "c", Style::new());
        next.set_string(
            3,
            0,
            "d",
            Style::new().add_modifier(Modifier::DIM | Modifier::REVERSED),
        );
        assert_eq!(
            text(screen.frame(next)),
            "^[1;1H^[0;1;31mab^[0mc^[0;2;7md^[0m"
        );
    }

    #[test]
    fn after_a_wide_letter_the_place_is_told() {
        let mut screen = Screen::default();
        screen.frame(buffer(["", ""]));
        assert_eq!(text(screen.frame(buffer(["日x", ""]))), "^[1;1H日^[1;3Hx");
        assert_eq!(text(screen.frame(buffer(["█▏y", ""]))), "^[1;1H█▏y");
    }
}
