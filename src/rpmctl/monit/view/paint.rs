//! Text, bars and graphs on cells.

use std::collections::VecDeque;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Without: NO_COLOR.
    pub colour: bool,
    /// Only ASCII: the locale says so.
    pub ascii: bool,
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Normal,
    /// Beside the matter.
    Dim,
    /// A name.
    Strong,
    /// The head of a table.
    Head,
    Ill,
    Look,
    Moves,
    Well,
    /// A question, or that no runtime answers.
    Alarm,
}

impl Look {
    fn style(self, tone: Tone) -> Style {
        let style = match tone {
            Tone::Normal | Tone::Well | Tone::Moves => Style::new(),
            Tone::Dim => Style::new().add_modifier(Modifier::DIM),
            Tone::Strong | Tone::Ill | Tone::Look => Style::new().add_modifier(Modifier::BOLD),
            Tone::Head => Style::new().add_modifier(Modifier::UNDERLINED),
            Tone::Alarm => Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED),
        };
        let colour = match tone {
            Tone::Ill | Tone::Alarm => Some(Color::Red),
            Tone::Look => Some(Color::Yellow),
            Tone::Moves => Some(Color::Cyan),
            Tone::Well => Some(Color::Green),
            Tone::Normal | Tone::Dim | Tone::Strong | Tone::Head => None,
        };
        match colour {
            Some(colour) if self.colour => style.fg(colour),
            _ => style,
        }
    }
}

/// What is drawn on.
#[derive(Debug)]
pub struct Canvas<'a> {
    buffer: &'a mut Buffer,
    look: Look,
}

impl<'a> Canvas<'a> {
    pub fn new(buffer: &'a mut Buffer, look: Look) -> Self {
        Self { buffer, look }
    }

    pub fn width(&self) -> u16 {
        self.buffer.area.width
    }

    pub fn height(&self) -> u16 {
        self.buffer.area.height
    }

    /// Writes a text, cut at the edge, and says where it ended.
    pub fn put(&mut self, x: u16, y: u16, text: &str, tone: Tone) -> u16 {
        self.put_within(x, y, self.width(), text, tone)
    }

    /// The same, cut before the column `end`.
    pub fn put_within(&mut self, x: u16, y: u16, end: u16, text: &str, tone: Tone) -> u16 {
        if y >= self.height() || x >= end {
            return x;
        }
        let room = usize::from(end - x);
        let style = self.look.style(tone);
        if self.look.ascii && !text.is_ascii() {
            let plain: String = text
                .chars()
                .map(|letter| if letter.is_ascii() { letter } else { '?' })
                .collect();
            return self.buffer.set_stringn(x, y, plain, room, style).0;
        }
        self.buffer.set_stringn(x, y, text, room, style).0
    }

    /// Writes texts one behind the other.
    pub fn row(&mut self, x: u16, y: u16, parts: &[(&str, Tone)]) -> u16 {
        parts
            .iter()
            .fold(x, |x, (text, tone)| self.put(x, y, text, *tone))
    }

    /// Draws a line from `x` to the edge.
    pub fn rule(&mut self, x: u16, y: u16) {
        let line = if self.look.ascii { "-" } else { "─" };
        let rest = line.repeat(usize::from(self.width().saturating_sub(x)));
        self.put(x, y, &rest, Tone::Dim);
    }

    /// Marks a row as the selected one.
    pub fn mark(&mut self, y: u16) {
        let row = Rect::new(0, y, self.width(), 1).intersection(self.buffer.area);
        self.buffer
            .set_style(row, Style::new().add_modifier(Modifier::REVERSED));
    }

    /// A bar: `share` of 1 is full.
    pub fn bar(&mut self, x: u16, y: u16, width: u16, share: f64, tone: Tone) -> u16 {
        let eighths = part(share, width * 8);
        let (whole, rest) = (usize::from(eighths / 8), usize::from(eighths % 8));
        let mut text = String::new();
        if self.look.ascii {
            text.push_str(&"#".repeat(whole + usize::from(rest >= 4)));
        } else {
            text.push_str(&"█".repeat(whole));
            text.extend(["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"].get(rest).copied());
        }
        self.put_within(x, y, x + width, &text, tone);
        // What is empty is shown too, so that the place of the end is seen.
        let full = u16::try_from(text.chars().count()).unwrap_or(width);
        let rail = if self.look.ascii { "." } else { "·" };
        let rail = rail.repeat(usize::from(width.saturating_sub(full)));
        self.put_within(x + full.min(width), y, x + width, &rail, Tone::Dim);
        x + width
    }

    /// The last values as a graph. `least`: the highest value is taken for at least this, so that a small change does not
    /// look like a great one.
    pub fn graph(
        &mut self,
        x: u16,
        y: u16,
        width: u16,
        values: &VecDeque<u64>,
        least: u64,
        tone: Tone,
    ) -> u16 {
        let steps: &[char] = if self.look.ascii {
            &['_', '.', ':', '-', '=', '+', '*', '#']
        } else {
            &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
        };
        let shown = values.len().min(usize::from(width));
        let tail = values.iter().skip(values.len() - shown);
        let highest = tail.clone().copied().max().unwrap_or(0).max(least).max(1);
        let level = |value: u64| {
            // Above nothing is never the lowest step.
            let steps = u128::try_from(steps.len() - 1).unwrap_or(1);
            let level = (u128::from(value) * steps).div_ceil(u128::from(highest));
            usize::try_from(level).unwrap_or(0)
        };
        let text: String = tail.filter_map(|value| steps.get(level(*value))).collect();
        let from = x + width - u16::try_from(shown).unwrap_or(width);
        self.put_within(from, y, x + width, &text, tone);
        x + width
    }
}

/// `share` of `whole`, rounded; something is never nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is within 0 and whole"
)]
fn part(share: f64, whole: u16) -> u16 {
    let exact = share.clamp(0.0, 1.0) * f64::from(whole);
    if exact > 0.0 {
        (exact.round() as u16).clamp(1, whole)
    } else {
        0
    }
}

/// How wide a text is, in cells.
pub fn width(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        ratatui_core::text::Span::raw(text).width()
    }
}

/// A text in parts of at most so many cells.
pub fn broken(text: &str, cells: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut used = 0;
    let mut buffer = [0; 4];
    for letter in text.chars() {
        let wide = width(letter.encode_utf8(&mut buffer));
        if used + wide > cells {
            parts.push(String::new());
            used = 0;
        }
        used += wide;
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(ascii: bool, draw: impl FnOnce(&mut Canvas) -> u16) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        let look = Look {
            colour: true,
            ascii,
        };
        draw(&mut Canvas::new(&mut buffer, look));
        buffer
            .content
            .iter()
            .map(ratatui_core::buffer::Cell::symbol)
            .collect()
    }

    #[test]
    fn bars_have_steps_of_an_eighth_and_something_is_seen() {
        let table = [
            (0.0, "············  ", "............"),
            (0.001, "▏·········", ".........."),
            (0.5, "█████·····", "#####....."),
            (0.55, "█████▌····", "######...."),
            (1.0, "██████████", "##########"),
            (7.0, "██████████", "##########"),
            (f64::NAN, "··········", ".........."),
        ];
        for (share, expected, ascii) in table {
            let expected: String = expected.chars().take(10).collect();
            let ascii: String = ascii.chars().take(10).collect();
            let bar = |canvas: &mut Canvas| canvas.bar(0, 0, 10, share, Tone::Normal);
            assert_eq!(drawn(false, bar), format!("{expected}  "), "{share}");
            assert_eq!(drawn(true, bar), format!("{ascii}  "), "{share}");
        }
    }

    #[test]
    fn graphs_show_the_last_values_against_the_highest() {
        let values: VecDeque<u64> = [900, 0, 1, 50, 100].into();
        let graph = |canvas: &mut Canvas| canvas.graph(0, 0, 4, &values, 10, Tone::Normal);
        assert_eq!(drawn(false, graph), "▁▂▅█        ");
        assert_eq!(drawn(true, graph), "_.=#        ");
        let few: VecDeque<u64> = [1].into();
        let graph = |canvas: &mut Canvas| canvas.graph(0, 0, 4, &few, 7, Tone::Normal);
        assert_eq!(drawn(false, graph), "   ▂        ", "on the right");
        let great: VecDeque<u64> = [u64::MAX].into();
        let graph = |canvas: &mut Canvas| canvas.graph(0, 0, 1, &great, 7, Tone::Normal);
        assert_eq!(drawn(false, graph), "█           ");
    }

    #[test]
    fn texts_are_cut_at_the_edge_and_the_locale_is_obeyed() {
        let long = |canvas: &mut Canvas| canvas.put(9, 0, "abcdef", Tone::Normal);
        assert_eq!(drawn(false, long), "         abc");
        let below = |canvas: &mut Canvas| canvas.put(0, 1, "abcdef", Tone::Normal);
        assert_eq!(drawn(false, below), " ".repeat(12));
        let accent = |canvas: &mut Canvas| canvas.put(0, 0, "é", Tone::Normal);
        assert_eq!(drawn(true, accent).trim_end(), "?");
    }

    #[test]
    fn long_lines_are_broken_by_their_width() {
        assert_eq!(broken("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(broken("", 4), [""]);
        assert_eq!(broken("日本語", 4), ["日本", "語"]);
    }
}
