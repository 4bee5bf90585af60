//! Programs that connect to their unix path before they bind it, and end if somebody answers.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use super::hidden::{PHP_FPM, fastcgi, readable};
use crate::harness::reloads::{reload, reload_fails};
use crate::harness::shared_port::{send, stop, wait_ready, wait_rotation, worker};
use crate::harness::unix_paths::socket_path;
use crate::harness::{Builder, Runtime, Signal, until};

const STARTS_AGAIN: &str = "ended because its unix path is in use";
const FINDS_NOBODY: &str = "from now on its workers find nobody there";

fn count(runtime: &Runtime, part: &str) -> usize {
    let lines = runtime.texts();
    lines.iter().filter(|line| line.contains(part)).count()
}

/// One request, over a connection of its own.
fn ask_fpm(path: &Path, request: &[u8]) -> std::io::Result<bool> {
    let mut client = UnixStream::connect(path)?;
    client.write_all(request)?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).contains("served by php"))
}

/// Debian's php-fpm on a unix path: four clients ask through two reloads.
fn php_fpm_loses_nothing(instances: u16) {
    let directory = readable("php-fpm-unix");
    let script = directory.join("quick.php");
    fs::write(&script, "<?php echo 'served by php';").unwrap();
    let path = directory.join("app.sock");
    let file = directory.join("fpm.conf");
    let configuration = format!(
        "[global]\nerror_log = /dev/stderr\ndaemonize = no\n[www]\nuser = www-data\ngroup = www-data\n\
         listen = {}\nlisten.mode = 0666\npm = static\npm.max_children = 4\n",
        path.display()
    );
    fs::write(&file, configuration).unwrap();
    let runtime = Runtime::builder()
        .env("RPM_READY", "listen")
        .env("RPM_INSTANCES", instances.to_string())
        .program([PHP_FPM, "-F", "-y", &file.display().to_string()])
        .start();
    wait_ready(&runtime, instances.into());
    let request = fastcgi(&script);
    let (over, answered, lost) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let good = matches!(ask_fpm(&path, &request), Ok(true));
                    let counter = if good { &answered } else { &lost };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..2 {
            let before = answered.load(Ordering::Relaxed);
            until("100 more are answered", || {
                answered.load(Ordering::Relaxed) >= before + 100
            });
            reload(&runtime);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(lost.into_inner(), 0, "{}", runtime.shown());
    assert_eq!(count(&runtime, FINDS_NOBODY), 1, "{}", runtime.shown());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666, "as its configuration says");
    stop(runtime);
}

#[test]
fn reloads_of_php_fpm_on_a_unix_path_lose_nothing() {
    php_fpm_loses_nothing(1);
}

#[test]
fn php_fpm_on_a_unix_path_runs_in_several_workers() {
    php_fpm_loses_nothing(2);
}

/// A server on a unix path, whose next version (RPM_GENERATION) runs `broken` first.
fn service(path: &Path, broken: &str) -> Builder {
    let script = format!(
        "import os, socket, sys\n\
         p = '{}'\n\
         def look():\n\
         \x20   s = socket.socket(socket.AF_UNIX)\n\
         \x20   try: s.connect(p)\n\
         \x20   except OSError: return False\n\
         \x20   s.close()\n\
         \x20   return True\n\
         if os.environ['RPM_GENERATION'] != '0':\n\
         \x20   {broken}\n\
         if os.path.exists(p): os.unlink(p)\n\
         s = socket.socket(socket.AF_UNIX)\n\
         s.bind(p)\n\
         s.listen(5)\n\
         while True:\n\
         \x20   c, _ = s.accept()\n\
         \x20   try: c.sendall(os.environ['RPM_GENERATION'].encode())\n\
         \x20   except OSError: pass # who only looked is gone\n\
         \x20   c.close()\n",
        path.display()
    );
    Runtime::builder()
        .env("RPM_READY", "listen")
        .program(["/usr/bin/python3", "-c", &script])
}

fn generation(path: &Path) -> String {
    let mut answer = String::new();
    let mut client = UnixStream::connect(path).unwrap();
    client.read_to_string(&mut answer).unwrap();
    answer
}

/// The old worker serves all the time.
#[test]
fn a_new_version_that_ends_also_when_it_finds_nobody_fails_the_reload() {
    let path = socket_path("in-use-broken");
    let runtime = service(&path, "look(); sys.exit(1)").start();
    wait_ready(&runtime, 1);
    for reloads in 1..=2 {
        reload_fails(&runtime);
        assert_eq!(generation(&path), "0");
        // The second one is told at once that nobody is there.
        assert_eq!(count(&runtime, "worker ended slot="), reloads + 1);
        assert_eq!(count(&runtime, STARTS_AGAIN), 1);
    }
    stop(runtime);
}

#[test]
fn a_new_version_that_merely_ends_fails_the_reload_at_once() {
    let path = socket_path("in-use-ends");
    let runtime = service(&path, "sys.exit(1)").start();
    wait_ready(&runtime, 1);
    reload_fails(&runtime);
    assert_eq!(count(&runtime, "worker ended slot="), 1);
    assert_eq!(count(&runtime, STARTS_AGAIN), 0);
    assert_eq!(generation(&path), "0");
    stop(runtime);
}

#[test]
fn a_version_that_gives_way_to_whom_it_finds_is_reloaded() {
    let path = socket_path("in-use-looks");
    let runtime = service(&path, "if look(): sys.exit('somebody answers')").start();
    wait_ready(&runtime, 1);
    for next in ["1", "2"] {
        reload(&runtime);
        assert_eq!(generation(&path), next);
    }
    assert_eq!(count(&runtime, STARTS_AGAIN), 1, "{}", runtime.shown());
    stop(runtime);
}

/// The first worker serves the path; the second one is its client, and dies again and again.
#[test]
fn a_worker_that_is_a_client_of_another_one_finds_it() {
    let path = socket_path("in-use-client");
    let script = format!(
        "import os, socket, time\n\
         p = '{}'\n\
         first = os.environ['RPM_INSTANCE'] == '0'\n\
         if first:\n\
         \x20   s = socket.socket(socket.AF_UNIX)\n\
         \x20   s.bind(p)\n\
         \x20   s.listen(5)\n\
         while not first:\n\
         \x20   c = socket.socket(socket.AF_UNIX)\n\
         \x20   try: c.connect(p)\n\
         \x20   except OSError as e:\n\
         \x20       print('nobody:', e, flush=True)\n\
         \x20       time.sleep(0.05)\n\
         \x20       continue\n\
         \x20   print('client:', c.recv(9), flush=True)\n\
         \x20   break\n\
         t = socket.socket(socket.AF_UNIX)\n\
         t.bind(p + os.environ['RPM_INSTANCE'])\n\
         t.listen(5)\n\
         while first:\n\
         \x20   c, _ = s.accept()\n\
         \x20   c.sendall(b'hello')\n\
         \x20   c.close()\n\
         while True: time.sleep(9)\n",
        path.display()
    );
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .env("RPM_MIN_UPTIME", "10ms")
        .program(["/usr/bin/python3", "-c", &script])
        .start();
    for lives in 1..=3 {
        runtime.wait_for_lines(lives, |line| line == "client: b'hello'");
        wait_rotation(&runtime, &[0, 1]);
        let mark = runtime.mark();
        send(worker(&runtime, 1), Signal::SIGKILL);
        runtime.wait_for_line_after(mark, |line| line.contains("worker started"));
    }
    runtime.wait_for_lines(4, |line| line == "client: b'hello'");
    assert_eq!(count(&runtime, FINDS_NOBODY), 0, "{}", runtime.shown());
    stop(runtime);
}
