//! The directory.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use super::super::Store;
use super::{Scratch, StoreLimits, Written, key, lines, older};

/// A file with one counter.
fn counter(value: f64) -> Vec<u8> {
    Written::of(&[(&key("c", "_total"), value)])
}

#[test]
fn it_is_emptied_of_what_processes_left_and_of_nothing_else() {
    let scratch = Scratch::new("open");
    let outside = Scratch::new("outside");
    fs::write(outside.path("counter_1.db"), counter(1.0)).unwrap();
    symlink(outside.path("counter_1.db"), scratch.path("counter_1.db")).unwrap();
    symlink(&outside.0, scratch.path("gauge_all_1.db")).unwrap();
    fs::create_dir(scratch.path("summary_1.db")).unwrap();
    fs::write(scratch.path("summary_1.db/summary_1.db"), "").unwrap();
    let others = [
        "counter_1",
        "counter_1.db.bak",
        "counter_web.db",
        "gauge_1.db",
        "data.db",
        ".db",
    ];
    let own = [
        "counter_2.db",
        "gauge_livemostrecent_2.db",
        "histogram_2.db",
        "summary_2.db",
        "gauge_all_3.db",
    ];
    for name in others.into_iter().chain(own) {
        fs::write(scratch.path(name), "").unwrap();
    }
    let mut left: Vec<&str> = others.to_vec();
    left.extend(["counter_1.db", "gauge_all_1.db", "summary_1.db"]);
    left.sort_unstable();

    let store = Store::open(&scratch.0).unwrap();
    assert_eq!(scratch.names(), left);
    assert_eq!(outside.names(), ["counter_1.db"]);
    assert!(scratch.path("summary_1.db/summary_1.db").exists());

    // None of these is read either: two links, a directory, and two files with similar names.
    let reading = store.read().unwrap();
    assert!(reading.processes.is_empty(), "{reading:?}");
    assert_eq!(reading.unreadable, 5);
    assert_eq!(store.last(1), None);
    assert_eq!(store.remove(1).unwrap(), 0);
    assert_eq!(scratch.names(), left);

    assert!(Store::open(&scratch.path("absent")).is_err());
    assert!(Store::open(&scratch.path("data.db")).is_err());
}

#[test]
fn each_process_has_a_page_until_its_files_are_removed() {
    let scratch = Scratch::new("read");
    let store = Store::open(&scratch.0).unwrap();
    for (pid, value) in [(1, 1.0), (12, 2.0), (21, 3.0)] {
        fs::write(scratch.path(&format!("counter_{pid}.db")), counter(value)).unwrap();
        let gauge = Written::of(&[(&key("g", ""), value)]);
        fs::write(scratch.path(&format!("gauge_sum_{pid}.db")), gauge).unwrap();
    }
    // Files just after their creation.
    File::create(scratch.path("histogram_7.db")).unwrap();
    fs::write(scratch.path("counter_8.db"), vec![0; 65536]).unwrap();
    let pages = || -> Vec<(u32, Vec<String>)> {
        let reading = store.read().unwrap();
        assert_eq!(reading.unreadable, 0);
        let pages = reading.processes.into_iter();
        pages
            .map(|(pid, parsed)| (pid, lines(&parsed.page.families)))
            .collect()
    };
    let page = |pid, value| {
        (
            pid,
            vec![format!("c_total{{}} {value}"), format!("g{{}} {value}")],
        )
    };
    assert_eq!(
        pages(),
        [
            page(1, 1),
            (7, vec![]),
            (8, vec![]),
            page(12, 2),
            page(21, 3)
        ]
    );
    let last = store.last(12).unwrap();
    assert_eq!((12, lines(&last.page.families)), page(12, 2));
    assert_eq!(store.last(2), None);

    assert_eq!(store.remove(12).unwrap(), 2);
    assert_eq!(store.remove(12).unwrap(), 0);
    assert_eq!(store.remove(7).unwrap(), 1);
    assert_eq!(pages(), [page(1, 1), (8, vec![]), page(21, 3)]);
    assert_eq!(store.last(12), None);
}

#[test]
fn what_is_no_such_file_is_counted_and_costs_nothing_else() {
    let scratch = Scratch::new("garbage");
    let store = Store::open(&scratch.0).unwrap();
    fs::write(scratch.path("counter_1.db"), counter(1.0)).unwrap();
    fs::write(scratch.path("counter_2.db"), "<html><body>").unwrap();
    fs::write(scratch.path("counter_3.db"), [0xff; 4096]).unwrap();
    let mut cut = counter(4.0);
    cut.truncate(30);
    fs::write(scratch.path("counter_4.db"), cut).unwrap();
    // A sparse file that claims the largest possible size.
    let hole = File::create(scratch.path("counter_5.db")).unwrap();
    hole.set_len(1 << 40).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&hole, &i32::MAX.to_ne_bytes(), 0).unwrap();

    let mut reading = store.read().unwrap();
    assert_eq!(reading.unreadable, 1, "{reading:?}");
    let first = reading.processes.remove(&1).unwrap();
    assert_eq!(lines(&first.page.families), ["c_total{} 1"]);
    let rest = reading.processes.into_iter();
    let rest: Vec<_> = rest
        .map(|(pid, parsed)| {
            let empty = parsed.page.families.is_empty();
            (pid, empty, parsed.dropped.invalid, parsed.dropped.limit)
        })
        .collect();
    // The text in the second file is read as a length of a gigabyte.
    assert_eq!(rest, [(2, true, 1, 0), (4, true, 1, 0), (5, true, 0, 1)]);
}

#[test]
fn the_bounds_hold_for_the_directory_too() {
    let scratch = Scratch::new("bounds");
    let mut store = Store::open(&scratch.0).unwrap();
    let bytes = counter(1.0);
    for pid in 1..=9 {
        fs::write(scratch.path(&format!("counter_{pid}.db")), &bytes).unwrap();
    }
    store.limits = StoreLimits {
        files: 4,
        bytes: 3 * bytes.len() + 8,
        ..StoreLimits::default()
    };
    let reading = store.read().unwrap();
    assert_eq!((reading.processes.len(), reading.unreadable), (4, 1));
    let parsed: Vec<_> = reading.processes.values().collect();
    let lens = [0, 1, 2, 3].map(|at: usize| parsed[at].page.families.len());
    assert_eq!(lens, [1, 1, 1, 0]);
    assert_eq!(parsed[3].dropped.limit, 1);
    // A single process gets all the room.
    assert_eq!(store.last(9).unwrap().page.families.len(), 1);
}

#[test]
fn files_of_older_versions_are_read() {
    for (version, has_help) in [("0.9.0", false), ("0.17.1", true)] {
        let from = older(version);
        let scratch = Scratch::new(version);
        let store = Store::open(&scratch.0).unwrap();
        for name in ["counter", "gauge_livesum", "histogram", "summary"] {
            let name = format!("{name}_7.db");
            fs::copy(from.join(&name), scratch.path(&name)).unwrap();
        }
        let reading = store.read().unwrap();
        let parsed = &reading.processes[&7];
        let want = [
            "busy{} -2.25",
            "jobs_total{queue=\"high \\\"é\\\"\"} 0.5",
            "jobs_total{queue=\"low\"} 3",
            "size_bytes_sum{} 117",
            "size_bytes_count{} 2",
            "wait_seconds_bucket{le=\"0.5\",queue=\"low\"} 1",
            "wait_seconds_bucket{le=\"1.0\",queue=\"low\"} 3",
            "wait_seconds_bucket{le=\"+Inf\",queue=\"low\"} 4",
            "wait_seconds_sum{queue=\"low\"} 10.5",
            "wait_seconds_count{queue=\"low\"} 4",
        ];
        assert_eq!(lines(&parsed.page.families), want, "{version}");
        assert_eq!((parsed.dropped.invalid, parsed.dropped.limit), (0, 0));
        assert_eq!(parsed.page.families[0].help.is_some(), has_help);
        assert_eq!(reading.modes.len(), 1);
    }
}
