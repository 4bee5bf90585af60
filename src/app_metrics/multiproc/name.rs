//! Names of the files: `counter_12.db`, `gauge_livesum_12.db`.

use std::ffi::OsStr;
use std::fmt;

use crate::app_metrics::merge::Aggregation;

const END: &str = ".db";

/// How the program wants a gauge of several processes to be merged (`multiprocess_mode`). In prometheus_client, only
/// the live modes forget the values of ended processes; here all modes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// One series for each process. The default of prometheus_client.
    All,
    /// One series for each process.
    LiveAll,
    /// The maximum.
    Max,
    /// The maximum.
    LiveMax,
    /// The minimum.
    Min,
    /// The minimum.
    LiveMin,
    /// The value that was set last.
    MostRecent,
    /// The value that was set last.
    LiveMostRecent,
    /// The sum.
    Sum,
    /// The sum.
    LiveSum,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 10] = [
        Self::All,
        Self::LiveAll,
        Self::Max,
        Self::LiveMax,
        Self::Min,
        Self::LiveMin,
        Self::MostRecent,
        Self::LiveMostRecent,
        Self::Sum,
        Self::LiveSum,
    ];

    /// The word in the name of a file.
    fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::LiveAll => "liveall",
            Self::Max => "max",
            Self::LiveMax => "livemax",
            Self::Min => "min",
            Self::LiveMin => "livemin",
            Self::MostRecent => "mostrecent",
            Self::LiveMostRecent => "livemostrecent",
            Self::Sum => "sum",
            Self::LiveSum => "livesum",
        }
    }

    /// Whether the value that was set last counts.
    pub(super) fn is_recent(self) -> bool {
        matches!(self, Self::MostRecent | Self::LiveMostRecent)
    }

    /// The aggregation that the program asks for; `None` if it may not have chosen one.
    pub(super) fn aggregation(self) -> Option<Aggregation> {
        match self {
            Self::All => None,
            Self::LiveAll => Some(Aggregation::Worker),
            // For the most recent modes, every process is given the same value.
            Self::Max | Self::LiveMax | Self::MostRecent | Self::LiveMostRecent => {
                Some(Aggregation::Max)
            }
            Self::Min | Self::LiveMin => Some(Aggregation::Min),
            Self::Sum | Self::LiveSum => Some(Aggregation::Sum),
        }
    }
}

/// The content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// Counters.
    Counter,
    /// Gauges of one mode.
    Gauge(Mode),
    /// Histograms.
    Histogram,
    /// Summaries.
    Summary,
}

impl Content {
    /// All kinds of content.
    pub fn all() -> impl Iterator<Item = Self> {
        let gauges = Mode::ALL.into_iter().map(Self::Gauge);
        [Self::Counter, Self::Histogram, Self::Summary]
            .into_iter()
            .chain(gauges)
    }

    /// The first word in the names of its files.
    pub(super) fn kind(self) -> &'static str {
        self.words().0
    }

    fn words(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Counter => ("counter", None),
            Self::Gauge(mode) => ("gauge", Some(mode.word())),
            Self::Histogram => ("histogram", None),
            Self::Summary => ("summary", None),
        }
    }
}

/// The name of one file; ordered by process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    /// The PID of the writing process, as that process sees it.
    pub pid: u32,
    /// The content.
    pub content: Content,
}

impl FileName {
    /// Parses the name of a file; `None` for other names. A program may use other identifiers than PIDs for its
    /// processes; their files are not supported.
    pub fn parse(name: &OsStr) -> Option<Self> {
        let (words, pid) = name.to_str()?.strip_suffix(END)?.rsplit_once('_')?;
        let (kind, mode) = match words.split_once('_') {
            Some((kind, mode)) => (kind, Some(mode)),
            None => (words, None),
        };
        let content = Content::all().find(|content| content.words() == (kind, mode))?;
        let name = Self {
            pid: pid.parse().ok()?,
            content,
        };
        // Only the canonical form of a number is accepted.
        (name.pid.to_string() == pid).then_some(name)
    }

    /// All file names that a process may have.
    pub(super) fn all(pid: u32) -> impl Iterator<Item = Self> {
        Content::all().map(move |content| Self { pid, content })
    }

    /// Whether `name` begins and ends like a file name of prometheus_client.
    pub(super) fn is_similar(name: &OsStr) -> bool {
        let Some((words, end)) = name.to_str().and_then(|name| name.split_once('_')) else {
            return false;
        };
        end.ends_with(END) && Content::all().any(|content| content.kind() == words)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, content } = self;
        match content.words() {
            (kind, Some(mode)) => write!(f, "{kind}_{mode}_{pid}{END}"),
            (kind, None) => write!(f, "{kind}_{pid}{END}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let mut names = Vec::new();
        for name in FileName::all(4_294_967_295).chain(FileName::all(0)) {
            let text = name.to_string();
            assert_eq!(FileName::parse(OsStr::new(&text)), Some(name), "{text}");
            assert!(FileName::is_similar(OsStr::new(&text)));
            names.push(text);
        }
        assert_eq!(names.len(), 26);
        for name in ["counter_0.db", "gauge_livemostrecent_0.db", "summary_0.db"] {
            assert!(names.iter().any(|text| text == name), "{name}");
        }
    }

    #[test]
    fn no_other_name_is_taken() {
        for (name, is_similar) in [
            ("counter_12", false),
            ("counter.db", false),
            ("12.db", false),
            ("foo_12.db", false),
            ("counter_12.db.tmp", false),
            ("counter_012.db", true),
            ("counter_+12.db", true),
            ("counter_-1.db", true),
            ("counter_.db", true),
            ("counter_4294967296.db", true),
            ("counter_web-1.db", true),
            ("counter_sum_12.db", true),
            ("gauge_12.db", true),
            ("gauge_ALL_12.db", true),
            ("gauge_all_all_12.db", true),
            ("gauge__12.db", true),
            ("counter_1/../../counter_1.db", true),
        ] {
            assert_eq!(FileName::parse(OsStr::new(name)), None, "{name}");
            let similar = FileName::is_similar(OsStr::new(name));
            assert_eq!(similar, is_similar, "{name}");
        }
    }
}
