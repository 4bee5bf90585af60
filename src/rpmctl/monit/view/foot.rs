//! The bottom: questions, outcomes, the filter, and the keys.

use super::paint::{Canvas, Tone};
use crate::monit::model::{Mode, Order, State};

const KEYS: [(&str, &str); 8] = [
    ("q", "quit"),
    ("?", "help"),
    ("r", "reload"),
    ("R", "restart"),
    ("+ -", "scale"),
    ("/", "filter"),
    ("l", "log"),
    ("j k", "select"),
];

/// Says at which line it begins. Without room, keys are shown only while there is nothing else to say.
pub fn draw(canvas: &mut Canvas, (state, rows): (&State, usize), roomy: bool) -> u16 {
    let last = canvas.height() - 1;
    if roomy {
        message(canvas, last - 1, (state, rows));
        keys(canvas, last);
        return last - 1;
    }
    if !message(canvas, last, (state, rows)) {
        keys(canvas, last);
    }
    last
}

fn keys(canvas: &mut Canvas, y: u16) {
    let mut x = 1;
    for (key, what) in KEYS {
        let length = u16::try_from(key.len() + 1 + what.len()).unwrap_or(u16::MAX);
        if x + length > canvas.width() {
            break;
        }
        x = canvas.row(
            x,
            y,
            &[(key, Tone::Strong), (" ", Tone::Normal), (what, Tone::Dim)],
        ) + 2;
    }
}

/// True if something was to be said.
fn message(canvas: &mut Canvas, y: u16, (state, rows): (&State, usize)) -> bool {
    match &state.mode {
        Mode::Confirm(order) => {
            canvas.put(
                1,
                y,
                &format!(" {} y: yes, other keys: no ", question(*order, state)),
                Tone::Alarm,
            );
        }
        Mode::Filter => {
            let x = canvas.put(1, y, &format!("filter: {}", state.filter), Tone::Strong);
            let x = canvas.put(x, y, "_", Tone::Moves);
            let hint = format!("  {}; Enter keeps it, Esc shows all", found(state, rows));
            canvas.put(x, y, &hint, Tone::Dim);
        }
        Mode::Watch | Mode::Help => {
            if let Some(said) = &state.said {
                canvas.put(
                    1,
                    y,
                    &said.text,
                    if said.good { Tone::Well } else { Tone::Ill },
                );
            } else if state.filter.is_empty() {
                return false;
            } else {
                let x = canvas.put(1, y, &format!("filter: {}", state.filter), Tone::Strong);
                canvas.put(
                    x,
                    y,
                    &format!("  {}; Esc shows all", found(state, rows)),
                    Tone::Dim,
                );
            }
        }
    }
    true
}

fn question(order: Order, state: &State) -> String {
    let desired = state.list.as_ref().map_or(0, |list| list.health.desired);
    match order {
        Order::Reload if desired == 1 => "Replace the worker?".to_owned(),
        Order::Reload => format!("Replace all {desired} workers, one by one?"),
        Order::Restart(slot) => format!("Replace the worker of slot {slot}?"),
        Order::Scale(by) => {
            let next = i32::from(desired) + by;
            format!("{next} workers instead of {desired}?")
        }
    }
}

fn found(state: &State, rows: usize) -> String {
    let all = state.list.as_ref().map_or(0, |list| list.workers.len());
    format!("{rows} of {all} shown")
}
