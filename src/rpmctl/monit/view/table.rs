//! The workers.

use rpm_runtime::control::protocol::{Place, Worker};

use super::head::tone;
use super::paint::{Canvas, Tone};
use crate::monit::model::State;
use crate::monit::model::attention::end;
use crate::monit::model::rows::Row;
use crate::plain::plain;
use crate::words::{human, size};

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Slot,
    Pid,
    Generation,
    State,
    /// With a bar of so many cells before the number.
    Cpu(u16),
    Memory(u16),
    Connections,
    Queue,
    Uptime,
    Restarts,
    Exit,
    Note,
}

/// Columns with their widths, for a narrow, a usual and a wide screen. The last one takes what is left.
const NARROW: [(Shown, u16); 6] = [
    (Shown::Slot, 4),
    (Shown::State, 8),
    (Shown::Cpu(0), 5),
    (Shown::Memory(0), 6),
    (Shown::Connections, 4),
    (Shown::Queue, 5),
];
const USUAL: [(Shown, u16); 8] = [
    (Shown::Slot, 4),
    (Shown::State, 11),
    (Shown::Cpu(5), 11),
    (Shown::Memory(5), 12),
    (Shown::Connections, 5),
    (Shown::Queue, 5),
    (Shown::Uptime, 6),
    (Shown::Exit, 17),
];
const WIDE: [(Shown, u16); 12] = [
    (Shown::Slot, 4),
    (Shown::Pid, 7),
    (Shown::Generation, 4),
    (Shown::State, 13),
    (Shown::Cpu(10), 16),
    (Shown::Memory(10), 17),
    (Shown::Connections, 6),
    (Shown::Queue, 6),
    (Shown::Uptime, 6),
    (Shown::Restarts, 8),
    (Shown::Exit, 20),
    (Shown::Note, 10),
];

/// Rows of the whole table, with its head.
pub fn height(rows: &[Row<'_>]) -> u16 {
    u16::try_from(rows.len() + 1).unwrap_or(u16::MAX).max(2)
}

/// Draws as many rows as there is room for; the page with the selected one.
pub fn draw(canvas: &mut Canvas, y: u16, height: u16, (state, rows): (&State, &[Row<'_>])) {
    let columns: &[(Shown, u16)] = match canvas.width() {
        ..70 => &NARROW,
        70..130 => &USUAL,
        _ => &WIDE,
    };
    head(canvas, y, columns);
    let room = usize::from(height.saturating_sub(1)).max(1);
    let selected = state.selected();
    let at = rows
        .iter()
        .position(|row| Some(row.worker.slot) == selected);
    let from = at.unwrap_or(0) / room * room;
    let largest = rows
        .iter()
        .filter_map(|row| row.worker.memory_bytes)
        .max()
        .unwrap_or(1);
    let page = rows.iter().enumerate().skip(from).take(room);
    for (line, (index, row)) in (y + 1..).zip(page) {
        let mut x = 1;
        for (shown, width) in columns {
            cell(canvas, (x, line), *shown, *width, row, state, largest);
            x += width + 1;
        }
        if Some(index) == at {
            canvas.put(0, line, ">", Tone::Strong);
            canvas.mark(line);
        }
    }
    if rows.is_empty() && state.list.is_some() {
        canvas.put(
            1,
            y + 1,
            "no worker matches the filter; Esc shows all",
            Tone::Dim,
        );
    }
}

fn head(canvas: &mut Canvas, y: u16, columns: &[(Shown, u16)]) {
    let mut x = 1;
    canvas.put(0, y, &" ".repeat(usize::from(canvas.width())), Tone::Head);
    for (shown, width) in columns {
        let (title, left) = title(*shown);
        let room = usize::from(*width);
        let text = if left {
            title.to_owned()
        } else {
            format!("{title:>room$}")
        };
        canvas.put(x, y, &text, Tone::Head);
        x += width + 1;
    }
}

/// The head of a column, and whether it stands on the left.
fn title(shown: Shown) -> (&'static str, bool) {
    match shown {
        Shown::Slot => ("SLOT", false),
        Shown::Pid => ("PID", false),
        Shown::Generation => ("GEN", false),
        Shown::State => ("STATE", true),
        Shown::Cpu(_) => ("CPU%", false),
        Shown::Memory(_) => ("MEMORY", false),
        Shown::Connections => ("CONN", false),
        Shown::Queue => ("QUEUE", false),
        Shown::Uptime => ("UPTIME", false),
        Shown::Restarts => ("RESTARTS", false),
        Shown::Exit => ("LAST EXIT", true),
        Shown::Note => ("NOTE", true),
    }
}

fn cell(
    canvas: &mut Canvas,
    (x, y): (u16, u16),
    shown: Shown,
    width: u16,
    row: &Row,
    state: &State,
    largest: u64,
) {
    let worker = row.worker;
    let old = state.lost.is_some();
    let tone = |own: Tone| if old { Tone::Dim } else { own };
    let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let number = |canvas: &mut Canvas, x: u16, width: u16, text: String, own: Tone| {
        let room = usize::from(width);
        canvas.put_within(x, y, x + width, &format!("{text:>room$}"), tone(own));
    };
    let count = |count: Option<u64>| or(count.map(|count| count.to_string()));
    match shown {
        Shown::Slot => number(canvas, x, width, worker.slot.to_string(), Tone::Strong),
        Shown::Pid => number(
            canvas,
            x,
            width,
            or(worker.pid.map(|pid| pid.to_string())),
            Tone::Normal,
        ),
        Shown::Generation => number(
            canvas,
            x,
            width,
            worker.generation.to_string(),
            Tone::Normal,
        ),
        Shown::State => {
            let own = if worker.ready && row.why.is_none() {
                Tone::Well
            } else {
                self::tone(row.grade)
            };
            canvas.put_within(x, y, x + width, &in_short(worker, width), tone(own));
        }
        Shown::Cpu(bar) => {
            let cpu = state.past.cpu(worker);
            let own = if cpu.is_some_and(|cpu| cpu >= 95.0) {
                Tone::Look
            } else {
                Tone::Well
            };
            let x = meter(canvas, (x, y), bar, cpu.map(|cpu| cpu / 100.0), tone(own));
            let text = or(cpu.map(|cpu| format!("{cpu:.1}")));
            number(canvas, x, width - bar, text, Tone::Normal);
        }
        Shown::Memory(bar) => {
            let part = worker.memory_bytes.map(|bytes| ratio(bytes, largest));
            let x = meter(canvas, (x, y), bar, part, tone(Tone::Moves));
            let text = or(worker.memory_bytes.map(size));
            number(canvas, x, width - bar, text, Tone::Normal);
        }
        Shown::Connections => number(canvas, x, width, count(worker.connections), Tone::Normal),
        Shown::Queue => {
            let waits = worker.queue.is_some_and(|queue| queue > 0);
            let own = if waits { Tone::Look } else { Tone::Normal };
            number(canvas, x, width, count(worker.queue), own);
        }
        Shown::Uptime => number(
            canvas,
            x,
            width,
            or(worker.uptime_seconds.map(human)),
            Tone::Normal,
        ),
        Shown::Restarts => {
            let own = if worker.restarts > 0 {
                Tone::Look
            } else {
                Tone::Normal
            };
            number(canvas, x, width, worker.restarts.to_string(), own);
        }
        Shown::Exit => {
            canvas.put_within(x, y, x + width, &end(worker), tone(Tone::Normal));
        }
        Shown::Note => {
            let status = worker.status.as_deref().map(plain);
            let text = row.why.clone().or(status).unwrap_or_default();
            canvas.put(x, y, &text, tone(self::tone(row.grade)));
        }
    }
}

/// A bar, or blanks where nothing is known.
fn meter(
    canvas: &mut Canvas,
    (x, y): (u16, u16),
    width: u16,
    part: Option<f64>,
    tone: Tone,
) -> u16 {
    if let Some(part) = part {
        canvas.bar(x, y, width, part, tone);
    }
    x + width
}

#[expect(clippy::cast_precision_loss, reason = "a bar of a few cells")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn in_short(worker: &Worker, width: u16) -> String {
    let state = plain(&worker.state);
    let due = worker.due_seconds.map(human);
    match (worker.place, due) {
        (Place::Rising, _) if width > 12 => format!("{state} next"),
        (Place::Rising, _) => "next".to_owned(),
        (_, Some(due)) if worker.state == "backoff" && width > 8 => format!("{state} {due}"),
        _ => state,
    }
}
