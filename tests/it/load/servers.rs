//! Servers that people use, with nothing set but the number of workers: both workers serve, a reload under load loses
//! nothing, and the stop ends with 0. The plain servers of the languages are in `reload` and in `ports::programs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::lost_nothing;
use crate::harness::load::{Load, Pace, Plan, Style};
use crate::harness::reloads::reload;
use crate::harness::shared_port::{stop, v4, wait_ready};
use crate::harness::{Builder, Runtime, free_port, http_get, scratch, source, until};

/// Waits until both slots have answered with this generation. The server answers `SLOT GENERATION`.
#[track_caller]
fn both_serve(port: u16, generation: u32, runtime: &Runtime) {
    let mut seen = BTreeSet::new();
    until("both workers answer", || {
        let reply = http_get(v4(port), "/");
        let reply = reply.unwrap_or_else(|error| panic!("{error}\n{}", runtime.shown()));
        let text = reply.text();
        let (slot, of) = text
            .trim()
            .split_once(' ')
            .unwrap_or_else(|| panic!("{text}"));
        assert_eq!(of, generation.to_string(), "{}", runtime.shown());
        seen.insert(slot.to_owned());
        seen.len() == 2
    });
}

#[track_caller]
fn is_served_and_reloaded(port: u16, service: Builder) {
    let runtime = service
        .env("RPM_INSTANCES", "2")
        .env("RPM_MIN_READY", "100ms")
        .start();
    wait_ready(&runtime, 2);
    both_serve(port, 0, &runtime);
    let clients = Plan::new(v4(port), 2, Style::Short).unchecked().strict();
    let load = Load::run(clients.pace(Pace::Think(Duration::from_millis(2))));
    load.wait_answers(20);
    reload(&runtime);
    load.wait_answers(20);
    lost_nothing("a reload", &load.stop(), &runtime);
    both_serve(port, 1, &runtime);
    let ready = runtime.texts().into_iter();
    let mut ready = ready.filter(|line| line.contains("worker ready"));
    assert!(
        ready.all(|line| line.ends_with("by=listen")),
        "{}",
        runtime.shown()
    );
    stop(runtime);
}

/// A directory with this file in it, and the name of the file.
fn with_file(name: &str, text: &str) -> (std::path::PathBuf, String) {
    let directory = scratch(name);
    let file = directory.join(name);
    fs::write(&file, text).unwrap();
    (directory, file.display().to_string())
}

fn python(name: &str) -> Builder {
    Runtime::builder()
        .directory(source("tests/payloads"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HOME", scratch(name))
}

#[test]
fn gunicorn_is_served_and_reloaded() {
    let port = free_port();
    let bind = format!("127.0.0.1:{port}");
    let words = ["gunicorn", "--bind", &bind, "generation:wsgi"];
    is_served_and_reloaded(port, python("gunicorn-home").program(words));
}

#[test]
fn gunicorn_with_two_workers_of_its_own_is_served_and_reloaded() {
    let port = free_port();
    let bind = format!("127.0.0.1:{port}");
    let words = [
        "gunicorn",
        "--workers",
        "2",
        "--bind",
        &bind,
        "generation:wsgi",
    ];
    is_served_and_reloaded(port, python("gunicorn-home").program(words));
}

#[test]
fn uvicorn_is_served_and_reloaded() {
    let port = free_port();
    let number = port.to_string();
    let words = [
        "uvicorn",
        "--log-level",
        "warning",
        "--port",
        &number,
        "generation:asgi",
    ];
    is_served_and_reloaded(port, python("uvicorn-home").program(words));
}

/// The children of its master listen.
#[test]
fn uvicorn_with_two_workers_of_its_own_is_served_and_reloaded() {
    let port = free_port();
    let number = port.to_string();
    let start = ["uvicorn", "--log-level", "warning", "--workers", "2"];
    let words = ["--port", &number, "generation:asgi"];
    let service = python("uvicorn-home").program(start).program(words);
    is_served_and_reloaded(port, service);
}

#[test]
fn starman_is_served_and_reloaded() {
    let port = free_port();
    let (_, file) = with_file(
        "starman-two",
        "my $body = \"$ENV{RPM_INSTANCE} $ENV{RPM_GENERATION}\";\n\
         sub { [200, ['Content-Length' => length $body], [$body]] };\n",
    );
    let listen = format!("127.0.0.1:{port}");
    let words = ["starman", "--workers", "2", "--listen", &listen, &file];
    is_served_and_reloaded(port, Runtime::builder().program(words));
}

/// Its master is root, and its workers are of another user. Each has a configuration of its own, which says what it answers.
#[test]
fn nginx_is_served_and_reloaded() {
    let port = free_port();
    let directory = scratch("nginx-two");
    let at = directory.display();
    let template = format!(
        "daemon off; user www-data; worker_processes 2; pid {at}/ME.pid; error_log stderr;\n\
         events {{ }}\n\
         http {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;\n\
           uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
           server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"ME\"; }} }} }}\n"
    );
    fs::write(directory.join("template"), template).unwrap();
    let script = "sed \"s/ME.pid/$RPM_INSTANCE-$RPM_GENERATION.pid/; s/ME/$RPM_INSTANCE $RPM_GENERATION/\" template \
                  > $RPM_INSTANCE-$RPM_GENERATION.conf; exec nginx -c $PWD/$RPM_INSTANCE-$RPM_GENERATION.conf";
    let service = Runtime::builder().directory(&directory);
    is_served_and_reloaded(port, service.program(["sh", "-c", script]));
}

fn haproxy(directory: &Path, port: u16) -> String {
    let file = directory.join("haproxy.cfg");
    let text = format!(
        "defaults\n  mode http\n  timeout client 5s\n  timeout connect 5s\n  timeout server 5s\n\
         frontend all\n  bind 127.0.0.1:{port}\n  http-request return status 200 content-type text/plain \
         lf-string \"%[env(RPM_INSTANCE)] %[env(RPM_GENERATION)]\"\n"
    );
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

/// It asks whether its socket listens, and does not call `listen` then.
#[test]
fn haproxy_is_served_and_reloaded() {
    let port = free_port();
    let file = haproxy(&scratch("haproxy"), port);
    is_served_and_reloaded(port, Runtime::builder().program(["haproxy", "-f", &file]));
}

#[test]
fn haproxy_with_a_master_is_served_and_reloaded() {
    let port = free_port();
    let file = haproxy(&scratch("haproxy-master"), port);
    is_served_and_reloaded(
        port,
        Runtime::builder().program(["haproxy", "-W", "-f", &file]),
    );
}

/// Ruby without a gem.
#[test]
fn rubys_own_server_is_served_and_reloaded() {
    let port = free_port();
    let (_, file) = with_file(
        "server.rb",
        &format!(
            "require 'socket'\n\
             server = TCPServer.new('127.0.0.1', {port})\n\
             loop do\n\
             \x20 Thread.new(server.accept) do |client|\n\
             \x20   nil until client.gets.to_s.strip.empty?\n\
             \x20   body = \"#{{ENV['RPM_INSTANCE']}} #{{ENV['RPM_GENERATION']}}\"\n\
             \x20   client.write(\"HTTP/1.1 200 OK\\r\\nContent-Length: #{{body.size}}\\r\\nConnection: close\\r\\n\\r\\n\" + body)\n\
             \x20   client.close\n\
             \x20 end\n\
             end\n"
        ),
    );
    is_served_and_reloaded(port, Runtime::builder().program(["ruby", &file]));
}
