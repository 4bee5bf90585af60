//! Number of workers. A number is used as given. `max` is the number of CPUs that the container may use. `max-K` leaves
//! K of them unused. The result is reduced to the number that fits into memory. It is at least 1 and at most
//! `MAX_INSTANCES`.

use std::num::NonZeroU16;

use super::{Bytes, Share};

/// Maximal number of workers.
pub const MAX_INSTANCES: u16 = 512;

/// RPM_INSTANCES as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    /// A fixed number.
    Count(NonZeroU16),
    /// One for each CPU, minus `less`.
    Max {
        /// The K of `max-K`, 0 for `max`.
        less: u16,
    },
}

/// Limits of the CPU time of this process; `None` if a limit is unknown or not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuBudget {
    /// The cgroup's quota in thousandths of a CPU, rounded up.
    pub quota_milli: Option<u64>,
    /// CPUs in the cgroup's cpuset.
    pub cpuset: Option<u32>,
    /// CPUs in the affinity mask.
    pub affinity: Option<u32>,
    /// CPUs of the machine that are online.
    pub online: Option<u32>,
    /// The place of our cgroup is not known, so that a quota may hold which cannot be seen.
    pub hidden: bool,
}

impl CpuBudget {
    /// Number of CPUs that can be kept busy: the lowest limit, with a quota rounded up (1.5 CPUs keep two workers
    /// busy).
    pub fn cpus(self) -> NonZeroU16 {
        let quota = self.quota_milli.map(|milli| milli.div_ceil(1000));
        let tightest = [
            quota,
            self.cpuset.map(u64::from),
            self.affinity.map(u64::from),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(1)
        .clamp(1, u64::from(MAX_INSTANCES));
        u16::try_from(tightest)
            .ok()
            .and_then(NonZeroU16::new)
            .unwrap_or(NonZeroU16::MIN)
    }

    /// Whether any limit is known.
    pub fn is_known(self) -> bool {
        self.quota_milli.is_some() || self.cpuset.is_some() || self.affinity.is_some()
    }

    /// Whether nothing keeps this process from any CPU of the machine.
    pub fn is_unlimited(self) -> bool {
        let below = |cpus: Option<u32>| cpus.zip(self.online).is_some_and(|(cpus, all)| cpus < all);
        self.quota_milli.is_none() && !below(self.cpuset) && !below(self.affinity)
    }

    /// The limits as text, e.g. `cgroup quota 1.5 CPUs (rounded up to 2), affinity 4`.
    fn bounds(self) -> String {
        let quota = self.quota_milli.map(|milli| {
            let whole = milli.div_ceil(1000);
            let rounded = if milli.is_multiple_of(1000) {
                String::new()
            } else {
                format!(" (rounded up to {whole})")
            };
            format!("cgroup quota {} CPUs{rounded}", decimal(milli))
        });
        let cpuset = self.cpuset.map(|cpus| format!("cpuset {cpus}"));
        let affinity = self.affinity.map(|cpus| format!("affinity {cpus}"));
        let known: Vec<String> = [quota, cpuset, affinity].into_iter().flatten().collect();
        let known = if known.is_empty() {
            "number of CPUs not known".to_owned()
        } else {
            known.join(", ")
        };
        if self.hidden {
            format!("the cgroup's own quota cannot be seen, {known}")
        } else {
            known
        }
    }
}

/// Memory for workers with a known maximal size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Memory limit of the container, bytes.
    pub limit: u64,
    /// Memory limit of one worker, bytes.
    pub each: u64,
    /// Number of additional workers during a reload.
    pub surge: Share,
}

impl MemoryBudget {
    /// Whether this number of workers fits into memory, including the additional ones of a reload.
    pub fn holds(self, workers: NonZeroU16) -> bool {
        let most = u64::from(workers.get()) + u64::from(self.surge.of(workers.get(), true));
        most.saturating_mul(self.each) <= self.limit
    }

    /// The highest number up to `wanted` that fits into memory, but at least 1.
    fn fit(self, wanted: NonZeroU16) -> NonZeroU16 {
        (1..=wanted.get())
            .rev()
            .filter_map(NonZeroU16::new)
            .find(|workers| self.holds(*workers))
            .unwrap_or(NonZeroU16::MIN)
    }
}

impl Instances {
    /// Returns the number, and for `max` the calculation, e.g. `cgroup quota 1.5 CPUs (rounded up to 2), affinity 4 -> 2`.
    pub fn resolve(
        self,
        budget: CpuBudget,
        memory: Option<MemoryBudget>,
    ) -> (NonZeroU16, Option<String>) {
        match self {
            Self::Count(count) => (count, None),
            Self::Max { less } => {
                let cpus = budget.cpus();
                let count =
                    NonZeroU16::new(cpus.get().saturating_sub(less)).unwrap_or(NonZeroU16::MIN);
                let mut how = format!("{} -> {cpus}", budget.bounds());
                if less > 0 {
                    how = format!("{how}, less {less} -> {count}");
                }
                let Some(memory) = memory else {
                    return (count, Some(how));
                };
                let fitting = memory.fit(count);
                if fitting < count {
                    how = format!(
                        "{how}, memory limit {} for workers of {} and {} more in a reload -> {fitting}",
                        Bytes(memory.limit),
                        Bytes(memory.each),
                        memory.surge.of(fitting.get(), true),
                    );
                }
                (fitting, Some(how))
            }
        }
    }
}

/// Formats thousandths as a decimal number without trailing zeros.
fn decimal(milli: u64) -> String {
    let fraction = format!("{:03}", milli % 1000);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        (milli / 1000).to_string()
    } else {
        format!("{}.{fraction}", milli / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn budget(quota: Option<u64>, cpuset: Option<u32>, affinity: Option<u32>) -> CpuBudget {
        CpuBudget {
            quota_milli: quota,
            cpuset,
            affinity,
            online: None,
            hidden: false,
        }
    }

    fn room(limit: u64, each: u64, surge: u16) -> MemoryBudget {
        MemoryBudget {
            limit: limit << 20,
            each: each << 20,
            surge: Share::Number(surge),
        }
    }

    #[test]
    fn max_leaves_room_in_memory_for_a_reload() {
        let table = [
            (room(1024, 256, 1), 3, true),
            (room(1024, 256, 0), 4, true),
            (room(1023, 256, 0), 3, true),
            (room(4096, 256, 8), 8, false),
            (room(4096, 256, 9), 7, true),
            (room(100, 256, 1), 1, true),
            (room(1024, 256, 400), 1, true),
        ];
        for (memory, expected, told) in table {
            let (count, how) =
                Instances::Max { less: 0 }.resolve(budget(None, None, Some(8)), Some(memory));
            assert_eq!(count.get(), expected, "{memory:?}");
            assert_eq!(how.unwrap().contains("memory limit"), told, "{memory:?}");
        }
        let half = MemoryBudget {
            surge: Share::Percent(50),
            ..room(1024, 128, 0)
        };
        let (count, how) =
            Instances::Max { less: 1 }.resolve(budget(None, None, Some(8)), Some(half));
        assert_eq!(
            (count.get(), how.as_deref()),
            (
                5,
                Some(
                    "affinity 8 -> 8, less 1 -> 7, memory limit 1Gi for workers of 128Mi and 3 more in a reload -> 5"
                )
            )
        );
    }

    #[test]
    fn max_is_the_tightest_bound_and_says_so() {
        let table = [
            (
                budget(None, None, None),
                0,
                1,
                "number of CPUs not known -> 1",
            ),
            (budget(None, None, Some(4)), 0, 4, "affinity 4 -> 4"),
            (
                budget(Some(1500), None, Some(4)),
                0,
                2,
                "cgroup quota 1.5 CPUs (rounded up to 2), affinity 4 -> 2",
            ),
            (
                budget(Some(4000), Some(3), Some(8)),
                0,
                3,
                "cgroup quota 4 CPUs, cpuset 3, affinity 8 -> 3",
            ),
            (
                budget(Some(50), None, Some(8)),
                0,
                1,
                "cgroup quota 0.05 CPUs (rounded up to 1), affinity 8 -> 1",
            ),
            (
                budget(Some(0), Some(0), Some(0)),
                0,
                1,
                "cgroup quota 0 CPUs, cpuset 0, affinity 0 -> 1",
            ),
            (
                budget(None, None, Some(4)),
                1,
                3,
                "affinity 4 -> 4, less 1 -> 3",
            ),
            (
                budget(None, None, Some(2)),
                5,
                1,
                "affinity 2 -> 2, less 5 -> 1",
            ),
            (
                budget(None, None, Some(4096)),
                0,
                512,
                "affinity 4096 -> 512",
            ),
        ];
        for (budget, less, count, how) in table {
            let (got, explained) = Instances::Max { less }.resolve(budget, None);
            assert_eq!((got.get(), explained.as_deref()), (count, Some(how)));
        }
    }

    #[test]
    fn a_quota_a_cpuset_or_an_affinity_is_a_limit() {
        let on = |online, budget| CpuBudget { online, ..budget };
        for (budget, expected) in [
            (on(Some(8), budget(None, None, Some(8))), true),
            (on(Some(8), budget(None, Some(8), Some(8))), true),
            (on(None, budget(None, Some(8), Some(8))), true),
            (on(Some(8), budget(None, None, Some(2))), false),
            (on(Some(8), budget(None, Some(2), Some(8))), false),
            (on(Some(8), budget(Some(64_000), None, Some(8))), false),
        ] {
            assert_eq!(budget.is_unlimited(), expected, "{budget:?}");
        }
    }

    #[test]
    fn a_quota_that_cannot_be_seen_is_told() {
        let hidden = CpuBudget {
            hidden: true,
            ..budget(None, None, Some(4))
        };
        let (count, how) = Instances::Max { less: 0 }.resolve(hidden, None);
        let said = "the cgroup's own quota cannot be seen, affinity 4 -> 4";
        assert_eq!((count.get(), how.as_deref()), (4, Some(said)));
    }

    #[test]
    fn a_number_is_taken_as_it_is() {
        let seven = NonZeroU16::new(7).unwrap();
        assert_eq!(
            Instances::Count(seven)
                .resolve(budget(Some(1000), Some(1), Some(1)), Some(room(1, 1, 0))),
            (seven, None)
        );
    }

    proptest! {
        #[test]
        fn always_between_one_and_the_limit(quota: Option<u64>, cpuset: Option<u32>, affinity: Option<u32>, less: u16) {
            let (count, _) = Instances::Max { less }.resolve(budget(quota, cpuset, affinity), None);
            prop_assert!(count.get() <= MAX_INSTANCES);
        }

        #[test]
        fn what_has_room_has_room(cpus in 1_u32..512, limit in 1_u64..4096, each in 1_u64..512, surge in 0_u16..20) {
            let memory = room(limit, each, surge);
            let (count, _) = Instances::Max { less: 0 }.resolve(budget(None, None, Some(cpus)), Some(memory));
            let more = NonZeroU16::new(count.get() + 1).unwrap();
            prop_assert!(memory.holds(count) || count == NonZeroU16::MIN);
            prop_assert!(!memory.holds(more) || u32::from(count.get()) == cpus);
        }
    }
}
