//! The form of log lines: the workers' and the runtime's own, in every format.

use std::fs;
use std::io::Read;

use crate::harness::{Builder, Entry, Form, Runtime, Stream, is_time, lines_of, scratch, terminal};
use serde_json::Value;

/// A script that runs once, in the merged log.
fn once(form: Form, script: &str) -> Builder {
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_RESTART", "never")
        .env("RPM_APP_NAME", "web")
        .env("RPM_LOG_FORMAT", form.name())
        .env("RPM_LOG_LEVEL", "info")
        .program(["sh", "-c", script])
}

/// Runs it to its end; returns the lines of stdout.
#[track_caller]
fn out(builder: Builder) -> Vec<String> {
    let mut runtime = builder.start();
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
    assert_eq!(runtime.bytes(Stream::Err), b"");
    lines_of(&runtime.bytes(Stream::Out))
}

/// The only line that `fits`.
#[track_caller]
fn only(lines: &[String], fits: impl Fn(&str) -> bool) -> &str {
    let found: Vec<&String> = lines.iter().filter(|line| fits(line)).collect();
    assert_eq!(found.len(), 1, "{lines:#?}");
    found[0]
}

#[track_caller]
fn object(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert!(value.is_object(), "{line}");
    value
}

/// The objects of the workers, with their own and the added members.
fn theirs(lines: &[String]) -> Vec<&str> {
    let lines = lines.iter().map(String::as_str);
    lines
        .filter(|line| object(line)["stream"] != "runtime")
        .collect()
}

#[test]
fn every_line_of_json_is_an_object_and_a_workers_has_its_keys_in_order() {
    let lines = out(once(
        Form::Json,
        "echo \"plain $RPM_GENERATION $$\"; printf '%s\\n' 'a \"b\" \\c\t\u{1}é' >&2",
    ));
    let theirs = theirs(&lines);
    assert_eq!(theirs.len(), 2, "{lines:#?}");
    let plain = theirs.iter().find(|line| line.contains("plain")).unwrap();
    let value = object(plain);
    let words: Vec<&str> = value["message"].as_str().unwrap().split(' ').collect();
    let time = value["time"].as_str().unwrap();
    assert!(is_time(time), "{time}");
    let (generation, pid) = (words[1], words[2]);
    let want = format!(
        r#"{{"time":"{time}","app":"web","worker":0,"generation":{generation},"pid":{pid},"stream":"stdout","message":"plain {generation} {pid}"}}"#
    );
    assert_eq!(*plain, want);
    let other = theirs.iter().find(|line| *line != plain).unwrap();
    let other = object(other);
    assert!(other["level"].is_null(), "{other}");
    assert_eq!(other["stream"], "stderr");
    assert_eq!(other["message"], "a \"b\" \\c\t\u{1}é");
}

#[test]
fn the_runtimes_own_lines_are_objects_with_their_fields() {
    let lines = out(once(Form::Json, "echo $$"));
    let pid: u64 = object(theirs(&lines)[0])["message"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let started = only(&lines, |line| line.contains("\"worker started\""));
    let value = object(started);
    let time = value["time"].as_str().unwrap();
    assert!(is_time(time), "{time}");
    let head = format!(
        r#"{{"time":"{time}","level":"info","app":"web","stream":"runtime","message":"worker started""#
    );
    assert!(started.starts_with(&head), "{started}");
    // Numbers, not text; the slot has the name that it has in the workers' lines.
    assert_eq!(value["worker"], 0, "{started}");
    assert_eq!(value["pid"], pid, "{started}");
    let ended = object(only(&lines, |line| line.contains("\"worker ended\"")));
    assert_eq!(ended["cause"], "exit");
    assert_eq!(ended["level"], "info");
    // Lines before the first worker starts have the same form.
    assert!(object(&lines[0])["stream"] == "runtime", "{}", lines[0]);
}

#[test]
fn time_may_be_left_out_or_have_another_shape() {
    for form in [Form::Prefix, Form::Json] {
        let script = "echo hello";
        let lines = out(once(form, script).env("RPM_LOG_TIMESTAMP", "none"));
        let entries: Vec<Entry> = lines.iter().map(|line| form.entry(line)).collect();
        assert!(entries.iter().all(|entry| entry.time.is_none()));
        let want = match form {
            Form::Prefix => "[web:0] hello",
            _ => r#"{"app":"web","worker":0,"#,
        };
        let line = only(&lines, |line| form.entry(line).text == "hello");
        assert!(line.starts_with(want), "{line}");

        let lines = out(once(form, script).env("RPM_LOG_TIMESTAMP", "%Y|%j|%H"));
        for line in &lines {
            let time = match form {
                Form::Prefix => line.split(" [").next().unwrap().to_owned(),
                _ => object(line)["time"].as_str().unwrap().to_owned(),
            };
            let lengths: Vec<usize> = time.split('|').map(str::len).collect();
            assert_eq!(lengths, [4, 3, 2], "{line}");
            assert!(time.bytes().all(|b| b.is_ascii_digit() || b == b'|'));
        }
    }
}

#[test]
fn a_prefix_is_a_time_a_name_and_a_slot() {
    let lines = out(once(Form::Prefix, "echo hello; echo; echo '[web:7] mine'"));
    let mut messages = Vec::new();
    for line in &lines {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(is_time(time), "{line}");
        match rest.strip_prefix("[web:0] ") {
            Some(message) => messages.push(message),
            None => assert!(rest.starts_with("[rpm-runtime] info: "), "{line}"),
        }
    }
    assert_eq!(messages, ["hello", "", "[web:7] mine"]);
    assert!(lines.len() > messages.len());
}

#[test]
fn raw_takes_no_time() {
    for form in ["raw", "inherit"] {
        let mut runtime = once(Form::Raw, "true")
            .env("RPM_LOG_FORMAT", form)
            .env("RPM_LOG_TIMESTAMP", "rfc3339")
            .start();
        assert_eq!(runtime.wait_exit().code(), Some(64), "{form}");
        runtime.wait_for_line(|line| line.contains("RPM_LOG_TIMESTAMP"));
    }
}

#[test]
fn stderr_goes_its_own_way_if_it_is_split() {
    for form in [Form::Raw, Form::Prefix, Form::Json] {
        let mut runtime = once(form, "echo to out; echo to err >&2")
            .env("RPM_LOG_STDERR", "split")
            .start();
        assert_eq!(runtime.wait_exit().code(), Some(0));
        let entries = |stream: Stream| -> Vec<Entry> {
            let lines = lines_of(&runtime.bytes(stream));
            lines.iter().map(|line| form.entry(line)).collect()
        };
        let out = entries(Stream::Out);
        assert_eq!(out.len(), 1, "{form:?}: {out:?}");
        assert_eq!((&*out[0].text, &out[0].own), ("to out", &None));
        let (own, err): (Vec<Entry>, Vec<Entry>) = entries(Stream::Err)
            .into_iter()
            .partition(|entry| entry.own.is_some());
        assert_eq!(err.len(), 1, "{form:?}: {err:?}");
        assert_eq!(err[0].text, "to err");
        assert!(own.iter().any(|entry| entry.text.contains("worker ended")));
    }
}

/// The output for these lines of a worker, without the runtime's own lines.
fn through(form: Form, input: &[u8], timestamp: &str) -> Vec<String> {
    let file = scratch(&format!("through-{}", form.name())).join("input");
    fs::write(&file, input).unwrap();
    let script = format!("exec cat {}", file.display());
    out(once(form, &script)
        .env("RPM_LOG_LEVEL", "off")
        .env("RPM_LOG_TIMESTAMP", timestamp))
}

#[test]
fn a_line_that_is_an_object_keeps_its_bytes_and_gets_what_it_lacks() {
    // The text before its last brace, and the members that are added; `!` marks a stream that exists already.
    let all = ["app", "worker", "generation", "pid", "stream"];
    let table: [(&str, &[&str]); 7] = [
        (r#"{"z":1,"a":{"pid":[1,2]},"level":"debug"}"#, &all),
        (
            r#"{"msg":"é \u00e9 \"}{","n":1.50e+3,"t":true,"x":null}"#,
            &all,
        ),
        (
            r#"{"pid":17,"x":"y"}"#,
            &["app", "worker", "generation", "stream"],
        ),
        (
            r#"{"app":"a","worker":"b","generation":null}"#,
            &["pid", "stream"],
        ),
        (r#"{"a":[{"app":1}],"stream":"mine","b":"\\"}"#, &all[..4]),
        (r#"{ "spaced" : [ 1 , 2 ] }"#, &all),
        ("{}", &all),
    ];
    let input = table.map(|(line, _)| line).join("\n") + "\n";
    let lines = through(Form::Json, input.as_bytes(), "none");
    assert_eq!(lines.len(), table.len(), "{lines:#?}");
    for ((line, keys), got) in table.into_iter().zip(&lines) {
        let before = line.strip_suffix('}').unwrap();
        let added = got.strip_prefix(before);
        let added = added.unwrap_or_else(|| panic!("{line} became {got}"));
        let added = added.strip_suffix('}').unwrap();
        let added = if line == "{}" {
            added
        } else {
            added.strip_prefix(',').unwrap()
        };
        let pairs = object(&format!("{{{added}}}"));
        let names = added.split(',').map(|pair| pair.split(':').next().unwrap());
        let names: Vec<&str> = names.map(|name| name.trim_matches('"')).collect();
        assert_eq!(names, keys, "{got}");
        for (key, want) in [("app", "web"), ("stream", "stdout")] {
            assert!(!keys.contains(&key) || pairs[key] == want, "{got}");
        }
        assert!(!keys.contains(&"worker") || pairs["worker"] == 0, "{got}");
        assert!(!keys.contains(&"pid") || pairs["pid"].is_u64(), "{got}");
        object(got);
    }
}

#[test]
fn an_object_gets_a_time_unless_it_has_one() {
    let table = [
        (r#"{"a":1}"#, true),
        (r#"{"a":{"time":1}}"#, true),
        (r#"{"time":"noon"}"#, false),
        (r#"{"timestamp":1}"#, false),
        (r#"{"ts":1}"#, false),
        (r#"{"@timestamp":1}"#, false),
    ];
    let input = table.map(|(line, _)| line).join("\n") + "\n";
    let lines = through(Form::Json, input.as_bytes(), "rfc3339");
    assert_eq!(lines.len(), table.len(), "{lines:#?}");
    for ((line, gets), got) in table.into_iter().zip(&lines) {
        let time = &object(got)["time"];
        let got_one = time.as_str().is_some_and(is_time);
        assert_eq!(got_one, gets, "{line} became {got}");
        assert!(got.starts_with(line.trim_end_matches('}')), "{got}");
    }
}

#[test]
fn what_is_not_one_whole_object_is_text() {
    let table: &[&[u8]] = &[
        br#"{"a":1"#,
        br#"{"a":01}"#,
        br#"{"a":1}}"#,
        br#"{"a":1} {"b":2}"#,
        br#"{"a":1,}"#,
        br#"{"a":"\x"}"#,
        br#"{"a":NaN}"#,
        br"{'a':1}",
        b"{\"a\":\"tab\there\"}",
        b"{\"a\":\"\xff\"}",
        b"[1]",
        b"17",
        b"\"text\"",
        b"{",
        b"}",
        b"",
    ];
    let mut input = table.join(&b'\n');
    input.push(b'\n');
    let lines = through(Form::Json, &input, "none");
    assert_eq!(lines.len(), table.len(), "{lines:#?}");
    for (line, got) in table.iter().zip(&lines) {
        let value = object(got);
        let want = match str::from_utf8(line) {
            Ok(text) => text.to_owned(),
            Err(_) => r#"{"a":"\xff"}"#.to_owned(),
        };
        assert_eq!(value["message"], want.as_str());
        assert!(value["level"].is_null(), "{got}");
        assert!(value["a"].is_null(), "{got}");
    }
}

#[test]
fn bytes_that_are_no_text_are_told_in_json_and_pass_in_prefix() {
    let input = b"\xff\xfe a\0b\r\x1b[31m \xc3(\n\xe6\xbc\n";
    let lines = through(Form::Json, input, "none");
    let messages: Vec<Value> = lines
        .iter()
        .map(|line| object(line)["message"].clone())
        .collect();
    assert_eq!(
        messages,
        ["\\xff\\xfe a\0b\r\u{1b}[31m \\xc3(", "\\xe6\\xbc"]
    );
    let file = scratch("bytes").join("input");
    fs::write(&file, input).unwrap();
    let script = format!("exec cat {}", file.display());
    let mut runtime = once(Form::Prefix, &script)
        .env("RPM_LOG_LEVEL", "off")
        .env("RPM_LOG_TIMESTAMP", "none")
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    assert_eq!(
        runtime.bytes(Stream::Out),
        b"[web:0] \xff\xfe a\0b\r\x1b[31m \xc3(\n[web:0] \xe6\xbc\n"
    );
}

/// A text of characters with different lengths, without a newline.
fn long(bytes: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        text += &number.to_string();
        text += "é漢🦀";
        if text.len() >= bytes {
            break;
        }
    }
    text
}

#[test]
fn the_pieces_of_a_long_line_are_marked_and_put_together_they_are_the_line() {
    let text = long(10_000);
    let input = format!("short\n{text}\nlast\n");
    for form in [Form::Raw, Form::Prefix, Form::Json] {
        let file = scratch(&format!("pieces-{}", form.name())).join("input");
        fs::write(&file, &input).unwrap();
        let script = format!("exec cat {}", file.display());
        let lines = out(once(form, &script)
            .env("RPM_LOG_LEVEL", "off")
            .env("RPM_LOG_MAX_LINE", "1Ki"));
        let entries: Vec<Entry> = lines.iter().map(|line| form.entry(line)).collect();
        // Cut before a character: a piece is up to three bytes shorter.
        let pieces = &entries[1..entries.len() - 1];
        assert!(pieces.len() >= text.len() / 1024, "{form:?}");
        for piece in &pieces[..pieces.len() - 1] {
            assert!((1021..=1024).contains(&piece.text.len()), "{piece:?}");
        }
        let joined: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(joined, text, "{form:?}");
        assert_eq!(entries[0].text, "short");
        assert_eq!(entries[entries.len() - 1].text, "last");
        if form != Form::Raw {
            assert_eq!(form.written(&lines), ["short", &text, "last"]);
        }
    }
}

#[test]
fn pieces_in_json_are_numbered_as_dockers_are() {
    let (one, two) = (long(5000), long(2500));
    let file = scratch("partial").join("input");
    fs::write(&file, format!("{one}\nwhole\n{two}\n")).unwrap();
    let script = format!("exec cat {}", file.display());
    let lines = out(once(Form::Json, &script)
        .env("RPM_LOG_LEVEL", "off")
        .env("RPM_LOG_MAX_LINE", "1Ki"));
    let values: Vec<Value> = lines.iter().map(|line| object(line)).collect();
    let whole = values.iter().position(|value| value["message"] == "whole");
    let whole = whole.unwrap();
    assert!(values[whole]["partial_id"].is_null());
    let (first, second) = (&values[..whole], &values[whole + 1..]);
    for pieces in [first, second] {
        let id = &pieces[0]["partial_id"];
        assert!(id.is_string(), "{pieces:?}");
        for (number, piece) in pieces.iter().enumerate() {
            assert_eq!(piece["partial_id"], *id);
            assert_eq!(piece["partial_ordinal"], number + 1);
            assert_eq!(piece["partial_last"], number + 1 == pieces.len());
            assert_eq!(piece["stream"], "stdout");
        }
    }
    assert_ne!(first[0]["partial_id"], second[0]["partial_id"]);
}

/// What a terminal shows of a program that prints one line, and of the runtime around it.
fn on_a_terminal(form: Form, no_color: bool) -> String {
    let (mut master, slave) = terminal();
    let mut builder = once(form, "echo hello").stdout(slave.try_clone().unwrap());
    if no_color {
        builder = builder.env("NO_COLOR", "1");
    }
    let mut runtime = builder.start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    drop(slave);
    let mut said = Vec::new();
    // The end of a terminal is an error (EIO); the data read so far stays.
    let _ = master.read_to_end(&mut said);
    String::from_utf8(said).unwrap()
}

#[test]
fn colour_is_for_terminals_whose_owner_wants_it() {
    const ESCAPE: char = '\u{1b}';
    let coloured = on_a_terminal(Form::Prefix, false);
    assert!(coloured.contains(ESCAPE), "{coloured:?}");
    let line = coloured
        .lines()
        .find(|line| line.contains("web:0") && line.contains("hello"));
    let line = line.unwrap();
    // Only the part before the worker's own text is coloured, and the colour is reset before it.
    let (before, after) = line.split_once("hello").unwrap();
    let last = before.rfind(ESCAPE).unwrap_or_else(|| panic!("{line:?}"));
    assert!(before[last..].starts_with("\u{1b}[0m"), "{line:?}");
    assert_eq!(after, "", "{line:?}");

    let plain = on_a_terminal(Form::Prefix, true);
    assert!(plain.contains("[web:0] hello"), "{plain:?}");
    assert!(!plain.contains(ESCAPE), "{plain:?}");
    let json = on_a_terminal(Form::Json, false);
    assert!(!json.contains(ESCAPE), "{json:?}");
    let lines = out(once(Form::Prefix, "echo hello"));
    assert!(lines.iter().all(|line| !line.contains(ESCAPE)), "{lines:?}");
}

#[test]
fn a_file_gets_no_colour_though_the_output_is_a_terminal() {
    let file = scratch("colour").join("all.log");
    let (mut master, slave) = terminal();
    let mut runtime = once(Form::Prefix, "echo hello")
        .env("RPM_LOG_FILE", &file)
        .stdout(slave.try_clone().unwrap())
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    drop(slave);
    let mut said = Vec::new();
    let _ = master.read_to_end(&mut said);
    assert!(!said.is_empty());
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("[web:0] hello\n"), "{text:?}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}
