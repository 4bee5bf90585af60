//! Starts the log as configured.

use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, stderr, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::boot::{BootError, misconfigured, refused};
use crate::config::{self, Config, Level, LogFormat, LogStderr, Logging, Multiline, OwnLines};
use crate::log::file::{Every, Rotation};
use crate::log::{self, FileSettings, Log, LogSettings, OwnFileSettings, RecordRule, StartError};
use crate::sys::{self, listener};

const DAY: Duration = Duration::from_hours(24);

/// Starts the log, and sends the runtime's own events to it.
pub(super) fn start(config: &Config, env: &[(OsString, OsString)]) -> Result<Log, BootError> {
    let logging = &config.log;
    let format = match logging.format {
        LogFormat::Raw | LogFormat::Inherit => log::Format::Raw,
        LogFormat::Prefix => log::Format::Prefix,
        LogFormat::Json => log::Format::Json,
    };
    // The workers' stdout is their data.
    let inherits = logging.format == LogFormat::Inherit;
    // Two threads that write to one pipe would mix their lines.
    let splits = logging.stderr == LogStderr::Split
        && !inherits
        && !sys::io::is_same(stdout(), stderr()).unwrap_or(false);
    let terminal =
        (inherits || stdout().is_terminal()) && (!(inherits || splits) || stderr().is_terminal());
    let settings = LogSettings {
        format,
        timestamp: logging.timestamp.clone(),
        // In the format raw, only the runtime's own lines could be coloured.
        colour: terminal
            && format == log::Format::Prefix
            && !logging.files.any()
            && wants_colour(env),
        app_name: config.program.app_name.clone(),
        max_line: logging.max_line,
        buffer: logging.buffer,
        overflow: logging.overflow,
        multiline: logging.multiline.as_ref().map(|multiline| match multiline {
            Multiline::Pattern(regex) => RecordRule::Pattern(Arc::new(regex.clone())),
            Multiline::Languages(languages) => RecordRule::Languages(languages.as_slice().into()),
        }),
        rate: logging.rate,
        ring: config.control.ring,
        out: Some(if inherits {
            copy(stderr())?
        } else {
            copy(stdout())?
        }),
        err: splits.then(|| copy(stderr())).transpose()?,
        files: files(logging),
        own_file: own_file(logging),
        // In the role of tini, a program writes to the runtime's own output, and the runtime says nothing by default.
        late: inherits && config.one_shot(),
    };
    let log = log::start(settings).map_err(|error| match error {
        StartError::Os(_) => refused(error.to_string()),
        StartError::OwnFile(..) => misconfigured(error.to_string()),
    })?;
    // Fails only if a subscriber is already set, for example when a test boots twice.
    let _ = tracing::subscriber::set_global_default(log::subscriber(&log, filter(logging)));
    Ok(log)
}

fn copy(fd: impl AsFd) -> Result<OwnedFd, BootError> {
    listener::duplicate(fd.as_fd()).map_err(|errno| {
        let why = errno.desc();
        refused(format!("cannot copy the descriptor of the output: {why}"))
    })
}

/// Whether colours are wanted: not if NO_COLOR (no-color.org) or TERM=dumb is set.
fn wants_colour(env: &[(OsString, OsString)]) -> bool {
    let value = |name: &str| {
        env.iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    };
    value("NO_COLOR").is_none_or(|value| value.is_empty())
        && value("TERM").is_none_or(|term| term != OsStr::new("dumb"))
}

fn files(logging: &Logging) -> FileSettings {
    let name =
        |name: &Option<config::FileName>| name.as_ref().map(|name| name.template().to_owned());
    let config::Rotation {
        size,
        every,
        retain,
        compress,
    } = &logging.rotation;
    let every = every.as_ref().and_then(|every| match every {
        config::Every::Period(period) => Some(Every::Period(*period)),
        calendar => {
            let schedule = calendar.schedule()?;
            Some(Every::Points(Arc::new(move |after| schedule.next(after))))
        }
    });
    FileSettings {
        out: name(&logging.files.out),
        error: name(&logging.files.error),
        rotation: Arc::new(Rotation {
            size: size.map(|size| size.0),
            every,
            retain: *retain,
            compress: *compress,
        }),
    }
}

/// Rotated daily, whatever the workers' files do: these lines are few.
fn own_file(logging: &Logging) -> Option<OwnFileSettings> {
    let file = logging.own.file.as_ref()?;
    let config::Rotation {
        size,
        retain,
        compress,
        ..
    } = &logging.rotation;
    Some(OwnFileSettings {
        path: file.template().into(),
        rotation: Arc::new(Rotation {
            size: size.map(|size| size.0),
            every: Some(Every::Period(DAY)),
            retain: *retain,
            compress: *compress,
        }),
        only: logging.own.lines == OwnLines::File,
    })
}

fn filter(logging: &Logging) -> Targets {
    let level = |level: Level| match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let targets = logging.levels.targets.iter();
    Targets::new()
        .with_default(level(logging.levels.default))
        .with_targets(targets.map(|(target, of)| (target.clone(), level(*of))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_can_be_refused() {
        let env = |pairs: &[(&str, &str)]| -> Vec<(OsString, OsString)> {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| (key.into(), value.into()))
                .collect()
        };
        assert!(wants_colour(&env(&[("TERM", "xterm"), ("NO_COLOR", "")])));
        assert!(!wants_colour(&env(&[("NO_COLOR", "1")])));
        assert!(!wants_colour(&env(&[("TERM", "dumb")])));
    }
}
