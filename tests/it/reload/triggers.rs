//! Automatic reloads and replacements: a changed file, a time of day, a worker that uses too much memory; and the file
//! of variables that every new worker reads.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::reloads::reload;
use crate::harness::shared_port::{field, send, stop, v4, wait_ready, wait_rotation, worker};
use crate::harness::status::{
    self, Sampler, ask_slot, counter, echo, exits, most_alive, status, wait_reload_ends,
    wait_status,
};
use crate::harness::{self, Builder, Runtime, Signal, free_port, http_get, scratch, source, until};

fn absolute(name: &str) -> PathBuf {
    scratch(name).canonicalize().unwrap()
}

/// One worker, and a reload when one of these files changes.
fn watching_for(paths: &[&Path]) -> Runtime {
    let paths: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    watches(echo(free_port(), 1).env("RPM_WATCH", paths.join(",")))
}

fn watches(service: Builder) -> Runtime {
    let runtime = service.env("RPM_READY", "listen").start();
    wait_ready(&runtime, 1);
    runtime.wait_for_line(|line| line.contains("watching files and directories (RPM_WATCH)"));
    runtime
}

/// Checks that the reload with this number was caused by that file, and that it succeeds.
#[track_caller]
fn reloads_for(runtime: &Runtime, number: usize, path: &Path) {
    let ended = runtime.wait_for_lines(number, |line| line.contains("reload finished"));
    assert!(ended.iter().all(|line| field(line, "result") == "success"));
    let named = runtime.wait_for_lines(number, |line| line.contains("a watched file has changed"));
    assert_eq!(field(&named[number - 1], "path"), path.to_str().unwrap());
    let begun = runtime.wait_for_lines(number, |line| line.contains("reload begins"));
    assert_eq!(field(&begun[number - 1], "why"), "RPM_WATCH");
    // Exactly the reloads that were reported.
    let seen = wait_status(runtime, "it is over", |seen| seen.state == "running");
    assert_eq!(seen.generation as usize, number, "{}", runtime.shown());
}

#[test]
fn a_watched_file_that_changes_is_one_reload() {
    let directory = absolute("watched-file");
    let (file, other) = (directory.join("app.conf"), directory.join("other"));
    fs::write(&file, "1").unwrap();
    let runtime = watching_for(&[&file]);
    // A file next to it, which does not count: otherwise it would be reported first.
    fs::write(&other, "x").unwrap();
    fs::write(&file, "2").unwrap();
    reloads_for(&runtime, 1, &file);
    // As editors and most deployments replace a file.
    fs::write(&other, "3").unwrap();
    fs::rename(&other, &file).unwrap();
    reloads_for(&runtime, 2, &file);
    stop(runtime);
}

#[test]
fn a_directory_is_watched_all_the_way_down_but_for_what_is_ignored() {
    let directory = absolute("watched-directory");
    for name in [".git", "node_modules/deep", "src/deep"] {
        fs::create_dir_all(directory.join(name)).unwrap();
    }
    let runtime = watching_for(&[&directory]);
    fs::write(directory.join(".git/HEAD"), "x").unwrap();
    fs::write(directory.join("node_modules/deep/index.js"), "x").unwrap();
    let source = directory.join("src/deep/server.js");
    fs::write(&source, "x").unwrap();
    reloads_for(&runtime, 1, &source);
    stop(runtime);
}

#[test]
fn what_is_ignored_can_be_chosen() {
    let directory = absolute("watched-ignored");
    fs::create_dir_all(directory.join("tmp")).unwrap();
    let service = echo(free_port(), 1)
        .env("RPM_WATCH", &directory)
        .env("RPM_WATCH_IGNORE", "tmp,*.log");
    let runtime = watches(service);
    fs::write(directory.join("tmp/a"), "x").unwrap();
    fs::write(directory.join("access.log"), "x").unwrap();
    let file = directory.join("node_modules");
    fs::write(&file, "no longer ignored").unwrap();
    reloads_for(&runtime, 1, &file);
    stop(runtime);
}

/// Many files of one deployment, and several steps for each, are one change.
#[test]
fn a_row_of_changes_is_one_reload() {
    let directory = absolute("watched-row");
    let first = directory.join("0");
    let runtime = watching_for(&[&directory]);
    for number in 0..300 {
        fs::write(directory.join(number.to_string()), "x").unwrap();
    }
    reloads_for(&runtime, 1, &first);
    fs::write(&first, "y").unwrap();
    reloads_for(&runtime, 2, &first);
    stop(runtime);
}

/// Kubernetes renames one link, which replaces every file of the volume.
#[test]
fn a_config_map_that_is_swapped_is_one_reload() {
    let volume = absolute("config-map");
    let release = |name: &str, value: &str| {
        fs::create_dir(volume.join(name)).unwrap();
        fs::write(volume.join(name).join("app.conf"), value).unwrap();
        symlink(name, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    };
    release("..2025_01", "1");
    symlink("..data/app.conf", volume.join("app.conf")).unwrap();
    // Watched as a directory, and by one file in it.
    for (year, path) in [(2026, volume.clone()), (2027, volume.join("app.conf"))] {
        let runtime = watching_for(&[&path]);
        for number in 1..=2 {
            release(&format!("..{year}_{number}"), "2");
            let ended = runtime.wait_for_lines(number, |line| line.contains("reload finished"));
            assert!(ended.iter().all(|line| field(line, "result") == "success"));
            let seen = wait_status(&runtime, "it is over", |seen| seen.state == "running");
            assert_eq!(seen.generation as usize, number, "{}", runtime.shown());
        }
        stop(runtime);
    }
}

/// A worker that shows a variable, and the file of variables.
struct Variables {
    file: PathBuf,
    port: u16,
    runtime: Runtime,
}

impl Variables {
    fn start(text: &str) -> Self {
        let (file, port) = (absolute("variables").join("env"), free_port());
        fs::write(&file, text).unwrap();
        let runtime = echo(port, 1)
            .env("RPM_READY", "listen")
            .env("RPM_ENV_FILE", &file)
            .env("COLOUR", "grey")
            .start();
        wait_ready(&runtime, 1);
        Self {
            file,
            port,
            runtime,
        }
    }

    fn write(&self, text: &str) {
        fs::write(&self.file, text).unwrap();
    }

    fn value(&self, name: &str) -> String {
        let reply = http_get(v4(self.port), &format!("/env/{name}"));
        reply.unwrap().text()
    }
}

#[test]
fn a_reload_takes_the_new_values_of_the_file_of_variables() {
    let service = Variables::start("COLOUR=red\nSHAPE='a square'\n");
    assert_eq!(service.value("COLOUR"), "red");
    assert_eq!(service.value("SHAPE"), "a square");
    service.write("export COLOUR=blue\n");
    // A running worker keeps its value.
    assert_eq!(service.value("COLOUR"), "red");
    reload(&service.runtime);
    assert_eq!(service.value("COLOUR"), "blue");
    assert_eq!(service.value("SHAPE"), "");
    // The file is read at every start, for any reason.
    service.write("COLOUR=green\n");
    send(worker(&service.runtime, 0), Signal::SIGKILL);
    wait_ready(&service.runtime, 3);
    assert_eq!(service.value("COLOUR"), "green");
    stop(service.runtime);
}

/// As docker compose and dotenv read such a file.
#[test]
fn a_key_of_several_lines_is_one_value_of_the_file_of_variables() {
    const PEM: &str = "-----BEGIN KEY-----\nMIIB+/==\n-----END KEY-----\n";
    let escaped = PEM.replace('\n', "\\n");
    let text = format!("KEY=\"{PEM}\"\nESCAPED=\"{escaped}\" # the same\nCOLOUR='red\n'\n");
    let service = Variables::start(&text);
    for (name, value) in [("KEY", PEM), ("ESCAPED", PEM), ("COLOUR", "red\n")] {
        assert_eq!(service.value(name), value, "{name}");
    }
    stop(service.runtime);
}

#[test]
fn a_file_of_variables_that_is_broken_or_gone_leaves_what_it_said_last() {
    let service = Variables::start("COLOUR=red\n");
    let told = |times: usize| {
        service
            .runtime
            .wait_for_lines(times, |line| line.contains("cannot read RPM_ENV_FILE"))
    };
    service.write("COLOUR=blue\nthis is no line\n");
    reload(&service.runtime);
    assert!(told(1)[0].contains("line 2"), "{:?}", told(1));
    assert_eq!(service.value("COLOUR"), "red");
    fs::remove_file(&service.file).unwrap();
    reload(&service.runtime);
    assert!(told(2)[1].contains("No such file"), "{:?}", told(2));
    assert_eq!(service.value("COLOUR"), "red");
    service.write("SHAPE=round\n");
    reload(&service.runtime);
    // A variable that is no longer in the file has the runtime's own value again.
    assert_eq!(service.value("COLOUR"), "grey");
    assert_eq!(service.value("SHAPE"), "round");
    stop(service.runtime);
}

/// As on a network file system whose server is gone.
#[test]
fn a_file_of_variables_whose_file_system_hangs_holds_up_neither_a_reload_nor_the_stop() {
    let service = Variables::start("COLOUR=red\n");
    let mut holder = Command::new("/usr/bin/python3")
        .arg(source("tests/payloads/hold_open.py"))
        .arg(&service.file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut told = BufReader::new(holder.stdout.take().unwrap());
    told.read_line(&mut said).unwrap();
    assert_eq!(said, "held\n", "it needs CAP_SYS_ADMIN");
    for number in 1..=2 {
        reload(&service.runtime);
        let told = service
            .runtime
            .wait_for_lines(number, |line| line.contains("cannot read RPM_ENV_FILE"));
        assert!(told[number - 1].contains("its file system does not answer"));
        assert_eq!(service.value("COLOUR"), "red");
    }
    assert_eq!(service.runtime.get("/livez").status, 200);
    stop(service.runtime);
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

/// A FIFO was waited for, for ever, and a large file was read whole, by PID 1.
#[test]
fn a_file_of_variables_that_is_no_bounded_regular_file_is_refused_and_nothing_hangs() {
    let service = Variables::start("COLOUR=red\n");
    let refused = |number: usize, why: &str| {
        reload(&service.runtime);
        let told = service
            .runtime
            .wait_for_lines(number, |line| line.contains("cannot read RPM_ENV_FILE"));
        assert!(told[number - 1].contains(why), "{told:?}");
        assert!(told[number - 1].contains("mend the file, and reload"));
        assert_eq!(service.value("COLOUR"), "red");
    };
    let put = |make: &dyn Fn(&Path)| {
        let _ = fs::remove_file(&service.file);
        make(&service.file);
    };
    put(&|path| mkfifo(path, Mode::S_IRWXU).unwrap());
    refused(1, "it is a FIFO");
    put(&|path| symlink("/dev/zero", path).unwrap());
    refused(2, "it is a device");
    put(&|path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap());
    refused(3, "it holds more than 1048576 bytes");
    put(&|path| fs::create_dir(path).unwrap());
    refused(4, "it is a directory");
    fs::remove_dir(&service.file).unwrap();
    // As a ConfigMap or a Secret shows a file.
    let directory = service.file.parent().unwrap();
    fs::create_dir(directory.join("..2026")).unwrap();
    fs::write(directory.join("..2026/env"), "COLOUR=blue\n").unwrap();
    symlink("..2026", directory.join("..data")).unwrap();
    put(&|path| symlink("..data/env", path).unwrap());
    reload(&service.runtime);
    assert_eq!(service.value("COLOUR"), "blue");
    // One that nobody writes to is no reason to ignore a stop either.
    put(&|path| mkfifo(path, Mode::S_IRWXU).unwrap());
    send(worker(&service.runtime, 0), Signal::SIGKILL);
    stop(service.runtime);
}

/// Both together: no signal is needed.
#[test]
fn a_watched_file_of_variables_brings_its_values_by_itself() {
    let (file, port) = (absolute("watched-variables").join("env"), free_port());
    fs::write(&file, "COLOUR=red\n").unwrap();
    let service = echo(port, 1)
        .env("RPM_ENV_FILE", &file)
        .env("RPM_WATCH", &file);
    let runtime = watches(service);
    fs::write(&file, "COLOUR=blue\n").unwrap();
    reloads_for(&runtime, 1, &file);
    let reply = http_get(v4(port), "/env/COLOUR").unwrap();
    assert_eq!(reply.text(), "blue");
    stop(runtime);
}

/// Workers with a limit of 60 MiB each.
fn bounded(port: u16, workers: u16) -> Runtime {
    let runtime = echo(port, workers)
        .env("RPM_READY", "listen")
        .env("RPM_MAX_MEMORY", "60Mi")
        .start();
    wait_ready(&runtime, workers.into());
    let slots: Vec<u16> = (0..workers).collect();
    wait_rotation(&runtime, &slots);
    runtime
}

#[test]
fn a_worker_that_has_grown_too_large_is_replaced_and_the_others_stay() {
    let port = free_port();
    let runtime = bounded(port, 3);
    let before = status(&runtime);
    ask_slot(v4(port), 1, "/alloc/90");
    // There is no hurry without load: the memory may be checked up to ten seconds later.
    runtime.wait_for_line(|line| {
        line.contains("worker uses more memory than RPM_MAX_MEMORY")
            && field(line, "pid") == before.pid(1).to_string()
    });
    until("it has ended", || exits(&runtime, "memory_limit") == 1);
    runtime.wait_for_line(|line| {
        line.contains("replacing a worker slot=1 ") && line.contains("grown beyond RPM_MAX_MEMORY")
    });
    let after = status(&runtime);
    assert_eq!([after.pid(0), after.pid(2)], [before.pid(0), before.pid(2)]);
    assert_ne!(after.pid(1), before.pid(1));
    assert_eq!(most_alive(&runtime), 4);
    assert_eq!(
        counter(&runtime, "rpm_reloads_total{result=\"success\"}"),
        0
    );
    stop(runtime);
}

#[test]
fn workers_that_all_grow_too_large_are_replaced_one_at_a_time() {
    let port = free_port();
    let runtime = bounded(port, 3);
    let sampler = Sampler::of_status(&runtime);
    for slot in 0..3 {
        ask_slot(v4(port), slot, "/alloc/90");
    }
    until("all have ended", || exits(&runtime, "memory_limit") == 3);
    let history = sampler.end();
    let fewest = history.iter().map(status::Status::ready).min();
    assert_eq!(fewest, Some(3), "{}", runtime.shown());
    assert_eq!(most_alive(&runtime), 4, "{}", runtime.shown());
    let seen = status(&runtime);
    let pids: BTreeSet<i32> = (0..3).map(|slot| seen.pid(slot)).collect();
    assert!(pids.is_disjoint(&(0..3).map(|slot| history[0].pid(slot)).collect()));
    stop(runtime);
}

fn seconds_of_the_minute() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() % 60
}

/// From the configured time to the log line, at a minute that is about to begin.
#[test]
fn a_schedule_is_due_when_its_minute_begins() {
    use rpm_runtime::config::{Input, resolve};
    use rpm_runtime::policy::CpuBudget;
    use rpm_runtime::triggers::{Fired, schedule};

    let resolved = resolve(&Input {
        vars: vec![("RPM_CRON_RELOAD".into(), "* * * * *".into())],
        args: vec!["true".into()],
        cpus: CpuBudget::default(),
        memory: None,
        read_file: &|_| Err(std::io::ErrorKind::NotFound.into()),
        found: &rpm_runtime::model::Found::default,
    });
    let cron = resolved.unwrap().config.reload.cron.unwrap();
    // The clock of the schedule: 300 ms before a full minute.
    let began = std::time::Instant::now();
    let wall = move || UNIX_EPOCH + Duration::from_millis(1_700_000_039_700) + began.elapsed();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let fired = local.block_on(&runtime, async {
        let (sender, mut fired) = tokio::sync::mpsc::unbounded_channel();
        let tell = move |what| drop(sender.send(what));
        tokio::task::spawn_local(schedule(move |after| cron.next(after), wall, tell));
        tokio::time::timeout(harness::patience(), fired.recv()).await
    });
    assert!(matches!(fired, Ok(Some(Fired::Schedule))), "{fired:?}");
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
#[ignore = "long: make soak"]
fn soak_a_schedule_reloads_at_its_minute() {
    // If begun late in a minute, the next one comes within the time limit.
    while !(40..58).contains(&seconds_of_the_minute()) {
        thread::sleep(Duration::from_millis(100));
    }
    let runtime = echo(free_port(), 2)
        .env("RPM_CRON_RELOAD", "* * * * *")
        .start();
    wait_ready(&runtime, 2);
    let begun = runtime.wait_for_line(|line| line.contains("reload begins"));
    assert_eq!(field(&begun, "why"), "RPM_CRON_RELOAD");
    assert!(seconds_of_the_minute() < 30);
    let ended = wait_reload_ends(&runtime, 0);
    assert_eq!(field(&ended, "result"), "success");
    assert_eq!(status(&runtime).generation, 1);
    stop(runtime);
}

/// `auto` shares what the program binds: another port after a reload, and nobody is left who binds the first.
#[test]
fn a_port_that_the_new_version_does_not_bind_is_closed_after_the_reload() {
    let (old, new) = (free_port(), free_port());
    let file = absolute("ports").with_extension("env");
    fs::write(&file, format!("PORT={old}\n")).unwrap();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .env("RPM_ENV_FILE", file.to_str().unwrap())
        .program([harness::example("echo_server").to_str().unwrap()])
        .start();
    wait_ready(&runtime, 2);
    assert_eq!(http_get(v4(old), "/").unwrap().status, 200);
    fs::write(&file, format!("PORT={new}\n")).unwrap();
    reload(&runtime);
    let line = runtime.wait_for_line(|line| line.contains("no worker binds this port any more"));
    assert!(line.contains(&format!(":{old}")), "{line}");
    assert_eq!(http_get(v4(new), "/").unwrap().status, 200);
    let refused = std::net::TcpStream::connect(v4(old)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    stop(runtime);
}
