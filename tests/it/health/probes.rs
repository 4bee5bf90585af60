//! Checks of real, unmodified programs: they answer and log no complaint.

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{example, free_port, patience, source, until};
use rpm_runtime::checks::{Check, Failure, Target, http, tcp};
use rpm_runtime::model::{Page, Scheme};

/// Killed at the end of the test.
struct Program {
    child: Child,
    port: u16,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let port = free_port();
        let child = command
            .env("PORT", port.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let program = Self { child, port };
        until("it listens", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        program
    }

    fn target(&self) -> Target {
        Target {
            addr: (Ipv4Addr::LOCALHOST, self.port).into(),
            source_port: 61_000,
        }
    }

    /// Ends it and returns its output.
    fn end(mut self) -> String {
        self.child.kill().unwrap();
        let output = self.child.wait_with_output().unwrap();
        [output.stdout, output.stderr]
            .map(|said| String::from_utf8_lossy(&said).into_owned())
            .concat()
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// It answers; it accepts connections even if its queue does not show it; a client leaves in the middle of an answer;
/// and it prints only that it listens.
fn is_asked(command: &mut Command) {
    let program = Program::start(command);
    let target = program.target();
    block_on(async {
        for _ in 0..20 {
            assert_eq!(
                http(target, &Page::new(Scheme::Http, "/"), patience()).await,
                Check::Passed
            );
        }
        let lost = http(
            target,
            &Page::new(Scheme::Http, "/no/such/path"),
            patience(),
        )
        .await;
        assert!(
            [Check::Passed, Check::Failed(Failure::Status(404))].contains(&lost),
            "{lost:?}"
        );
        let same = || Some(5);
        let check = tcp(target, same, Duration::from_secs(4)).await;
        assert_eq!(check, Check::Passed);
        // Closed right after the handshake, like an abandoned check.
        for _ in 0..20 {
            assert_eq!(tcp(target, || Some(0), patience()).await, Check::Passed);
        }
        assert_eq!(
            http(target, &Page::new(Scheme::Http, "/"), patience()).await,
            Check::Passed
        );
    });
    let said = program.end();
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("listening on "))
        .collect();
    assert!(lines.is_empty(), "{lines:?}");
}

#[test]
fn node() {
    is_asked(Command::new("node").arg(source("examples/node/server.js")));
}

#[test]
fn python() {
    is_asked(Command::new("/usr/bin/python3").arg(source("examples/python/server.py")));
}

#[test]
fn ruby() {
    is_asked(Command::new("ruby").arg(source("examples/ruby/server.rb")));
}

#[test]
fn rust() {
    is_asked(&mut Command::new(example("echo_server")));
}
