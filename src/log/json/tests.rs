use serde_json::{Map, Value, json};

use super::object::Object;
use super::{Labels, OwnValue, Partial, line, own};
use crate::log::Stream;
use crate::model::{Generation, Pid, SlotId};

pub const TIME: &str = "2026-11-22T04:40:12.345Z";
const ADDED: &str = r#""app":"web","worker":0,"generation":1,"pid":17,"stream":"stdout""#;

fn labels(stream: Stream) -> Labels {
    let pid = Pid::new(17).unwrap();
    Labels::new("web", SlotId(0), Generation(1), pid, stream)
}

/// One line of a worker's stdout, without the newline.
pub fn written(time: &str, head: &[u8], body: &[u8], partial: Option<Partial>) -> String {
    // Existing content of the buffer stays.
    let mut out = b"before\n".to_vec();
    let labels = labels(Stream::Stdout);
    line(&mut out, &labels, time.as_bytes(), head, body, partial);
    let text = String::from_utf8(out.split_off(7)).unwrap();
    assert_eq!(out, b"before\n");
    let text = text.strip_suffix('\n').unwrap();
    assert!(!text.contains(['\n', '\r']), "{text:?}");
    text.to_owned()
}

fn plain(text: &[u8]) -> String {
    written("", b"", text, None)
}

fn wrapped(message: &str) -> String {
    format!(r#"{{{ADDED},"message":"{message}"}}"#)
}

pub fn parsed(text: &str) -> Map<String, Value> {
    match serde_json::from_str(text).unwrap() {
        Value::Object(object) => object,
        other => panic!("{other}"),
    }
}

#[test]
fn text_is_wrapped() {
    let table: &[(&[u8], &str)] = &[
        (b"", ""),
        (b"listening on 3000", "listening on 3000"),
        (b"say \"x\" c:\\x", r#"say \"x\" c:\\x"#),
        (
            b"\x00\x08\t\n\x0b\x0c\r\x1b\x1f\x7f",
            "\\u0000\\b\\t\\n\\u000b\\f\\r\\u001b\\u001f\u{7f}",
        ),
        (b"ends in \r", "ends in "),
        (b"\r x", "\\r x"),
        ("é€\u{1f600}\u{2028}".as_bytes(), "é€\u{1f600}\u{2028}"),
        // Invalid UTF-8: a stray byte, a cut character, an overlong form, half a surrogate pair, above the last
        // character.
        (b"a\xffb\x80", "a\\\\xffb\\\\x80"),
        (b"\xe2\x82", "\\\\xe2\\\\x82"),
        (b"\xc0\xaf", "\\\\xc0\\\\xaf"),
        (b"\xed\xa0\x80!", "\\\\xed\\\\xa0\\\\x80!"),
        (b"\xf4\x90\x80\x80", "\\\\xf4\\\\x90\\\\x80\\\\x80"),
        (b"\xe9\"\n\xc3\xa9", "\\\\xe9\\\"\\n\u{e9}"),
    ];
    for (text, want) in table {
        assert_eq!(plain(text), wrapped(want));
        let (head, body) = text.split_at(text.len() / 2);
        assert_eq!(written("", head, body, None), wrapped(want));
    }
}

#[test]
fn escapes_are_found_wherever_they_stand() {
    for len in 0..100 {
        for at in 0..len {
            let mut text = vec![b'x'; len];
            text[at] = b'"';
            let want = String::from_utf8(text.clone())
                .unwrap()
                .replace('"', "\\\"");
            assert_eq!(plain(&text), wrapped(&want));
        }
    }
}

#[test]
fn time_comes_first_and_a_level_is_that_of_the_line_on_either_stream() {
    let members = |stream: &str| {
        format!(r#""app":"web","worker":0,"generation":1,"pid":17,"stream":"{stream}""#)
    };
    for (stream, name) in [(Stream::Stdout, "stdout"), (Stream::Stderr, "stderr")] {
        for (message, level) in [
            ("oh", ""),
            ("INFO:     oh", r#""level":"info","#),
            ("fatal: oh", r#""level":"fatal","#),
        ] {
            let mut out = Vec::new();
            let labels = labels(stream);
            line(
                &mut out,
                &labels,
                TIME.as_bytes(),
                b"",
                message.as_bytes(),
                None,
            );
            let members = members(name);
            let want = format!(r#"{{"time":"{TIME}",{level}{members},"message":"{message}"}}"#);
            assert_eq!(str::from_utf8(&out).unwrap(), format!("{want}\n"));
        }
    }
    assert_eq!(
        written("4\"\\o\u{e9}", b"", b"x", None),
        format!(r#"{{"time":"4\"\\oé",{ADDED},"message":"x"}}"#)
    );
}

#[test]
fn a_name_is_escaped() {
    let pid = Pid::new(2).unwrap();
    let labels = Labels::new(
        "a\"\u{7}é",
        SlotId(511),
        Generation(u32::MAX),
        pid,
        Stream::Stdout,
    );
    let mut out = Vec::new();
    line(&mut out, &labels, b"", b"", b"{}", None);
    let want = "{\"app\":\"a\\\"\\u0007é\",\"worker\":511,\"generation\":4294967295,\"pid\":2,\"stream\":\"stdout\"}\n";
    assert_eq!(str::from_utf8(&out).unwrap(), want);
}

#[test]
fn a_piece_says_which() {
    let piece = |ordinal, last| Partial {
        ordinal,
        last,
        id: 3,
        level: None,
    };
    assert_eq!(
        written("", b"", b"{}", Some(piece(1, false))),
        format!(
            r#"{{{ADDED},"partial_id":"0-17-stdout-3","partial_ordinal":1,"partial_last":false,"message":"{{}}"}}"#
        )
    );
    assert_eq!(
        written("", b"", b"", Some(piece(u32::MAX, true))),
        format!(
            r#"{{{ADDED},"partial_id":"0-17-stdout-3","partial_ordinal":4294967295,"partial_last":true,"message":""}}"#
        )
    );
}

#[test]
fn an_object_gets_what_it_lacks_before_its_last_brace() {
    let time = format!(r#""time":"{TIME}""#);
    let all = format!("{time},{ADDED}");
    let table: &[(&str, String)] = &[
        ("{}", format!("{{{all}}}")),
        (" \t{ }\r", format!("{{ {all}}}")),
        (
            r#"{"z":1,"a":{"app":2}}"#,
            format!(r#"{{"z":1,"a":{{"app":2}},{all}}}"#),
        ),
        (
            r#"{"z" : 1.50 , "z":2e3 }"#,
            format!(r#"{{"z" : 1.50 , "z":2e3 ,{all}}}"#),
        ),
        // A time under any of its names.
        (r#"{"time":0}"#, format!(r#"{{"time":0,{ADDED}}}"#)),
        (r#"{"ts":0}"#, format!(r#"{{"ts":0,{ADDED}}}"#)),
        (
            r#"{"timestamp":0}"#,
            format!(r#"{{"timestamp":0,{ADDED}}}"#),
        ),
        (
            r#"{"@timestamp":0}"#,
            format!(r#"{{"@timestamp":0,{ADDED}}}"#),
        ),
        (r#"{"Time":0}"#, format!(r#"{{"Time":0,{all}}}"#)),
        // A name may be written with escapes.
        (
            r#"{"p\u0069d":1}"#,
            format!(
                r#"{{"p\u0069d":1,{time},"app":"web","worker":0,"generation":1,"stream":"stdout"}}"#
            ),
        ),
        (
            r#"{"app":null,"worker":[],"generation":"","stream":{}}"#,
            format!(r#"{{"app":null,"worker":[],"generation":"","stream":{{}},{time},"pid":17}}"#),
        ),
        (
            r#"{"time":0,"stream":0,"pid":0,"generation":0,"worker":0,"app":0}"#,
            r#"{"time":0,"stream":0,"pid":0,"generation":0,"worker":0,"app":0}"#.to_owned(),
        ),
        // `level` and `message` of the object are not checked.
        (
            r#"{"level":30,"msg":"a\n\"}"}"#,
            format!(r#"{{"level":30,"msg":"a\n\"}}",{all}}}"#),
        ),
        // Joined records become one line.
        (
            "{\n  \"a\": [\r\n    1\n  ]\n}\r",
            format!("{{  \"a\": [    1  ],{all}}}"),
        ),
    ];
    for (object, want) in table {
        for cut in 0..object.len() {
            let (head, body) = object.as_bytes().split_at(cut);
            let got = written(TIME, head, body, None);
            assert_eq!(got, *want);
            parsed(&got);
        }
    }
    assert_eq!(written("", b"{", b"}", None), format!("{{{ADDED}}}"));
}

#[test]
fn what_is_no_object_that_all_can_read_is_text() {
    let deep = |levels: usize| {
        let inside = levels - 1;
        format!("{{\"a\":{}{}}}", "[".repeat(inside), "]".repeat(inside))
    };
    assert!(Object::read(deep(127).as_bytes()).is_some());
    let deepest = deep(128);
    let table: &[&[u8]] = &[
        b"{",
        b"}",
        b"{}}",
        b"{}{}",
        b"{} x",
        b"x {}",
        b"{x}",
        b"[{}]",
        b"null",
        b"\"{}\"",
        b"{,}",
        b"{\"a\":1,}",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{\"a\" 1}",
        b"{'a':1}",
        b"{a:1}",
        b"{1:1}",
        b"{\"a\":01}",
        b"{\"a\":+1}",
        b"{\"a\":.5}",
        b"{\"a\":1.}",
        b"{\"a\":0x1}",
        b"{\"a\":NaN}",
        b"{\"a\":Infinity}",
        b"{\"a\":True}",
        b"{\"a\":\"\\x41\"}",
        b"{\"a\":\"\\u12\"}",
        b"{/**/}",
        b"\xef\xbb\xbf{}",
        b"{}\0",
        b"{\x0b}",
        b"{\xc2\xa0}",
        // Control characters in a string are invalid in joined records too.
        b"{\"a\":\"\n\"}",
        b"{\"a\":\"\t\"}",
        b"{\"a\":\"\0\"}",
        b"{\"a\n\":0}",
        // Invalid UTF-8 in a value and in a name.
        b"{\"a\":\"\xff\"}",
        b"{\"\xff\":1}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        // The grammar allows these, but parsers fail on them: half a surrogate pair, numbers beyond the range.
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":\"\\ude00\"}",
        b"{\"a\":\"\\ud800\\u0041\"}",
        b"{\"\\ud800\":1}",
        b"{\"a\":1e999}",
        b"{\"a\":-1e999}",
        deepest.as_bytes(),
    ];
    for text in table {
        assert_eq!(Object::read(text), None, "{}", text.escape_ascii());
        let got = parsed(&plain(text));
        assert_eq!(got.len(), 6);
        if let Ok(text) = str::from_utf8(text) {
            assert_eq!(got["message"], text);
        }
    }
    // Rare but valid forms.
    let table = [
        r#"{"a":"\ud83d\ude00\u0000\/"}"#,
        r#"{"a":-0,"b":1E+2,"c":1e-999,"d":123456789012345678901234567890}"#,
        r#"{"":{}}"#,
        "{\"a\":\"\u{7f}\u{2028}\u{fffe}\"}",
    ];
    for text in table {
        assert!(Object::read(text.as_bytes()).is_some(), "{text}");
    }
}

#[test]
fn own_lines_have_their_fields_behind_the_message() {
    let write = |time: &str, message: &str, fields: &[(&str, OwnValue)]| {
        let mut out = Vec::new();
        own(&mut out, "web", time.as_bytes(), "warn", message, fields);
        String::from_utf8(out).unwrap()
    };
    let text = |text: &str| OwnValue::Text(text.to_owned());
    assert_eq!(
        write(
            TIME,
            "worker ended",
            &[
                ("slot", OwnValue::Integer(0)),
                ("exit", text("SIGKILL")),
                ("again", OwnValue::Bool(true)),
            ]
        ),
        "{\"time\":\"2026-11-22T04:40:12.345Z\",\"level\":\"warn\",\"app\":\"web\",\"stream\":\"runtime\",\"message\":\"worker ended\",\"worker\":0,\"exit\":\"SIGKILL\",\"again\":true}\n"
    );
    let head = r#"{"level":"warn","app":"web","stream":"runtime","message":"#;
    assert_eq!(write("", "a\n\"", &[]), format!("{head}\"a\\n\\\"\"}}\n"));
    let taken = [
        "time", "time_", "level", "app", "stream", "message", "x", "x",
    ];
    let fields = taken.map(|name| (name, OwnValue::Bool(false)));
    assert_eq!(
        write("", "", &fields),
        format!(
            "{head}\"\",{}}}\n",
            [
                "time_", "time__", "level_", "app_", "stream_", "message_", "x", "x_"
            ]
            .map(|name| format!("\"{name}\":false"))
            .join(",")
        )
    );
    let numbers = [
        (OwnValue::Integer(i128::MIN), json!(-2_f64.powi(127))),
        (OwnValue::Integer(u64::MAX.into()), json!(u64::MAX)),
        (OwnValue::Float(1.0), json!(1.0)),
        (OwnValue::Float(-0.1), json!(-0.1)),
        (OwnValue::Float(1e300), json!(1e300)),
        (OwnValue::Float(f64::MAX), json!(f64::MAX)),
        (OwnValue::Float(f64::MIN_POSITIVE), json!(f64::MIN_POSITIVE)),
        (OwnValue::Float(f64::NAN), json!("NaN")),
        (OwnValue::Float(f64::NEG_INFINITY), json!("-inf")),
    ];
    for (value, want) in numbers {
        assert_eq!(parsed(&write("", "", &[("n", value)]))["n"], want);
    }
}
