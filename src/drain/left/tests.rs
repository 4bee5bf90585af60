use std::cell::RefCell;

use super::*;

const RUNTIME: i32 = 1;
const WORKER: i32 = 10;
const SIBLING: i32 = 11;

fn process(pid: i32, parent: i32, group: i32) -> Process {
    Process::asleep(pid, parent, group)
}

fn all(rows: &[(i32, i32, i32)]) -> Processes {
    let mut all = vec![
        process(RUNTIME, 0, RUNTIME),
        process(SIBLING, RUNTIME, SIBLING),
    ];
    all.extend(
        rows.iter()
            .map(|(pid, parent, group)| process(*pid, *parent, *group)),
    );
    Processes::new(all)
}

fn pids(of: &[Process]) -> Vec<i32> {
    of.iter().map(|one| one.pid).collect()
}

#[test]
fn children_of_the_runtime_that_belong_to_no_other_worker_may_be_what_it_left() {
    let ended = Ended {
        pid: Pid::new(WORKER).unwrap(),
        inodes: vec![],
        outsiders: vec![],
    };
    let search = Search {
        own: RUNTIME,
        ended: &ended,
        other: &|process| process.pid == SIBLING || process.group == SIBLING,
    };
    let rows = [
        (WORKER, RUNTIME, WORKER),
        (20, RUNTIME, 20),
        (21, 20, 20),
        (22, RUNTIME, WORKER),
        (23, SIBLING, 23),
    ];
    assert_eq!(pids(&search.strangers(&all(&rows))), [20, 22]);
}

/// Searches in these readings of /proc, one after the other. Returns with it how many were read.
fn find(
    readings: Vec<Processes>,
    outsiders: Vec<Process>,
    holds: impl Fn(i32) -> Holds,
) -> (Found, usize) {
    let ended = Ended {
        pid: Pid::new(WORKER).unwrap(),
        inodes: vec![7],
        outsiders,
    };
    let search = Search {
        own: RUNTIME,
        ended: &ended,
        other: &|process| process.pid == SIBLING || process.group == SIBLING,
    };
    let count = readings.len();
    let mut readings = readings.into_iter();
    let mut first = readings.next().unwrap();
    let rest = RefCell::new(readings);
    let found = search.find(
        &mut first,
        |process| holds(process.pid),
        || rest.borrow_mut().next().unwrap_or_default(),
    );
    let left = rest.borrow().len();
    (found, count - left)
}

fn only(holder: i32) -> impl Fn(i32) -> Holds {
    move |pid| if pid == holder { Holds::Yes } else { Holds::No }
}

#[test]
fn what_holds_the_listener_is_found_with_its_parents_and_what_descends_from_them() {
    let rows = [
        (20, RUNTIME, 20),
        (21, 20, 20),
        (22, 20, 20),
        (30, RUNTIME, 30),
    ];
    let (found, reads) = find(vec![all(&rows)], vec![], only(21));
    assert_eq!(pids(&found.outside), [20, 21, 22]);
    assert_eq!(found.in_group, []);
    assert_eq!(reads, 1);
}

#[test]
fn what_is_still_in_the_group_of_the_worker_is_found_apart() {
    let (found, _) = find(vec![all(&[(20, RUNTIME, WORKER)])], vec![], only(20));
    assert_eq!(found.outside, []);
    assert_eq!(pids(&found.in_group), [20]);
}

#[test]
fn the_processes_of_other_workers_are_left_alone() {
    let rows = [
        (20, SIBLING, SIBLING),
        (21, RUNTIME, SIBLING),
        (22, SIBLING, 22),
    ];
    let (found, _) = find(vec![all(&rows)], vec![], |_| Holds::Yes);
    assert_eq!(found, Found::default());
}

/// 20 forks 21 and ends while /proc is read: 20 was seen, 21 was not.
#[test]
fn a_child_that_was_forked_while_the_processes_were_read_is_found() {
    let holds = |pid| match pid {
        20 => Holds::Over,
        21 => Holds::Yes,
        _ => Holds::No,
    };
    let readings = vec![all(&[(20, RUNTIME, 20)]), all(&[(21, RUNTIME, 20)])];
    let (found, reads) = find(readings, vec![], holds);
    assert_eq!(pids(&found.outside), [21]);
    assert_eq!(reads, 2);
    // The same in the group.
    let readings = vec![all(&[(20, RUNTIME, WORKER)]), all(&[(21, RUNTIME, WORKER)])];
    let (found, _) = find(readings, vec![], holds);
    assert_eq!(pids(&found.in_group), [21]);
}

/// 20 ended before its row was read, so the row of its child names a parent that is not there.
#[test]
fn a_child_whose_parent_ended_while_the_processes_were_read_is_found() {
    let readings = vec![all(&[(21, 20, 20)]), all(&[(21, RUNTIME, 20)])];
    let (found, _) = find(readings, vec![], only(21));
    assert_eq!(pids(&found.outside), [21]);
}

#[test]
fn a_zombie_that_nobody_reaps_costs_one_more_read() {
    let reading = || all(&[(20, RUNTIME, 20), (21, 20, 20)]);
    let holds = |pid| if pid == 21 { Holds::Over } else { Holds::No };
    let (found, reads) = find(vec![reading(), reading(), reading()], vec![], holds);
    assert_eq!(found, Found::default());
    assert_eq!(reads, 2);
}

#[test]
fn processes_that_fork_and_end_for_ever_do_not_keep_the_search() {
    let readings = (20..60).map(|pid| all(&[(pid, RUNTIME, pid)])).collect();
    let (found, reads) = find(readings, vec![], |_| Holds::Over);
    assert_eq!(found, Found::default());
    assert_eq!(reads, 6);
}

#[test]
fn what_cannot_be_inspected_is_left_only_if_it_was_of_the_worker() {
    let rows = [(20, RUNTIME, 20), (30, RUNTIME, 30)];
    let known = vec![process(20, WORKER, 20)];
    let (found, _) = find(vec![all(&rows)], known, |_| Holds::Unknown);
    assert_eq!(pids(&found.outside), [20]);
    assert_eq!(pids(&found.hidden), [30]);
}

#[test]
fn another_process_with_the_pid_of_one_that_was_of_the_worker_is_a_stranger() {
    let known = Process {
        started: 1,
        ..process(20, WORKER, 20)
    };
    let (found, _) = find(vec![all(&[(20, RUNTIME, 20)])], vec![known], |_| {
        Holds::Unknown
    });
    assert_eq!(found.outside, []);
    assert_eq!(pids(&found.hidden), [20]);
}
