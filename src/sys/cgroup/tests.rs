//! Fixture trees take the place of the root directory of a host or a container.

use proptest::prelude::*;

use super::*;

fn fixture(case: &str) -> CgroupLimits {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cgroup");
    Places::find(&Path::new(root).join(case)).limits()
}

fn limits(
    cpu_milli: Option<u64>,
    cpuset: Option<u32>,
    memory: Option<u64>,
    pids: Option<u64>,
) -> CgroupLimits {
    CgroupLimits {
        cpu_milli,
        cpuset,
        memory,
        pids,
    }
}

const MI: u64 = 1024 * 1024;

#[test]
fn version_2_own_cgroup() {
    assert_eq!(
        fixture("v2"),
        limits(Some(1500), Some(5), Some(512 * MI), Some(200))
    );
}

#[test]
fn the_tightest_of_own_and_parents_holds() {
    assert_eq!(
        fixture("v2_tighter_parent"),
        limits(Some(500), None, Some(256 * MI), Some(64))
    );
}

#[test]
fn a_container_with_its_own_namespace_sees_its_cgroup_as_the_root() {
    assert_eq!(
        fixture("v2_namespaced"),
        limits(Some(2500), Some(1), None, Some(4096)),
        "a foreign view of the host's tree does not count"
    );
}

#[test]
fn a_path_outside_the_namespace_leaves_the_mount_point() {
    assert_eq!(
        fixture("v2_outside_namespace"),
        limits(Some(3000), None, None, None)
    );
}

#[test]
fn a_container_without_a_namespace_sees_the_whole_path() {
    assert_eq!(
        fixture("v2_without_namespace"),
        limits(Some(2000), None, None, None)
    );
    assert_eq!(
        fixture("v1_container"),
        limits(Some(3000), None, Some(64 * MI), None)
    );
}

#[test]
fn odd_characters_in_paths() {
    assert_eq!(
        fixture("v2_escaped"),
        limits(Some(4000), None, None, Some(7))
    );
}

#[test]
fn version_1_controllers_in_their_own_trees() {
    assert_eq!(
        fixture("v1"),
        limits(Some(500), Some(3), Some(128 * MI), None)
    );
    assert_eq!(fixture("v1_unlimited"), CgroupLimits::default());
}

#[test]
fn both_versions_mixed() {
    assert_eq!(
        fixture("hybrid"),
        limits(Some(1200), None, Some(MI), Some(33))
    );
}

#[test]
fn what_is_missing_or_odd_is_no_limit() {
    for case in ["garbage", "no_files", "there is no such directory"] {
        assert_eq!(fixture(case), CgroupLimits::default(), "{case}");
    }
}

#[test]
fn this_process_may_run_somewhere() {
    assert!(affinity().is_some_and(|cpus| cpus > 0));
}

proptest! {
    #[test]
    fn no_line_upsets_the_reader(line in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = (places::read_line(&line), parse::cpus(&String::from_utf8_lossy(&line)));
    }
}
