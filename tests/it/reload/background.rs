//! Programs that serve from a process outside of their worker's group: in a session of its own, or in the background.

use crate::harness::shared_port::{ask, connect_to, field, stop, v4, wait_ready};
use crate::harness::status::wait_reload_ends;
use crate::harness::{Builder, Runtime, Signal, free_port, scratch, until};

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

#[test]
fn a_program_that_goes_to_the_background_is_stopped_and_told_what_to_do() {
    let port = free_port();
    let daemon = server(port)
        + "if os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\nserve()\n";
    let mut runtime = Runtime::builder()
        .env("RPM_READY", "listen")
        .env("RPM_MAX_RESTARTS", "2")
        .env("RPM_BACKOFF_MIN", "10ms")
        .program(python(daemon))
        .start();
    let line = runtime.wait_for_line(|line| line.contains("the program went to the background"));
    assert!(line.contains("daemon off"), "{line}");
    assert_eq!(field(&line, "processes"), "1");
    // Nothing is left: the harness looks.
    assert!(!runtime.wait_exit().success());
}
