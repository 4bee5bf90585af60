//! Clients of the control socket do what they like while requests are served.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{fs, thread};

use super::lost_nothing;
use crate::harness::load::{Load, Style};
use crate::harness::programs::Program;
use crate::harness::shared_port::{stop, wait_ready};
use crate::harness::{patience, scratch, until};

#[test]
fn hostile_clients_of_the_control_socket_cost_no_request_and_operators_are_answered() {
    let home = scratch("c-load");
    let program = Program::rust();
    let runtime = program
        .workers(2)
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", &home)
        .start();
    wait_ready(&runtime, 2);
    let load = Load::run(program.plan(4, Style::Short).strict());
    load.wait_answers(50);

    let mut files = fs::read_dir(&home).unwrap();
    let socket = files.next().unwrap().unwrap().path();
    let over = AtomicBool::new(false);
    // How often each kind of client has done what it does.
    let done: [AtomicUsize; 4] = Default::default();
    let list = b"{\"v\":1,\"command\":\"list\"}\n";
    thread::scope(|scope| {
        let again = |kind: usize, client: fn(UnixStream)| {
            let (socket, over, count) = (&socket, &over, &done[kind]);
            move || {
                while !over.load(Ordering::Relaxed) {
                    // It may be refused, and may be left for another client.
                    if let Ok(stream) = UnixStream::connect(socket) {
                        stream.set_read_timeout(Some(patience())).unwrap();
                        client(stream);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        };
        // Nonsense, and an endless line.
        scope.spawn(again(0, |mut stream| {
            let _ = stream.write_all(b"{\"v\":1,\"command\":nonsense}\n");
            let _ = stream.read_to_string(&mut String::new());
        }));
        scope.spawn(again(
            1,
            |mut stream| {
                while stream.write_all(&[b'x'; 8192]).is_ok() {}
            },
        ));
        // One that asks and takes no answer.
        scope.spawn(again(2, |mut stream| {
            let list = b"{\"v\":1,\"command\":\"list\"}\n";
            let _ = stream.write_all(&list.repeat(16));
        }));
        // One that sends a byte at a time, with what comes in between.
        scope.spawn(again(3, |mut stream| {
            for byte in b"{\"v\":1,\"command\":\"health\"}\n" {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::yield_now();
            }
            let _ = stream.read(&mut [0; 64]);
        }));
        // Some that stay and say nothing.
        let silent: Vec<_> = (0..60).map(|_| UnixStream::connect(&socket)).collect();

        let operators: Vec<_> = (0..50)
            .map(|_| {
                Command::new(env!("CARGO_BIN_EXE_rpmctl"))
                    .args(["list", "--json", "--home"])
                    .arg(&home)
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for operator in operators {
            let output = operator.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(answer["workers"].as_array().unwrap().len(), 2);
        }
        until("every kind of client had its turn", || {
            done.iter().all(|count| count.load(Ordering::Relaxed) >= 5)
        });
        load.wait_answers(200);
        over.store(true, Ordering::Relaxed);
        drop(silent);
    });
    assert_eq!(runtime.get("/livez").status, 200);
    lost_nothing(
        "while clients of the control socket misbehaved",
        &load.stop(),
        &runtime,
    );
    // It is as good as before: clients that have left owe nothing.
    until("a client is answered as before", || {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        stream.write_all(list).unwrap();
        let mut begin = [0; 16];
        stream.read_exact(&mut begin).unwrap();
        // It may come before the runtime has seen that the others have left.
        &begin == b"{\"v\":1,\"result\":"
    });
    stop(runtime);
    let _ = fs::remove_dir_all(home);
}
