//! The top: what runs, graphs, the reload in progress, and what needs somebody.

use std::collections::VecDeque;

use rpm_runtime::control::protocol::{Health, Reload};

use super::paint::{Canvas, Tone, broken, width};
use crate::monit::model::State;
use crate::monit::model::attention::Grade;
use crate::monit::model::rows::Row;
use crate::plain::plain;
use crate::words::{and_others, human, size};

/// The tone of a worker.
pub fn tone(grade: Grade) -> Tone {
    match grade {
        Grade::Ill => Tone::Ill,
        Grade::Look => Tone::Look,
        Grade::Moves => Tone::Moves,
        Grade::Well => Tone::Normal,
    }
}

/// The first line.
pub fn title(canvas: &mut Canvas, y: u16, state: &State) {
    let Some(list) = &state.list else {
        canvas.put(1, y, "rpmctl monit", Tone::Strong);
        return;
    };
    let health = &list.health;
    let app = plain(&list.runtime.app);
    let run = plain(&health.state);
    let ready = format!("{} of {} ready", health.workers.ready, health.desired);
    let wanted = usize::from(health.desired).saturating_sub(health.workers.halted);
    let all = health.workers.ready >= wanted;
    let end = canvas.row(
        1,
        y,
        &[
            (&app, Tone::Strong),
            ("  ", Tone::Normal),
            (&run, run_tone(health)),
            ("  ", Tone::Normal),
            (&ready, if all { Tone::Well } else { Tone::Ill }),
            (&format!("  generation {}", health.generation), Tone::Normal),
            (
                &format!("  up {}", human(list.uptime_seconds)),
                Tone::Normal,
            ),
        ],
    );
    let right = format!(
        "rpm-runtime {}, pid {} ",
        plain(&list.runtime.version),
        list.runtime.pid
    );
    let from = usize::from(canvas.width()).saturating_sub(width(&right));
    if let Ok(from) = u16::try_from(from)
        && from > end + 1
    {
        canvas.put(from, y, &right, Tone::Dim);
    }
}

fn run_tone(health: &Health) -> Tone {
    match health.state.as_str() {
        "running" if health.ready => Tone::Well,
        "running" => Tone::Ill,
        "reloading" => Tone::Moves,
        _ => Tone::Look,
    }
}

/// That no runtime answers. Says how many lines it took, as all below.
pub fn lost(canvas: &mut Canvas, y: u16, state: &State) -> u16 {
    let Some(why) = &state.lost else { return 0 };
    let text = format!(" NO ANSWER, trying again each second. {why}");
    let end = canvas.put(0, y, &text, Tone::Alarm);
    canvas.put(
        end,
        y,
        &" ".repeat(usize::from(canvas.width())),
        Tone::Alarm,
    );
    1
}

/// The sums over time.
pub fn graphs(canvas: &mut Canvas, y: u16, state: &State) -> u16 {
    /// Cells for the number behind a graph.
    const NUMBER: u16 = 7;
    let past = &state.past;
    let last = |values: &VecDeque<u64>| values.back().copied().unwrap_or(0);
    let all: [(&str, &VecDeque<u64>, u64, String); 4] = [
        (
            "conn",
            &past.connections,
            8,
            last(&past.connections).to_string(),
        ),
        ("queue", &past.queue, 8, last(&past.queue).to_string()),
        ("cpu", &past.cpu, 100, format!("{}%", last(&past.cpu))),
        ("mem", &past.memory, 1 << 20, size(last(&past.memory))),
    ];
    let count: u16 = if canvas.width() < 60 { 2 } else { 4 };
    let each = canvas.width() / count;
    for (at, (name, values, least, number)) in (0..count).zip(all) {
        let begin = at * each;
        let x = canvas.put(begin + 1, y, name, Tone::Dim) + 1;
        let room = (begin + each).saturating_sub(x + NUMBER);
        let waits = name == "queue" && last(values) > 0;
        let x = canvas.graph(
            x,
            y,
            room,
            values,
            least,
            if waits { Tone::Look } else { Tone::Moves },
        );
        canvas.put_within(x + 1, y, begin + each, &number, Tone::Normal);
    }
    1
}

/// The reload that is in progress.
pub fn reload(canvas: &mut Canvas, y: u16, state: &State) -> u16 {
    let health = state.list.as_ref().map(|list| &list.health);
    let running = |health: &Health| {
        let reload = health
            .reloads
            .last()
            .filter(|reload| reload.result.is_none());
        reload.map(|reload| (reload.clone(), health.workers))
    };
    let Some((reload, workers)) = health.and_then(running) else {
        return 0;
    };
    let Reload {
        number,
        workers: all,
        replaced,
        seconds,
        ..
    } = reload;
    let x = canvas.put(1, y, &format!("reload {number}  "), Tone::Strong);
    let x = canvas.bar(x, y, canvas.width() / 5, share(replaced, all), Tone::Moves);
    let waits = and_others(&workers);
    let text = format!("  {replaced} of {all} replaced, {}{waits}", human(seconds));
    canvas.put(x, y, &text, Tone::Normal);
    1
}

#[expect(clippy::cast_precision_loss, reason = "a bar of a few cells")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// What needs somebody, in at most so many lines. A long reason takes two, if all others have their line.
pub fn attention(
    canvas: &mut Canvas,
    y: u16,
    (state, rows): (&State, &[Row<'_>]),
    most: u16,
) -> u16 {
    let all = matters(state, rows);
    let most = usize::from(most);
    let shown = if all.len() > most {
        most.saturating_sub(1).max(1)
    } else {
        all.len()
    };
    let more = all.len() - shown;
    let mut spare = most.saturating_sub(all.len());
    let mut line = y;
    for (grade, text) in all.iter().take(shown) {
        let end = canvas.put(1, line, &format!("! {text}"), tone(*grade));
        if more > 0 && most == 1 {
            let note = format!(" (+{more} more)");
            let last = canvas
                .width()
                .saturating_sub(u16::try_from(note.len()).unwrap_or(0));
            canvas.put(end.min(last), line, &note, Tone::Strong);
        }
        line += 1;
        let cells = usize::from(canvas.width().saturating_sub(3));
        if spare > 0
            && let Some(rest) = broken(text, cells).get(1)
        {
            canvas.put(3, line, rest, tone(*grade));
            spare -= 1;
            line += 1;
        }
    }
    if more > 0 && most > 1 {
        canvas.put(1, line, &format!("! and {more} more"), Tone::Strong);
        line += 1;
    }
    line - y
}

/// Each with its reason, the gravest first.
fn matters(state: &State, rows: &[Row<'_>]) -> Vec<(Grade, String)> {
    let mut all = Vec::new();
    let Some(list) = &state.list else { return all };
    let latest = list.health.reloads.last();
    if let Some(failed) = latest.filter(|reload| reload.result.as_deref() == Some("failure")) {
        let Reload {
            number,
            replaced,
            workers,
            why,
            ..
        } = failed;
        let why = why
            .as_deref()
            .map_or_else(|| "no reason is known".to_owned(), plain);
        let text = format!("reload {number} failed, {replaced} of {workers} replaced: {why}");
        all.push((Grade::Ill, text));
    } else if state.new_failures() > 0
        && let Some(why) = &list.health.last_failure
    {
        let text = format!("a new worker did not come up: {}", plain(why));
        all.push((Grade::Look, text));
    }
    let ill = rows.iter().filter(|row| row.grade <= Grade::Look);
    all.extend(ill.filter_map(|row| {
        let why = row.why.as_ref()?;
        Some((row.grade, format!("slot {}: {why}", row.worker.slot)))
    }));
    all.sort_by_key(|(grade, _)| *grade);
    all
}
