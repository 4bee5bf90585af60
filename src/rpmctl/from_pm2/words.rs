//! A command line of pm2-runtime, or of `pm2 start`, as an app.

use super::fault::quote;
use super::translation::Dropped;
use super::value::{Map, Value, set};

/// A command line, read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    /// What is started: a script, or an ecosystem file.
    pub target: String,
    /// The keys that the options set.
    pub app: Map,
    /// `--env`.
    pub env: Option<String>,
    /// `--only`.
    pub only: Option<String>,
    /// `--formatted`, `--format` and `--json`.
    pub format: Option<&'static str>,
    /// Words without a counterpart.
    pub dropped: Vec<Dropped>,
}

/// What an option does.
enum Means {
    /// Its value is that of a key.
    Key(&'static str),
    /// It is true.
    True(&'static str),
    /// It is false.
    False(&'static str),
    /// `--watch`, which may have a path.
    Watch,
    /// `--watch-delay`, which counts seconds unless it has a unit.
    WatchDelay,
    /// The form of lines.
    Format(&'static str),
    /// `--env`.
    Env,
    /// `--only`.
    Only,
    /// It needs nothing here; whether a value follows: yes, no, perhaps.
    Nothing(Follows, &'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Follows {
    Yes,
    No,
    Perhaps,
}

const MONITORING: &str = "belongs to pm2's monitoring service; here /metrics is for Prometheus";
const ONE_APP: &str = "is not needed: one app is one container";

/// The options, by their long and short names.
fn option(name: &str) -> Option<Means> {
    use Follows::{No, Perhaps, Yes};
    use Means::{Env, False, Format, Key, Nothing, Only, True, Watch, WatchDelay};
    Some(match name {
        "--instances" | "-i" => Key("instances"),
        "--name" | "-n" => Key("name"),
        "--node-args" | "--interpreter-args" => Key("node_args"),
        "--interpreter" => Key("exec_interpreter"),
        "--max-memory-restart" => Key("max_memory_restart"),
        "--cron" | "--cron-restart" | "-c" => Key("cron_restart"),
        "--stop-exit-codes" => Key("stop_exit_codes"),
        "--error" | "-e" => Key("error_file"),
        "--output" | "-o" => Key("out_file"),
        "--log" | "-l" => Key("log_file"),
        "--log-type" => Key("log_type"),
        "--log-date-format" => Key("log_date_format"),
        "--kill-timeout" | "-k" => Key("kill_timeout"),
        "--listen-timeout" => Key("listen_timeout"),
        "--restart-delay" => Key("restart_delay"),
        "--exp-backoff-restart-delay" => Key("exp_backoff_restart_delay"),
        "--max-restarts" => Key("max_restarts"),
        "--cwd" => Key("cwd"),
        "--uid" | "--user" | "-u" => Key("uid"),
        "--gid" => Key("gid"),
        "--filter-env" => Key("filter_env"),
        "--pid" | "-p" => Key("pid_file"),
        "--namespace" => Key("namespace"),
        "--ignore-watch" => Key("ignore_watch"),
        "--no-autorestart" => False("autorestart"),
        "--no-autostart" => False("autostart"),
        "--no-vizion" => False("vizion"),
        "--no-pmx" => False("pmx"),
        "--no-automation" => False("automation"),
        "--no-treekill" => False("treekill"),
        "--time" => True("time"),
        "--disable-logs" => True("disable_logs"),
        "--merge-logs" => True("merge_logs"),
        "--wait-ready" => True("wait_ready"),
        "--shutdown-with-message" => True("shutdown_with_message"),
        "--source-map-support" => True("source_map_support"),
        "--execute-command" | "-x" => True("execute_command"),
        "--watch" => Watch,
        "--watch-delay" => WatchDelay,
        "--json" => Format("json"),
        "--formatted" | "--format" => Format("prefix"),
        "--env" => Env,
        "--only" => Only,
        "--raw" => Nothing(No, "is the default"),
        "--no-auto-exit" => Nothing(
            No,
            "is not needed: the runtime ends only when no worker may be started again",
        ),
        "--delay" => Nothing(
            Yes,
            "has no counterpart: orchestrators wait with readiness and initialDelaySeconds",
        ),
        "--web" => Nothing(
            Perhaps,
            "is /status and /metrics on RPM_ADMIN_ADDR; it ends pm2-runtime 6",
        ),
        "--secret" | "--public" | "--machine-name" => Nothing(Perhaps, MONITORING),
        "--trace" | "--v8" | "--deep-monitoring" | "--event-loop-inspector" | "--disable-trace" => {
            Nothing(No, MONITORING)
        }
        "--no-daemon" | "--attach" | "--silent" | "-s" | "--no-color" | "--mini-list" | "-m" => {
            Nothing(No, "is not needed: the runtime stays in the foreground")
        }
        "--force" | "-f" | "--update-env" | "-a" => Nothing(No, ONE_APP),
        "--disable-source-map-support" => Nothing(
            No,
            "is not needed: source maps are on only with NODE_OPTIONS=--enable-source-maps",
        ),
        "--parallel" | "--ext" | "--hp" | "--service-name" | "--sort" => {
            Nothing(Yes, "has no counterpart")
        }
        "--wait-ip" | "--write" | "-w" => Nothing(No, "has no counterpart"),
        _ => return None,
    })
}

/// Reads a command line. A program's name (`pm2-runtime`, `pm2`) and `start` may come first.
pub fn read(words: &[String]) -> Result<Words, Vec<String>> {
    let mut out = Words::default();
    let mut faults = Vec::new();
    let mut rest = words;
    let is_pm2 = |word: &str| {
        let base = word.rsplit('/').next().unwrap_or(word);
        ["pm2-runtime", "pm2-docker", "pm2"].contains(&base)
    };
    if let Some((first, behind)) = rest.split_first()
        && is_pm2(first)
    {
        rest = behind;
    }
    let mut started = false;
    let mut target: Option<String> = None;
    while let Some((word, behind)) = rest.split_first() {
        rest = behind;
        if word == "--" {
            let args = behind.iter().map(|word| Value::Text(word.clone()));
            set(&mut out.app, "args", Value::List(args.collect()));
            break;
        }
        if word.starts_with('-') && word.len() > 1 {
            rest = take_option(word, rest, &mut out, &mut faults);
        } else if word == "start" && !started && target.is_none() {
            started = true;
        } else if target.is_none() {
            target = Some(word.clone());
        } else {
            out.dropped.push(Dropped {
                key: quote(word),
                why: "is not passed on by pm2-runtime: arguments of the program stand behind --"
                    .to_owned(),
            });
        }
    }
    if let Some(target) = target {
        out.target = target;
    } else {
        faults.push("the command line names no script and no ecosystem file, as in: rpmctl from-pm2 -- app.js -i 4".to_owned());
    }
    if faults.is_empty() {
        Ok(out)
    } else {
        Err(faults)
    }
}

/// Reads one option; returns the words behind it.
fn take_option<'a>(
    word: &str,
    rest: &'a [String],
    out: &mut Words,
    faults: &mut Vec<String>,
) -> &'a [String] {
    let (name, attached) = spelled(word);
    let Some(means) = option(&name) else {
        out.dropped.push(Dropped {
            key: quote(word),
            why: "is no option of pm2-runtime, which ignores it".to_owned(),
        });
        return rest;
    };
    let follows = match &means {
        Means::Key(_) | Means::WatchDelay | Means::Only | Means::Nothing(Follows::Yes, _) => {
            Follows::Yes
        }
        Means::Env | Means::Nothing(Follows::Perhaps, _) => Follows::Perhaps,
        Means::Watch | Means::True(_) | Means::False(_) | Means::Format(_) | Means::Nothing(..) => {
            Follows::No
        }
    };
    // -1 is a number of instances, and other words with a dash are the next option.
    let is_value = |word: &String| {
        !word.starts_with('-') || (follows == Follows::Yes && word.parse::<f64>().is_ok())
    };
    let (value, rest) = match (attached, follows) {
        (Some(value), _) => (Some(value), rest),
        (None, Follows::No) => (None, rest),
        (None, _) => match rest.split_first() {
            Some((value, behind)) if is_value(value) => (Some(value.clone()), behind),
            _ => (None, rest),
        },
    };
    if follows == Follows::Yes && value.is_none() {
        faults.push(format!("{name} needs a value"));
        return rest;
    }
    let text = value.clone().unwrap_or_default();
    match means {
        Means::Key(key) => set(&mut out.app, key, Value::Text(text)),
        Means::True(key) => set(&mut out.app, key, Value::Bool(true)),
        Means::False(key) => set(&mut out.app, key, Value::Bool(false)),
        Means::Watch => set(
            &mut out.app,
            "watch",
            value.map_or(Value::Bool(true), Value::Text),
        ),
        Means::WatchDelay => match watch_delay(&text) {
            Some(delay) => set(&mut out.app, "watch_delay", Value::Number(delay)),
            None => faults.push(format!(
                "{name} {}: seconds, or a text such as 500ms",
                quote(&text)
            )),
        },
        Means::Format(format) => out.format = Some(format),
        Means::Env => out.env = value,
        Means::Only => out.only = value,
        Means::Nothing(_, why) => out.dropped.push(Dropped {
            key: name,
            why: why.to_owned(),
        }),
    }
    rest
}

/// The name of an option, and the value that is attached to it: `--name=web`, `-i4`.
fn spelled(word: &str) -> (String, Option<String>) {
    if let Some((name, value)) = word.split_once('=').filter(|_| word.starts_with("--")) {
        return (name.to_owned(), Some(value.to_owned()));
    }
    let short = word.char_indices().nth(2).map(|(at, _)| at);
    match short {
        Some(at) if !word.starts_with("--") => {
            let (name, value) = word.split_at(at);
            (name.to_owned(), Some(value.to_owned()))
        }
        _ => (word.to_owned(), None),
    }
}

/// Seconds, or milliseconds with their unit.
fn watch_delay(text: &str) -> Option<f64> {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1.0),
        None => (text.strip_suffix('s').unwrap_or(text), 1000.0),
    };
    super::value::number_of(digits).map(|number| number * unit)
}

/// Whether pm2 reads this as an ecosystem file: it looks for these anywhere in the name.
pub fn is_file(target: &str) -> bool {
    [
        ".json",
        ".yml",
        ".yaml",
        ".config.js",
        ".config.cjs",
        ".config.mjs",
    ]
    .iter()
    .any(|part| target.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Words, Vec<String>> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(&words)
    }

    #[test]
    fn command_lines_of_pm2_are_apps() {
        let table = [
            (
                "app.js -i 4 --name web",
                "app.js",
                r#"{"instances":"4","name":"web"}"#,
            ),
            (
                "pm2-runtime start app.js -i max -- --port 80",
                "app.js",
                r#"{"instances":"max","args":["--port","80"]}"#,
            ),
            (
                "-i -1 --name=web app.js",
                "app.js",
                r#"{"instances":"-1","name":"web"}"#,
            ),
            ("-i4 app.js", "app.js", r#"{"instances":"4"}"#),
            (
                "pm2 start npm --no-daemon -- run start",
                "npm",
                r#"{"args":["run","start"]}"#,
            ),
            (
                "app.js --watch --no-autorestart --wait-ready --watch-delay 2",
                "app.js",
                r#"{"watch":true,"autorestart":false,"wait_ready":true,"watch_delay":2000}"#,
            ),
        ];
        for (line, target, app) in table {
            let read = words(line).unwrap();
            assert_eq!(read.target, target, "{line}");
            assert_eq!(Value::Map(read.app).json(), app, "{line}");
        }
    }

    #[test]
    fn files_are_chosen_by_env_and_only() {
        let read = words("ecosystem.config.js --env production --only api --json").unwrap();
        assert!(is_file(&read.target));
        assert_eq!(read.env.as_deref(), Some("production"));
        assert_eq!(read.only.as_deref(), Some("api"));
        assert_eq!(read.format, Some("json"));
        assert!(!is_file("app.js"));
    }

    #[test]
    fn words_without_a_counterpart_are_named() {
        let read = words("app.js more --web 9615 --raw --unknown --secret").unwrap();
        let keys: Vec<&str> = read.dropped.iter().map(|word| word.key.as_str()).collect();
        assert_eq!(
            keys,
            ["\"more\"", "--web", "--raw", "\"--unknown\"", "--secret"]
        );
    }

    #[test]
    fn what_is_missing_is_told() {
        assert!(words("").unwrap_err()[0].contains("names no script"));
        assert_eq!(words("app.js -i").unwrap_err(), ["-i needs a value"]);
        assert_eq!(
            words("app.js --name --watch").unwrap_err(),
            ["--name needs a value"]
        );
        assert_eq!(words("app.js --watch-delay x").unwrap_err().len(), 1);
    }
}
