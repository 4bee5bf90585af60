//! The names of the files: `counter_12.db`, `gauge_livesum_12.db`.

use std::ffi::OsStr;
use std::fmt;

use crate::app_metrics::merge::Aggregation;

const END: &str = ".db";

/// What becomes of a gauge that several processes have, as the program says it (`multiprocess_mode`). The live ones
/// differ from the others in that prometheus_client forgets the values of dead processes; here all are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// One series for each process. It is so if the program says nothing.
    All,
    /// One series for each process.
    LiveAll,
    /// The largest.
    Max,
    /// The largest.
    LiveMax,
    /// The smallest.
    Min,
    /// The smallest.
    LiveMin,
    /// The one that was set last.
    MostRecent,
    /// The one that was set last.
    LiveMostRecent,
    /// All together.
    Sum,
    /// All together.
    LiveSum,
}

impl Mode {
    /// Every one.
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

    /// As it stands in the name of a file.
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

    /// Whether the time at which a value was set counts.
    pub(super) fn is_recent(self) -> bool {
        matches!(self, Self::MostRecent | Self::LiveMostRecent)
    }

    /// What the program asks for; `None` if it may not have asked.
    pub(super) fn aggregation(self) -> Option<Aggregation> {
        match self {
            Self::All => None,
            Self::LiveAll => Some(Aggregation::Worker),
            // Of the most recent, every process is made to say the same.
            Self::Max | Self::LiveMax | Self::MostRecent | Self::LiveMostRecent => {
                Some(Aggregation::Max)
            }
            Self::Min | Self::LiveMin => Some(Aggregation::Min),
            Self::Sum | Self::LiveSum => Some(Aggregation::Sum),
        }
    }
}

/// What a file holds.
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
    /// Every one.
    pub fn all() -> impl Iterator<Item = Self> {
        let gauges = Mode::ALL.into_iter().map(Self::Gauge);
        [Self::Counter, Self::Histogram, Self::Summary]
            .into_iter()
            .chain(gauges)
    }

    /// The word with which the names of its files begin.
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

/// The name of one file, ordered by process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    /// The process that writes it, as it knows itself.
    pub pid: u32,
    /// What it holds.
    pub content: Content,
}

impl FileName {
    /// The name of a file that a process makes; `None` for any other. A program may give its processes other names than
    /// their pids; what they write is not known.
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
        // One number has one name.
        (name.pid.to_string() == pid).then_some(name)
    }

    /// All that a process may have.
    pub(super) fn all(pid: u32) -> impl Iterator<Item = Self> {
        Content::all().map(move |content| Self { pid, content })
    }

    /// Whether `name` begins and ends as that of a file of prometheus_client.
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
