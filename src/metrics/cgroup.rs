//! Limits and counters of the cgroup.

use crate::sys::cgroup::{Oom, Places, Pressure, Usage};

use super::family::{Family, number};

/// The limits and the kernel's counters of the runtime's cgroup. All are read at each scrape.
#[derive(Debug)]
pub struct CgroupCounters {
    places: Places,
    oom: Oom,
    /// Kills in this cgroup before the runtime started.
    killed_before: u64,
    pressure: Pressure,
    usage: Usage,
}

impl CgroupCounters {
    /// Looks for the counters. Only later kills count.
    pub fn find(places: &Places) -> Self {
        let oom = Oom::find(places);
        Self {
            places: places.clone(),
            killed_before: oom.kills().map_or(0, |kills| kills.processes),
            oom,
            pressure: Pressure::find(places),
            usage: Usage::find(places),
        }
    }

    /// Counters that the kernel does not have are left out.
    pub(super) fn families(&self) -> [Family; 5] {
        let kills = self.oom.kills();
        let kills = kills.map(|kills| kills.processes.saturating_sub(self.killed_before));
        let mut waiting = Family::counter(
            "rpm_cgroup_pressure_waiting_seconds_total",
            "Time in which some task of the cgroup waited for the resource (PSI, some).",
        );
        let mut stalled = Family::counter(
            "rpm_cgroup_pressure_stalled_seconds_total",
            "Time in which every task of the cgroup that had work waited for the resource (PSI, full).",
        );
        for stall in self.pressure.read() {
            let label = || [("resource", stall.resource.to_owned())];
            if let Some(time) = stall.some {
                waiting.add(label(), time.as_secs_f64());
            }
            if let Some(time) = stall.full {
                stalled.add(label(), time.as_secs_f64());
            }
        }
        let kills = Family::counter(
            "rpm_oom_kills_total",
            "Processes of this container that the kernel killed for want of memory.",
        )
        .only(kills.map(number));
        let memory = Family::gauge(
            "rpm_cgroup_memory_bytes",
            "Memory that is charged to the cgroup, with the page cache.",
        )
        .only(self.usage.memory().map(number));
        let throttled = Family::counter(
            "rpm_cgroup_cpu_throttled_seconds_total",
            "Time in which the CPU quota kept processes of the cgroup from running, summed over the CPUs.",
        )
        .only(self.usage.throttled().map(|time| time.as_secs_f64()));
        [kills, memory, throttled, waiting, stalled]
    }

    /// Unlimited values are left out.
    pub(super) fn limits(&self) -> [Family; 3] {
        let limits = self.places.limits();
        let cores = limits.cpu_milli.map(|milli| number(milli) / 1000.0);
        [
            Family::gauge(
                "rpm_cgroup_cpu_limit_cores",
                "CPUs the cgroup grants; absent if unlimited.",
            )
            .only(cores),
            Family::gauge(
                "rpm_cgroup_memory_limit_bytes",
                "Memory the cgroup grants; absent if unlimited.",
            )
            .only(limits.memory.map(number)),
            Family::gauge(
                "rpm_cgroup_pids_limit",
                "Processes and threads the cgroup grants; absent if unlimited.",
            )
            .only(limits.pids.map(number)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sys::cgroup::testing::Tree;

    fn series(counters: &CgroupCounters) -> Vec<String> {
        shown(counters.families())
    }

    fn shown(families: impl IntoIterator<Item = Family>) -> Vec<String> {
        let finished = families
            .into_iter()
            .filter_map(Family::finish)
            .collect::<Vec<_>>();
        let mut all = Vec::new();
        for family in &finished {
            for sample in &family.samples {
                let labels: Vec<_> = sample.labels.iter().map(|(_, value)| value).collect();
                let (name, labels) = (family.text_name(), labels.join(" "));
                all.push(format!("{name} {labels} {}", sample.value));
            }
        }
        all
    }

    fn fixture(case: &str) -> Places {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cgroup");
        Places::find(&root.join(case))
    }

    #[test]
    fn what_waited_is_told_in_seconds() {
        assert_eq!(
            series(&CgroupCounters::find(&fixture("v2"))),
            [
                "rpm_oom_kills_total  0",
                "rpm_cgroup_memory_bytes  123456789",
                "rpm_cgroup_cpu_throttled_seconds_total  4.5",
                "rpm_cgroup_pressure_waiting_seconds_total cpu 12.345678",
                "rpm_cgroup_pressure_waiting_seconds_total io 0.5",
                "rpm_cgroup_pressure_waiting_seconds_total memory 0.000007",
                "rpm_cgroup_pressure_stalled_seconds_total cpu 2",
                "rpm_cgroup_pressure_stalled_seconds_total io 0.25",
                "rpm_cgroup_pressure_stalled_seconds_total memory 0",
            ]
        );
    }

    #[test]
    fn what_is_not_counted_is_absent() {
        assert_eq!(
            series(&CgroupCounters::find(&fixture("v1"))),
            [
                "rpm_oom_kills_total  0",
                "rpm_cgroup_memory_bytes  33554432",
                "rpm_cgroup_cpu_throttled_seconds_total  2.5",
            ]
        );
        assert_eq!(series(&CgroupCounters::find(&fixture("garbage"))), [""; 0]);
    }

    #[test]
    fn limits_are_those_of_the_moment_and_absent_if_there_are_none() {
        assert_eq!(
            shown(CgroupCounters::find(&fixture("v2")).limits()),
            [
                "rpm_cgroup_cpu_limit_cores  1.5",
                "rpm_cgroup_memory_limit_bytes  536870912",
                "rpm_cgroup_pids_limit  200",
            ]
        );
        assert_eq!(
            shown(CgroupCounters::find(&fixture("v1_unlimited")).limits()),
            [""; 0]
        );
        let tree = Tree::namespaced("metrics-limits");
        let counters = CgroupCounters::find(&tree.places());
        for (text, expected) in [("200000 100000", 2), ("50000 10000", 5)] {
            tree.write("cpu.max", text);
            let expected = format!("rpm_cgroup_cpu_limit_cores  {expected}");
            assert_eq!(shown(counters.limits()), [expected]);
        }
    }

    #[test]
    fn kills_count_from_the_start_and_whoever_reaps() {
        let tree = Tree::namespaced("metrics-oom");
        let say = |kills: u64| tree.write("memory.events", &format!("oom_kill {kills}\n"));
        say(7);
        let counters = CgroupCounters::find(&tree.places());
        assert_eq!(series(&counters), ["rpm_oom_kills_total  0"]);
        say(9);
        assert_eq!(series(&counters), ["rpm_oom_kills_total  2"]);
        drop(tree);
        assert_eq!(series(&counters), [""; 0]);
    }
}
