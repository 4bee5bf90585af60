//! Invalid environments and the exact error messages: nothing starts, every error is reported, exit code 64.
//!
//! `UPDATE_SNAPSHOTS=1 cargo nextest run bad_input` writes the messages anew; review the difference before committing
//! it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

/// Description of the error, arguments, environment.
type Case = (
    &'static str,
    &'static [&'static str],
    &'static [(&'static str, &'static [u8])],
);

/// `--check` with a valid command: only the environment is invalid.
const TRUE: &[&str] = &["--check", "--", "true"];

const CASES: &[Case] = &[
    ("no command at all", &["--check"], &[]),
    ("a command without a name", &["--check", ""], &[]),
    ("a command of blanks", &["--check"], &[("RPM_COMMAND", b"  ")]),
    ("a quote that is not closed", &["--check"], &[("RPM_COMMAND", b"node 'app.js")]),
    ("a command that is not text", &["--check"], &[("RPM_COMMAND", b"node \xff")]),
    ("an unknown option", &["--chekc", "true"], &[]),
    ("an option of another program", &["-g", "true"], &[]),
    ("a health check with a command", &["--healthcheck", "true"], &[]),
    ("a health check with a bad address", &["--healthcheck"], &[("RPM_ADMIN_ADDR", b"9464"), ("RPM_READY", b"x")]),
    ("a name with a line break", TRUE, &[("RPM_APP_NAME", b"a\nb")]),
    ("a name with an escape sequence", TRUE, &[("RPM_APP_NAME", b"\x1b[31mred")]),
    ("a long name", TRUE, &[("RPM_APP_NAME", &[b'x'; 100])]),
    ("a version and a revision that are no texts of one line", TRUE, &[("RPM_APP_VERSION", b"1\n2"), ("RPM_APP_REVISION", &[b'x'; 300])]),
    ("no instance", TRUE, &[("RPM_INSTANCES", b"0")]),
    ("too many instances", TRUE, &[("RPM_INSTANCES", b"513")]),
    ("instances below zero", TRUE, &[("RPM_INSTANCES", b"-1")]),
    ("instances in words", TRUE, &[("RPM_INSTANCES", b"auto")]),
    ("max and what is not a number", TRUE, &[("RPM_INSTANCES", b"max-one")]),
    ("instances that are not text", TRUE, &[("RPM_INSTANCES", b"\xf0\x28")]),
    ("an unknown mode", TRUE, &[("RPM_EXEC_MODE", b"threads")]),
    ("a variable that cannot be", TRUE, &[("RPM_INSTANCE_VAR", b"MY SLOT")]),
    ("a variable of the runtime", TRUE, &[("RPM_INSTANCE_VAR", b"RPM_SLOT"), ("RPM_INCREMENT_VAR", b"name")]),
    ("a variable that holds no number", TRUE, &[("RPM_INCREMENT_VAR", b"PORT"), ("PORT", b"http")]),
    ("a variable that cannot be counted up", TRUE, &[("RPM_INCREMENT_VAR", b"N"), ("RPM_INSTANCES", b"2"), ("N", b"18446744073709551615")]),
    ("one variable for two", TRUE, &[("RPM_INCREMENT_VAR", b"N"), ("RPM_INSTANCE_VAR", b"N")]),
    ("port 0", TRUE, &[("RPM_PORTS", b"3000,0")]),
    ("a port above all", TRUE, &[("RPM_PORTS", b"65536")]),
    ("a host name", TRUE, &[("RPM_PORTS", b"localhost:3000")]),
    ("a list of no ports", TRUE, &[("RPM_PORTS", b" , ")]),
    ("one port twice", TRUE, &[("RPM_PORTS", b"3000,8080,3000")]),
    ("a port and its wildcard", TRUE, &[("RPM_PORTS", b"3000,0.0.0.0:3000")]),
    ("a port that is the admin's", TRUE, &[("RPM_PORTS", b"9464")]),
    ("ports without sharing", TRUE, &[("RPM_EXEC_MODE", b"fork"), ("RPM_PORTS", b"3000")]),
    ("hand-over without sharing", TRUE, &[("RPM_PORTS", b"off"), ("RPM_HANDOVER", b"intercept")]),
    ("readiness without sharing", TRUE, &[("RPM_RESTART", b"never"), ("RPM_READY", b"listen")]),
    ("activation without ports", TRUE, &[("RPM_HANDOVER", b"activation")]),
    ("an unknown balance", TRUE, &[("RPM_BALANCE", b"round-robin")]),
    ("a backlog of nothing", TRUE, &[("RPM_BACKLOG", b"0")]),
    ("readiness by a whole URL", TRUE, &[("RPM_READY", b"http://localhost:3000/healthz")]),
    ("readiness by a path that is none", TRUE, &[("RPM_READY", b"http:healthz")]),
    ("readiness by a path with a line break", TRUE, &[("RPM_READY", b"http:/a\r\nHost: b")]),
    ("unknown readiness", TRUE, &[("RPM_READY", b"soon")]),
    ("a delay without a unit", TRUE, &[("RPM_READY", b"delay:2")]),
    ("a delay beyond the timeout", TRUE, &[("RPM_READY", b"delay:1m")]),
    ("a duration without a unit", TRUE, &[("RPM_STOP_TIMEOUT", b"30")]),
    ("a duration with a fraction", TRUE, &[("RPM_STOP_TIMEOUT", b"1.5s")]),
    ("a duration of two units", TRUE, &[("RPM_STOP_TIMEOUT", b"1m30s")]),
    ("a duration of an unknown unit", TRUE, &[("RPM_STOP_TIMEOUT", b"10 sec")]),
    ("a duration below zero", TRUE, &[("RPM_SHUTDOWN_DELAY", b"-5s")]),
    ("a duration beyond all", TRUE, &[("RPM_SHUTDOWN_DELAY", b"99999999999999999999h")]),
    ("no time to become ready", TRUE, &[("RPM_READY_TIMEOUT", b"0s")]),
    ("an unknown stop signal", TRUE, &[("RPM_STOP_SIGNAL", b"TREM")]),
    ("a stop signal that stops nothing", TRUE, &[("RPM_STOP_SIGNAL", b"SIGCONT")]),
    ("an unknown restart", TRUE, &[("RPM_RESTART", b"unless-stopped")]),
    ("an exit code that cannot be", TRUE, &[("RPM_STOP_EXIT_CODES", b"0,256"), ("RPM_EXIT_OK", b"TERM")]),
    ("restarts without end in words", TRUE, &[("RPM_MAX_RESTARTS", b"unlimited")]),
    ("back-off upside down", TRUE, &[("RPM_BACKOFF_MIN", b"30s"), ("RPM_BACKOFF_MAX", b"1s")]),
    ("back-off above the default", TRUE, &[("RPM_BACKOFF_MIN", b"1m")]),
    ("no back-off", TRUE, &[("RPM_BACKOFF_MIN", b"0")]),
    ("signals of every wrong kind", TRUE, &[("RPM_SIGNALS", b"KILL=stop,CHLD=ignore,SEGV=ignore,TREM=stop,USR1,USR2=quit,INT=stop,2=stop,QUIT=forward:X")]),
    ("a drain without a unit", TRUE, &[("RPM_DRAIN_TIMEOUT", b"30")]),
    ("no worker more and none less", TRUE, &[("RPM_RELOAD_SURGE", b"0"), ("RPM_RELOAD_UNAVAILABLE", b"0")]),
    ("shares that cannot be", TRUE, &[("RPM_RELOAD_SURGE", b"2000%"), ("RPM_RELOAD_UNAVAILABLE", b"110%")]),
    ("shares in words", TRUE, &[("RPM_RELOAD_SURGE", b"one"), ("RPM_RELOAD_UNAVAILABLE", b"2.5%")]),
    ("more missing than there are", TRUE, &[("RPM_INSTANCES", b"4"), ("RPM_RELOAD_UNAVAILABLE", b"5")]),
    ("a time to stay ready without a unit", TRUE, &[("RPM_MIN_READY", b"5")]),
    ("memory without a unit", TRUE, &[("RPM_MAX_MEMORY", b"300")]),
    ("memory in an unknown unit", TRUE, &[("RPM_MAX_MEMORY", b"300MB")]),
    ("more memory than all", TRUE, &[("RPM_MAX_MEMORY", b"120%")]),
    ("a schedule of six fields", TRUE, &[("RPM_CRON_RELOAD", b"0 0 4 * * *")]),
    ("a schedule with wrong fields", TRUE, &[("RPM_CRON_RELOAD", b"60 24 * * MONDAY")]),
    ("a schedule that never comes", TRUE, &[("RPM_CRON_RELOAD", b"0 0 31 2 *")]),
    ("watched paths that cannot be", TRUE, &[("RPM_WATCH", b",")]),
    ("patterns that cannot be", TRUE, &[("RPM_WATCH", b"src"), ("RPM_WATCH_IGNORE", b"/tmp,a**,[x")]),
    ("no delay of a watch", TRUE, &[("RPM_WATCH", b"src"), ("RPM_WATCH_DELAY", b"0s")]),
    ("an environment file that is not there", TRUE, &[("RPM_ENV_FILE", b"/nonexistent/env")]),
    ("an environment file without end", TRUE, &[("RPM_ENV_FILE", b"/dev/zero")]),
    ("an environment file of something else", TRUE, &[("RPM_ENV_FILE", b"/proc/sys/kernel/ostype")]),
    ("an unknown health check", TRUE, &[("RPM_HEALTH", b"exec:curl localhost")]),
    ("a health check of a blank path", TRUE, &[("RPM_HEALTH", b"http:/a b")]),
    ("times of a health check that cannot be", TRUE, &[("RPM_HEALTH", b"tcp"), ("RPM_HEALTH_INTERVAL", b"0s"), ("RPM_HEALTH_TIMEOUT", b"0"), ("RPM_HEALTH_FAILURES", b"0")]),
    ("a health check without sharing", TRUE, &[("RPM_PORTS", b"off"), ("RPM_HEALTH", b"accept"), ("RPM_HEALTH_INTERVAL", b"5s")]),
    ("an unknown scope", TRUE, &[("RPM_SIGNAL_SCOPE", b"session")]),
    ("an unknown death signal", TRUE, &[("RPM_PDEATHSIG", b"none")]),
    ("an unknown log format", TRUE, &[("RPM_LOG_FORMAT", b"logfmt")]),
    ("a time in raw lines", TRUE, &[("RPM_LOG_TIMESTAMP", b"%H:%M:%S")]),
    ("a time as pm2 writes it", TRUE, &[("RPM_LOG_FORMAT", b"prefix"), ("RPM_LOG_TIMESTAMP", b"YYYY-MM-DD HH:mm:ss")]),
    ("a time that is none", TRUE, &[("RPM_LOG_TIMESTAMP", b"iso")]),
    ("a time on two lines", TRUE, &[("RPM_LOG_FORMAT", b"json"), ("RPM_LOG_TIMESTAMP", b"%F%n%T")]),
    ("stderr and overflow in unknown words", TRUE, &[("RPM_LOG_STDERR", b"stdout"), ("RPM_LOG_OVERFLOW", b"wait")]),
    ("a buffer without a unit", TRUE, &[("RPM_LOG_BUFFER", b"8"), ("RPM_LOG_MAX_LINE", b"1MB")]),
    ("a ring that is too small", TRUE, &[("RPM_LOG_RING", b"1Ki")]),
    ("a line larger than its share of the buffer", TRUE, &[("RPM_LOG_MAX_LINE", b"1Mi")]),
    ("a pattern of lines that cannot be", TRUE, &[("RPM_LOG_MULTILINE", b"^(\\d{4}")]),
    ("a pattern of every line", TRUE, &[("RPM_LOG_MULTILINE", b".*")]),
    ("a rate with a unit", TRUE, &[("RPM_LOG_RATE", b"100/s")]),
    ("files that cannot be", TRUE, &[("RPM_LOG_FILE", b"/var/log/"), ("RPM_LOG_ERROR_FILE", b"app-{pid}.log")]),
    ("a file that is our own output", TRUE, &[("RPM_LOG_FILE", b"/dev/stdout")]),
    ("two files that are one for a slot", TRUE, &[("RPM_LOG_FILE", b"/l/{slot}.log"), ("RPM_LOG_ERROR_FILE", b"/l/0.log")]),
    ("own lines without a file", TRUE, &[("RPM_LOG_OWN", b"file")]),
    ("own lines in unknown words", TRUE, &[("RPM_LOG_OWN_FILE", b"own.log"), ("RPM_LOG_OWN", b"stream")]),
    ("a file of own lines for each slot", TRUE, &[("RPM_LOG_OWN_FILE", b"/l/{slot}.log")]),
    ("a file of own lines that workers have", TRUE, &[("RPM_LOG_OWN_FILE", b"/l/./1.log"), ("RPM_LOG_FILE", b"/l/{slot}.log")]),
    ("rotation that cannot be", TRUE, &[("RPM_LOG_FILE", b"a.log"), ("RPM_LOG_ROTATE_SIZE", b"10"), ("RPM_LOG_ROTATE_EVERY", b"yearly"), ("RPM_LOG_RETAIN", b"some"), ("RPM_LOG_COMPRESS", b"gzip")]),
    ("lines where there are none", TRUE, &[("RPM_LOG_FORMAT", b"inherit"), ("RPM_LOG_TIMESTAMP", b"rfc3339"), ("RPM_LOG_MULTILINE", b"^x"), ("RPM_LOG_RATE", b"100"), ("RPM_LOG_FILE", b"a.log"), ("RPM_LOG_ERROR_FILE", b"b.log"), ("RPM_LOG_STDERR", b"split")]),
    ("an unknown log level", TRUE, &[("RPM_LOG_LEVEL", b"verbose")]),
    ("levels of what is not ours", TRUE, &[("RPM_LOG_LEVEL", b"info,hyper=debug,port=debug,rpm_runtime=loud,rpm_runtime[reload]=debug")]),
    ("an admin address without a port", TRUE, &[("RPM_ADMIN_ADDR", b"127.0.0.1")]),
    ("an admin address without an address", TRUE, &[("RPM_ADMIN_ADDR", b":9464")]),
    ("metrics by a whole URL", TRUE, &[("RPM_APP_METRICS", b"http://localhost:3000/metrics")]),
    ("metrics of a bare port", TRUE, &[("RPM_APP_METRICS", b"9100")]),
    ("metrics of a port without a colon", TRUE, &[("RPM_APP_METRICS", b"9100/metrics")]),
    ("metrics of a port without a path", TRUE, &[("RPM_APP_METRICS", b":9100")]),
    ("metrics of port 0", TRUE, &[("RPM_APP_METRICS", b":0/metrics")]),
    ("metrics by a path that is none", TRUE, &[("RPM_APP_METRICS", b"metrics")]),
    ("metrics that are to be on", TRUE, &[("RPM_APP_METRICS", b"true")]),
    ("metrics by an almost known word", TRUE, &[("RPM_APP_METRICS", b"multiprocess")]),
    ("metrics without sharing", TRUE, &[("RPM_PORTS", b"off"), ("RPM_APP_METRICS", b"/metrics")]),
    ("metrics in the role of tini", TRUE, &[("RPM_RESTART", b"never"), ("RPM_APP_METRICS", b"/metrics")]),
    ("metrics of a port that is not shared", TRUE, &[("RPM_PORTS", b"3000,8443"), ("RPM_APP_METRICS", b":9100/metrics")]),
    ("metrics of the admin's port", TRUE, &[("RPM_APP_METRICS", b":9464/metrics")]),
    ("metrics that nobody could read", TRUE, &[("RPM_ADMIN_ADDR", b"off"), ("RPM_APP_METRICS", b"multiproc")]),
    ("gauges of every wrong kind", TRUE, &[("RPM_APP_METRICS", b"/metrics"), ("RPM_APP_METRICS_GAUGES", b"queue,a=,=sum,b=average,c=smu,d=median,http requests=sum,5xx=sum,e**=sum,rpm_workers=sum,f=sum,f=max")]),
    ("a gauge behind a pattern for all", TRUE, &[("RPM_APP_METRICS", b"/metrics"), ("RPM_APP_METRICS_GAUGES", b"*=worker,queue_length=sum")]),
    ("times of metrics that cannot be", TRUE, &[("RPM_APP_METRICS", b"/metrics"), ("RPM_APP_METRICS_INTERVAL", b"500ms")]),
    ("gauges of metrics that are off", TRUE, &[("RPM_APP_METRICS_GAUGES", b"queue_*=sum"), ("RPM_APP_METRICS_INTERVAL", b"5")]),
    ("a path that is not absolute", TRUE, &[("RPM_TERMINATION_LOG", b"end.log")]),
    ("a ring by its value and by a file", TRUE, &[("RPM_LOG_RING", b"1Mi"), ("RPM_LOG_RING_FILE", b"/run/ring")]),
    ("a file that is not there", TRUE, &[("RPM_INSTANCES_FILE", b"/nonexistent/instances")]),
    ("a file that is a directory", TRUE, &[("RPM_INSTANCES_FILE", b"/")]),
    ("a file without end", TRUE, &[("RPM_INSTANCES_FILE", b"/dev/zero")]),
    ("a file with a wrong value", TRUE, &[("RPM_INSTANCES_FILE", b"/proc/sys/kernel/ostype")]),
    ("a value and a file", TRUE, &[("RPM_INSTANCES", b"1"), ("RPM_INSTANCES_FILE", b"/x")]),
    ("a long value", TRUE, &[("RPM_RESTART", &[b'y'; 300])]),
    (
        "a misspelt name that explains a fault",
        &["--check"],
        &[("RPM_COMAND", b"node app.js"), ("RPM_COLOUR", b"red"), ("RPM_PORT", b"80")],
    ),
    (
        "everything at once, and what is none of it",
        TRUE,
        &[
            ("PATH", b"\xff"),
            ("RPM_SERVICE_HOST", b"10.0.0.1"),
            ("RPM_PORT", b"tcp://10.0.0.1:80"),
            ("RPM_INSTANCE", b"0"),
            ("RPM_EXIT_OK", b""),
            ("RPM_LOG_LEVEL", b"loud"),
            ("RPM_INSTANCES", b"many"),
            ("RPM_STOP_TIMEOUT", b"5"),
        ],
    ),
];

#[test]
fn bad_configuration_is_told_in_full_and_starts_nothing() {
    assert!(CASES.len() >= 40);
    let mut told = String::new();
    for (title, args, vars) in CASES {
        writeln!(told, "## {title}").unwrap();
        for (name, value) in *vars {
            writeln!(told, "{name}={:?}", OsStr::from_bytes(value)).unwrap();
        }
        writeln!(told, "$ rpm-runtime {}", shown(args)).unwrap();
        writeln!(told, "{}", run(title, args, vars)).unwrap();
    }
    compare("tests/snapshots/bad_input.txt", &told);
}

fn shown(args: &[&str]) -> String {
    let args: Vec<&str> = args
        .iter()
        .map(|arg| if arg.is_empty() { "''" } else { arg })
        .collect();
    args.join(" ")
}

/// Standard error of one run.
fn run(title: &str, args: &[&str], vars: &[(&str, &[u8])]) -> String {
    let vars = vars
        .iter()
        .map(|(name, value)| (OsString::from(name), OsStr::from_bytes(value).to_owned()));
    let output = Command::new(env!("CARGO_BIN_EXE_rpm-runtime"))
        .args(args)
        .env_clear()
        .envs(vars)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64), "{title}");
    assert_eq!(output.stdout, b"", "{title}");
    String::from_utf8(output.stderr).unwrap()
}

/// Fails and prints the lines that differ.
fn compare(path: &str, told: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some_and(|value| value == "1") {
        std::fs::write(&file, told).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    if kept == told {
        return;
    }
    let (kept, told) = (sections(&kept), sections(told));
    let mut difference = String::new();
    for section in kept.iter().filter(|section| !told.contains(section)) {
        difference.push_str(&marked('-', section));
    }
    for section in told.iter().filter(|section| !kept.contains(section)) {
        difference.push_str(&marked('+', section));
    }
    panic!(
        "{path} differs (-: kept, +: told now; sections in another order if there is nothing below); \
         UPDATE_SNAPSHOTS=1 writes it anew\n{difference}"
    );
}

fn sections(text: &str) -> Vec<&str> {
    text.split_inclusive("\n\n").collect()
}

fn marked(mark: char, section: &str) -> String {
    section
        .lines()
        .fold(String::new(), |text, line| format!("{text}{mark} {line}\n"))
}
