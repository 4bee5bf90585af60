//! The log of the selected worker.

use super::paint::{Canvas, Tone, broken};
use crate::monit::model::{Log, LogLine, State};
use crate::words::utc;

/// Cells of the time before a line.
const TIME: u16 = 10;

/// A title, and the last lines. With the whole screen, long lines are broken; else they are cut.
pub fn draw(canvas: &mut Canvas, y: u16, height: u16, state: &State) {
    let slot = state.selected();
    let name = slot.map_or_else(|| "log".to_owned(), |slot| format!("log of slot {slot}"));
    let lost = match &state.log {
        Log::Lines { lost, .. } if *lost > 0 => format!(", {lost} lines lost"),
        _ => String::new(),
    };
    canvas.rule(0, y);
    canvas.put(2, y, &format!(" {name}{lost} "), Tone::Strong);
    let room = usize::from(height.saturating_sub(1));
    match &state.log {
        Log::Waits => {
            canvas.put(1, y + 1, "nothing has come yet", Tone::Dim);
        }
        Log::None(_) => {}
        Log::Lines { lines, .. } => {
            let cells = usize::from(canvas.width().saturating_sub(TIME)).max(1);
            // No more than fit are looked at.
            let end = lines.iter().skip(lines.len().saturating_sub(room));
            let mut shown: Vec<(&LogLine, usize, String)> = Vec::new();
            for line in end {
                let parts = if state.big_log {
                    broken(&line.text, cells)
                } else {
                    vec![line.text.clone()]
                };
                shown.extend(
                    parts
                        .into_iter()
                        .enumerate()
                        .map(|(at, part)| (line, at, part)),
                );
            }
            let first = shown.len().saturating_sub(room);
            for (line_y, (line, at, part)) in (y + 1..).zip(shown.into_iter().skip(first)) {
                if at == 0 {
                    canvas.put(0, line_y, &clock(line.time), Tone::Dim);
                }
                let tone = if line.loud { Tone::Look } else { Tone::Normal };
                canvas.put(TIME, line_y, &part, tone);
            }
        }
    }
}

/// The time of the day, UTC.
fn clock(time: f64) -> String {
    format!(" {} ", utc(time).get(11..19).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_day_is_told() {
        assert_eq!(clock(0.0), " 00:00:00 ");
        assert_eq!(clock(1_700_000_000.9), " 22:13:20 ");
        assert_eq!(clock(-5.0), " 00:00:00 ");
    }
}
