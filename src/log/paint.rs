//! Colours for a terminal (ECMA-48, "Select graphic rendition").

use tracing::Level;

use crate::model::SlotId;

/// Colours that are readable on light and dark backgrounds. Without red and yellow, which mark errors and warnings.
const SLOTS: [u8; 6] = [36, 32, 35, 34, 96, 92];

fn painted(colour: u8, text: &str) -> String {
    format!("\u{1b}[{colour}m{text}\u{1b}[0m")
}

/// Colours the label of a worker.
pub fn slot(slot: SlotId, text: &str) -> String {
    let colour = SLOTS.get(usize::from(slot.0) % SLOTS.len());
    painted(colour.copied().unwrap_or(36), text)
}

/// Colours the label of an own line.
pub fn level(level: Level, text: &str) -> String {
    match level {
        Level::ERROR => painted(31, text),
        Level::WARN => painted(33, text),
        _ => painted(2, text),
    }
}
