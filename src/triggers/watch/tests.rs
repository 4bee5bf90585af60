//! Cases that a test cannot produce with real changes.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

type Told = Rc<RefCell<Vec<Fired>>>;

/// A watcher whose turns the test takes itself.
fn watcher(name: &str) -> (PathBuf, Watcher<impl Fn(Fired)>, Told) {
    let dir = std::env::temp_dir().join(format!("rpm-watch-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir); // left by an earlier process with our PID
    fs::create_dir_all(dir.join("sub")).unwrap();
    let dir = dir.canonicalize().unwrap();
    let told = Told::default();
    let told_too = Rc::clone(&told);
    let what = WatchedPaths {
        paths: vec![dir.clone()],
        ignore: Box::new(|_| false),
        delay: Duration::ZERO,
    };
    let watcher = Watcher::new(what, move |fired| told_too.borrow_mut().push(fired)).unwrap();
    (dir, watcher, told)
}

/// Processes all reports. Returns the paths that must be resolved again.
fn settle(watcher: &mut Watcher<impl Fn(Fired)>) -> BTreeSet<Root> {
    let mut stale = BTreeSet::new();
    loop {
        let events = watcher.inotify.read().unwrap();
        if events.is_empty() {
            return stale;
        }
        for event in events {
            watcher.take(event, &mut stale);
        }
    }
}

#[test]
fn lost_reports_are_a_change_and_are_told_once() {
    let (dir, mut watcher, told) = watcher("overflow");
    watcher.start();
    let mut stale = BTreeSet::new();
    watcher.take(Event::Overflow, &mut stale);
    watcher.take(Event::Overflow, &mut stale);
    assert_eq!(stale, BTreeSet::from([0]));
    watcher.turn().unwrap();
    let told = told.take();
    assert!(
        matches!(
            told.as_slice(),
            [Fired::Watching { .. }, Fired::Unwatched { text }, Fired::Files { path }]
                if text.contains("max_queued_events") && *path == dir
        ),
        "{told:?}"
    );
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_appeared_while_reports_were_lost_is_watched_afterwards() {
    let (dir, mut watcher, _told) = watcher("unseen");
    watcher.start();
    let before = watcher.points.len();
    fs::create_dir_all(dir.join("sub/deep")).unwrap();
    // As if its report were among the lost ones.
    watcher.inotify.read().unwrap();
    watcher.take(Event::Overflow, &mut BTreeSet::new());
    watcher.arm(0);
    assert_eq!(watcher.points.len(), before + 1);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn watches_end_with_their_reasons() {
    let (dir, mut watcher, _told) = watcher("reasons");
    watcher.start();
    let before = watcher.points.len();
    for round in 0..3 {
        fs::create_dir_all(dir.join("a/b/c")).unwrap();
        assert!(settle(&mut watcher).is_empty());
        assert_eq!(watcher.points.len(), before + 3, "{round}");
        fs::rename(dir.join("a"), dir.join("sub/a")).unwrap();
        assert!(settle(&mut watcher).is_empty());
        assert_eq!(watcher.points.len(), before + 3, "{round}");
        fs::remove_dir_all(dir.join("sub/a")).unwrap();
        assert!(settle(&mut watcher).is_empty());
        assert_eq!(watcher.points.len(), before, "{round}");
    }
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(settle(&mut watcher), BTreeSet::from([0]));
}
