//! Start, end and restart of workers.

use super::app::App;
use super::program::{Channel, Command};
use super::times::{time, uptime};
use super::translation::Translation;

/// Writes start, end and restart.
pub fn translate(app: &mut App<'_>, out: &mut Translation, command: Command) {
    ready(app, out, command);
    stop(app, out, command);
    restart(app, out);
    without_port(out);
}

/// Sets a time, or drops its key. Returns whether it was set.
pub fn set_time(out: &mut Translation, key: &str, name: &str, milliseconds: u64) -> bool {
    match time(milliseconds) {
        Ok(value) => {
            out.set(key, name, value);
            true
        }
        Err(why) => {
            out.drop(key, why);
            false
        }
    }
}

fn last_note(out: &mut Translation, note: &str) {
    if let Some(variable) = out.settings.last_mut() {
        variable.note(note);
    }
}

/// Whether messages of Node's channel reach the program; drops the key if not.
fn has_channel(
    app: &mut App<'_>,
    out: &mut Translation,
    key: &'static str,
    command: Command,
) -> bool {
    match command.channel {
        Channel::Own => true,
        Channel::Asked => {
            let written = app.written(key);
            out.set(written, "RPM_NODE", "on")
                .note("the command is a shell, which passes Node's channel on to what it starts");
            true
        }
        Channel::None(why) => {
            let written = app.written(key);
            out.drop(written, format!("needs Node's channel: {why}"));
            false
        }
    }
}

fn ready(app: &mut App<'_>, out: &mut Translation, command: Command) {
    let waits = app.flag("wait_ready");
    if waits == Some(true) && has_channel(app, out, "wait_ready", command) {
        let written = app.written("wait_ready");
        out.set(written, "RPM_READY", "message")
            .note("a worker that never says `ready` is replaced; pm2 goes on as if it were ready");
    }
    if let Some(timeout) = app.milliseconds("listen_timeout") {
        let written = app.written("listen_timeout");
        if set_time(out, &written, "RPM_READY_TIMEOUT", timeout) {
            last_note(
                out,
                "a worker that is not ready by then is stopped, and its start has failed; pm2 goes on as if it were ready. The slowest start must fit into it",
            );
        }
    }
}

fn stop(app: &mut App<'_>, out: &mut Translation, command: Command) {
    out.set("script", "RPM_STOP_SIGNAL", "INT")
        .note("pm2 stops with SIGINT, also when it gets SIGTERM. Take the line out if the program handles SIGTERM");
    let treekill = app.flag("treekill");
    if treekill != Some(false) && command.is_behind {
        let key = app.written("treekill");
        out.set(key, "RPM_SIGNAL_SCOPE", "group")
            .note("pm2 signals every process below the command, not the command alone");
    } else if treekill == Some(false) {
        out.note("treekill is false: here too the stop signal goes to one process, but what is left in its process group is stopped then");
        out.same("treekill");
    } else if treekill.is_some() {
        out.same("treekill");
    }
    if let Some(timeout) = app.milliseconds("kill_timeout") {
        let written = app.written("kill_timeout");
        if set_time(out, &written, "RPM_STOP_TIMEOUT", timeout)
            && out.setting("RPM_EXEC_MODE").is_none()
        {
            last_note(
                out,
                "before the signal the worker finishes what it has, for up to RPM_DRAIN_TIMEOUT (5s): the grace period of the container must be longer than both",
            );
        }
    }
    if app.flag("shutdown_with_message") == Some(true)
        && has_channel(app, out, "shutdown_with_message", command)
    {
        let written = app.written("shutdown_with_message");
        out.set(written, "RPM_STOP_MESSAGE", "true")
            .note("after half of the grace the stop signal follows; pm2 sends none");
    }
}

fn restart(app: &mut App<'_>, out: &mut Translation) {
    match app.flag("autorestart") {
        Some(false) => {
            out.set("autorestart", "RPM_RESTART", "never")
                .note("with one worker the runtime forwards signals and ends with the exit code of the program; pm2-runtime ends with 2");
        }
        Some(true) => out.same("autorestart"),
        None => {}
    }
    exit_codes(app, out);
    if let Some(least) = uptime(app, "min_uptime") {
        let written = app.written("min_uptime");
        set_time(out, &written, "RPM_MIN_UPTIME", least);
    }
    max_restarts(app, out);
    delays(app, out);
}

fn max_restarts(app: &mut App<'_>, out: &mut Translation) {
    let Some(most) = app.number("max_restarts") else {
        return;
    };
    let written = app.written("max_restarts");
    match super::app::whole(most) {
        Some(0) => out.drop(written, "is 0, with which pm2 starts nothing again: RPM_RESTART=never does that, and RPM_MAX_RESTARTS=0 the contrary"),
        Some(most) => {
            out.set(written, "RPM_MAX_RESTARTS", most.min(1_000_000).to_string())
                .note("then the runtime ends, and with it the container; pm2 gives up this worker alone");
        }
        None => app.fault(format!(
            "{written} is below 0: pm2 refuses the file"
        )),
    }
}

fn exit_codes(app: &mut App<'_>, out: &mut Translation) {
    let Some((written, value)) = app.raw("stop_exit_codes") else {
        return;
    };
    let texts = match value {
        super::value::Value::List(values) => values.iter().map(super::value::Value::text).collect(),
        other => other
            .text()
            .split(|c: char| c == ',' || c.is_whitespace())
            .map(str::to_owned)
            .collect::<Vec<String>>(),
    };
    let mut codes: Vec<String> = Vec::new();
    for text in texts
        .iter()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
    {
        if text.parse::<u8>().is_ok() {
            codes.push(text.to_owned());
        } else {
            let text = super::fault::quote(text);
            out.drop(
                written.as_str(),
                format!("holds {text}, which is no exit code from 0 to 255"),
            );
        }
    }
    if !codes.is_empty() {
        out.set(written, "RPM_STOP_EXIT_CODES", codes.join(","));
    }
}

fn delays(app: &mut App<'_>, out: &mut Translation) {
    const LONGEST: u64 = 15_000;
    let fixed = app.milliseconds("restart_delay");
    if let Some(first) = app.milliseconds("exp_backoff_restart_delay") {
        let written = app.written("exp_backoff_restart_delay");
        if set_time(out, &written, "RPM_BACKOFF_MIN", first) {
            last_note(
                out,
                "each further wait is twice as long, up to 15s; with pm2 1.5 times",
            );
            if first > LONGEST {
                set_time(out, &written, "RPM_BACKOFF_MAX", first);
            }
        }
        if fixed.is_some() {
            let other = app.written("restart_delay");
            out.drop(
                other,
                format!("is not used by pm2 either, beside {written}"),
            );
        }
        return;
    }
    let Some(fixed) = fixed else {
        return;
    };
    let written = app.written("restart_delay");
    if set_time(out, &written, "RPM_BACKOFF_MIN", fixed) {
        last_note(
            out,
            "a worker that was up for RPM_MIN_UPTIME is started again at once the first time; pm2 waits each time",
        );
        set_time(out, &written, "RPM_BACKOFF_MAX", fixed);
    }
}

/// Without a shared port a worker is ready after RPM_MIN_UPTIME, so that must be below RPM_READY_TIMEOUT.
fn without_port(out: &mut Translation) {
    if out.setting("RPM_EXEC_MODE") != Some("fork") || out.setting("RPM_READY").is_some() {
        return;
    }
    let parse = |text: &str| {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.get(digits.len()..) {
            Some("h") => 3_600_000,
            Some("m") => 60_000,
            Some("s") => 1000,
            _ => 1,
        };
        digits.parse::<u64>().unwrap_or_default() * unit
    };
    let of = |out: &Translation, name: &str, default: u64| out.setting(name).map_or(default, parse);
    let uptime = of(out, "RPM_MIN_UPTIME", 1000);
    let timeout = of(out, "RPM_READY_TIMEOUT", 30_000);
    if uptime < timeout {
        return;
    }
    let both = |name: &str| {
        out.settings
            .iter()
            .find(|variable| variable.name == name)
            .map(|variable| variable.key.clone())
    };
    let key = both("RPM_READY_TIMEOUT")
        .or_else(|| both("RPM_MIN_UPTIME"))
        .unwrap_or_default();
    if let Ok(value) = time(uptime + 1000) {
        out.set(key, "RPM_READY_TIMEOUT", value)
            .note("without a shared port a worker is ready after RPM_MIN_UPTIME (1s if unset), so this must be longer; pm2 has no such wait for a fork");
    } else {
        let why = "is 24h, and no worker would become ready";
        if let Some(key) = both("RPM_MIN_UPTIME") {
            out.drop(key, why);
        }
        out.settings
            .retain(|variable| variable.name != "RPM_MIN_UPTIME");
    }
}
