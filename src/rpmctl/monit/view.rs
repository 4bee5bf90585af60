//! The state as cells of a screen. Pure: the same state gives the same cells.

mod foot;
mod head;
mod help;
mod log;
mod paint;
mod table;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use super::model::{Log, Mode, State};
pub use paint::Look;
use paint::{Canvas, Tone};

/// The smallest screen that shows something.
pub const LEAST: (u16, u16) = (40, 10);

/// From so many rows on there is room for graphs, and for keys beside what was said.
const ROOMY: u16 = 14;

/// Draws the state on a screen of so many columns and rows.
pub fn draw(state: &State, look: Look, (width, height): (u16, u16)) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    let mut canvas = Canvas::new(&mut buffer, look);
    if width < LEAST.0 || height < LEAST.1 {
        too_small(&mut canvas, width, height);
        return buffer;
    }
    let roomy = height >= ROOMY;
    head::title(&mut canvas, 0, state);
    let rows = state.rows();
    let bottom = foot::draw(&mut canvas, (state, rows.len()), roomy);
    if state.mode == Mode::Help {
        help::draw(&mut canvas, 1, bottom);
        return buffer;
    }
    let mut y = 1;
    y += head::lost(&mut canvas, y, state);
    if roomy {
        y += head::graphs(&mut canvas, y, state);
    }
    y += head::reload(&mut canvas, y, state);
    if !state.big_log {
        let most = match height {
            ..ROOMY => 1,
            ROOMY..30 => 3,
            _ => 6,
        };
        y += head::attention(&mut canvas, y, (state, &rows), most);
    }
    let room = bottom.saturating_sub(y);
    let (table, log) = match state.log {
        Log::None(_) => (room, 0),
        Log::Waits | Log::Lines { .. } => shares(room, table::height(&rows), state.big_log),
    };
    if table > 0 {
        table::draw(&mut canvas, y, table, (state, &rows));
    }
    if log > 0 {
        log::draw(&mut canvas, y + table, log, state);
    }
    buffer
}

/// Rows of the table and of the log, of what is left. `wanted`: what the whole table has.
fn shares(room: u16, wanted: u16, big_log: bool) -> (u16, u16) {
    /// A title and two lines.
    const LEAST_LOG: u16 = 3;
    if big_log {
        return (0, room);
    }
    let log = room.saturating_sub(wanted).max(room / 3);
    if log < LEAST_LOG {
        (room, 0)
    } else {
        (room - log, log)
    }
}

fn too_small(canvas: &mut Canvas, width: u16, height: u16) {
    let lines = [
        "too small".to_owned(),
        format!("{width}x{height}"),
        format!("needs {}x{}", LEAST.0, LEAST.1),
        "q quits".to_owned(),
    ];
    for (y, line) in (0..height).zip(lines) {
        canvas.put(0, y, &line, Tone::Normal);
    }
}

#[cfg(test)]
mod picture;
#[cfg(test)]
mod tests;
