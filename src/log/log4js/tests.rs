use std::fs;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::model::Timestamp;

/// What log4js 6.9.1 sent, and what its basic layout printed of it in Europe/Berlin (events.js makes the file).
fn fixtures() -> Vec<(String, String)> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/log4js/events.txt"
    );
    let text = fs::read_to_string(path).unwrap();
    let pairs = text.lines().map(|line| serde_json::from_str(line).unwrap());
    pairs.collect()
}

fn read(data: &str) -> Event {
    Event::read(data).unwrap()
}

fn line(event: &Event) -> String {
    let mut out = Vec::new();
    event.line(&mut out);
    let line = String::from_utf8(out).unwrap();
    line.strip_suffix('\n').unwrap().to_owned()
}

fn object(event: &Event) -> Json {
    let mut out = Vec::new();
    event.object(&mut out, &mut Stamper::new(&Timestamp::Rfc3339));
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.find('\n'), Some(text.len() - 1), "{text:?}");
    serde_json::from_str(&text).unwrap()
}

/// An event with these arguments and tables, in the format of `flatted`.
fn event_of(data: &str, more: &str) -> String {
    format!(
        r#"[{{"startTime":"1","categoryName":"2","level":"3","data":"5"}},"2026-11-29T21:00:00.123Z","app",{{"levelStr":"4"}},"INFO",{data}{more}]"#
    )
}

#[test]
fn an_event_reads_as_log4js_prints_it() {
    let fixtures = fixtures();
    assert!(fixtures.len() > 90, "{}", fixtures.len());
    let (mut same, mut summer) = (0, 0);
    for (sent, printed) in fixtures {
        let event = read(&sent);
        let (time, want) = printed.split_once("] ").unwrap();
        let got = line(&event);
        let (local, text) = got.split_once("] ").unwrap();
        assert_eq!(text, want, "{sent}");
        assert_eq!(local.len(), time.len());
        // Berlin is one hour ahead of UTC, two in summer.
        let zone = if time.contains("-05-") { 7200 } else { 3600 };
        let there = event.time() + Duration::from_secs(zone);
        let utc = Stamper::new(&Timestamp::Pattern("[%Y-%m-%dT%H:%M:%S%.3f".to_owned()))
            .stamp(there)
            .to_vec();
        assert_eq!(String::from_utf8(utc).unwrap(), time);
        same += 1;
        summer += usize::from(zone == 7200);
    }
    assert!(same > 90 && summer == 1);
}

#[test]
fn json_has_the_parts_as_members() {
    let all = fixtures();
    let of = |text: &str| {
        let found = all.iter().find(|(_, printed)| printed.ends_with(text));
        object(&read(&found.unwrap().0))
    };
    let plain = json!({
        "time": "2026-11-29T21:00:00.123Z", "level": "info", "category": "app.bill", "message": "plain text",
    });
    assert_eq!(of("- plain text"), plain);
    assert_eq!(
        of("- with context"),
        json!({
            "time": "2026-11-29T21:00:00.123Z", "level": "warn", "category": "app.bill", "message": "with context",
            "context": {"user": "ann", "ids": [1, 2]},
            "fileName": "/app/bill.js", "lineNumber": 12, "columnNumber": 7, "className": "Bill",
            "functionName": "pay", "callerName": "Bill.pay",
        })
    );
    let data = of("object { user: 'ann', roles: [ 'admin', 'user' ], active: true }");
    let user = json!({"user": "ann", "roles": ["admin", "user"], "active": true});
    assert_eq!(data["data"], json!(["object", user]));
    let circle = of("- [Circular]");
    assert_eq!(circle["data"][1]["self"], "[Circular]");
    let levels = [
        "ALL", "TRACE", "DEBUG", "WARN", "ERROR", "FATAL", "MARK", "OFF", "AUDIT",
    ];
    for level in levels {
        let found = all
            .iter()
            .find(|(_, printed)| printed.contains(&format!("[{level}]")));
        let got = object(&read(&found.unwrap().0));
        assert_eq!(got["level"], level.to_lowercase());
    }
    for (sent, _) in &all {
        let event = read(sent);
        assert_eq!(object(&event)["message"], event.message());
    }
}

#[test]
fn the_stack_of_an_error_is_data_too() {
    let all = fixtures();
    let with = |text: &str| {
        let found = all.iter().find(|(_, printed)| printed.contains(text));
        object(&read(&found.unwrap().0))["data"].clone()
    };
    let got = with("no such file");
    assert_eq!(got[0]["code"], "ENOENT");
    assert!(got[0]["stack"].as_str().unwrap().contains("at Bill.pay"));
}

#[test]
fn a_message_says_for_whom_it_is() {
    let (sent, _) = fixtures().pop().unwrap();
    let message = |data: &str| json!({ "topic": "log4js:message", "data": data }).to_string();
    // serde_json sorts the members by name, log4js does not.
    let ordered = |data: &str| {
        let data = json!(data);
        format!(r#"{{"topic":"log4js:message","data":{data}}}"#)
    };
    let to_primary = ordered(&sent);
    assert_eq!(addressee(to_primary.as_bytes()), Some(Addressee::Primary));
    let event = Event::of_message(to_primary.as_bytes()).unwrap();
    assert_eq!(event, read(&sent));
    let cluster = r#","cluster":"7""#;
    assert!(sent.contains(cluster), "{sent:.400}");
    let to_first = ordered(&sent.replacen(cluster, "", 1));
    assert_eq!(
        addressee(to_first.as_bytes()),
        Some(Addressee::FirstInstance)
    );
    // The word in the text of an event is not the member.
    let text = ordered(r#"[{"data":"1"},["2"],"\"cluster\":"]"#);
    assert_eq!(addressee(text.as_bytes()), Some(Addressee::FirstInstance));
    for other in [
        message(&sent).as_str(),
        r#"{"topic":"log4js:message","data":"[1]"}"#,
        r#"{"topic":"log4js:message","data":"[{"#,
        r#"{"topic":"other","data":"[{}]"}"#,
        "",
    ] {
        assert_eq!(addressee(other.as_bytes()), None, "{other:.100}");
    }
    assert!(Event::of_message(br#"{"topic":"log4js:message","data":7}"#).is_err());
}

#[test]
fn what_is_no_event_is_refused() {
    let table = [
        "",
        "x",
        "{}",
        "[]",
        "[1]",
        "[null]",
        r#"["text"]"#,
        "[{}]",
        "[[]]",
        r#"[{"startTime":"0","data":"0","level":"0","categoryName":"0"}]"#,
        r#"[{"startTime":"1","categoryName":"1","level":"2","data":"3"},"then",{"levelStr":"1"},[]]"#,
        r#"[{"startTime":"1","categoryName":"1","level":"2","data":"1"},"2026-11-29T21:00:00.123Z",{"levelStr":"1"}]"#,
    ];
    for text in table {
        assert!(Event::read(text).is_err(), "{text}");
    }
    let told = Event::read(r#"[{"data":"1"},[]]"#).unwrap_err();
    assert_eq!(told.to_string(), "the event has no time");
}

#[test]
fn an_event_that_refers_to_itself_without_end_is_shown_within_a_bound() {
    // Each object has the next one in each of its hundred members: 100^3 values within the usual depth, and more below.
    let wide = |next: usize| {
        let members: Vec<String> = (0..100).map(|n| format!("\"k{n}\":\"{next}\"")).collect();
        format!(",{{{}}}", members.join(","))
    };
    let mut tables: String = (7..40).map(wide).collect();
    tables.push_str(",\"end\"");
    for data in [r#"["6"]"#, r#"["40","6","6","6"]"#] {
        let text = event_of(data, &tables);
        let event = read(&text);
        let most = 8 * (ROOM + GROWTH * text.len());
        assert!(line(&event).len() < most);
        assert!(object(&event).to_string().len() < most);
    }
    let directives = format!(r#","%o%j%s{}""#, "%O%j".repeat(100));
    let data = format!(r#"["40"{}]"#, r#","6""#.repeat(200));
    let text = event_of(&data, &tables.replace(",\"end\"", &directives));
    assert!(line(&read(&text)).len() < 8 * (ROOM + GROWTH * text.len()));
    // A chain of as many values as there may be.
    let chain: Vec<_> = (7..100_000)
        .map(|next| format!(",{{\"a\":\"{next}\"}}"))
        .collect();
    let event = read(&event_of(r#"["6"]"#, &chain.concat()));
    assert_eq!(event.message(), "{ a: { a: { a: [Object] } } }");
    let got = object(&event).to_string();
    assert!(got.contains("[Object]") && got.len() < 1000, "{got}");
    // The list of arguments contains itself.
    assert_eq!(
        read(&event_of(r#"["5"]"#, "")).message(),
        "<ref *1> [ [Circular *1] ]"
    );
}

/// Tables in which each value refers to some of the others.
fn tables() -> impl Strategy<Value = String> {
    let reference = || (0..20_u8).prop_map(|at| format!("\"{at}\""));
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<f64>().prop_map(|number| json!(number).to_string()),
        any::<bool>().prop_map(|yes| yes.to_string()),
        reference(),
        reference(),
    ];
    let name = prop_oneof![
        Just("message"),
        Just("stack"),
        Just("name"),
        Just("a"),
        Just("b c")
    ];
    let one = prop_oneof![
        any::<String>().prop_map(|text| Json::from(text).to_string()),
        "[%sdifjoOc x]{0,12}".prop_map(|text| Json::from(text).to_string()),
        proptest::collection::vec(leaf.clone(), 0..9)
            .prop_map(|items| format!("[{}]", items.join(","))),
        proptest::collection::vec((name, leaf), 0..5).prop_map(|members| {
            let members: Vec<_> = members
                .iter()
                .map(|(name, item)| format!("\"{name}\":{item}"))
                .collect();
            format!("{{{}}}", members.join(","))
        }),
    ];
    let list = proptest::collection::vec(reference(), 0..5)
        .prop_map(|items| format!("[{}]", items.join(",")));
    (list, proptest::collection::vec(one, 14))
        .prop_map(|(data, values)| event_of(&data, &format!(",{}", values.join(","))))
}

proptest! {
    #[test]
    fn any_event_is_shown(text in tables()) {
        let event = read(&text);
        prop_assert!(line(&event).contains("[INFO] app - "));
        prop_assert_eq!(object(&event)["message"].as_str().map(str::to_owned), Some(event.message()));
    }

    #[test]
    fn any_text_is_read_or_refused(text in tables(), at in any::<proptest::sample::Index>(), byte in "[\\[\\]{}\",:0-9\\\\u]") {
        let mut letters: Vec<char> = text.chars().collect();
        let at = at.index(letters.len());
        letters[at] = byte.chars().next().unwrap();
        let text: String = letters.into_iter().collect();
        if let Ok(event) = Event::read(&text) {
            line(&event);
            object(&event);
        }
    }
}
