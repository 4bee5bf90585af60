//! Start, end and restart of workers.

use std::num::NonZeroU16;
use std::time::Duration;

use super::faults::{Wrong, quote};
use super::grammar::{
    AtPort, UNKNOWN_WORD, boolean, duration, exit_codes, http, number, positive_duration,
    show_word, signal, tcp, word,
};
use super::reader::{Reader, Value};
use super::setting::{Group, Preset, Setting};
use super::show;
use crate::model::{Page, Sig};
use crate::policy::{Backoff, Restart};

pub(super) const GROUP: Group = Group {
    title: "Start, end and restart of workers",
    settings: &[
        &READY,
        &READY_TIMEOUT,
        &STOP_SIGNAL,
        &STOP_TIMEOUT,
        &STOP_MESSAGE,
        &DRAIN_TIMEOUT,
        &UDP_GRACE,
        &SHUTDOWN_DELAY,
        &RESTART,
        &STOP_EXIT_CODES,
        &MIN_UPTIME,
        &MAX_RESTARTS,
        &BACKOFF_MIN,
        &BACKOFF_MAX,
    ],
};

pub(super) const READY: Setting<AtPort<Ready>> = Setting {
    name: "RPM_READY",
    default: Preset::Text("auto"),
    help: "readiness: auto, listen, notify, message, http:PATH, https:PATH, tcp, delay:2s",
    doc: "When a worker counts as ready. `listen`: it listens on every port that is expected of it. `notify`: it says \
          `READY=1` to `NOTIFY_SOCKET` (sd_notify). `message`: it says `process.send('ready')` (pm2's `wait_ready`); the command must \
          be Node. `http:PATH`: it also answers a request for that path with 2xx or 3xx. \
          `tcp`: it also accepts a connection. `delay:2s`: it has been alive for so long. With `http::8080/healthz` and \
          `tcp:8080` it is asked on that one of its shared ports, otherwise on the first that it has bound. `https:PATH` and \
          `https::8443/healthz` ask over TLS 1.3; **the certificate is not checked**, see `RPM_HEALTH`.\n\n\
          **Which ports are expected:** those of `RPM_PORTS`, if they are listed there. Otherwise those that the worker before \
          it in its slot opened within `RPM_READY_TIMEOUT` of its start (in a new slot, those that all other workers opened), \
          if that worker was up for `RPM_MIN_UPTIME`; with `listen` and `auto` also the port that the environment names \
          (`PORT`). Only the number counts, not the address. A unix path is expected when a second worker has bound it: some programs \
          give it another name in each life. At the first start nothing is known, and any port will do. What is \
          only concluded keeps nobody down: outside of a reload, a worker that listens somewhere is ready when its time is \
          over, and a line says what it lacks.\n\n\
          `auto`: as `listen`. But a program may serve no port at all: if the first worker has not listened within \
          `RPM_READY_TIMEOUT`, it is ready, and so are the others once they have been alive for `RPM_MIN_UPTIME`. \
          `RPM_PORTS=off` says so from the start. The line `worker ready` says by what (`by=listen`, `by=age`).",
    parse: ready,
    show: |asked| match &asked.what {
        Ready::Auto => "auto".to_owned(),
        Ready::Listen => "listen".to_owned(),
        Ready::Notify => "notify".to_owned(),
        Ready::Message => "message".to_owned(),
        Ready::Http(page) => asked.shown_page(page),
        Ready::Tcp => format!("tcp{}", asked.shown_port()),
        Ready::Delay(delay) => format!("delay:{}", show::duration(delay)),
    },
};

pub(super) const READY_TIMEOUT: Setting<Duration> = Setting {
    name: "RPM_READY_TIMEOUT",
    default: Preset::Text("30s"),
    help: "a worker that is not ready by then is replaced",
    doc: "A worker that is not ready after this time is stopped, and its start counts as failed.",
    parse: positive_duration,
    show: show::duration,
};

const STOP_SIGNAL: Setting<Sig> = Setting {
    name: "RPM_STOP_SIGNAL",
    default: Preset::Text("TERM"),
    help: "first signal to a worker that shall end",
    doc: "The signal that asks a worker to end.",
    parse: stop_signal,
    show: show::signal,
};

const STOP_TIMEOUT: Setting<Duration> = Setting {
    name: "RPM_STOP_TIMEOUT",
    default: Preset::Text("10s"),
    help: "time between that and SIGKILL",
    doc: "The grace: how long a worker may take from the stop signal to its end. After that it gets SIGKILL.",
    parse: duration,
    show: show::duration,
};

const STOP_MESSAGE: Setting<bool> = Setting {
    name: "RPM_STOP_MESSAGE",
    default: Preset::Text("false"),
    help: "tell Node workers to stop by the message `shutdown` first: true, false",
    doc: "Whether a worker that has Node's channel is told to stop by the message `shutdown` (pm2's `shutdown_with_message`). The \
          program gets it with `process.on('message')`. The grace begins with the message. The stop signal follows when half of the \
          grace is over, or when the program has closed its channel (`process.disconnect()`), and SIGKILL at the end of the \
          grace, as ever. A further request to stop sends the stop signal at once. Workers without a channel get the stop \
          signal at the beginning, with `true` too.",
    parse: boolean,
    show: ToString::to_string,
};

pub(super) const DRAIN_TIMEOUT: Setting<Duration> = Setting {
    name: "RPM_DRAIN_TIMEOUT",
    default: Preset::Text("5s"),
    help: "longest wait for a worker's connections to end before that; 0: none",
    doc: "How long the runtime waits, before the stop signal, for the connections of a worker to end. Meanwhile the worker \
          gets no new ones. `0` does not wait. Where ports are not shared, there is no such wait.\n\n\
          If a reload or a scale-down finds connections after this time, the runtime looks for a moment at which the \
          worker has no request in work, and only then sends the stop signal. This extra wait is at most \
          `RPM_STOP_TIMEOUT`, and at most 2 s if the program catches the stop signal. See \
          [kept connections](reload.md#kept-connections).",
    parse: duration,
    show: show::duration,
};

pub(super) const UDP_GRACE: Setting<Duration> = Setting {
    name: "RPM_UDP_GRACE",
    default: Preset::Text("50ms"),
    help: "time for datagrams in hand, once a draining worker's UDP queue is empty",
    doc: "A worker that serves a shared UDP port gets its stop signal when no datagram has waited in its queue for this \
          time. A datagram leaves the queue when the program reads it, and what the program does with it then cannot be \
          seen: set this above the time that your program needs for an answer. The wait is part of \
          `RPM_DRAIN_TIMEOUT`, so it must be shorter.",
    parse: duration,
    show: show::duration,
};

const SHUTDOWN_DELAY: Setting<Duration> = Setting {
    name: "RPM_SHUTDOWN_DELAY",
    default: Preset::Text("0s"),
    help: "keep serving so long after TERM, no longer ready",
    doc: "How long the runtime goes on serving after SIGTERM, while `/readyz` answers 503: the time that a load balancer \
          needs to send new connections elsewhere.",
    parse: duration,
    show: show::duration,
};

pub(super) const RESTART: Setting<Restart> = Setting {
    name: "RPM_RESTART",
    default: Preset::Text("always"),
    help: "always, on-failure, never",
    doc: "After which ends a worker is started again: after every end, unless it ended with exit code 0 (or one of \
          `RPM_EXIT_OK`), or not at all.\n\n\
          With `never` and one instance the runtime plays the role of tini, and four defaults change: no port is shared \
          (`RPM_EXEC_MODE=fork`); every signal is forwarded; workers inherit stdout (`RPM_LOG_FORMAT=inherit`, unless \
          another `RPM_LOG_*` variable asks for something that needs lines, such as a file: then it is `raw`); and the \
          runtime is silent unless something is wrong (`RPM_LOG_LEVEL=warn`, to stderr).",
    parse: word,
    show: show_word,
};

const STOP_EXIT_CODES: Setting<Vec<u8>> = Setting {
    name: "RPM_STOP_EXIT_CODES",
    default: Preset::Unset,
    help: "exit codes after which a worker stays down",
    doc: "Exit codes after which a worker is not started again. When all workers stay down, the runtime ends with the \
          code of the last one.",
    parse: exit_codes,
    show: show::codes,
};

pub(super) const MIN_UPTIME: Setting<Duration> = Setting {
    name: "RPM_MIN_UPTIME",
    default: Preset::Text("1s"),
    help: "a shorter life counts as a failed start",
    doc: "A worker that ends earlier than this counts as a failed start: the next start waits (`RPM_BACKOFF_MIN`) and is \
          counted (`RPM_MAX_RESTARTS`).",
    parse: duration,
    show: show::duration,
};

const MAX_RESTARTS: Setting<Option<u32>> = Setting {
    name: "RPM_MAX_RESTARTS",
    default: Preset::Text("16"),
    help: "failed starts in a row before giving up; 0: never",
    doc: "After so many failed starts in a row the runtime gives up and ends. `0` never gives up.",
    parse: max_restarts,
    show: |most| most.unwrap_or(0).to_string(),
};

const BACKOFF_MIN: Setting<Duration> = Setting {
    name: "RPM_BACKOFF_MIN",
    default: Preset::Text("100ms"),
    help: "wait after the first failed start, doubled each time",
    doc: "How long the runtime waits after the first failed start of a worker. Each further failure in a row doubles the \
          wait. A worker that served and then ended is started again at once, but not again and again: the next wait is \
          longer each time, until a worker has lived a hundred times as long as the wait.",
    // Not 0: a program that cannot start would be restarted at full speed.
    parse: positive_duration,
    show: show::duration,
};

const BACKOFF_MAX: Setting<Duration> = Setting {
    name: "RPM_BACKOFF_MAX",
    default: Preset::Text("15s"),
    help: "longest such wait",
    doc: "The longest wait between two starts of a worker.",
    parse: positive_duration,
    show: show::duration,
};

/// RPM_READY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// The earlier of two events: the worker listens on a shared port, or has been alive for RPM_MIN_UPTIME.
    Auto,
    /// The worker listens on a shared port.
    Listen,
    /// The worker reports it to NOTIFY_SOCKET (sd_notify(3)).
    Notify,
    /// The worker sends the string `ready` on Node's channel.
    Message,
    /// The worker answers a request for this page with a success.
    Http(Page),
    /// The worker accepts a connection that was steered to it.
    Tcp,
    /// The worker has been alive for this time.
    Delay(Duration),
}

/// Start, end and restart of workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// RPM_READY.
    pub ready: Ready,
    /// The port that RPM_READY names; `None` is the first that a worker has bound.
    pub ready_port: Option<NonZeroU16>,
    /// RPM_READY_TIMEOUT; not 0.
    pub ready_timeout: Duration,
    /// RPM_STOP_SIGNAL.
    pub stop_signal: Sig,
    /// RPM_STOP_TIMEOUT, the grace.
    pub stop_timeout: Duration,
    /// RPM_STOP_MESSAGE.
    pub stop_message: bool,
    /// RPM_DRAIN_TIMEOUT; 0 disables the drain.
    pub drain_timeout: Duration,
    /// RPM_UDP_GRACE.
    pub udp_grace: Duration,
    /// RPM_SHUTDOWN_DELAY.
    pub shutdown_delay: Duration,
    /// RPM_RESTART.
    pub restart: Restart,
    /// RPM_STOP_EXIT_CODES, sorted.
    pub stop_exit_codes: Vec<u8>,
    /// RPM_MIN_UPTIME.
    pub min_uptime: Duration,
    /// RPM_MAX_RESTARTS; `None` (written 0): the runtime never gives up.
    pub max_restarts: Option<u32>,
    /// RPM_BACKOFF_MIN and RPM_BACKOFF_MAX.
    pub backoff: Backoff,
}

impl Life {
    pub(super) fn read(reader: &mut Reader<'_>) -> Value<Self> {
        delay_ends_before_the_timeout(reader);
        udp_grace_fits_into_the_drain(reader);
        let backoff = backoff(reader);
        let AtPort { what, port } = reader.get(&READY)?;
        Ok(Self {
            ready: what,
            ready_port: port,
            ready_timeout: reader.get(&READY_TIMEOUT)?,
            stop_signal: reader.get(&STOP_SIGNAL)?,
            stop_timeout: reader.get(&STOP_TIMEOUT)?,
            stop_message: reader.get(&STOP_MESSAGE)?,
            drain_timeout: reader.get(&DRAIN_TIMEOUT)?,
            udp_grace: reader.get(&UDP_GRACE)?,
            shutdown_delay: reader.get(&SHUTDOWN_DELAY)?,
            restart: reader.get(&RESTART)?,
            stop_exit_codes: reader.given(&STOP_EXIT_CODES)?.unwrap_or_default(),
            min_uptime: reader.get(&MIN_UPTIME)?,
            max_restarts: reader.get(&MAX_RESTARTS)?,
            backoff: backoff?,
        })
    }
}

fn delay_ends_before_the_timeout(reader: &mut Reader<'_>) {
    let ready = reader.get(&READY).map(|asked| asked.what);
    if let (Ok(Ready::Delay(delay)), Ok(timeout)) = (ready, reader.get(&READY_TIMEOUT))
        && delay >= timeout
    {
        let what = format!(
            "is not below RPM_READY_TIMEOUT ({}), so no worker could become ready",
            show::duration(&timeout)
        );
        let wrong = Wrong::new(what, "a shorter delay, or a longer RPM_READY_TIMEOUT");
        reader.fault(&READY, wrong);
    }
}

/// The longest drain is no longer than its limit, so a longer grace for datagrams never ends.
fn udp_grace_fits_into_the_drain(reader: &mut Reader<'_>) {
    if let (Ok(Some(grace)), Ok(drain)) = (reader.given(&UDP_GRACE), reader.get(&DRAIN_TIMEOUT))
        && grace >= drain
    {
        let [grace, drain] = [grace, drain].map(|time| show::duration(&time));
        reader.warn(format!(
            "RPM_UDP_GRACE ({grace}) is not below RPM_DRAIN_TIMEOUT ({drain}), of which it is a part: a worker with a UDP port gets its stop signal after RPM_DRAIN_TIMEOUT, whether its datagrams are answered or not"
        ));
    }
}

fn backoff(reader: &mut Reader<'_>) -> Value<Backoff> {
    let (low, high) = (reader.get(&BACKOFF_MIN)?, reader.get(&BACKOFF_MAX)?);
    if let Ok(backoff) = Backoff::new(low, high) {
        return Ok(backoff);
    }
    let accepted = "RPM_BACKOFF_MIN at most RPM_BACKOFF_MAX";
    let (low, high) = (show::duration(&low), show::duration(&high));
    Err(if reader.is_set(&BACKOFF_MIN) {
        let its = if reader.is_set(&BACKOFF_MAX) {
            ""
        } else {
            ", its default"
        };
        let what = format!("is above RPM_BACKOFF_MAX ({high}{its})");
        reader.fault(&BACKOFF_MIN, Wrong::new(what, accepted))
    } else {
        let what = format!("is below RPM_BACKOFF_MIN ({low}, its default)");
        reader.fault(&BACKOFF_MAX, Wrong::new(what, accepted))
    })
}

fn ready(text: &str) -> Result<AtPort<Ready>, Wrong> {
    let accepted = "auto, listen, notify, message, http:PATH such as http:/healthz, http::PORT/PATH, the same with https, tcp, tcp:PORT, or \
                    delay:DURATION such as delay:2s";
    if let Some(asked) = http(text, accepted) {
        let AtPort { what: page, port } = asked?;
        let what = Ready::Http(page);
        return Ok(AtPort { what, port });
    }
    if let Some(port) = tcp(text, accepted) {
        let what = Ready::Tcp;
        return port.map(|port| AtPort { what, port });
    }
    without_port(text, accepted).map(AtPort::first)
}

fn without_port(text: &str, accepted: &str) -> Result<Ready, Wrong> {
    let (word, rest) = match text.split_once(':') {
        Some((word, rest)) => (word.trim(), Some(rest.trim())),
        None => (text.trim(), None),
    };
    match (word.to_ascii_lowercase().as_str(), rest) {
        ("auto", None) => Ok(Ready::Auto),
        ("listen", None) => Ok(Ready::Listen),
        ("notify", None) => Ok(Ready::Notify),
        ("message", None) => Ok(Ready::Message),
        ("delay", Some(delay)) => duration(delay).map(Ready::Delay).map_err(|wrong| {
            Wrong::new(format!("{} {}", quote(delay), wrong.what), wrong.accepted)
        }),
        _ => Err(Wrong::new(UNKNOWN_WORD, accepted)),
    }
}

/// Parses a signal that can end a process.
fn stop_signal(text: &str) -> Result<Sig, Wrong> {
    let sig = signal(text)?;
    if [Sig::STOP, Sig::CONT, Sig::CHLD].contains(&sig) {
        let accepted = super::grammar::SIGNALS;
        return Err(Wrong::new(
            format!("{sig} does not end a process"),
            accepted,
        ));
    }
    Ok(sig)
}

fn max_restarts(text: &str) -> Result<Option<u32>, Wrong> {
    let most = number(text, 0, 1_000_000)
        .map_err(|wrong| Wrong::new(wrong.what, format!("{}; 0 never gives up", wrong.accepted)))?;
    Ok(Some(most).filter(|most| *most > 0))
}

#[cfg(test)]
mod tests;
