//! The list of keys.

use super::paint::{Canvas, Tone};

/// Keys and what they do; then what is to be known of the screen. The most needed first: a small screen shows the first
/// ones.
const LINES: [(&str, &str); 21] = [
    ("r", "replace all workers, one by one"),
    ("R", "replace the selected worker"),
    ("+ -", "one worker more, or fewer"),
    ("j k", "select, as arrows; PgUp PgDn g G"),
    ("/", "filter: words, a slot, a pid, or !"),
    ("l", "bigger log and back, as Enter"),
    ("Esc", "back; no filter; select what is ill"),
    ("q", "quit; Ctrl-Z shell, Ctrl-L redraw"),
    ("", ""),
    ("", "r, R and - ask before they do it."),
    (
        "",
        "Workers that need somebody come first; above the table is the reason of each.",
    ),
    (
        "",
        "Red: does not serve. Yellow: serves, and is worth a look. The filter ! shows",
    ),
    (
        "",
        "only these. As long as you select none, the first of them is selected.",
    ),
    ("", ""),
    ("CPU%", "now, of one CPU; the bar is full at 100"),
    (
        "MEMORY",
        "resident; the bar compares with the largest worker",
    ),
    ("CONN", "open connections on shared ports"),
    ("QUEUE", "connections that wait to be accepted"),
    ("graphs", "sums of all workers, one value a second"),
    ("log", "times are UTC; yellow is standard error"),
    (
        "",
        "For scripts: rpmctl list, logs, reload, restart, scale.",
    ),
];

pub fn draw(canvas: &mut Canvas, from: u16, end: u16) {
    for (y, (key, text)) in (from..end).zip(LINES) {
        canvas.put(1, y, key, Tone::Strong);
        let x = match key.len() {
            0 => 1,
            1..=3 => 5,
            _ => 9,
        };
        canvas.put(x, y, text, Tone::Normal);
    }
}
