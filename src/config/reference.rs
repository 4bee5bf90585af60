//! docs/configuration.md: the reference of all variables, generated from their definitions.

use std::fmt::Write as _;

use super::config::GROUPS;
use super::setting::{Definition, Preset};
use crate::model::worker_vars::{self, NEVER_SET, WorkerVar};

/// A value that only settings for any text accept: the error text of the others says what is accepted.
const NONSENSE: &str = "\u{1}'";

const HEAD: &str = "\
# Configuration

<!-- `make reference` writes this file from the definitions in src/config and src/model/worker_vars.rs. Edit those. -->

The runtime is configured by environment variables. This is the reference of all of them; the README has the dozen that
most people need.

- An empty variable counts as unset.
- A duration has a unit: `500ms`, `30s`, `2m`, `1h`. A size has one too, as in Kubernetes: `300Mi`, `1G`.
- Lists are separated by commas. Fixed words may be in any case.
- A signal is a name, with or without `SIG`, or a number.
- Any variable can be given as `NAME_FILE` instead: the path of a file that holds the value. A line break at the end of the
  file does not count. It is a regular file, or a symbolic link to one, of at most 1 MiB.
- All mistakes are told at once, before anything starts, and the runtime ends with exit code 64.
- An unknown `RPM_*` name is a warning that names the nearest known one. Variables that Kubernetes sets for a Service named
  `rpm` or `rpm-...` are ignored.
- `rpm-runtime --check COMMAND` shows every value, where it came from and how it came about, and starts nothing.
- `rpm-runtime --help` lists all variables, with one line for each.
";

const WORKERS: &str = "
## What a worker finds in its environment

A worker gets the runtime's own environment, with the variables of `RPM_ENV_FILE` over it, and the variables of this table.
Only `LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES` and `LISTEN_PIDFDID` of the runtime's own environment do not pass. They pass
in the role of tini, because the descriptors pass then too.

| variable | value |
|---|---|
| `RPM_INSTANCE_VAR` names it, `NODE_APP_INSTANCE` by default | The slot number, as in `RPM_INSTANCE`. |
| `RPM_INCREMENT_VAR` names it | A number that is raised by the slot. |
";

const KEPT: &str = "
The runtime sets none of these, and `RPM_INSTANCE_VAR` and `RPM_INCREMENT_VAR` refuse them:

";

const STREAMS: &str = "
The stdout and stderr of a worker are pipes, so programs that use the C library's buffers write in blocks: set
`PYTHONUNBUFFERED=1`, or `$stdout.sync = true` in Ruby. Its stdin is /dev/null if there are several workers, or if the stdin
of the runtime is a terminal that is not handed over (it is with `RPM_LOG_FORMAT=inherit`).

## Signals that the runtime receives

This is the default; `RPM_SIGNALS` changes it.

| signal | what the runtime does |
|---|---|
| TERM, INT, QUIT, WINCH, RTMIN+3 | `stop`: `/readyz` answers 503; after `RPM_SHUTDOWN_DELAY` the runtime waits until no request is in work (at most `RPM_DRAIN_TIMEOUT`), sends the stop signal to every worker, and after the grace (`RPM_STOP_TIMEOUT`) SIGKILL. A second signal skips the waiting, a third the grace. |
| WINCH that the kernel sent, since the terminal has another size | It goes to a worker that has the terminal (`RPM_LOG_FORMAT=inherit`), and to no other. |
| HUP | `reload`: the workers are replaced one after the other, see [reload.md](reload.md). |
| TTIN, TTOU | `scale-up`, `scale-down`: one worker more, one less. |
| USR1 | `reopen`: log files are opened again, for a logrotate outside; then the signal is forwarded to every worker, in the role of tini too. With log files it is forwarded only to workers that handle it, so that it ends none. |
| CHLD | Ended processes are reaped. It cannot be changed. |
| PIPE, and what reports a fault (SEGV, BUS, FPE, ILL, ABRT, TRAP, SYS) | The runtime does not handle them. It cannot be changed. |
| all others | `forward`: the signal goes to every worker. |

The actions for `RPM_SIGNALS`:

| action | what the runtime does |
|---|---|
| `stop` | Ends the service, as above. |
| `restart` | Stops every worker and starts it again. |
| `reload` | Replaces the workers one after the other. |
| `scale-up`, `scale-down` | One worker more, one less. |
| `forward` | Sends the signal to every worker. |
| `forward:NAME` | Sends another signal to every worker. |
| `reopen` | Opens the log files again, then forwards. |
| `ignore` | Nothing. |

WINCH and RTMIN+3 stop because images inherit them as `STOPSIGNAL` from their base image (httpd, systemd). haproxy's image has
`STOPSIGNAL SIGUSR1`: write `STOPSIGNAL SIGTERM` in an image that is made from it, or set `RPM_SIGNALS=USR1=stop`.

In the role of tini (`RPM_RESTART=never` with one instance) every signal is forwarded, except TTIN and TTOU, which are
ignored.

What a worker leaves behind in its process group gets the stop signal too, within the same grace, then SIGKILL.

## Exit codes

| code | meaning |
|---|---|
| 0 | Stopped as asked. |
| 1 | Stopped as asked, but something had to be killed; or the runtime gave up after `RPM_MAX_RESTARTS` on a worker whose own code is 0 (or in `RPM_EXIT_OK`). |
| 64 | Bad configuration; nothing was started. |
| 70 | A fault of the runtime itself. |
| 71 | The system refused something: a port, the admin address, the first fork, or there is no way to share a port among several workers. |
| 126, 127 | The program cannot be executed; the program is not there. |
| that of the worker, 128+n for signal n | With `RPM_RESTART=never`, after `RPM_MAX_RESTARTS`, or when all workers stay down. |
";

/// The text of docs/configuration.md.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for group in GROUPS {
        push(&mut text, format_args!("\n## {}\n", group.title));
        for setting in group.settings {
            entry(&mut text, *setting);
        }
    }
    text.push_str(WORKERS);
    let set = |var: &WorkerVar| !NEVER_SET.contains(var);
    for var in worker_vars::ALL.iter().filter(|var| set(var)) {
        push(
            &mut text,
            format_args!("| `{}` | {} |\n", var.name, var.doc),
        );
    }
    text.push_str(KEPT);
    for var in NEVER_SET {
        push(&mut text, format_args!("- `{}`: {}\n", var.name, var.doc));
    }
    text.push_str(STREAMS);
    text
}

fn entry(text: &mut String, setting: &dyn Definition) {
    push(text, format_args!("\n### `{}`\n\n", setting.name()));
    let default = match setting.default() {
        Preset::Text(default) => format!("`{default}`"),
        Preset::Computed(default) => plain(default),
        Preset::Unset => "none".to_owned(),
    };
    push(text, format_args!("- Default: {default}\n"));
    let accepted = match setting.check(NONSENSE) {
        Ok(_) => "any text".to_owned(),
        Err(wrong) => plain(&wrong.accepted),
    };
    push(text, format_args!("- Accepted: {accepted}\n"));
    push(text, format_args!("\n{}\n", setting.doc()));
}

/// Escapes text for Markdown.
fn plain(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if matches!(c, '*' | '\\' | '`' | '<' | '[' | ']') {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(part); // a String takes everything
}

#[cfg(test)]
mod tests {
    use crate::config::settings;

    #[test]
    fn every_setting_is_documented_in_sentences() {
        for setting in settings() {
            let (name, doc) = (setting.name(), setting.doc());
            assert!(doc.ends_with(['.', ')']) && doc.len() > 20, "{name}");
            assert!(!doc.contains("  "), "{name}");
        }
    }
}
