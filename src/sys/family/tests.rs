//! Made-up rows, a tree of files, and real processes.

use super::*;
use crate::sys::testing::Puppet;

fn process(pid: i32, parent: i32, group: i32) -> Process {
    Process::asleep(pid, parent, group)
}

fn pids(mut found: Vec<Process>) -> Vec<i32> {
    found.sort_by_key(|process| process.pid);
    found.into_iter().map(|process| process.pid).collect()
}

fn leader(pid: i32) -> Pid {
    Pid::new(pid).unwrap()
}

#[test]
fn a_family_is_the_group_and_all_its_descendants() {
    let all = Processes::new(vec![
        process(1, 0, 1),
        // The leader's grandchild has a session of its own, and so has the grandchild's child.
        process(10, 1, 10),
        process(11, 10, 10),
        process(12, 11, 12),
        process(13, 12, 12),
        // Its parent left it, but it is still in the group, and so is the process that it forked and moved away.
        process(14, 1, 10),
        process(15, 14, 15),
        // Another worker and its child.
        process(20, 1, 20),
        process(21, 20, 20),
    ]);
    assert_eq!(pids(all.family(leader(10))), [10, 11, 12, 13, 14, 15]);
    assert_eq!(pids(all.group(leader(10))), [10, 11, 14]);
    assert_eq!(pids(all.family(leader(20))), [20, 21]);
    assert_eq!(pids(all.family(leader(12))), [12, 13]);
    assert_eq!(pids(all.family(leader(99))), [0; 0]);
}

#[test]
fn a_leader_that_is_not_yet_in_its_own_group_is_its_own_family() {
    let all = Processes::new(vec![process(10, 1, 1), process(1, 0, 1)]);
    assert_eq!(pids(all.family(leader(10))), [10]);
    assert_eq!(pids(all.group(leader(10))), [10]);
}

#[test]
fn a_dead_leaders_group_is_a_family_still() {
    let all = Processes::new(vec![process(11, 1, 10), process(12, 11, 12)]);
    assert_eq!(pids(all.family(leader(10))), [11, 12]);
}

#[test]
fn rows_of_different_moments_may_close_a_circle_and_name_nobody_twice() {
    let all = Processes::new(vec![
        process(10, 12, 10),
        process(11, 10, 11),
        process(12, 11, 12),
        process(13, 13, 10),
        process(1, 12, 1),
    ]);
    assert_eq!(pids(all.family(leader(10))), [10, 11, 12, 13]);
}

#[test]
fn ended_is_who_has_no_thread_left() {
    let ended = Process {
        state: b'Z',
        ..process(10, 1, 10)
    };
    assert!(ended.is_over() && ended.is_headless());
    let headless = Process {
        threads: 3,
        ..ended
    };
    assert!(!headless.is_over() && headless.is_headless());
    assert!(!process(10, 1, 10).is_headless());
}

#[test]
fn a_tree_of_files_is_read_and_what_is_broken_in_it_left_out() {
    let proc = Proc::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/proc"));
    let all = proc.processes().unwrap();
    assert_eq!(
        pids(all.rows.clone()),
        [1, 100, 101, 102, 103, 104, 105, 200]
    );
    assert_eq!(
        pids(all.family(leader(100))),
        [100, 101, 102, 103, 104, 105]
    );
    let odd = all.rows.iter().find(|row| row.pid == 101);
    assert_eq!(
        odd,
        Some(&Process {
            threads: 12,
            started: 12345,
            ..process(101, 100, 100)
        })
    );
    assert!(Proc::new("/nonexistent").processes().is_err());
}

#[test]
fn a_cut_or_foreign_stat_is_no_process() {
    let line = b"77 (a) b) S 1 77 77 0 -1 4194560 1 2 3 4 150 25 9 9 20 0 7 0 5 6789";
    let whole = line.len() - b" 6789".len();
    assert_eq!(
        parse(&line[..whole]),
        Some(Process {
            threads: 7,
            started: 5,
            ..process(77, 1, 77)
        })
    );
    for end in 0..whole {
        assert_eq!(parse(&line[..end]), None, "{end}");
    }
    assert_eq!(parse(b"77 (\xff) \xff"), None);
}

#[test]
fn real_children_are_found_behind_shells_and_beyond_the_group() {
    // The inner shell has a session of its own.
    let mut shell = Puppet::start("sh", &["-c", "setsid sh -c 'echo $$; read line; :'; :"]);
    let inner: i32 = shell.answer().parse().unwrap();
    let all = Proc::new("/proc").processes().unwrap();
    let family = pids(all.family(shell.pid()));
    assert!(family.contains(&shell.pid().get()) && family.contains(&inner));
    assert!(!pids(all.group(shell.pid())).contains(&inner));
    let own = i32::try_from(std::process::id()).unwrap();
    assert!(!family.contains(&own));
    assert!(pids(all.family(leader(own))).contains(&inner));
}

/// A fake /proc of these processes.
fn tree(name: &str, rows: &[Process]) -> Proc {
    let root = std::env::temp_dir().join(format!("rpm-kin-{name}-{}", std::process::id()));
    // Left by an earlier process with our PID.
    let _ = fs::remove_dir_all(&root);
    for row in rows {
        let dir = root.join(row.pid.to_string());
        fs::create_dir_all(&dir).unwrap();
        let (pid, parent, group) = (row.pid, row.parent, row.group);
        let stat = format!(
            "{pid} (a b) S {parent} {group} 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 1000 1 0 0"
        );
        fs::write(dir.join("stat"), stat).unwrap();
    }
    Proc::new(root)
}

#[test]
fn the_kinship_of_a_process_is_found_by_its_ancestors() {
    let proc = tree(
        "of",
        &[
            process(10, 1, 10),
            process(11, 10, 10),
            // A session of its own, and a child there.
            process(12, 11, 12),
            process(13, 12, 12),
            // It has lost its parent and is in the group still.
            process(14, 1, 10),
            process(15, 14, 15),
            // Another worker, and its child.
            process(20, 1, 20),
            process(21, 20, 20),
            // A process that somebody started in the container from outside.
            process(30, 0, 30),
            // Its parent ends while it is looked up, and there is nobody who takes it.
            process(40, 41, 40),
        ],
    );
    let kin = |pid: i32| proc.kinship(pid, leader(10), |pid| pid.get() == 21);
    for own in 10..=15 {
        assert_eq!(kin(own), Kinship::Own, "{own}");
    }
    assert_eq!(kin(20), Kinship::Foreign);
    assert_eq!(kin(21), Kinship::Adopted);
    assert_eq!(kin(30), Kinship::Foreign);
    assert_eq!(kin(40), Kinship::Foreign);
    assert_eq!(kin(99), Kinship::Gone);
    for nobody in [0, 1, -1] {
        assert_eq!(kin(nobody), Kinship::Foreign);
    }
    fs::remove_dir_all(proc.root()).unwrap();
}

#[test]
fn a_variable_is_found_whole() {
    let proc = tree("variable", &[process(10, 1, 10)]);
    fs::write(
        proc.root().join("10/environ"),
        b"A=1\0NOTIFY_SOCKET=@a\0B=2\0",
    )
    .unwrap();
    let has = |text: &str| proc.has_variable(leader(10), text.as_bytes());
    assert!(has("NOTIFY_SOCKET=@a") && has("B=2"));
    assert!(!has("NOTIFY_SOCKET=@") && !has("SOCKET=@a"));
    assert!(!proc.has_variable(leader(11), b"A=1"));
    fs::remove_dir_all(proc.root()).unwrap();
}
