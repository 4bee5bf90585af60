//! RPM_INSTANCES_FOLLOW: looks at the limits of the container.

use super::Fired;
use crate::policy::CpuBudget;
use crate::policy::follow::{Follow, FollowRule, LOOK_EVERY, Seen};
use crate::sys::cgroup::{self, LimitFiles, Places};

/// Reads what is granted to this process now.
#[derive(Debug)]
pub struct Granted {
    files: LimitFiles,
    /// The place of our cgroup is not known.
    hidden: bool,
    affinity: fn() -> Option<u32>,
}

impl Granted {
    /// Reads only what `rule` follows.
    pub fn find(places: &Places, rule: FollowRule) -> Self {
        Self {
            files: LimitFiles::find(places, rule.counts(), rule.weighs()),
            hidden: places.is_hidden(),
            affinity: if rule.counts() {
                cgroup::affinity
            } else {
                || None
            },
        }
    }

    fn look(&mut self, leaving: usize) -> Result<Seen, String> {
        let limits = self.files.read().map_err(|error| error.to_string())?;
        let cpus = CpuBudget {
            quota_milli: limits.cpu_milli,
            cpuset: limits.cpuset,
            affinity: (self.affinity)(),
            online: None,
            hidden: self.hidden,
        };
        let memory = limits.memory;
        Ok(Seen {
            cpus,
            memory,
            leaving,
        })
    }
}

/// Sends [`Fired::Limits`] for each step that follows from a change. `leaving` returns the number of workers that have left
/// their slots and live. Never ends.
pub async fn follow(
    rule: FollowRule,
    mut granted: Granted,
    leaving: impl Fn() -> usize,
    tell: impl Fn(Fired),
) {
    let mut follow = Follow::new(rule);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        for step in follow.look(granted.look(leaving())) {
            tell(Fired::Limits(step));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::num::NonZeroU16;

    use super::*;
    use crate::policy::follow::{FALL, PercentRule, Step};
    use crate::policy::{Bytes, Instances};
    use crate::sys::cgroup::testing::Tree;

    fn rule(percent: bool) -> FollowRule {
        FollowRule {
            instances: Instances::Max { less: 0 },
            workers: NonZeroU16::new(2).unwrap(),
            room: None,
            percent: percent.then_some(PercentRule {
                percent: 50,
                limit: 1 << 30,
                each: Bytes(256 << 20),
            }),
        }
    }

    /// As many looks as a fall takes.
    fn looks(follow: &mut Follow, granted: &mut Granted) -> Vec<Step> {
        let steps = [(); FALL as usize].map(|()| follow.look(granted.look(0)));
        steps.concat()
    }

    /// CPUs that do not depend on the machine.
    fn granted(places: &Places, rule: FollowRule) -> Granted {
        Granted {
            affinity: || Some(8),
            ..Granted::find(places, rule)
        }
    }

    #[test]
    fn workers_and_memory_follow_what_is_written_into_the_cgroup() {
        let tree = Tree::namespaced("follow-both");
        tree.write("cpu.max", "200000 100000\n");
        tree.write("memory.max", "1073741824\n");
        let places = tree.places();
        let mut granted = granted(&places, rule(true));
        let mut follow = Follow::new(rule(true));
        assert_eq!(looks(&mut follow, &mut granted), []);
        let mut workers = vec![];
        let mut memory = vec![];
        for (cpus, bytes) in [
            ("400000 100000\n", "2147483648\n"),
            ("50000 100000\n", "2147483648\n"),
            ("max 100000\n", "536870912\n"),
        ] {
            tree.write("cpu.max", cpus);
            tree.write("memory.max", bytes);
            for step in looks(&mut follow, &mut granted) {
                match step {
                    Step::Workers { to, .. } => workers.push(to.get()),
                    Step::Memory { to, .. } => memory.push(to.0 >> 20),
                    Step::Stays { why } => panic!("{why}"),
                }
            }
        }
        // A quarter of twice as much is as much as before. What rises does so before the other falls.
        assert_eq!((workers, memory), (vec![4, 1, 8], vec![1024, 128, 32]));
    }

    #[test]
    fn a_cgroup_that_vanishes_keeps_the_last_number_and_says_so_once() {
        let tree = Tree::namespaced("follow-vanished");
        tree.write("cpu.max", "200000 100000\n");
        let places = tree.places();
        let mut granted = granted(&places, rule(false));
        let mut follow = Follow::new(rule(false));
        fs::remove_dir_all(tree.root().join("sys")).unwrap();
        let gone = tree.path("cpu.max");
        let why = format!("{} cannot be read any more", gone.display());
        assert_eq!(looks(&mut follow, &mut granted), [Step::Stays { why }]);
        assert_eq!(looks(&mut follow, &mut granted), []);
    }
}
