use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::{TIME, parsed, written};
use crate::log::level::LineLevel;

use super::{OwnValue, Partial, own};

/// The expected text of a message: bytes that are not UTF-8 as `\xNN`.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let bytes = chunk.invalid().iter();
        text.extend(bytes.map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// JSON tokens, mostly in a valid order.
fn object() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("a".to_owned()),
        Just("p\\u0069d".to_owned()),
        Just("stream".to_owned()),
        Just("ts".to_owned()),
        Just("worker".to_owned()),
        "[a-zé\"\\\\]{0,3}",
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1e5".to_owned()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        any::<String>().prop_map(|text| Value::from(text).to_string()),
        any::<String>(),
    ];
    let space = || prop_oneof![5 => Just(""), 1 => Just(" "), 1 => Just("\n\t"), 1 => Just("\r\n")];
    let wrap = move |members: BoxedStrategy<(String, String)>| {
        let member = (space(), members, space()).prop_map(|(before, (name, value), after)| {
            format!("{before}\"{name}\"{after}:{value}")
        });
        (proptest::collection::vec(member, 0..5), space())
            .prop_map(|(members, space)| format!("{{{}{space}}}", members.join(",")))
    };
    let nested = leaf.prop_recursive(3, 12, 4, {
        let (name, wrap) = (name.clone(), wrap);
        move |inner| wrap((name.clone(), inner).boxed()).boxed()
    });
    (space(), wrap((name, nested).boxed()), space())
        .prop_map(|(before, object, after)| format!("{before}{object}{after}"))
}

/// Checks every guarantee about a line, for any text.
fn check(text: &[u8], cut: usize, time: &str, partial: Option<Partial>) {
    let (head, body) = text.split_at(cut.min(text.len()));
    let line = written(time, head, body, partial);
    let mut got = parsed(&line);
    let original = match serde_json::from_slice(text) {
        Ok(Value::Object(object)) if partial.is_none() => object,
        _ => {
            let whole = partial.is_none_or(|piece| piece.last);
            let message = text.strip_suffix(b"\r").filter(|_| whole).unwrap_or(text);
            assert_eq!(got["message"], readable(message));
            let level = match partial {
                Some(piece) => piece.level,
                None => LineLevel::of(message),
            };
            let told = got
                .get("level")
                .map_or_else(String::new, |level| format!("\"level\":{level},"));
            assert_eq!(told, level.map_or("", LineLevel::member));
            let members = 6
                + usize::from(level.is_some())
                + usize::from(!time.is_empty())
                + 3 * usize::from(partial.is_some());
            assert_eq!(got.len(), members);
            return;
        }
    };
    // The bytes are unchanged and in order, so the members are too.
    let text = str::from_utf8(text).unwrap().trim();
    let kept = text.strip_suffix('}').unwrap().replace(['\n', '\r'], "");
    let added = line.strip_prefix(&kept).unwrap();
    assert_eq!(added.contains("\"time\":"), {
        let timed = ["time", "ts", "timestamp", "@timestamp"];
        !time.is_empty() && !timed.iter().any(|name| original.contains_key(*name))
    });
    for (name, want) in [
        ("time", json!(time)),
        ("app", json!("web")),
        ("worker", json!(0)),
        ("generation", json!(1)),
        ("pid", json!(17)),
        ("stream", json!("stdout")),
    ] {
        if original.contains_key(name) {
            assert!(!added.contains(&format!("\"{name}\":")));
        } else if name != "time" || added.contains("\"time\":") {
            assert_eq!(got.remove(name), Some(want));
        }
    }
    assert_eq!(got, original);
}

proptest! {
    #[test]
    fn any_bytes_are_one_object(
        text in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0..200_usize,
        piece in proptest::option::of((any::<u32>(), any::<bool>(), any::<u64>())),
    ) {
        let partial = piece.map(|(ordinal, last, id)| Partial {
            ordinal,
            last,
            id,
            level: last.then_some(LineLevel::Warn),
        });
        check(&text, cut, TIME, partial);
    }

    #[test]
    fn any_text_comes_back(text in any::<String>(), cut in 0..40_usize, time in any::<String>()) {
        check(text.as_bytes(), cut, &time, None);
    }

    #[test]
    fn any_object_keeps_its_members(text in object(), cut in 0..400_usize, timed in any::<bool>()) {
        check(text.as_bytes(), cut, if timed { TIME } else { "" }, None);
    }

    /// One byte is changed, so most inputs are almost objects.
    #[test]
    fn nearly_objects_are_one_object(text in object(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut text = text.into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        check(&text, 0, TIME, None);
    }

    #[test]
    fn own_lines_are_one_object(
        app in any::<String>(),
        message in any::<String>(),
        fields in proptest::collection::vec(("[a-z_]{1,2}|time|message", any::<String>()), 0..6),
    ) {
        let mut out = Vec::new();
        let values: Vec<_> = fields
            .iter()
            .map(|(name, text)| (name.as_str(), OwnValue::Text(text.clone())))
            .collect();
        own(&mut out, &app, b"", "info", &message, &values);
        let text = String::from_utf8(out).unwrap();
        prop_assert_eq!(text.find('\n'), Some(text.len() - 1));
        let got = parsed(&text);
        // No name occurs twice.
        prop_assert_eq!(got.len(), 4 + fields.len());
        prop_assert_eq!(&got["app"], &app);
        prop_assert_eq!(&got["message"], &message);
        for (_, text) in fields {
            prop_assert!(got.values().any(|value| *value == text));
        }
    }
}
