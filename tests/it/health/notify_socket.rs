//! The socket of sd_notify(3) with foreign senders: Python's, one that sends descriptors, one that never stops, one
//! from outside.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::{Signal, free_port, patience, source, until};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use rpm_runtime::checks::{Check, Target, http};
use rpm_runtime::model::{Page, Pid as WorkerPid, Scheme};
use rpm_runtime::notify::NotifySocket;
use rpm_runtime::policy::notify::Message;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(patience(), work).await.unwrap() })
}

fn address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(name.strip_prefix('@').unwrap()).unwrap()
}

fn say(name: &str, datagram: impl AsRef<[u8]>) {
    let socket = UnixDatagram::unbound().unwrap();
    let sent = socket.send_to_addr(datagram.as_ref(), &address(name));
    assert_eq!(sent.unwrap(), datagram.as_ref().len());
}

fn status(text: &str) -> Message {
    Message::Status(text.to_owned())
}

/// sd_notify as in every language. `script` may use `say(text, descriptors)`.
fn python(name: &str, script: &str) -> Child {
    python_with(name, script, &[])
}

fn python_with(name: &str, script: &str, args: &[&str]) -> Child {
    let prelude = "\
import array, os, socket
def say(text, descriptors=()):
    name = os.environ['NOTIFY_SOCKET']
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', descriptors))] if descriptors else []
        out.sendmsg([text], rights, 0, '\\0' + name[1:])
";
    Command::new("/usr/bin/python3")
        .args(["-c", &format!("{prelude}{script}")])
        .args(args)
        .env("NOTIFY_SOCKET", name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The messages of this process and of its children.
async fn next(notify: &NotifySocket) -> Vec<Message> {
    let this = i32::try_from(std::process::id()).unwrap();
    let heard = notify.next(WorkerPid::new(this).unwrap()).await;
    assert_eq!(heard.refused, 0);
    heard.messages
}

/// All messages until `last` arrives.
async fn hear(notify: &NotifySocket, last: &Message) -> Vec<Message> {
    let mut all = Vec::new();
    while !all.contains(last) {
        all.extend(next(notify).await);
    }
    all
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn what_a_worker_says_is_heard() {
    block_on(async {
        let (notify, name) = NotifySocket::new().unwrap();
        // 128 bits of it are random.
        let (_, random) = name.rsplit_once('/').unwrap();
        assert_eq!(random.len(), 32);
        assert_ne!(NotifySocket::new().unwrap().1, name);
        let script = "\
say(b'READY=1\\nSTATUS=serving\\n')
say(b'WATCHDOG_USEC=500000')
say(b'garbage \\xff\\n\\n=\\nMAINPID=1')
say(b'')
say(b'WATCHDOG=1')
say(b'STOPPING=1')";
        let mut child = python(&name, script);
        let said = hear(&notify, &Message::Stopping).await;
        let expected = [
            Message::Ready,
            status("serving"),
            Message::WatchdogTimeout(Duration::from_millis(500)),
            Message::Watchdog,
            Message::Stopping,
        ];
        assert_eq!(said, expected);
        assert!(child.wait().unwrap().success());
    });
}

/// The example program.
#[test]
fn the_example_says_how_it_does() {
    block_on(async {
        let (notify, name) = NotifySocket::new().unwrap();
        let port = free_port();
        let period = Duration::from_millis(150);
        let mut child = Command::new("/usr/bin/python3")
            .arg(source("examples/python/notify.py"))
            .env("PORT", port.to_string())
            .env("NOTIFY_SOCKET", &name)
            .env("WATCHDOG_USEC", period.as_micros().to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let said = hear(&notify, &Message::Watchdog).await;
        let expected = [
            Message::Ready,
            status(&format!("serving on {port}")),
            Message::WatchdogTimeout(period),
            Message::Watchdog,
        ];
        assert_eq!(said, expected);
        for _ in 0..3 {
            assert_eq!(next(&notify).await, [Message::Watchdog]);
        }
        let target = Target {
            addr: ([127, 0, 0, 1], port).into(),
            source_port: 61_000,
        };
        assert_eq!(
            http(target, &Page::new(Scheme::Http, "/hang"), patience()).await,
            Check::Passed
        );
        // One message may still have been on the way.
        let _ = tokio::time::timeout(period, next(&notify)).await;
        assert!(
            tokio::time::timeout(period * 3, next(&notify))
                .await
                .is_err()
        );
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let said = next(&notify).await;
        assert_eq!(said, [Message::Stopping, status("stopping")]);
        assert!(child.wait().unwrap().success());
    });
}

/// BARRIER=1: the sender waits until its pipe is closed here (sd_notify_barrier(3)).
#[test]
fn descriptors_that_come_along_are_closed() {
    block_on(async {
        let (notify, name) = NotifySocket::new().unwrap();
        let before = descriptors();
        let script = "\
read, write = os.pipe()
say(b'FDSTORE=1\\nFDNAME=x', [0, 1, 2] * 80)
say(b'BARRIER=1', [write])
os.close(write)
assert os.read(read, 1) == b''
say(b'STATUS=past the barrier')";
        let mut child = python(&name, script);
        hear(&notify, &status("past the barrier")).await;
        assert!(child.wait().unwrap().success());
        let stdout = child.stdout.take();
        assert_eq!(descriptors(), before + usize::from(stdout.is_some()));
    });
}

#[test]
fn a_long_datagram_is_read_as_far_as_it_goes() {
    block_on(async {
        let (notify, name) = NotifySocket::new().unwrap();
        let long = "x".repeat(64 * 1024);
        say(&name, format!("READY=1\nSTATUS=cut{long}"));
        say(&name, format!("STATUS={}", &long[..60_000]));
        say(&name, "STOPPING=1");
        let said = hear(&notify, &Message::Stopping).await;
        assert_eq!(
            said,
            [Message::Ready, status(&long[..256]), Message::Stopping]
        );
    });
}

#[test]
fn a_turn_takes_so_much_and_the_rest_is_for_the_next() {
    block_on(async {
        let (notify, name) = NotifySocket::new().unwrap();
        let said: Vec<Message> = [Message::Ready, Message::Reloading]
            .into_iter()
            .cycle()
            .take(10)
            .collect();
        for message in &said {
            let ready = *message == Message::Ready;
            say(&name, if ready { "READY=1" } else { "RELOADING=1" });
        }
        assert_eq!(next(&notify).await, said[..8]);
        assert_eq!(next(&notify).await, said[8..]);
    });
}

#[test]
fn a_worker_that_never_stops_talking_takes_nobodys_time() {
    block_on(async {
        let (notify, name) = NotifySocket::new().unwrap();
        let (over, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stop, count) = (Arc::clone(&over), Arc::clone(&sent));
        let flood = thread::spawn(move || {
            let socket = UnixDatagram::unbound().unwrap();
            socket.set_write_timeout(Some(patience())).unwrap();
            let (address, text) = (address(&name), "WATCHDOG=1\nSTATUS=x\n".repeat(500));
            while !stop.load(Ordering::Relaxed) {
                if socket.send_to_addr(text.as_bytes(), &address).is_err() {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let (turns, longest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (seen, most) = (Arc::clone(&turns), Arc::clone(&longest));
        let listening = tokio::spawn(async move {
            loop {
                let messages = u64::try_from(next(&notify).await.len()).unwrap();
                most.fetch_max(messages, Ordering::Relaxed);
                seen.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Other tasks run in between.
        while turns.load(Ordering::Relaxed) < 50 || sent.load(Ordering::Relaxed) < 500 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(longest.load(Ordering::Relaxed), 2);
        over.store(true, Ordering::Relaxed);
        listening.abort();
        assert!(listening.await.unwrap_err().is_cancelled());
        // The socket is gone, so its last send fails at once.
        until("the sender ends", || flood.is_finished());
    });
}

/// Socket names are visible to all in a shared network namespace: another container can read them in /proc/net/unix.
#[test]
fn a_process_that_we_cannot_see_is_not_heard() {
    let role = "RPM_TEST_NOTIFY_INNER";
    if env::var_os(role).is_some() {
        listen_inside();
        return;
    }
    // The name of a test has the path of its module, without the name of the binary.
    let module = module_path!().split_once("::").unwrap().1;
    let this = format!("{module}::a_process_that_we_cannot_see_is_not_heard");
    let mut inner = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", &this, "--nocapture"])
        .env(role, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(inner.stdout.take().unwrap()).lines();
    let name = lines
        .find_map(|line| line.unwrap().strip_prefix("socket ").map(str::to_owned))
        .unwrap();
    let listed = fs::read_to_string("/proc/net/unix").unwrap();
    assert!(listed.contains(&name), "{name} in\n{listed}");
    say(&name, "READY=1\nSTATUS=from outside");
    inner.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(inner.wait().unwrap().success(), "{rest:?}");
    assert!(rest.iter().any(|line| line == "heard"), "{rest:?}");
}

#[allow(clippy::print_stdout, reason = "it speaks to the test that started it")]
fn listen_inside() {
    block_on(async {
        let (notify, name) = NotifySocket::new().unwrap();
        println!("socket {name}");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        assert_eq!(line, "go on\n");
        let mut child = python(&name, "say(b'STATUS=from inside')");
        let worker = WorkerPid::new(i32::try_from(child.id()).unwrap()).unwrap();
        let mut refused = 0;
        let said = loop {
            let heard = notify.next(worker).await;
            refused += heard.refused;
            if !heard.messages.is_empty() {
                break heard.messages;
            }
            assert_eq!(heard.stranger.unwrap().pid, 0);
        };
        assert_eq!((said, refused), (vec![status("from inside")], 1));
        assert!(child.wait().unwrap().success());
        println!("heard");
    });
}

/// Others of the container know the name of the socket as well.
#[test]
fn only_processes_of_the_worker_are_heard() {
    block_on(async {
        let (notify, name) = NotifySocket::new().unwrap();
        let worker = "\
import subprocess, sys
say(b'STATUS=itself')
subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)
input()";
        let child = "import os, socket\n\
            out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
            out.sendto(b'STATUS=child', os.environ['NOTIFY_SOCKET'].replace('@', chr(0), 1))";
        let mut process = python_with(&name, worker, &[child]);
        let leader = WorkerPid::new(i32::try_from(process.id()).unwrap()).unwrap();
        let mut said = Vec::new();
        while said.len() < 2 {
            let heard = notify.next(leader).await;
            assert_eq!(heard.refused, 0);
            said.extend(heard.messages);
        }
        assert_eq!(said, [status("itself"), status("child")]);
        // This process is neither of them.
        say(&name, "WATCHDOG=trigger");
        say(&name, "STATUS=stranger");
        let mut refused = 0;
        while refused < 2 {
            let heard = notify.next(leader).await;
            assert_eq!(heard.messages, []);
            refused += heard.refused;
            let this = i32::try_from(std::process::id()).unwrap();
            assert_eq!(heard.stranger.map(|sender| sender.pid), Some(this));
        }
        process.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert!(process.wait().unwrap().success());
    });
}
