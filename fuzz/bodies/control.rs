//! Fuzzes both readers of the control socket: of the runtime, what a client asks; of rpmctl, what a runtime answers.
//!
//! Input: one line.

use rpm_runtime::control::protocol::{
    Begun, Command, Done, Env, Event, Health, Kind, List, Lost, Refusal, Reply, Request, Scaled,
    Signalled, Slots, Streamed, VERSION, Version, read_request,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[path = "../../src/rpmctl/plain.rs"]
#[allow(dead_code, reason = "a file of rpmctl, which uses all of it")]
mod plain;

use plain::{Said, is_harmful, lines};

pub fn run(line: &[u8]) {
    match read_request(line) {
        Ok(command) => asked(command),
        Err(refusal) => refused(&refusal),
    }
    if let Ok(reply) = serde_json::from_slice::<Reply>(line) {
        for raw in [reply.item, reply.result].into_iter().flatten() {
            answered(&Said::from(raw));
        }
        if let Some(refusal) = reply.error {
            assert!(!plain::plain(&refusal.text).contains(is_harmful));
        }
    }
    if let Ok(text) = str::from_utf8(line) {
        let shown = lines(text);
        assert!(!shown.contains(|letter| letter != '\n' && is_harmful(letter)));
        assert_eq!(shown.chars().count(), text.chars().count());
    }
}

/// What is done and logged is what was asked.
fn asked(command: Command) {
    assert!(Command::NAMES.contains(&command.name()));
    let words = command.words();
    assert!(words.starts_with(command.name()));
    assert!(
        words.len() < 200 && !words.contains(char::is_control),
        "{words:?}"
    );
    let request = Request {
        v: VERSION,
        command,
    };
    let again = serde_json::to_vec(&request).unwrap();
    assert_eq!(read_request(&again), Ok(request.command));
}

/// A refusal is one line of JSON, whatever it repeats.
fn refused(refusal: &Refusal) {
    assert!(matches!(refusal.kind, Kind::Malformed | Kind::Unknown));
    let line = serde_json::to_string(refusal).unwrap();
    assert!(!line.contains('\n'));
    let back: Refusal = serde_json::from_str(&line).unwrap();
    assert_eq!(&back, refusal);
}

fn answered(said: &Said) {
    let shown = said.to_string();
    assert!(!shown.contains(is_harmful));
    // serde_json refuses what is nested too deep.
    if serde_json::from_str::<Value>(&shown).is_ok() {
        let read: Value = said.read().unwrap();
        harmless(&read);
    }
    as_a::<Begun>(said);
    as_a::<Done>(said);
    as_a::<Env>(said);
    as_a::<Event>(said);
    as_a::<Health>(said);
    as_a::<List>(said);
    as_a::<Lost>(said);
    as_a::<Scaled>(said);
    as_a::<Signalled>(said);
    as_a::<Slots>(said);
    as_a::<Streamed>(said);
    as_a::<Version>(said);
}

/// An answer that can be read has plain texts.
fn as_a<T: DeserializeOwned + Serialize>(said: &Said) {
    if let Ok(answer) = said.read::<T>() {
        harmless(&serde_json::to_value(answer).unwrap());
    }
}

fn harmless(value: &Value) {
    match value {
        Value::String(text) => assert!(!text.contains(is_harmful), "{text:?}"),
        Value::Array(all) => all.iter().for_each(harmless),
        Value::Object(all) => all.iter().for_each(|(name, value)| {
            assert!(!name.contains(is_harmful), "{name:?}");
            harmless(value);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
