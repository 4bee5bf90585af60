//! The keys of an app in an ecosystem file: those of pm2's schema (6.0 and 7.0), their other names, and why some have no
//! counterpart.

/// A key of pm2.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name in pm2's documentation.
    pub name: &'static str,
    /// Other names, in the order in which pm2 looks for them. The name in camel case comes last.
    pub aliases: &'static [&'static str],
    /// What a value that has no counterpart means here; `None` if the key is translated.
    pub dropped: Option<&'static str>,
}

const fn key(name: &'static str, aliases: &'static [&'static str]) -> Key {
    Key {
        name,
        aliases,
        dropped: None,
    }
}

const fn dropped(name: &'static str, aliases: &'static [&'static str], why: &'static str) -> Key {
    Key {
        name,
        aliases,
        dropped: Some(why),
    }
}

const MONITORING: &str = "belongs to pm2's monitoring service; here /metrics is for Prometheus";

/// All keys.
pub const KEYS: [Key; 67] = [
    key("script", &["exec"]),
    // pm2 looks at these two if there is no script.
    key("cmd", &[]),
    key("command", &[]),
    key("name", &[]),
    key("cwd", &[]),
    key("args", &[]),
    key("exec_interpreter", &["interpreter"]),
    key("node_args", &["interpreter_args", "interpreterArgs"]),
    key("execute_command", &[]),
    key("instances", &[]),
    key("exec_mode", &[]),
    key("instance_var", &[]),
    key("increment_var", &[]),
    key("env", &[]),
    key("port", &[]),
    key("autorestart", &[]),
    key("stop_exit_codes", &[]),
    key("min_uptime", &[]),
    key("max_restarts", &[]),
    key("restart_delay", &[]),
    key("exp_backoff_restart_delay", &[]),
    key("wait_ready", &[]),
    key("listen_timeout", &[]),
    key("kill_timeout", &[]),
    key("shutdown_with_message", &[]),
    key("treekill", &[]),
    key("max_memory_restart", &[]),
    key("cron_restart", &["cron"]),
    key("watch", &[]),
    key("ignore_watch", &[]),
    key("watch_delay", &[]),
    key("out_file", &["out_log", "output", "out"]),
    key("error_file", &["err_log", "err_file", "err", "error"]),
    key("log_file", &["log"]),
    key("merge_logs", &["combine_logs"]),
    key("disable_logs", &[]),
    key("log_type", &[]),
    key("log_date_format", &[]),
    key("time", &[]),
    key("source_map_support", &[]),
    key("append_env_to_name", &[]),
    dropped(
        "watch_options",
        &[],
        "holds options of chokidar; here the kernel tells of changes, and nothing is polled",
    ),
    dropped(
        "filter_env",
        &[],
        "has no counterpart: do not give the container what the program must not see",
    ),
    dropped(
        "uid",
        &["user"],
        "is USER of the image, runAsUser of the pod: the runtime changes no user",
    ),
    dropped("gid", &[], "is USER of the image, runAsGroup of the pod"),
    dropped(
        "username",
        &[],
        "is USER of the image, runAsUser of the pod: the runtime changes no user",
    ),
    dropped(
        "pid_file",
        &["pid"],
        "is not needed: the container is the process; /status on the admin address shows the pids",
    ),
    dropped(
        "kill_retry_time",
        &[],
        "is not needed: the end of a worker is an event, nothing is asked again and again",
    ),
    dropped(
        "autostart",
        &[],
        "is not needed: the container is started when it is wanted",
    ),
    dropped("namespace", &[], "is not needed: one app is one container"),
    dropped(
        "name_prefix",
        &[],
        "is not needed: one app is one container",
    ),
    dropped("force", &[], "is not needed: one app is one container"),
    dropped(
        "disable_source_map_support",
        &[],
        "is not needed: source maps are on only with NODE_OPTIONS=--enable-source-maps",
    ),
    dropped(
        "vizion",
        &[],
        "is not needed: /status shows version and commit of the application",
    ),
    dropped("pmx", &[], MONITORING),
    dropped("automation", &[], MONITORING),
    dropped("io", &[], MONITORING),
    dropped("trace", &[], MONITORING),
    dropped("disable_trace", &[], MONITORING),
    dropped("v8", &[], MONITORING),
    dropped("event_loop_inspector", &[], MONITORING),
    dropped("deep_monitoring", &[], MONITORING),
    dropped(
        "post_update",
        &[],
        "are commands of pm2's deployment; here a new image is the update",
    ),
    dropped("install_url", &[], "belongs to modules of pm2"),
    dropped("windowsHide", &[], "is for Windows"),
    dropped("write", &[], "is for the command line of pm2"),
    // Not of the schema: older files have it.
    dropped(
        "exec_args",
        &[],
        "is not a key of pm2 any more; node_args is",
    ),
];

/// The key with this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key that has this name or this other name.
pub fn of_name(name: &str) -> Option<&'static Key> {
    KEYS.iter()
        .find(|key| key.name == name || key.aliases.contains(&name) || key.camel_case() == name)
}

impl Key {
    /// `maxMemoryRestart` for `max_memory_restart`. Parts of one letter stay as they are.
    pub fn camel_case(&self) -> String {
        let mut out = String::new();
        for (at, part) in self.name.split('_').enumerate() {
            let mut letters = part.chars();
            match letters.next() {
                Some(first) if at > 0 && part.len() > 1 => {
                    out.extend(first.to_uppercase());
                    out.push_str(letters.as_str());
                }
                _ => out.push_str(part),
            }
        }
        out
    }

    /// Whether pm2 takes `false`, `0` and the empty text as not set. It does, by accident, if the key has any other name.
    pub fn forgets_false(&self) -> bool {
        !self.aliases.is_empty() || self.camel_case() != self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_of_one_key() {
        let mut names: Vec<String> = Vec::new();
        for key in KEYS {
            names.push(key.name.to_owned());
            names.extend(key.aliases.iter().map(|alias| (*alias).to_owned()));
        }
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn keys_are_found_by_any_name() {
        let table = [
            ("max_memory_restart", "max_memory_restart"),
            ("maxMemoryRestart", "max_memory_restart"),
            ("interpreter", "exec_interpreter"),
            ("interpreterArgs", "node_args"),
            ("error", "error_file"),
            ("user", "uid"),
            ("combine_logs", "merge_logs"),
            ("windowsHide", "windowsHide"),
            ("expBackoffRestartDelay", "exp_backoff_restart_delay"),
        ];
        for (name, key) in table {
            assert_eq!(of_name(name).unwrap().name, key);
        }
        assert!(of_name("max_memory").is_none());
        assert!(find("interpreter").is_none());
    }

    #[test]
    fn a_key_with_one_name_keeps_a_zero() {
        for (name, forgets) in [
            ("instances", false),
            ("watch", false),
            ("treekill", false),
            ("max_restarts", true),
            ("kill_timeout", true),
            ("uid", true),
        ] {
            assert_eq!(find(name).unwrap().forgets_false(), forgets, "{name}");
        }
    }
}
