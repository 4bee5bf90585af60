//! How long tasks of our cgroup waited for a resource (PSI, the kernel's text accounting/psi). Only cgroup version 2
//! reports it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Places, text};

/// The resources and their files.
const RESOURCES: [(&str, &str); 3] = [
    ("cpu", "cpu.pressure"),
    ("io", "io.pressure"),
    ("memory", "memory.pressure"),
];

/// Total times since the cgroup was created. They never decrease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// `cpu`, `io` or `memory`.
    pub resource: &'static str,
    /// Time during which at least one task waited.
    pub some: Option<Duration>,
    /// Time during which all tasks waited, so that no work was done. For the CPU only since Linux 5.13.
    pub full: Option<Duration>,
}

/// The cgroup directory with the PSI files. Found once, read often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    dir: Option<PathBuf>,
}

impl Pressure {
    /// Our cgroup of version 2.
    pub fn find(places: &Places) -> Self {
        Self {
            dir: places.own_unified().map(Path::to_owned),
        }
    }

    /// The resources that the kernel reports. Empty without cgroup version 2, or if the kernel was built or started
    /// without PSI.
    pub fn read(&self) -> Vec<Stall> {
        let Some(dir) = &self.dir else {
            return Vec::new();
        };
        let of = |(resource, file): (&'static str, &str)| {
            let text = text(dir, file)?;
            let stall = Stall {
                resource,
                some: total(&text, "some"),
                full: total(&text, "full"),
            };
            (stall.some.is_some() || stall.full.is_some()).then_some(stall)
        };
        RESOURCES.into_iter().filter_map(of).collect()
    }
}

/// Parses a line such as `some avg10=0.00 avg60=0.12 avg300=1.70 total=1234`; the total is in microseconds.
fn total(text: &str, kind: &str) -> Option<Duration> {
    let of = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let micros =
            (words.next()? == kind).then(|| words.find_map(|it| it.strip_prefix("total=")));
        micros?.map(str::to_owned)
    };
    let micros = text.lines().find_map(of)?.parse().ok()?;
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(case: &str) -> Vec<Stall> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cgroup");
        Pressure::find(&Places::find(&Path::new(root).join(case))).read()
    }

    fn stall(resource: &'static str, some: Option<u64>, full: Option<u64>) -> Stall {
        Stall {
            resource,
            some: some.map(Duration::from_micros),
            full: full.map(Duration::from_micros),
        }
    }

    #[test]
    fn version_2_tells_what_our_own_cgroup_waited_for() {
        assert_eq!(
            read("v2"),
            [
                stall("cpu", Some(12_345_678), Some(2_000_000)),
                stall("io", Some(500_000), Some(250_000)),
                stall("memory", Some(7), Some(0)),
            ],
            "not its parent"
        );
    }

    #[test]
    fn an_older_kernel_and_a_mixed_tree_tell_what_they_have() {
        assert_eq!(
            read("v2_namespaced"),
            [stall("cpu", Some(3_000_000), None)],
            "no full before 5.13; io is switched off, memory is odd"
        );
        assert_eq!(
            read("hybrid"),
            [stall("memory", Some(1_000_000), Some(900_000))]
        );
    }

    #[test]
    fn version_1_and_nonsense_tell_nothing() {
        for case in ["v1", "v1_container", "garbage", "no_files", "not there"] {
            assert_eq!(read(case), [], "{case}");
        }
    }

    #[test]
    fn only_a_whole_line_is_a_line() {
        for (text, expected) in [
            ("some avg10=0.00 total=5\n", Some(5)),
            (
                "full total=9\nsome total=18446744073709551615\n",
                Some(u64::MAX),
            ),
            ("some total=-1\n", None),
            ("some total=\n", None),
            ("some avg10=0.00\n", None),
            ("something total=5\n", None),
            ("", None),
        ] {
            let expected = expected.map(Duration::from_micros);
            assert_eq!(total(text, "some"), expected, "{text:?}");
        }
    }
}
