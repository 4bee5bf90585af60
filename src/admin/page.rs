//! The status page: `/status` for people. The table is written here, so that it is there without a script; the script of the
//! page then keeps it up to date from `/status`, in the same words.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::model::shown::{duration, size};
use crate::model::{
    AppInfo, Cause, Look, ReloadView, SlotId, WorkerFigures, WorkerState, WorkerView,
};

use super::status::About;

/// The page, with a comment where something is filled in.
const PAGE: &str = include_str!("page.html");

/// What the page may do: its one style, its one script, and asking this address. A test compares the hashes with the file.
pub(super) const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; \
    style-src 'sha256-dB1yGwK1+AjRQVFWiyqpz+XnJit2m5UKHMm1AyFLn18='; script-src 'sha256-PhG5b/Mpz0+awoNWTe5l7Hxhn3fMpLOv0HJc/JKOyXo='; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const COLUMNS: [&str; 13] = [
    "Slot",
    "State",
    "PID",
    "Generation",
    "Uptime",
    "Restarts",
    "Last exit",
    "CPU %",
    "Memory",
    "Connections",
    "Queue",
    "In rotation",
    "Status",
];

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Slot,
    Rising,
    Retiring,
}

/// The page as it is at this moment.
pub(super) fn page(about: (&About, &AppInfo), look: &Look, events: &[Value]) -> String {
    let mut page = String::with_capacity(PAGE.len() + 400 * look.figures.len());
    for (place, part) in PAGE.split("<!--").enumerate() {
        let rest = match part.split_once("-->") {
            Some((name, rest)) if place > 0 => {
                fill(&mut page, name, about, look, events);
                rest
            }
            _ => part,
        };
        page.push_str(rest);
    }
    page
}

fn fill(
    page: &mut String,
    name: &str,
    (about, app): (&About, &AppInfo),
    look: &Look,
    events: &[Value],
) {
    match name {
        "app" => text(page, &app.name),
        "state" => text(page, &state_line(look)),
        "about" => text(page, &about_line(about, app)),
        "progress" => progress(page, look),
        "head" => COLUMNS.iter().for_each(|name| element(page, "th", name)),
        "workers" => workers(page, look),
        "reloads" => reloads(page, look),
        "events" => happened(page, events),
        _ => {}
    }
}

/// Text that others chose, as text.
fn text(page: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            _ => page.push(letter),
        }
    }
}

fn element(page: &mut String, name: &str, content: &str) {
    let _ = write!(page, "<{name}>");
    text(page, content);
    let _ = write!(page, "</{name}>");
}

fn state_line(look: &Look) -> String {
    let seen = &look.snapshot;
    let slots = seen.slots.iter();
    let ready = slots.filter(|view| view.state == WorkerState::Ready);
    format!(
        "{}, {} of {} ready, generation {}, up {}",
        seen.state.label(),
        ready.count(),
        seen.desired,
        seen.generation,
        duration(look.now.0)
    )
}

fn about_line(about: &About, app: &AppInfo) -> String {
    let mut line = String::new();
    let parts = [&app.version, &app.revision, &app.branch];
    for part in parts.into_iter().flatten() {
        line.push_str(part);
        line.push_str(", ");
    }
    let _ = write!(line, "rpm-runtime {}, pid {}", about.version, about.pid);
    line
}

fn progress(page: &mut String, look: &Look) {
    let Some(last) = look.reloads.last().filter(|last| last.result.is_none()) else {
        return;
    };
    let (replaced, workers) = (last.replaced, last.workers);
    let _ = write!(
        page,
        "<progress max=\"{workers}\" value=\"{replaced}\"></progress>"
    );
    let told = format!(
        " reload {}: {replaced} of {} replaced",
        last.number,
        counted(workers)
    );
    element(page, "small", &told);
}

fn reloads(page: &mut String, look: &Look) {
    if look.reloads.is_empty() {
        element(page, "p", "none since the start");
    }
    for reload in look.reloads.iter().rev() {
        element(page, "p", &told(reload));
    }
}

fn told(reload: &ReloadView) -> String {
    let why = reload.why.as_ref();
    format!(
        "reload {} {}, {} of {} replaced, {}{}",
        reload.number,
        reload.result.map_or("runs", |result| result.label()),
        reload.replaced,
        counted(reload.workers),
        duration(reload.took),
        why.map_or_else(String::new, |why| format!(": {why}"))
    )
}

fn counted(workers: usize) -> String {
    match workers {
        1 => "1 worker".to_owned(),
        _ => format!("{workers} workers"),
    }
}

fn workers(page: &mut String, look: &Look) {
    let seen = &look.snapshot;
    let placed = |place| move |view| (place, view);
    let slots = seen.slots.iter().map(placed(Place::Slot));
    let rising = seen.rising.iter().map(placed(Place::Rising));
    let retiring = seen.retiring.iter().map(placed(Place::Retiring));
    let all = slots.chain(rising).chain(retiring).zip(&look.figures);
    let mut all: Vec<((Place, &WorkerView), &WorkerFigures)> = all.collect();
    all.sort_by_key(|((_, view), _)| rank(view));
    for ((place, view), figures) in all {
        let class = ["bad", "busy", ""].get(rank(view).0).copied();
        let _ = write!(page, "<tr class=\"{}\">", class.unwrap_or_default());
        for (name, content) in COLUMNS.iter().zip(cells(place, view, figures, look)) {
            let _ = write!(page, "<td data-of=\"{name}\">");
            text(page, &content);
            page.push_str("</td>");
        }
        page.push_str("</tr>\n");
    }
}

/// What needs attention comes first: what does not run, then what changes or did not live long, then the rest.
fn rank(view: &WorkerView) -> (usize, SlotId) {
    let rank = match view.state {
        WorkerState::Backoff | WorkerState::Stopped | WorkerState::Halted => 0,
        WorkerState::Ready if view.streak == 0 => 2,
        _ => 1,
    };
    (rank, view.slot)
}

fn cells(place: Place, view: &WorkerView, figures: &WorkerFigures, look: &Look) -> [String; 13] {
    let now = look.now;
    let started = view.pid.and(view.started);
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    [
        view.slot.to_string(),
        state(place, view, look),
        or(view.pid),
        view.generation.to_string(),
        or(started.map(|started| duration(now.since(started)))),
        view.restarts.to_string(),
        exit(view),
        or(figures.cpu_percent.map(|percent| format!("{percent:.1}"))),
        or(figures.memory.map(size)),
        or(figures.connections),
        or(figures.queue),
        or(figures.in_rotation.map(yes)),
        view.status.clone().unwrap_or_default(),
    ]
}

fn or(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn state(place: Place, view: &WorkerView, look: &Look) -> String {
    let state = view.state.label();
    match view.due {
        _ if place == Place::Rising => format!("{state} (next)"),
        Some(due) => format!("{state} {}", duration(due.since(look.now))),
        None => state.to_owned(),
    }
}

fn exit(view: &WorkerView) -> String {
    match (view.last_exit, view.last_cause) {
        (None, _) => "-".to_owned(),
        (Some(exit), None | Some(Cause::Exit | Cause::Signal)) => exit.to_string(),
        (Some(exit), Some(cause)) => format!("{exit} ({})", cause.label()),
    }
}

fn happened(page: &mut String, events: &[Value]) {
    for event in events.iter().rev().filter_map(Value::as_object) {
        element(page, "p", &line(event));
    }
}

/// One event in words: when, what, where, and its other fields.
fn line(event: &Map<String, Value>) -> String {
    let of = |name: &str| event.get(name).map(plain).unwrap_or_default();
    let time = event.get("time").and_then(Value::as_f64);
    let time = Duration::try_from_secs_f64(time.unwrap_or_default()).unwrap_or_default();
    let day = time.as_secs() % 86_400;
    let mut line = format!(
        "{:02}:{:02}:{:02} UTC {}",
        day / 3600,
        day / 60 % 60,
        day % 60,
        of("event")
    );
    if event.contains_key("slot") {
        let _ = write!(line, ", slot {}", of("slot"));
    }
    for (name, value) in event {
        if !value.is_null() && !matches!(name.as_str(), "time" | "event" | "slot") {
            let _ = write!(line, ", {name} {}", plain(value));
        }
    }
    line
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
