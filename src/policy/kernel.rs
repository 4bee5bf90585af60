//! Which kernels may get a new steering program often.
//!
//! A kernel with CVE-2026-52910 frees the program of a group at once when a new one is attached, while another CPU may
//! still run it. The fix lets the old one live until nobody runs it ("bpf: Free reuseport cBPF prog after RCU grace
//! period", 18fc650ccd7f). The kernel does not tell whether it has the fix, so its version must.

use crate::model::Kernel;

/// The first release with the fix in each series that got it, as the record of the CVE names them. No other series before
/// [`SINCE`] got it.
const FIXED: [(u32, u32, u32); 7] = [
    (5, 10, 259),
    (5, 15, 210),
    (6, 1, 176),
    (6, 6, 143),
    (6, 12, 94),
    (6, 18, 36),
    (7, 0, 13),
];

/// The first version that was made with the fix.
const SINCE: (u32, u32) = (7, 1);

/// Whether the kernel is known to have the fix. A distribution may have added it to a version of its own (Ubuntu, RHEL);
/// that is not seen, and the answer is false.
pub fn replaces_programs_safely(kernel: &Kernel) -> bool {
    let Some(release) = Numbers::of(&kernel.release) else {
        return false;
    };
    let debian = debian(&kernel.version).and_then(Numbers::of);
    // A Debian release has the series and another number: 6.1.0-37-amd64.
    let debian = debian.filter(|debian| debian.series == release.series);
    // A release candidate may be older than the fix.
    !release.is_candidate()
        && (release.is_fixed() || debian.is_some_and(|debian| debian.is_fixed()))
}

/// The three numbers at the start of a version, and what follows them.
struct Numbers<'a> {
    series: (u32, u32),
    patch: u32,
    rest: &'a str,
}

impl<'a> Numbers<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (major, text) = number(text)?;
        let (minor, text) = number(text.strip_prefix('.')?)?;
        let (patch, rest) = number(text.strip_prefix('.')?)?;
        let series = (major, minor);
        Some(Self {
            series,
            patch,
            rest,
        })
    }

    /// `-rc2`, or `-0.rc2.` in Fedora.
    fn is_candidate(&self) -> bool {
        let parts = self.rest.split(|char: char| !char.is_ascii_alphanumeric());
        let mut numbers = parts.filter_map(|part| part.strip_prefix("rc"));
        numbers.any(|number| number.starts_with(|char: char| char.is_ascii_digit()))
    }

    fn is_fixed(&self) -> bool {
        let (major, minor) = self.series;
        let reaches = |(x, y, patch)| (major, minor) == (x, y) && self.patch >= patch;
        self.series >= SINCE || FIXED.into_iter().any(reaches)
    }
}

/// Takes a number from the start.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

/// The version of the package of a Debian kernel: `#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-12)`.
fn debian(version: &str) -> Option<&str> {
    let mut words = version.split_ascii_whitespace();
    words.find(|word| *word == "Debian")?;
    words.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const USUAL: &str = "#1 SMP PREEMPT_DYNAMIC Tue Jul 14 10:11:12 UTC 2026";

    fn safe(release: &str, version: &str) -> bool {
        replaces_programs_safely(&Kernel {
            release: release.to_owned(),
            version: version.to_owned(),
        })
    }

    #[test]
    fn a_stable_kernel_tells_by_its_release() {
        for release in [
            "5.10.259",
            "5.10.260-android13-4-gabcdef",
            "5.15.210.1-microsoft-standard-WSL2",
            "6.1.176-200.amzn2023.x86_64",
            "6.6.143+",
            "6.12.94-talos",
            "6.12.94+rpt-rpi-v8",
            "6.12.100-0-lts",
            "6.18.36",
            "6.18.44-fc-v857",
            "7.0.13-1-pve",
            "7.1.0",
            "7.1.0-5-generic",
            "7.2.3-arch1-1",
            "8.0.0",
            "10.0.0",
        ] {
            assert!(safe(release, USUAL), "{release}");
        }
    }

    #[test]
    fn an_older_release_is_not_fixed() {
        for release in [
            "4.19.325",
            "5.10.258",
            "5.15.209-1",
            "6.1.175-200.amzn2023.x86_64",
            "6.6.142+",
            "6.12.93-talos",
            "6.18.35",
            "7.0.12-arch1-1",
        ] {
            assert!(!safe(release, USUAL), "{release}");
        }
    }

    #[test]
    fn series_that_ended_without_the_fix_never_have_it() {
        for release in [
            "5.4.999", "5.14.500", "6.2.999", "6.5.999", "6.8.999", "6.11.999", "6.13.999",
            "6.17.999", "6.19.999",
        ] {
            assert!(!safe(release, USUAL), "{release}");
        }
    }

    #[test]
    fn the_number_of_a_build_is_not_that_of_a_stable_kernel() {
        for (release, version) in [
            (
                "5.15.0-210-generic",
                "#220-Ubuntu SMP Fri Jul 10 12:00:00 UTC 2026",
            ),
            (
                "6.8.0-143-generic",
                "#143~22.04.1-Ubuntu SMP PREEMPT_DYNAMIC",
            ),
            ("7.0.0-15-generic", "#15-Ubuntu SMP PREEMPT_DYNAMIC"),
            ("5.14.0-427.el9.x86_64", "#1 SMP PREEMPT_DYNAMIC"),
            ("6.12.0-211.el10.x86_64", USUAL),
            ("6.12.0-160000.5-default", USUAL),
            ("5.15.0-305.176.4.el8uek.x86_64", USUAL),
            ("6.1.0-176-cloud-amd64", USUAL),
        ] {
            assert!(!safe(release, version), "{release}");
        }
    }

    #[test]
    fn debian_tells_by_the_version_of_the_package() {
        for (version, expected) in [
            ("#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-12)", true),
            ("#1 SMP Debian 6.1.180-1~bpo1 (2026-08-01)", true),
            (
                "#1 SMP PREEMPT_DYNAMIC Debian 6.1.175-1 (2026-06-01)",
                false,
            ),
            (
                "#1 SMP PREEMPT_DYNAMIC Debian 6.12.94-1 (2026-07-12)",
                false,
            ),
            ("#1 SMP PREEMPT_DYNAMIC Debian", false),
            (
                "#1 SMP PREEMPT_DYNAMIC NotDebian 6.1.176-1 (2026-07-12)",
                false,
            ),
        ] {
            assert_eq!(safe("6.1.0-37-amd64", version), expected, "{version}");
        }
        let old = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.93-1 (2026-06-01)";
        assert!(!safe("6.12.93+deb13-amd64", old));
        let new = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.94-1 (2026-07-12)";
        assert!(safe("6.12.94+deb13-amd64", new));
    }

    #[test]
    fn a_release_candidate_may_be_older_than_the_fix() {
        for release in [
            "7.1.0-rc2",
            "7.1.0-0.rc3.20260501git.30.fc45.x86_64",
            "7.0.0-rc1",
        ] {
            assert!(!safe(release, USUAL), "{release}");
        }
    }

    #[test]
    fn what_is_not_understood_is_not_fixed() {
        for release in [
            "",
            "4.4.0",
            "4.19.0-gvisor",
            "2.6.78",
            "7",
            "7.1",
            "7.1-custom",
            "v7.1.0",
            " 7.1.0",
            "6.18.x",
            "6..44",
            "6.18.",
            "-6.18.44",
            "6.18.-44",
            "6,18,44",
            "99999999999.1.0",
            "6.18.99999999999",
            "next-20261101",
        ] {
            assert!(!safe(release, USUAL), "{release:?}");
        }
        assert!(!safe("4.4.0", "#1 SMP Sun Jan 10 15:06:54 PST 2016"));
    }

    proptest! {
        #[test]
        fn no_text_is_fatal(release: String, version: String) {
            // Random text is no version.
            let known = Numbers::of(&release).is_some();
            prop_assert!(known || !safe(&release, &version));
        }

        #[test]
        fn who_has_it_does_not_lose_it(index in 0..FIXED.len(), later in 0_u32..1_000, tail in "(-[a-q]{0,9})?") {
            let (major, minor, patch) = FIXED[index];
            let release = format!("{major}.{minor}.{}{tail}", patch + later);
            prop_assert!(safe(&release, USUAL));
            let before = patch - 1 - later % patch;
            let release = format!("{major}.{minor}.{before}{tail}");
            prop_assert!(!safe(&release, USUAL));
        }
    }
}
