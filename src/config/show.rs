//! Typed values as text that the grammar reads back.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::app_metrics::MetricsSource;
use super::faults::plain;
use super::levels::Level;
use super::logging::{LogFormat, LogStderr, Overflow};
use super::types::{
    Balance, Config, ExecMode, Handover, HealthCheck, PortRule, PortSpec, Ready, Restart, Scope,
};
use crate::model::{Aggregation, Sig, Word as _};
use crate::policy::{Bytes, Share, SignalAction, SignalTable};

/// What stands for a value that is not there.
pub(super) const NOTHING: &str = "-";

pub(super) fn nothing() -> String {
    NOTHING.to_owned()
}

pub(super) fn text(text: &str) -> String {
    plain(text)
}

pub(super) fn path(path: &Path) -> String {
    text(&path.to_string_lossy())
}

pub(super) fn paths(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return nothing();
    }
    let paths: Vec<String> = paths.iter().map(|each| path(each)).collect();
    paths.join(",")
}

pub(super) fn bytes(bytes: Bytes) -> String {
    bytes.to_string()
}

/// A size that is known to be one of memory.
pub(super) fn size(bytes: usize) -> String {
    u64::try_from(bytes).map_or_else(|_| bytes.to_string(), |bytes| Bytes(bytes).to_string())
}

/// `word` for nothing; otherwise on one line.
pub(super) fn or(value: Option<impl Display>, word: &str) -> String {
    value.map_or_else(|| word.to_owned(), |value| text(&value.to_string()))
}

pub(super) fn share(share: Share) -> String {
    match share {
        Share::Number(count) => count.to_string(),
        Share::Percent(percent) => format!("{percent}%"),
    }
}

pub(super) fn command(config: &Config) -> String {
    let words = config.argv.iter().map(|word| word.to_string_lossy());
    let words: Vec<_> = words.collect();
    let line = shlex::try_join(words.iter().map(AsRef::as_ref));
    plain(&line.unwrap_or_else(|_| words.join(" ")))
}

pub(super) fn exec_mode(config: &Config) -> String {
    match config.exec_mode {
        ExecMode::Cluster => "cluster",
        ExecMode::Fork => "fork",
    }
    .to_owned()
}

/// The largest unit that leaves a whole number.
pub(super) fn duration(value: Duration) -> String {
    let milliseconds = value.as_millis();
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let fits = |(_, size): &&(&str, u128)| milliseconds.is_multiple_of(*size);
    match units.iter().find(fits) {
        _ if milliseconds == 0 => "0s".to_owned(),
        Some((unit, size)) => format!("{}{unit}", milliseconds / size),
        None => format!("{milliseconds}ms"),
    }
}

pub(super) fn ports(ports: &PortRule) -> String {
    match ports {
        PortRule::Any => "auto".to_owned(),
        PortRule::Nothing => "off".to_owned(),
        PortRule::Listed(specs) => {
            let list: Vec<String> = specs.iter().map(|spec| port(*spec)).collect();
            list.join(",")
        }
    }
}

pub(super) fn port(spec: PortSpec) -> String {
    match spec.ip {
        None => spec.port.to_string(),
        Some(ip) => std::net::SocketAddr::new(ip, spec.port.get()).to_string(),
    }
}

pub(super) fn handover(value: Handover) -> String {
    match value {
        Handover::Auto => "auto",
        Handover::Intercept => "intercept",
        Handover::Activation => "activation",
    }
    .to_owned()
}

pub(super) fn balance(value: Balance) -> String {
    match value {
        Balance::Adaptive => "adaptive",
        Balance::Random => "random",
        Balance::Hash => "hash",
        Balance::Cpu => "cpu",
    }
    .to_owned()
}

pub(super) fn ready(value: &Ready) -> String {
    match value {
        Ready::Auto => "auto".to_owned(),
        Ready::Listen => "listen".to_owned(),
        Ready::Notify => "notify".to_owned(),
        Ready::Http(path) => format!("http:{path}"),
        Ready::Tcp => "tcp".to_owned(),
        Ready::Delay(delay) => format!("delay:{}", duration(*delay)),
    }
}

pub(super) fn health(value: Option<&HealthCheck>) -> String {
    match value {
        None => "off".to_owned(),
        Some(HealthCheck::Http(path)) => format!("http:{path}"),
        Some(HealthCheck::Tcp) => "tcp".to_owned(),
        Some(HealthCheck::Accept) => "accept".to_owned(),
    }
}

pub(super) fn metrics_source(value: Option<&MetricsSource>) -> String {
    match value {
        None => "off".to_owned(),
        Some(MetricsSource::Multiproc { .. }) => "multiproc".to_owned(),
        Some(MetricsSource::Path { port: None, path }) => path.clone(),
        Some(MetricsSource::Path {
            port: Some(port),
            path,
        }) => format!(":{port}{path}"),
    }
}

pub(super) fn gauges(gauges: &[(String, Aggregation)]) -> String {
    if gauges.is_empty() {
        return nothing();
    }
    let entry = |(pattern, aggregation): &(String, Aggregation)| {
        format!("{pattern}={}", aggregation.word())
    };
    let entries: Vec<String> = gauges.iter().map(entry).collect();
    entries.join(",")
}

pub(super) fn restart(value: Restart) -> String {
    match value {
        Restart::Always => "always",
        Restart::OnFailure => "on-failure",
        Restart::Never => "never",
    }
    .to_owned()
}

pub(super) fn codes(codes: &[u8]) -> String {
    if codes.is_empty() {
        return nothing();
    }
    let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
    codes.join(",")
}

/// Without `SIG`, as in the variables.
pub(super) fn signal(sig: Sig) -> String {
    let name = sig.to_string();
    name.strip_prefix("SIG").map(str::to_owned).unwrap_or(name)
}

/// The entries that differ from what all others do. All others do what SIGKILL would: it has no entry of its own.
pub(super) fn signals(table: &SignalTable) -> String {
    let others = table.action(Sig::KILL);
    let mut parts: Vec<String> = (1..=64)
        .filter_map(Sig::new)
        .filter(|sig| SignalTable::collects(*sig) && table.action(*sig) != others)
        .map(|sig| format!("{}={}", signal(sig), action(table.action(sig))))
        .collect();
    parts.push(format!("*={}", action(others)));
    parts.join(",")
}

fn action(action: SignalAction) -> String {
    match action {
        SignalAction::Stop => "stop".to_owned(),
        SignalAction::Restart => "restart".to_owned(),
        SignalAction::Reload => "reload".to_owned(),
        SignalAction::ScaleUp => "scale-up".to_owned(),
        SignalAction::ScaleDown => "scale-down".to_owned(),
        SignalAction::Forward => "forward".to_owned(),
        SignalAction::ForwardAs(sig) => format!("forward:{}", signal(sig)),
        SignalAction::Reopen => "reopen".to_owned(),
        SignalAction::Ignore => "ignore".to_owned(),
    }
}

pub(super) fn scope(value: Scope) -> String {
    match value {
        Scope::Process => "process",
        Scope::Group => "group",
    }
    .to_owned()
}

pub(super) fn log_format(value: LogFormat) -> String {
    match value {
        LogFormat::Raw => "raw",
        LogFormat::Prefix => "prefix",
        LogFormat::Json => "json",
        LogFormat::Inherit => "inherit",
    }
    .to_owned()
}

pub(super) fn log_stderr(value: LogStderr) -> String {
    match value {
        LogStderr::Merge => "merge",
        LogStderr::Split => "split",
    }
    .to_owned()
}

pub(super) fn overflow(value: Overflow) -> String {
    match value {
        Overflow::Block => "block",
        Overflow::Drop => "drop",
    }
    .to_owned()
}

pub(super) fn level(value: Level) -> String {
    match value {
        Level::Off => "off",
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
    .to_owned()
}
