use proptest::prelude::*;

use super::LineLevel::{self, Debug, Error, Fatal, Info, Trace, Warn};

/// Lines as programs write them.
const PROGRAMS: &[(&str, LineLevel)] = &[
    // uvicorn, also with colours.
    ("INFO:     Started server process [7]", Info),
    (
        "INFO:     127.0.0.1:4711 - \"GET /error: HTTP/1.1\" 200 OK",
        Info,
    ),
    (
        "\u{1b}[32mINFO\u{1b}[0m:     Application startup complete.",
        Info,
    ),
    ("WARNING:  ASGI app factory detected", Warn),
    // gunicorn, hypercorn, Sanic.
    (
        "[2026-11-30 12:00:00 +0000] [7] [INFO] Starting gunicorn 23.0.0",
        Info,
    ),
    (
        "[2026-11-30 12:00:00 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:9)",
        Fatal,
    ),
    // Python's logging: basicConfig, and the formats of its documentation.
    ("WARNING:root:disk is nearly full", Warn),
    (
        "2026-11-30 12:00:00,123 - simple_example - DEBUG - debug message",
        Debug,
    ),
    (
        "11-30 12:00 root         INFO     Jackdaws love my big sphinx of quartz.",
        Info,
    ),
    (
        "root        : INFO     Jackdaws love my big sphinx of quartz.",
        Info,
    ),
    (
        "2026-11-30 12:00:00,123 INFO supervisord started with pid 1",
        Info,
    ),
    (
        "2026-11-30 12:00:00,123 WARNING:is when this event was logged.",
        Warn,
    ),
    (
        "2026-11-30 12:00:00 [scrapy.utils.log] INFO: Scrapy 2.11 started",
        Info,
    ),
    (
        "[2026-11-30 12:00:00,123: INFO/MainProcess] celery@web ready.",
        Info,
    ),
    (
        "[2026-11-30T12:00:00.123+0000] {taskinstance.py:12} INFO - Task exited",
        Info,
    ),
    (
        "[I 261130 12:00:00 web:2348] 200 GET / (127.0.0.1) 0.50ms",
        Info,
    ),
    ("[E 2026-11-30 12:00:00.123 ServerApp] failed", Error),
    // loguru, structlog.
    (
        "2026-11-30 12:00:00.123 | ERROR    | __main__:<module>:1 - that failed",
        Error,
    ),
    (
        "2026-11-30 12:00:00 [info     ] hello                          user=x",
        Info,
    ),
    (
        "\u{1b}[2m2026-11-30 12:00:00\u{1b}[0m [\u{1b}[32m\u{1b}[1mwarning  \u{1b}[0m] \u{1b}[1mhello\u{1b}[0m",
        Warn,
    ),
    // glog, klog, gRPC.
    ("I1130 12:00:00.678901       7 main.go:12] started", Info),
    ("E20261130 12:00:00.678901     7 main.cc:12] failed", Error),
    (
        "W0000 00:00:1798675200.123456    7 server.cc:12] slow",
        Warn,
    ),
    ("F1130 12:00:00.678901       7 main.go:12] over", Fatal),
    // Go: log/slog, logrus, zap, zerolog, hclog, Prometheus, Grafana, NATS.
    ("2026/11/30 12:00:00 INFO hello count=3", Info),
    ("2026/11/30 12:00:00 error: cannot open", Error),
    (
        "time=2026-11-30T12:00:00.123Z level=WARN msg=\"a \\\" b\" n=1",
        Warn,
    ),
    (
        "time=\"2026-11-30T12:00:00Z\" level=info msg=\"A walrus appears\"",
        Info,
    ),
    (
        "INFO[0000] A walrus appears                              size=10",
        Info,
    ),
    (
        "2026-11-30T12:00:00.123Z\tDEBUG\tweb/main.go:12\tready\t{\"port\": 3000}",
        Debug,
    ),
    ("2026-11-30T12:00:00Z INF starting port=3000", Info),
    ("12:00PM ERR that failed error=\"it was closed\"", Error),
    (
        "2026-11-30T12:00:00.123Z [WARN]  agent.server: no leader",
        Warn,
    ),
    (
        "ts=2026-11-30T12:00:00.123Z caller=main.go:12 level=error msg=\"Opening storage failed\"",
        Error,
    ),
    (
        "logger=settings t=2026-11-30T12:00:00.123Z level=debug msg=\"Config loaded\"",
        Debug,
    ),
    ("[7] 2026/11/30 12:00:00.123456 [INF] Server is ready", Info),
    (
        "panic: runtime error: index out of range [3] with length 3",
        Fatal,
    ),
    ("fatal error: all goroutines are asleep - deadlock!", Fatal),
    // Java: Logback, Spring Boot, Log4j, slf4j-simple, java.util.logging, Tomcat, Jetty, Quarkus, the JVM.
    ("12:00:00.123 [main] WARN  org.example.App - careful", Warn),
    (
        "2026-11-30T12:00:00.123Z  INFO 7 --- [main] o.e.App : Started",
        Info,
    ),
    (
        "2026-11-30 12:00:00.123 ERROR 7 --- [exec-3] o.e.Pay : it failed",
        Error,
    ),
    (
        "[2026-11-30 12:00:00,123] INFO [KafkaServer id=0] started (kafka.server)",
        Info,
    ),
    ("[main] ERROR org.example.App - it failed", Error),
    ("WARN  [main] org.example.App: careful", Warn),
    ("SEVERE: it failed", Error),
    ("FINE: details", Debug),
    (
        "Nov 30, 2026 12:00:00 PM org.example.App main\nINFO: Started",
        Info,
    ),
    (
        "30-Nov-2026 12:00:00.123 INFO [main] org.apache.catalina.startup.Catalina.start Server",
        Info,
    ),
    (
        "2026-11-30 12:00:00.123:INFO:oejs.Server:main: Started",
        Info,
    ),
    (
        "2026-11-30 12:00:00,123 INFO  [io.quarkus] (main) started",
        Info,
    ),
    ("[0.012s][warning][gc] no space", Warn),
    // Ruby: Logger, WEBrick.
    ("I, [2026-11-30T12:00:00.123456 #7]  INFO -- : hello", Info),
    (
        "F, [2026-11-30T12:00:00.123456 #7] FATAL -- web: over",
        Fatal,
    ),
    ("[2026-11-30 12:00:00] INFO  WEBrick 1.8.1", Info),
    // Node: winston, log4js, pino-pretty, NestJS, npm, Node itself.
    ("info: hello", Info),
    ("verbose: details", Debug),
    (
        "[2026-11-30T12:00:00.123] [ERROR] default - it failed",
        Error,
    ),
    (
        "[12:00:00.123] \u{1b}[33mWARN\u{1b}[39m (7): \u{1b}[36mcareful\u{1b}[39m",
        Warn,
    ),
    (
        "[Nest] 7  - 11/30/2026, 12:00:00 PM     LOG [NestFactory] Starting",
        Info,
    ),
    (
        "[Nest] 7  - 11/30/2026, 12:00:00 PM   ERROR [ExceptionHandler] it failed",
        Error,
    ),
    ("npm error code ELIFECYCLE", Error),
    ("npm WARN deprecated x@1.0.0", Warn),
    ("npm ERR! code ELIFECYCLE", Error),
    (
        "(node:7) Warning: Setting the NODE_TLS_REJECT_UNAUTHORIZED",
        Warn,
    ),
    ("Error: Cannot find module './x'", Error),
    // Rust: tracing, env_logger, log4rs.
    (
        "\u{1b}[2m2026-11-30T12:00:00.123456Z\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m \u{1b}[2mweb\u{1b}[0m\u{1b}[2m:\u{1b}[0m ready",
        Info,
    ),
    (
        "2026-11-30T12:00:00.123456Z TRACE web::proto: flushed",
        Trace,
    ),
    ("[2026-11-30T12:00:00Z DEBUG web::routes] asked", Debug),
    ("2026-11-30T12:00:00.123+00:00 INFO web - ready", Info),
    // .NET, Serilog, NLog.
    ("info: Microsoft.Hosting.Lifetime[14]", Info),
    ("fail: Microsoft.AspNetCore.Server.Kestrel[13]", Error),
    ("crit: Microsoft.AspNetCore.Hosting.Diagnostics[6]", Fatal),
    ("[12:00:00 WRN] careful", Warn),
    ("2026-11-30 12:00:00.1234|INFO|Web.Program|ready", Info),
    // Erlang, Elixir, RabbitMQ.
    ("=ERROR REPORT==== 30-Nov-2026::12:00:00.123456 ===", Error),
    ("2026-11-30T12:00:00.123456+00:00 notice: ready", Info),
    ("12:00:00.123 [debug] asked", Debug),
    (
        "2026-11-30 12:00:00.123456+00:00 [warning] <0.123.0> memory",
        Warn,
    ),
    // Servers: nginx, httpd, PHP, HAProxy, PostgreSQL, MySQL, Envoy, Mosquitto, dnsmasq.
    (
        "2026/11/30 12:00:00 [notice] 7#7: start worker processes",
        Info,
    ),
    ("nginx: [emerg] bind() to 0.0.0.0:80 failed", Fatal),
    (
        "[Mon Nov 30 12:00:00.123456 2026] [mpm_event:notice] [pid 7:tid 8] AH00489: ready",
        Info,
    ),
    (
        "[Mon Nov 30 12:00:00.123456 2026] [error] [client 127.0.0.1] File does not exist",
        Error,
    ),
    ("[30-Nov-2026 12:00:00] NOTICE: fpm is running, pid 7", Info),
    (
        "[30-Nov-2026 12:00:00 UTC] PHP Fatal error:  Uncaught Exception",
        Fatal,
    ),
    (
        "PHP Warning:  Undefined variable $x in /app/x.php on line 3",
        Warn,
    ),
    ("PHP Fatal error:  Uncaught Exception: x", Fatal),
    ("[WARNING]  (7) : config : missing timeouts", Warn),
    (
        "2026-11-30 12:00:00.123 UTC [7] LOG:  database system is ready",
        Info,
    ),
    ("2026-11-30 12:00:00.123 UTC [7] DEBUG2:  autovacuum", Debug),
    (
        "2026-11-30T12:00:00.123456Z 0 [Warning] [MY-010068] [Server] CA certificate",
        Warn,
    ),
    (
        "2026-11-30T12:00:00.123456Z 0 [Note] [MY-010304] [Server] Skipping",
        Info,
    ),
    ("[2026-11-30 12:00:00.123][7][critical][main] over", Fatal),
    ("1798675200: Error: Address already in use", Error),
    ("dnsmasq: warning: no upstream servers configured", Warn),
    ("[ NOTICE ] Server starting on http://0.0.0.0:8080", Info),
    // sd-daemon(3).
    ("<4>low on memory", Warn),
    ("<7>asked", Debug),
    // Bare words.
    ("ERROR that failed", Error),
    ("ERROR", Error),
    ("WARN\tcareful", Warn),
    ("warning: unused variable", Warn),
];

#[test]
fn programs_name_their_levels() {
    let mut faults = Vec::new();
    for (line, want) in PROGRAMS {
        let got = LineLevel::of(line.as_bytes());
        if got != Some(*want) {
            faults.push(format!("{line}: {got:?}, not {want:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn plain_text_names_no_level() {
    let table = [
        "",
        " ",
        "listening on 3000",
        "Listening on http://0.0.0.0:3000",
        "an ERROR was found",
        "Info about the server",
        "error",
        "info",
        "error opening file",
        "information wants to be free",
        "errors: 3",
        "debugger attached",
        "my-error: x",
        "error::Kind",
        "info:8080",
        "debug=true",
        "FINE day",
        "LOG rotation",
        "ERRORS were found",
        "GET /info HTTP/1.1",
        "TRACE / HTTP/1.1",
        "127.0.0.1 - - [30/Nov/2026:12:00:00 +0000] \"GET /error: HTTP/1.1\" 200 17",
        "::1 - - [30/Nov/2026:12:00:00 +0000] \"GET / HTTP/1.1\" 500 17",
        "Exception in thread \"main\" java.lang.IllegalStateException: ERROR",
        "Traceback (most recent call last):",
        "ValueError: it said ERROR: x",
        "TypeError: x is not a function",
        "/app/x.py:3: UserWarning: x",
        "thread 'main' panicked at src/main.rs:3:5:",
        "  at Object.error (/app/x.js:3:5)",
        "\tat org.example.Error.error(Error.java:17)",
        "    raise ValueError(\"error: x\")",
        "{\"level\":\"info\"",
        "\"ERROR\"",
        // Go's log and others have a time and plain text behind it.
        "2026/11/30 12:00:00 listening on 3000",
        "2026/11/30 12:00:00 http: TLS handshake error from 127.0.0.1:4711: EOF",
        "2026/11/30 12:00:00 error opening file",
        "2026/11/30 12:00:00 debug endpoint on :6060",
        "2026/11/30 12:00:00 got ERROR from upstream",
        "2026/11/30 12:00:00 the server said ERROR: x",
        "2026/11/30 12:00:00 retrying (error: timeout)",
        "2026/11/30-12:00:00 Starman::Server (type Net::Server::PreFork) starting! pid(7)",
        "[30/Nov/2026:12:00:00] ENGINE Bus STARTING",
        "[7] * Listening on http://0.0.0.0:3000",
        "(node:7) [DEP0005] DeprecationWarning: Buffer() is deprecated",
        "2026-11-30 12:00:00.123 | SUCCESS  | __main__:<module>:1 - done",
        "a=b c",
        "a=\"b",
        "a=\"\\\"level=info",
        "key=value level=7",
        "A, [2026-11-30T12:00:00.123456 #7]   ANY -- : hello",
        "X1130 12:00:00.678901       7 main.go:12] hello",
        "I113 12:00:00 hello",
        "<9>x",
        "<x>info: x",
        "\u{1b}[31mred\u{1b}[0m",
        "\u{1b}[2Jinfo: x",
        "für INFO: x",
    ];
    let wrong: Vec<_> = table
        .iter()
        .filter_map(|line| Some((line, LineLevel::of(line.as_bytes())?)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_line_in_two_parts_is_one_line() {
    for (line, _) in PROGRAMS {
        for cut in 0..line.len() {
            let (head, body) = line.as_bytes().split_at(cut);
            assert_eq!(
                LineLevel::of_two(head, body),
                LineLevel::of(line.as_bytes())
            );
        }
    }
}

#[test]
fn a_level_far_behind_is_not_looked_for() {
    let far = format!("{} INFO: x", "1 ".repeat(200));
    assert_eq!(LineLevel::of(far.as_bytes()), None);
    let far = format!("[{}] INFO: x", "a".repeat(1000));
    assert_eq!(LineLevel::of(far.as_bytes()), None);
}

proptest! {
    #[test]
    fn any_bytes_have_a_level_or_none(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        LineLevel::of(&line);
    }

    #[test]
    fn nearly_levels_are_read(line in "(\x1b\\[[0-9;]{0,3}m?|[0-9:.]{1,4}|[\\[\\](){}<>|:,#/ =\t\n\"\\\\-]|INFO|error|PHP|npm|Jan|a){0,20}") {
        LineLevel::of(line.as_bytes());
    }
}
