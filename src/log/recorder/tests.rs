use std::sync::Arc;

use regex::bytes::Regex;

use super::{RecordRule, Recorder};
use crate::model::Language::{self, Go, Java, Node, Python, Ruby};

fn append(record: &mut String, line: &str) {
    record.push('\n');
    record.push_str(line);
}

/// The records of `lines`.
fn records(rule: RecordRule, lines: &str) -> Vec<String> {
    let mut recorder = Recorder::new(rule);
    let mut records: Vec<String> = Vec::new();
    for line in lines.lines() {
        let record = records.last().map_or("", String::as_str);
        let joins = recorder.joins(record.as_bytes(), line.as_bytes());
        match records.last_mut().filter(|_| joins) {
            Some(record) => append(record, line),
            None => records.push(line.to_owned()),
        }
    }
    records
}

/// `wanted` are records: what `lines` holds, cut before the lines that begin with `>`.
#[track_caller]
fn check(languages: &[Language], marked: &str) {
    let mut wanted: Vec<String> = Vec::new();
    for line in marked.lines() {
        match (line.strip_prefix('>'), wanted.last_mut()) {
            (Some(first), _) => wanted.push(first.to_owned()),
            (None, Some(record)) => append(record, line),
            (None, None) => panic!("the first line begins a record"),
        }
    }
    let lines = wanted.join("\n");
    let rule = RecordRule::Languages(languages.into());
    assert_eq!(records(rule, &lines), wanted);
    // Line ends of Windows.
    let rule = RecordRule::Languages(languages.into());
    let returned = records(rule, &lines.replace('\n', "\r\n"));
    assert_eq!(returned, wanted);
}

#[test]
fn a_pattern_matches_first_lines() {
    let rule = RecordRule::Pattern(Arc::new(Regex::new("^A").unwrap()));
    let got = records(rule, "x\nA1\nb\nA2\nA3\n c");
    assert_eq!(got, ["x", "A1\nb", "A2", "A3\n c"]);
}

#[test]
fn chained_tracebacks_of_python_are_one_record() {
    check(
        &[Python],
        r#">INFO:web:before
>ERROR:web:it failed
Traceback (most recent call last):
  File "/app/web.py", line 4, in inner
    return {}["missing"]
           ~~^^^^^^^^^^^
KeyError: 'missing'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/web.py", line 14, in <module>
    1/0
app.errors.Wrong: division by zero

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/web.py", line 15, in <module>
SystemExit
>INFO:web:between
>Traceback (most recent call last):
  File "/app/web.py", line 28, in <module>
    eval("foo(")
  File "<string>", line 1
    foo(
       ^
SyntaxError: '(' was never closed
>Traceback (most recent call last):
  File "/app/web.py", line 3, in <module>
ValueError: another

>plain text
>Exception in thread Thread-1 (inner):
Traceback (most recent call last):
  File "/usr/lib/python3.11/threading.py", line 1038, in _bootstrap_inner
    self.run()
KeyError: 'missing'
>ERROR:asyncio:Task exception was never retrieved
future: <Task finished name='Task-2' coro=<to_thread() done> exception=KeyError('missing')>
Traceback (most recent call last):
  File "/app/web.py", line 4, in inner
KeyError: 'missing'
>INFO:web:stack
Stack (most recent call last):
  File "/app/web.py", line 17, in <module>
>INFO:web:behind the stack
>ERROR:web:group
  + Exception Group Traceback (most recent call last):
  |   File "/app/web.py", line 30, in <module>
  | ExceptionGroup: several (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +------------------------------------
>INFO:     after"#,
    );
}

#[test]
fn causes_of_java_are_one_record() {
    check(
        &[Java],
        r#">Nov 30, 2026 12:45:53 AM Main main
INFO: before
>Nov 30, 2026 12:45:54 AM org.example.App main
SEVERE: it failed
java.lang.RuntimeException: it "failed"
	at Main.outer(Main.java:3)
	Suppressed: java.io.IOException: closing
		... 9 more
Caused by: java.lang.IllegalStateException: no more
second line

fourth
	at Main.inner(Main.java:2)
	... 9 more

>Nov 30, 2026 12:45:54 AM Main main
WARNING: after
>Exception in thread "main" java.lang.RuntimeException: failed
	at Main.outer(Main.java:3)
Caused by: org.example.PayException
	... 2 more
>2026-11-30T12:00:00.123Z ERROR 7 --- [exec-3] o.e.Pay : it failed
java.lang.IllegalStateException: no more
	at org.example.Pay.charge(Pay.java:17)
>2026-11-30T12:00:00.124Z  INFO 7 --- [main] o.e.App : going on
>java.io.IOException: printed
	at Main.inner(Main.java:2)
>org.example.App: not an exception
>plain text"#,
    );
}

#[test]
fn errors_of_node_are_one_record() {
    check(
        &[Node],
        r">before
>Error: printed
    at Object.<anonymous> (/app/x.js:3:15)
    ... 4 lines matching cause stack trace ...
    at node:internal/main/run_main_module:28:49 {
  [cause]: Error: inner
      at Object.<anonymous> (/app/x.js:2:15) {
    code: 'E1'
  }
}
>INFO between
>Error: Cannot find module './missing'
Require stack:
- /app/x.js
    at require (node:internal/modules/helpers:182:18) {
  code: 'MODULE_NOT_FOUND',
  requireStack: [ '/app/x.js' ]
}
>[2026-11-30T12:00:00.123] [ERROR] default - it failed
TypeError [ERR_INVALID_ARG_TYPE]: The argument
    at x (/app/x.js:1:2)
>(node:7) Warning: careful
(Use `node --trace-warnings ...` to show where the warning was created)
>last
>/app/x.js:8
throw new TypeError('nobody');
^

TypeError: nobody
catches it
    at listOnTimeout (node:internal/timers:581:17) {
  code: 'E1'
}

Node.js v20.20.2
>after",
    );
}

#[test]
fn panics_of_go_are_one_record() {
    check(
        &[Go],
        r">2026/11/30 12:00:00 before
>2026/11/30 12:00:00 http: panic serving 127.0.0.1:51660: in a handler
goroutine 22 [running]:
net/http.(*conn).serve.func1()
	/usr/lib/go-1.19/src/net/http/server.go:1850 +0xbf
panic({0x66b360, 0x7379d0})
	/usr/lib/go-1.19/src/runtime/panic.go:890 +0x262
created by net/http.(*Server).Serve
	/usr/lib/go-1.19/src/net/http/server.go:3102 +0x4db
>2026/11/30 12:00:00 after (the handler)
>listening on (all)
>panic: first line
second line
	panic: again
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4]

goroutine 1 [running]:
main.(*T).f(...)
	/app/main.go:4
main.main()
	/app/main.go:14 +0xf9

goroutine 5 [select (no cases)]:
main.main.func1()
	/app/main.go:9 +0x1
created by main.main in goroutine 1
	/app/main.go:9 +0x2
exit status 2
>runtime: goroutine stack exceeds 1000000000-byte limit
fatal error: stack overflow

runtime stack:
runtime.throw({0x1, 0x2})
	/usr/lib/go/panic.go:1 +0x1

goroutine 1 [running]:
main.f()
	/app/main.go:1 +0x1
...additional frames elided...
>SIGQUIT: quit
PC=0x46b341 m=0 sigcode=0

goroutine 0 [idle]:
runtime.futex()
	/usr/lib/go/sys.s:1 +0x1

rax    0xca
rflags 0x286
>plain text",
    );
}

#[test]
fn errors_of_ruby_are_one_record() {
    check(
        &[Ruby],
        r">I, [2026-11-30T12:00:00.017540 #7]  INFO -- : before
>E, [2026-11-30T12:00:00.017604 #7] ERROR -- : outer
second line (RuntimeError)
x.rb:7:in `rescue in outer'
x.rb:10:in `<main>'
>I, [2026-11-30T12:00:00.017622 #7]  INFO -- : between
>#<Thread:0x00007f6079e28980 x.rb:12 run> terminated with exception (report_on_exception is true):
x.rb:7:in `rescue in outer': outer (RuntimeError)
second line
	from x.rb:4:in `outer'
x.rb:3:in `inner': inner (ArgumentError)
	from x.rb:5:in `outer'
	 ... 9 levels...
>W, [2026-11-30T12:00:00.023979 #7]  WARN -- : joined
>x.rb:7:in 'Object#outer': outer (RuntimeError)
	from x.rb:4:in 'Object#outer'
>#<Thread:0x00007f6079e28981 x.rb:12 run> terminated with exception (report_on_exception is true):
x.rb:7:in `outer': outer (RuntimeError)
>#<Thread:0x00007f6079e28982 x.rb:12 run> terminated with exception (report_on_exception is true):
x.rb:7:in `outer': outer (RuntimeError)
	from x.rb:4:in `outer'
>plain text: in `quotes'
>x.rb:15:in `<main>': undefined local variable or method `foo' for main:Object (NameError)

foo.bar
^^^
Did you mean?  for",
    );
}

#[test]
fn several_languages_stand_beside_each_other() {
    check(
        &[Python, Node],
        r#">ERROR:web:it failed
Traceback (most recent call last):
  File "/app/web.py", line 4, in inner
KeyError: 'missing'
>Error: printed
    at Object.<anonymous> (/app/x.js:3:15) {
  code: 'E1'
}
>goroutine 1 [running]:
>plain text"#,
    );
}

#[test]
fn an_indented_line_belongs_to_the_line_before() {
    check(&[Go], ">a\n b\n\tc\n>d\n>\n>e\n>goroutines are many");
}

#[test]
fn a_trace_is_forgotten_where_lines_are_missing() {
    let mut recorder = Recorder::new(RecordRule::Languages([Python].into()));
    assert!(!recorder.joins(b"", b"Traceback (most recent call last):"));
    recorder.reset();
    assert!(!recorder.joins(b"", b"KeyError: 'x'"));
}

proptest::proptest! {
    #[test]
    fn any_line_is_read(lines in proptest::collection::vec(".{0,30}|[\t :`'()}\\-]{0,8}|panic: |goroutine 1 [x]:|Exception in thread \"|a.E[rx]ror:? |/:1|x.rb:1:in `x'", 0..20)) {
        for language in [Python, Java, Node, Go, Ruby] {
            let rule = RecordRule::Languages([language].into());
            let lines = lines.join("\n");
            let records = records(rule, &lines);
            // An empty record is one empty line.
            let read: Vec<&str> = records.iter().flat_map(|record| record.split('\n')).collect();
            proptest::prop_assert_eq!(read, lines.lines().collect::<Vec<_>>());
        }
    }
}
