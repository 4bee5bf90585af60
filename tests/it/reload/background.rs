//! Programs that serve from a process outside of their worker's group: in a session of its own, or in the background.

use crate::harness::shared_port::{ask, connect_to, field, send, stop, v4, wait_ready, worker};
use crate::harness::status::wait_reload_ends;
use crate::harness::{Builder, Runtime, Signal, free_port, scratch, until};

use super::hidden::nginx;

const OTHER_SESSION: &str = "left processes in another session";

/// Answers each connection with its generation.
fn server(port: u16) -> String {
    format!(
        "import os, signal, socket\n\
         s = socket.create_server(('127.0.0.1', {port}), backlog=128)\n\
         def serve():\n\
         \x20   while True:\n\
         \x20       c = s.accept()[0]\n\
         \x20       c.recv(64)\n\
         \x20       c.sendall(os.environ['RPM_GENERATION'].encode() + b'\\n')\n\
         \x20       c.close()\n"
    )
}

fn two(words: impl IntoIterator<Item = String>) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .program(words)
}

fn python(program: String) -> Vec<String> {
    vec!["/usr/bin/python3".to_owned(), "-c".to_owned(), program]
}

/// All of many connections are answered by this generation.
#[track_caller]
fn all_of_generation(runtime: &Runtime, port: u16, generation: u32) {
    for _ in 0..40 {
        let answer = ask(&mut connect_to(v4(port))).unwrap();
        assert_eq!(answer.trim(), generation.to_string(), "{}", runtime.shown());
    }
}

#[track_caller]
fn replaced_whole(words: Vec<String>, port: u16, line: &str) {
    let runtime = two(words).start();
    wait_ready(&runtime, 2);
    all_of_generation(&runtime, port, 0);
    let before = runtime.alive().len();
    for generation in 1..=2 {
        let mark = runtime.mark();
        runtime.signal(Signal::SIGHUP);
        wait_reload_ends(&runtime, mark);
        runtime.wait_for_line_after(mark, |said| said.contains(line));
        until("what the old workers left has ended", || {
            runtime.alive().len() == before
        });
        all_of_generation(&runtime, port, generation);
    }
    stop(runtime);
}

/// The child of the worker serves in a session of its own, and the stop signal ends only its parent.
#[test]
fn a_child_in_another_session_that_outlives_its_worker_serves_no_client_after_a_reload() {
    let port = free_port();
    let program =
        server(port) + "if os.fork() == 0:\n    os.setsid()\n    serve()\nsignal.pause()\n";
    replaced_whole(python(program), port, OTHER_SESSION);
}

/// As above, but the process that holds the listener is a grandchild, and its parent does not hold it.
#[test]
fn a_grandchild_behind_another_process_that_outlives_its_worker_serves_no_client_after_a_reload() {
    let port = free_port();
    let program = server(port)
        + "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: serve()\n    s.close()\n    while True: os.wait()\nsignal.pause()\n";
    replaced_whole(python(program), port, OTHER_SESSION);
}

/// su(1) ends its shell alone. Some versions start it in a session of its own.
#[test]
fn a_program_behind_su_serves_no_client_after_a_reload() {
    let port = free_port();
    let file = scratch("su").join("server.py");
    std::fs::write(&file, server(port) + "serve()\n").unwrap();
    let line = format!("/usr/bin/python3 {}; true", file.display());
    let words = ["su", "root", "-s", "/bin/sh", "-c", &line].map(str::to_owned);
    replaced_whole(words.to_vec(), port, "left processes");
}

/// The program is told once at each start, and nothing of it stays. `leaves`: the way to the background.
#[track_caller]
fn is_told_what_to_do(leaves: &str) {
    let port = free_port();
    let mut runtime = Runtime::builder()
        .env("RPM_READY", "listen")
        .env("RPM_MAX_RESTARTS", "2")
        .env("RPM_BACKOFF_MIN", "10ms")
        .env("RPM_STOP_TIMEOUT", "500ms")
        .program(python(server(port) + leaves))
        .start();
    let says = |line: &str| line.contains("the program went to the background");
    let line = runtime.wait_for_line(says);
    assert!(line.contains("daemon off"), "{line}");
    // A process that forked and did not end yet counts too.
    assert!(
        (1..=2).contains(&field(&line, "processes").parse().unwrap()),
        "{line}"
    );
    // Nothing is left: the harness looks.
    assert!(!runtime.wait_exit().success());
    let all = runtime.texts();
    let starts = all.iter().filter(|line| line.contains("worker started"));
    let told = all.iter().filter(|line| says(line));
    assert_eq!(starts.count(), told.count(), "{}", runtime.shown());
}

/// Nothing proves whose process it is, so it is said and left alone.
#[test]
fn a_program_that_goes_to_the_background_is_told_what_to_do_where_no_port_is_shared() {
    let port = free_port();
    let file = scratch("daemon").join("pid");
    let program = format!(
        "{}left, leaves = os.pipe()\n\
         if os.fork():\n\
         \x20   os.read(left, 1)\n\
         \x20   os._exit(0)\n\
         os.setsid()\n\
         open('{}', 'w').write(str(os.getpid()))\n\
         os.write(leaves, b'.')\n\
         serve()\n",
        server(port),
        file.display()
    );
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_MAX_RESTARTS", "2")
        .env("RPM_BACKOFF_MIN", "10ms")
        .allow_leftovers()
        .program(python(program))
        .start();
    let line = runtime.wait_for_line(|line| {
        line.contains("if the program went to the background, it is not stopped")
    });
    assert_eq!(
        field(&line, "process"),
        std::fs::read_to_string(file).unwrap()
    );
    assert!(line.contains("daemon off"), "{line}");
    assert!(!runtime.wait_exit().success());
}

/// The worker ends only when its child has left its process group.
#[test]
fn a_program_that_goes_to_the_background_is_stopped_and_told_what_to_do() {
    is_told_what_to_do(
        "left, leaves = os.pipe()\n\
         if os.fork():\n\
         \x20   os.read(left, 1)\n\
         \x20   os._exit(0)\n\
         os.setsid()\n\
         os.write(leaves, b'.')\n\
         if os.fork(): os._exit(0)\n\
         serve()\n",
    );
}

/// The child leaves the process group only when its worker was reaped. `before`: what the child does first.
fn leaves_late(before: &str) -> String {
    format!(
        "worker = os.getpid()\n\
         if os.fork(): os._exit(0)\n\
         {before}\n\
         def lives():\n\
         \x20   try: os.kill(worker, 0)\n\
         \x20   except ProcessLookupError: return False\n\
         \x20   return True\n\
         while lives(): pass\n\
         os.setsid()\n\
         if os.fork(): os._exit(0)\n\
         serve()\n"
    )
}

#[test]
fn a_program_that_is_still_on_its_way_to_the_background_is_told_what_to_do() {
    is_told_what_to_do(&leaves_late(""));
}

/// The signal for the process group does not end it.
#[test]
fn a_program_that_goes_to_the_background_and_ignores_its_stop_signal_is_killed() {
    is_told_what_to_do(&leaves_late(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    ));
}

/// It leaves the group after the stop signal, and nothing tells the runtime: no process ends.
#[test]
fn a_program_that_goes_to_the_background_with_one_fork_and_blocks_its_stop_signal_is_killed() {
    is_told_what_to_do(
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n\
         if os.fork(): os._exit(0)\n\
         while signal.SIGTERM not in signal.sigpending(): pass\n\
         os.setsid()\n\
         serve()\n",
    );
}

/// As an image runs it whose command lacks `daemon off;`: a root master and workers of www-data, which cannot be inspected.
#[test]
fn nginx_that_goes_to_the_background_is_stopped_and_told_what_to_do() {
    let mut runtime = nginx(free_port(), 2, "on")
        .env("RPM_MAX_RESTARTS", "3")
        .env("RPM_BACKOFF_MIN", "10ms")
        .start();
    let line = runtime.wait_for_line(|line| line.contains("the program went to the background"));
    assert!(line.contains("daemon off"), "{line}");
    // Nothing is left: the harness looks.
    assert!(!runtime.wait_exit().success());
}

/// A child in the group of a killed worker holds its listener until it is killed. The workers that come and go meanwhile
/// have not left it.
#[test]
fn what_a_killed_worker_left_is_not_laid_to_the_next_one() {
    let port = free_port();
    let flag = scratch("left").join("flag");
    let program = server(port)
        + &format!(
            "if os.path.exists('{0}'): os._exit(0)\nopen('{0}', 'w').close()\n",
            flag.display()
        )
        + "if os.fork() == 0:\n\
           \x20   signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
           \x20   print('holds', flush=True)\n\
           \x20   serve()\n\
           signal.pause()\n";
    let mut runtime = Runtime::builder()
        .env("RPM_READY", "listen")
        .env("RPM_MAX_RESTARTS", "3")
        .env("RPM_BACKOFF_MIN", "10ms")
        .env("RPM_STOP_TIMEOUT", "3s")
        .program(python(program))
        .start();
    runtime.wait_for_line(|line| line == "holds");
    send(worker(&runtime, 0), Signal::SIGKILL);
    runtime.wait_for_line(|line| line.contains("worker left processes, stopping them"));
    runtime.wait_for_line(|line| line.contains("giving up"));
    assert!(!runtime.wait_exit().success());
    let wrong = |line: &String| line.contains("to the background") || line.contains(OTHER_SESSION);
    assert!(!runtime.texts().iter().any(wrong), "{}", runtime.shown());
}
