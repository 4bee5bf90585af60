//! The rows of RPM_LOG_* in the table of variables.

use super::names::Preset::{Computed, Text, Unset};
use super::names::Setting;
use super::show;
use super::variables::row;

pub(super) const OUTPUT: &[Setting] = &[
    row(
        "RPM_LOG_FORMAT",
        Computed(
            "raw; inherit with RPM_RESTART=never and one instance if no RPM_LOG_* needs lines",
        ),
        "workers' lines: raw, prefix ([name:slot]), json, inherit (our stdout)",
        |c| show::log_format(c.log.format),
    ),
    row(
        "RPM_LOG_TIMESTAMP",
        Computed("rfc3339; none with the formats raw and inherit"),
        "time before a line, UTC: none, rfc3339, a pattern (%Y-%m-%d %H:%M:%S)",
        |c| show::text(&c.log.timestamp.to_string()),
    ),
    row(
        "RPM_LOG_STDERR",
        Text("merge"),
        "workers' stderr: merge (into stdout), split (to our stderr)",
        |c| show::log_stderr(c.log.stderr),
    ),
    row(
        "RPM_LOG_OVERFLOW",
        Text("block"),
        "if nobody reads: block (workers wait), drop (lines, counted)",
        |c| show::overflow(c.log.overflow),
    ),
    row(
        "RPM_LOG_BUFFER",
        Text("8Mi"),
        "most memory for lines that are not written yet, 128Ki to 1Gi",
        |c| show::size(c.log.buffer),
    ),
    row(
        "RPM_LOG_MAX_LINE",
        Computed("256Ki, or a sixteenth of RPM_LOG_BUFFER if that is less"),
        "longer lines pass in pieces",
        |c| show::size(c.log.max_line),
    ),
    row(
        "RPM_LOG_MULTILINE",
        Unset,
        "regular expression of a record's first line; others are joined to it",
        |c| show::or(c.log.multiline.as_ref(), show::NOTHING),
    ),
    row(
        "RPM_LOG_RATE",
        Text("off"),
        "most lines a second of each worker: LINES or LINES:BURST; off",
        |c| show::or(c.log.rate, "off"),
    ),
    row(
        "RPM_LOG_FILE",
        Unset,
        "write to this file too; {slot} in it gives each worker its own",
        |c| show::or(c.log.files.out.as_ref(), show::NOTHING),
    ),
    row(
        "RPM_LOG_ERROR_FILE",
        Unset,
        "stderr to this one instead; {slot} as above",
        |c| show::or(c.log.files.error.as_ref(), show::NOTHING),
    ),
    row(
        "RPM_LOG_ROTATE_SIZE",
        Text("10Mi"),
        "a file of that size is rotated; off",
        |c| show::or(c.log.rotation.size, "off"),
    ),
    row(
        "RPM_LOG_ROTATE_EVERY",
        Text("daily"),
        "hourly, daily, weekly, monthly, 12h, or as in RPM_CRON_RELOAD; off",
        |c| show::or(c.log.rotation.every.as_ref(), "off"),
    ),
    row(
        "RPM_LOG_RETAIN",
        Text("14"),
        "rotated files that are kept; all",
        |c| show::or(c.log.rotation.retain, "all"),
    ),
    row(
        "RPM_LOG_COMPRESS",
        Text("false"),
        "gzip for rotated files: true, false",
        |c| c.log.rotation.compress.to_string(),
    ),
    row(
        "RPM_LOG_LEVEL",
        Computed("info; warn with RPM_RESTART=never and one instance"),
        "our own lines: off, error, warn, info, debug, trace; also TARGET=LEVEL",
        |c| c.log.levels.to_string(),
    ),
];
