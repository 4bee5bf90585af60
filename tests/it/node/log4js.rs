//! log4js in its four configurations: who writes, and that each event is written once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::reloads::reload;
use crate::harness::shared_port::{send, stop, wait_ready, worker};
use crate::harness::{Builder, Reader, Runtime, Speed, free_port, scratch, source, until};

const WORKERS: u32 = 4;
const EVENTS: u32 = 10_000;

/// Four workers that log.
struct Service {
    runtime: Runtime,
    file: PathBuf,
}

impl Service {
    /// `config`: of log4js. Without `count`, the workers log until they are told to stop.
    fn start(
        name: &str,
        config: &Value,
        count: Option<u32>,
        change: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let file = scratch(name).join("app.log");
        let mut builder = Runtime::builder()
            .env("RPM_INSTANCES", WORKERS.to_string())
            .env("NODE_PATH", source("target/node/node_modules"))
            .env("PORT", free_port().to_string())
            .env("LOG4JS", config.to_string());
        if let Some(count) = count {
            builder = builder.env("COUNT", (count / WORKERS).to_string());
        }
        if config["pm2"] == true {
            builder = builder.env("LOG_FILE", &file);
        }
        let payload = source("tests/payloads/node/log4js.js");
        let runtime = change(builder)
            .program(["node".into(), payload.into_os_string()])
            .start();
        runtime.wait_for_status("/readyz", 200);
        until("all workers are ready", || {
            runtime.get("/readyz").json()["workers_ready"] == WORKERS
        });
        Self { runtime, file }
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Tells the workers to stop logging, and returns how many events each process has sent that has said so.
    fn finish(&self) -> BTreeMap<i32, u32> {
        let said = |line: &str| line.starts_with("sent ");
        let before = self
            .runtime
            .texts()
            .iter()
            .filter(|line| said(line))
            .count();
        self.runtime.signal(Signal::SIGUSR2);
        let lines = self.runtime.wait_for_lines(before + WORKERS as usize, said);
        let pairs = lines.iter().map(|line| {
            let mut words = line.split(' ').skip(1);
            let mut number = || words.next().unwrap().parse().unwrap();
            (number(), u32::try_from(number()).unwrap())
        });
        pairs.collect()
    }
}

/// The events of each process, and when the one before each was sent, in milliseconds since 1970.
#[derive(Default)]
struct Events(BTreeMap<i32, Vec<u32>>, BTreeMap<(i32, u32), u128>);

impl Events {
    /// Panics if a line is not a whole event.
    #[track_caller]
    fn read<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut events = Self::default();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let [slot, pid, number, previous, "end"] = words[..] else {
                panic!("torn: {line:?}");
            };
            assert!(slot.parse::<u32>().unwrap() < WORKERS, "{line}");
            let of = events.0.entry(pid.parse().unwrap()).or_default();
            of.push(number.parse().unwrap());
            events.1.insert(
                (pid.parse().unwrap(), number.parse().unwrap()),
                previous.parse().unwrap(),
            );
        }
        events
    }

    /// Panics if an event came twice.
    #[track_caller]
    fn once(&self) {
        for (pid, numbers) in &self.0 {
            let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
            assert_eq!(distinct.len(), numbers.len(), "twice, of {pid}");
        }
    }

    /// Panics unless these are all events that were sent.
    #[track_caller]
    fn all(mut self, sent: &BTreeMap<i32, u32>) {
        self.once();
        for (pid, count) in sent {
            let mut numbers = self.0.remove(pid).unwrap_or_default();
            numbers.sort_unstable();
            assert!(numbers.iter().copied().eq(0..*count), "{pid} sent {count}");
        }
        assert!(self.0.is_empty(), "from others: {:?}", self.0.keys());
    }

    fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

fn events_of(lines: &[String]) -> Events {
    Events::read(lines.iter().map(String::as_str))
}

/// All events come through worker 0, each process's in its order.
fn one_writer(name: &str, config: &Value, change: impl FnOnce(Builder) -> Builder) {
    let service = Service::start(name, config, Some(EVENTS), change);
    let sent = service.finish();
    until("all events are in the file", || {
        service.lines().len() >= EVENTS as usize
    });
    let events = events_of(&service.lines());
    for numbers in events.0.values() {
        assert!(numbers.is_sorted());
    }
    events.all(&sent);
    stop(service.runtime);
}

#[test]
fn with_pm2_true_worker_0_writes_the_events_of_all_once() {
    one_writer("log4js-pm2", &json!({ "pm2": true }), |builder| builder);
}

#[test]
fn with_pm2_instance_var_the_variable_may_have_another_name() {
    let config = json!({ "pm2": true, "pm2InstanceVar": "INSTANCE_ID" });
    one_writer("log4js-var", &config, |builder| {
        builder.env("RPM_INSTANCE_VAR", "INSTANCE_ID")
    });
}

#[test]
fn a_reload_loses_no_event_of_log4js() {
    let config = json!({ "pm2": true });
    let service = Service::start("log4js-reload", &config, None, |builder| builder);
    until("events come", || service.lines().len() > 1000);
    reload(&service.runtime);
    let mark = service.lines().len();
    until("events come again", || service.lines().len() > mark + 1000);
    let sent = service.finish();
    assert_eq!(sent.len(), 2 * WORKERS as usize);
    let total: u32 = sent.values().sum();
    until("all events are in the file", || {
        service.lines().len() >= total as usize
    });
    events_of(&service.lines()).all(&sent);
    stop(service.runtime);
}

#[test]
fn a_kill_of_worker_0_costs_only_what_it_had_taken() {
    let config = json!({ "pm2": true });
    let service = Service::start("log4js-kill", &config, None, |builder| builder);
    until("events come", || service.lines().len() > 1000);
    let killed = worker(&service.runtime, 0);
    send(killed, Signal::SIGKILL);
    let ended = format!("worker ended slot=0 pid={killed} ");
    service.runtime.wait_for_line(|line| line.contains(&ended));
    let told_at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis();
    until("worker 0 has a successor", || {
        let successor = worker(&service.runtime, 0);
        let lines = service.lines();
        let its = format!("0 {successor} ");
        successor != killed && lines.iter().filter(|line| line.starts_with(&its)).count() > 500
    });
    wait_ready(&service.runtime, WORKERS as usize);
    let sent = service.finish();
    // The events of one process come in order, so after its last one none is missing for being late.
    let ended = |lines: &[String], pid: &i32, count: &u32| {
        let last = format!(" {pid} {} ", count - 1);
        lines.iter().any(|line| line.contains(&last))
    };
    until("the last events are in the file", || {
        let lines = service.lines();
        sent.iter().all(|(pid, count)| ended(&lines, pid, count))
    });
    let events = events_of(&service.lines());
    events.once();
    let own = events.0[&killed].len();
    let total: u32 = sent.values().sum();
    let lost = total as usize + own - events.len();
    println!("{lost} of {total} events were taken and not written");
    // What was sent after the death was known is not missing: the event behind each gap says when the last one in it was
    // sent.
    for (pid, count) in &sent {
        let has = |number: &u32| events.1.contains_key(&(*pid, *number));
        let Some(end) = (0..*count).rev().find(|number| !has(number)) else {
            continue;
        };
        let at = events.1[&(*pid, end + 1)];
        assert!(
            at <= told_at,
            "{pid}: {end} of {count} was sent after the death was known"
        );
    }
    stop(service.runtime);
}

#[test]
fn with_clustering_disabled_each_worker_writes_by_itself() {
    let config = json!({ "disableClustering": true });
    let service = Service::start("log4js-alone", &config, Some(EVENTS), |builder| builder);
    let sent = service.finish();
    let is_event = |line: &str| line.ends_with(" end");
    let lines = service.runtime.wait_for_lines(EVENTS as usize, is_event);
    events_of(&lines).all(&sent);
    assert_eq!(told(&service.runtime), 0);
    stop(service.runtime);
}

/// How often the runtime spoke of log4js.
fn told(runtime: &Runtime) -> usize {
    let texts = runtime.texts();
    let own = texts
        .iter()
        .filter(|line| line.contains("[rpm-runtime]") || line.contains(r#""stream":"runtime""#));
    own.filter(|line| line.contains("log4js") && line.contains("disableClustering"))
        .count()
}

/// Five hours and a half ahead of UTC.
const ZONE: (&str, u64) = ("ABC-5:30", 19_800);

#[test]
fn with_neither_the_runtime_writes_all_events_in_the_basic_layout() {
    let begin = SystemTime::now();
    let service = Service::start("log4js-neither", &json!({}), Some(EVENTS), |builder| {
        builder.env("TZ", ZONE.0)
    });
    let sent = service.finish();
    let is_event = |line: &str| line.ends_with(" end");
    let lines = service.runtime.wait_for_lines(EVENTS as usize, is_event);
    let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let taken = since(SystemTime::now()) - since(begin);
    let events = lines.iter().map(|line| {
        let (time, rest) = line.split_at("[2026-11-30T12:30:00.123] ".len());
        let clock: Vec<u64> = time[12..20]
            .split(':')
            .map(|part| part.parse().unwrap())
            .collect();
        let second = clock[0] * 3600 + clock[1] * 60 + clock[2];
        let there = (since(begin) + ZONE.1) % 86_400;
        assert!((second + 86_400 - there) % 86_400 <= taken, "{line}");
        rest.strip_prefix("[INFO] test - ").unwrap()
    });
    Events::read(events).all(&sent);
    assert_eq!(told(&service.runtime), 1);
    stop(service.runtime);
}

#[test]
fn with_neither_events_are_objects_in_json() {
    let service = Service::start("log4js-json", &json!({}), Some(EVENTS), |builder| {
        builder.env("RPM_LOG_FORMAT", "json")
    });
    service.runtime.signal(Signal::SIGUSR2);
    let is_event = |line: &str| line.contains(r#""category":"test""#);
    let lines = service.runtime.wait_for_lines(EVENTS as usize, is_event);
    let mut messages = Vec::new();
    let mut sent = BTreeMap::new();
    for line in &lines {
        let object: Value = serde_json::from_str(line).unwrap();
        let message = object["message"].as_str().unwrap();
        let words: Vec<&str> = message.split(' ').collect();
        assert_eq!([&object["level"], &object["stream"]], ["info", "stdout"]);
        assert!(object["time"].as_str().unwrap().ends_with('Z'), "{line}");
        assert_eq!(object["worker"].to_string(), words[0]);
        assert_eq!(object["pid"].to_string(), words[1]);
        sent.insert(words[1].parse().unwrap(), EVENTS / WORKERS);
        messages.push(message.to_owned());
    }
    events_of(&messages).all(&sent);
    assert_eq!(told(&service.runtime), 1);
    stop(service.runtime);
}

/// `pm2: true`, and no worker has the variable that says who is instance 0.
#[test]
fn events_for_an_instance_0_that_does_not_exist_are_in_the_log() {
    let config = json!({ "pm2": true, "pm2InstanceVar": "NOBODY" });
    let service = Service::start("log4js-nobody", &config, Some(EVENTS), |builder| builder);
    // Each has sent its first event already, so worker 0 has shown it.
    let told = |line: &str| line.contains("pm2InstanceVar");
    service.runtime.wait_for_line(told);
    let sent = service.finish();
    for (pid, count) in &sent {
        let last = format!(" {pid} {} ", count - 1);
        service
            .runtime
            .wait_for_line(|line| line.contains(&last) && line.ends_with(" end"));
    }
    let texts = service.runtime.texts();
    let events = texts.iter().filter(|line| line.ends_with(" end"));
    let events = Events::read(events.map(|line| line.split_once(" - ").unwrap().1));
    events.once();
    for (pid, count) in &sent {
        // The first event of the other workers may have come before that of worker 0.
        let numbers = &events.0[pid];
        assert!(
            numbers
                .iter()
                .copied()
                .eq(count - u32::try_from(numbers.len()).unwrap()..*count)
        );
        assert!(numbers.len() + 1 >= *count as usize);
    }
    assert!(service.lines().is_empty());
    assert_eq!(texts.iter().filter(|line| told(line)).count(), 1);
    stop(service.runtime);
}

/// Nothing is dropped and little is held: the workers wait, with the rest of their events in their own memory.
#[test]
fn a_stuck_output_holds_the_events_back_in_the_workers() {
    const MANY: u32 = 40_000;
    let (reader, stdout) = Reader::pipe(4096, Speed::Stopped);
    let service = Service::start("log4js-stuck", &json!({}), Some(MANY), |builder| {
        builder.stdout(stdout)
    });
    service.runtime.signal(Signal::SIGUSR2);
    let buffered = || {
        service
            .runtime
            .metric("rpm_log_buffer_bytes")
            .unwrap_or(0.0)
    };
    // As much as waits for the log's thread, and what that has in hand.
    let limit = 256.0 * 1024.0;
    until("the log has no room", || buffered() >= limit);
    assert!(buffered() <= 3.0 * limit, "{}", buffered());
    reader.speed(Speed::Fast);
    until("everything was written", || {
        service
            .runtime
            .metric_sum("rpm_log_lines_total", &[("stream", "stdout")])
            >= Some(u64::from(MANY + WORKERS))
    });
    stop(service.runtime);
    let text = String::from_utf8(reader.rest()).unwrap();
    let mut sent = BTreeMap::new();
    let mut events = Vec::new();
    for line in text.lines() {
        if let Some((_, event)) = line.split_once("[INFO] test - ") {
            events.push(event);
        } else if let Some(said) = line.strip_prefix("sent ") {
            let (pid, count) = said.split_once(' ').unwrap();
            sent.insert(pid.parse().unwrap(), count.parse().unwrap());
        }
    }
    Events::read(events).all(&sent);
    assert_eq!(sent.values().sum::<u32>(), MANY);
}
