//! Real files and real inotify: what counts as a change, and how often it is reported.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use crate::harness::{patience, scratch};
use rpm_runtime::triggers::{Fired, WatchedPaths, watch};

/// Longer than any sequence of system calls on a busy machine.
const DELAY: Duration = Duration::from_millis(400);

struct Watched {
    fired: Receiver<Fired>,
    /// Reports from before the watch was active.
    before: Vec<String>,
    watches: usize,
}

impl Watched {
    fn new(paths: &[&Path], ignored: &'static str, delay: Duration) -> Self {
        let (sender, fired) = channel();
        let what = WatchedPaths {
            paths: paths.iter().map(|path| path.to_path_buf()).collect(),
            ignore: Box::new(move |path| path.components().any(|name| name.as_os_str() == ignored)),
            delay,
        };
        // The receiver may be gone at the end of a test.
        watch(what, move |what| drop(sender.send(what))).unwrap();
        let mut before = Vec::new();
        loop {
            match fired.recv_timeout(patience()).unwrap() {
                Fired::Unwatched { text } => before.push(text),
                Fired::Watching { watches } => {
                    return Self {
                        fired,
                        before,
                        watches,
                    };
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The path of the next change.
    #[track_caller]
    fn next(&self) -> PathBuf {
        match self.fired.recv_timeout(patience()) {
            Ok(Fired::Files { path }) => path,
            other => panic!("{other:?}"),
        }
    }

    /// Makes a change and checks that only this change is reported: another change would be reported first, or its path
    /// would be the reported one.
    #[track_caller]
    fn only(&self, marker: &Path) {
        fs::write(marker, "x").unwrap();
        assert_eq!(self.next(), marker);
        assert!(self.fired.try_recv().is_err());
    }
}

fn watched(path: &Path) -> Watched {
    let watched = Watched::new(&[path], "ignored", DELAY);
    assert_eq!(watched.before, [""; 0]);
    watched
}

/// A path that does not contain symbolic links.
fn directory(name: &str) -> PathBuf {
    scratch(name).canonicalize().unwrap()
}

#[test]
fn content_names_and_times_are_changes_and_reading_is_none() {
    let dir = directory("watch-kinds");
    let file = dir.join("file");
    fs::write(&file, "1").unwrap();
    let watched = watched(&dir);
    // Read first: if reading counted, it would be the first change.
    assert_eq!(fs::read(&file).unwrap(), b"1");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    watched.only(&dir.join("other"));
    File::options()
        .append(true)
        .open(&file)
        .unwrap()
        .write_all(b"2")
        .unwrap();
    assert_eq!(watched.next(), file);
    File::open(&file)
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(watched.next(), file);
    fs::rename(&file, dir.join("moved")).unwrap();
    assert_eq!(watched.next(), file);
    fs::remove_file(dir.join("moved")).unwrap();
    assert_eq!(watched.next(), dir.join("moved"));
    symlink("nowhere", &file).unwrap();
    assert_eq!(watched.next(), file);
    watched.only(&dir.join("other"));
}

#[test]
fn directories_that_come_later_are_watched_too() {
    let dir = directory("watch-deep");
    let watched = watched(&dir);
    fs::create_dir_all(dir.join("a/b")).unwrap();
    assert_eq!(watched.next(), dir.join("a"));
    watched.only(&dir.join("a/b/file"));
    // Moved in from outside, with its content.
    let outside = directory("watch-deep-outside");
    fs::create_dir_all(outside.join("c/d")).unwrap();
    fs::rename(outside.join("c"), dir.join("a/c")).unwrap();
    assert_eq!(watched.next(), dir.join("a/c"));
    watched.only(&dir.join("a/c/d/file"));
    // Moved within the directory, and watched under its new name.
    fs::rename(dir.join("a"), dir.join("z")).unwrap();
    assert_eq!(watched.next(), dir.join("a"));
    watched.only(&dir.join("z/c/d/file"));
    // Moved out: no longer watched.
    fs::rename(dir.join("z/c"), outside.join("c")).unwrap();
    assert_eq!(watched.next(), dir.join("z/c"));
    fs::write(outside.join("c/d/file"), "x").unwrap();
    watched.only(&dir.join("z/b/file"));
}

#[test]
fn what_is_ignored_is_not_even_watched() {
    let dir = directory("watch-ignore");
    fs::create_dir_all(dir.join("ignored/a/b/c")).unwrap();
    fs::create_dir_all(dir.join("seen")).unwrap();
    let all = Watched::new(&[&dir], "", DELAY).watches;
    let watched = watched(&dir);
    assert_eq!(watched.watches, all - 4);
    fs::write(dir.join("ignored/a/file"), "x").unwrap();
    fs::create_dir_all(dir.join("seen/ignored/deep")).unwrap();
    watched.only(&dir.join("seen/file"));
    fs::write(dir.join("seen/ignored/deep/file"), "x").unwrap();
    watched.only(&dir.join("seen/file"));
}

#[test]
fn a_file_may_be_replaced_in_any_way() {
    let dir = directory("watch-file");
    let file = dir.join("app.yaml");
    fs::write(&file, "1").unwrap();
    let watched = watched(&file);
    for round in 0..2 {
        fs::write(&file, "2").unwrap();
        assert_eq!(watched.next(), file, "written, {round}");
        fs::write(dir.join("new"), "3").unwrap();
        fs::rename(dir.join("new"), &file).unwrap();
        assert_eq!(watched.next(), file, "renamed over, {round}");
        fs::remove_file(&file).unwrap();
        fs::write(&file, "4").unwrap();
        assert_eq!(watched.next(), file, "deleted and written, {round}");
        fs::remove_file(&file).unwrap();
        assert_eq!(watched.next(), file, "deleted, {round}");
        fs::write(&file, "5").unwrap();
        assert_eq!(watched.next(), file, "there again, {round}");
        fs::rename(&dir, dir.with_extension("away")).unwrap();
        assert_eq!(watched.next(), file, "its directory moved away, {round}");
        fs::create_dir(&dir).unwrap();
        fs::write(&file, "6").unwrap();
        assert_eq!(watched.next(), file, "another in its place, {round}");
        fs::remove_dir_all(dir.with_extension("away")).unwrap();
    }
}

#[test]
fn neighbours_of_a_file_are_none_of_its_business() {
    let dir = directory("watch-neighbours");
    let (file, marker) = (
        dir.join("app.yaml"),
        directory("watch-neighbours-m").join("m"),
    );
    fs::write(&file, "1").unwrap();
    let whole = watched(&dir);
    let alone = Watched::new(&[&file, marker.parent().unwrap()], "", DELAY);
    // As editors leave them.
    fs::write(dir.join(".app.yaml.swp"), "x").unwrap();
    fs::remove_file(dir.join(".app.yaml.swp")).unwrap();
    fs::write(dir.join("4913"), "x").unwrap();
    assert_eq!(whole.next(), dir.join(".app.yaml.swp"));
    alone.only(&marker);
}

#[test]
fn a_file_that_is_changed_under_another_name_is_seen() {
    // As if a single file is mounted: it is no child of the directory in which it appears.
    let dir = directory("watch-mounted");
    let outside = directory("watch-mounted-outside");
    fs::write(outside.join("source"), "1").unwrap();
    fs::hard_link(outside.join("source"), dir.join("app.yaml")).unwrap();
    let watched = watched(&dir.join("app.yaml"));
    fs::write(outside.join("source"), "2").unwrap();
    assert_eq!(watched.next(), dir.join("app.yaml"));
    watched.only(&dir.join("app.yaml"));
}

/// A volume as the kubelet mounts it: files are links into `..data`, which is a link to the directory of this version.
fn mount(dir: &Path, version: &str) {
    let data = dir.join(format!("..{version}"));
    fs::create_dir(&data).unwrap();
    fs::write(data.join("app.yaml"), version).unwrap();
    fs::write(data.join("log.yaml"), version).unwrap();
    symlink(format!("..{version}"), dir.join("..data")).unwrap();
    for name in ["app.yaml", "log.yaml"] {
        symlink(format!("..data/{name}"), dir.join(name)).unwrap();
    }
}

/// The steps of the kubelet from one version to the next.
fn update(dir: &Path, old: &str, new: &str) {
    let data = dir.join(format!("..{new}"));
    fs::create_dir(&data).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&data, mode).unwrap();
    for name in ["app.yaml", "log.yaml"] {
        fs::write(data.join(name), new).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(data.join(name), mode).unwrap();
    }
    symlink(format!("..{new}"), dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    fs::remove_dir_all(dir.join(format!("..{old}"))).unwrap();
}

#[test]
fn an_update_of_a_config_map_is_one_change() {
    let dir = directory("watch-map");
    let marker = directory("watch-map-marker").join("marker");
    let beside = marker.parent().unwrap();
    mount(&dir, "v1");
    let (app, log) = (dir.join("app.yaml"), dir.join("log.yaml"));
    let file = Watched::new(&[&app, beside], "", DELAY);
    let files = Watched::new(&[&app, &log, beside], "", DELAY);
    let whole = Watched::new(&[&dir, beside], "", DELAY);
    let all = [&file, &files, &whole];
    for (old, new) in [("v1", "v2"), ("v2", "v3"), ("v3", "v4")] {
        update(&dir, old, new);
        assert_eq!(file.next(), app, "{new}");
        let path = files.next();
        assert!([&app, &log].contains(&&path), "{new}: {}", path.display());
        assert_eq!(whole.next(), dir.join(format!("..{new}")), "{new}");
        assert_eq!(fs::read_to_string(&app).unwrap(), new);
        fs::write(&marker, new).unwrap();
        for one in all {
            assert_eq!(one.next(), marker, "one change only, {new}");
        }
    }
    // Written through the links, and reported under its watched name.
    fs::write(&app, "by hand").unwrap();
    assert_eq!(file.next(), app);
    assert_eq!(files.next(), app);
    assert_eq!(whole.next(), dir.join("..v4/app.yaml"));
}

#[test]
fn a_link_that_is_turned_is_a_change_and_is_followed() {
    let dir = directory("watch-releases");
    for release in ["1", "2"] {
        fs::create_dir_all(dir.join(release).join("sub")).unwrap();
    }
    symlink("1", dir.join("current")).unwrap();
    let current = dir.join("current");
    let watched = watched(&current);
    watched.only(&dir.join("1/sub/file"));
    symlink("2", dir.join("next")).unwrap();
    fs::rename(dir.join("next"), &current).unwrap();
    assert_eq!(watched.next(), current);
    // The old release does not count any more.
    fs::write(dir.join("1/sub/file"), "x").unwrap();
    watched.only(&dir.join("2/sub/file"));
}

#[test]
fn one_path_may_lie_in_another() {
    let dir = directory("watch-overlap");
    fs::create_dir_all(dir.join("sub/deep")).unwrap();
    let file = dir.join("sub/app.yaml");
    fs::write(&file, "1").unwrap();
    let paths = [&dir, &dir.join("sub"), &file];
    let watched = Watched::new(&paths.map(PathBuf::as_path), "", DELAY);
    watched.only(&dir.join("file"));
    fs::write(dir.join("file"), "changed").unwrap();
    assert_eq!(watched.next(), dir.join("file"));
    watched.only(&dir.join("sub/deep/file"));
    watched.only(&file);
    fs::rename(dir.join("sub"), dir.join("other")).unwrap();
    watched.next();
    watched.only(&dir.join("other/deep/file"));
}

#[test]
fn what_is_not_there_yet_is_told_and_waited_for() {
    let dir = directory("watch-missing");
    let (deep, there) = (dir.join("a/b/app.yaml"), dir.join("there"));
    fs::write(&there, "x").unwrap();
    let watched = Watched::new(&[&deep, &there, &dir.join("c")], "", DELAY);
    let told = format!(
        "not found, waiting until it exists: {}, {}",
        deep.display(),
        dir.join("c").display()
    );
    assert_eq!(watched.before, [told]);
    fs::create_dir_all(dir.join("a/b")).unwrap();
    assert_eq!(watched.next(), deep);
    watched.only(&deep);
    fs::remove_dir_all(dir.join("a")).unwrap();
    assert_eq!(watched.next(), deep);
    watched.only(&there);
}

#[test]
fn a_row_of_changes_is_one() {
    let dir = directory("watch-row");
    let watched = watched(&dir);
    let first = dir.join("0");
    for number in 0..300 {
        fs::write(dir.join(number.to_string()), "x").unwrap();
    }
    assert_eq!(watched.next(), first);
    watched.only(&dir.join("0"));
}

#[test]
fn changes_without_end_are_told_all_the_same() {
    let dir = directory("watch-endless");
    let delay = Duration::from_millis(100);
    let watched = Watched::new(&[&dir], "", delay);
    let start = Instant::now();
    let mut file = File::create(dir.join("file")).unwrap();
    // Without a limit, nothing would be reported before the writer pauses for the delay.
    while watched.fired.try_recv().is_err() {
        assert!(start.elapsed() < patience());
        file.write_all(b"x").unwrap();
    }
}

/// Runs one test of this file again with few allowed watches.
fn limited(test: &str, limit: &str) -> bool {
    if std::env::var_os("RPM_TEST_LIMITED").is_some() {
        return true;
    }
    let script = format!("echo {limit} && exec \"$0\" --exact {test} --nocapture");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env("RPM_TEST_LIMITED", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    false
}

#[test]
fn the_limit_of_watches_is_told_in_one_line() {
    let limit = "12 >/proc/sys/user/max_inotify_watches";
    if !limited("the_limit_of_watches_is_told_in_one_line", limit) {
        return;
    }
    let dir = directory("watch-limit");
    for number in 0..40 {
        fs::create_dir(dir.join(number.to_string())).unwrap();
    }
    let watched = Watched::new(&[&dir], "", DELAY);
    let [told] = watched.before.as_slice() else {
        panic!("{:?}", watched.before);
    };
    assert!(told.starts_with(&*dir.to_string_lossy()), "{told}");
    assert!(told.contains(" more cannot be watched: "), "{told}");
    assert!(told.contains("fs.inotify.max_user_watches"), "{told}");
    assert!(watched.watches <= 12);
    // The existing watches work, and the same error is not logged again.
    fs::create_dir(dir.join("one-more")).unwrap();
    assert_eq!(watched.next(), dir.join("one-more"));
    watched.only(&dir.join("file"));
}

#[test]
fn without_inotify_there_is_an_error_that_says_why() {
    let limit = "0 >/proc/sys/user/max_inotify_instances";
    if !limited("without_inotify_there_is_an_error_that_says_why", limit) {
        return;
    }
    let what = WatchedPaths {
        paths: vec!["/".into()],
        ignore: Box::new(|_| true),
        delay: DELAY,
    };
    let error = watch(what, |_| ()).unwrap_err().to_string();
    assert!(error.contains("max_user_instances"), "{error}");
}
