//! `examples/batch` runs as its Dockerfile says: once, and its end is the end of the container.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::deployed::{Deployed, own_network};
use crate::harness::{Runtime, Signal, Stream, scratch, until_some};

/// The image, with `python3` of this machine, and perhaps with another file of orders.
fn image(orders: Option<&Path>) -> Deployed {
    own_network();
    let image = Deployed::new("batch", &[]).called("python3", "/usr/bin/python3");
    match orders {
        Some(orders) => image.mounted(orders, "/app/orders.jsonl"),
        None => image,
    }
}

#[track_caller]
fn said(runtime: &Runtime, stream: Stream) -> String {
    String::from_utf8(runtime.bytes(stream)).unwrap()
}

#[test]
fn the_job_runs_once_and_its_output_is_all_there_is() {
    let mut runtime = image(None).runtime().start();
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
    assert_eq!(said(&runtime, Stream::Out), "total 42\n");
    assert_eq!(said(&runtime, Stream::Err), "");
}

#[test]
fn a_job_that_fails_is_not_started_again_and_its_exit_code_is_passed_on() {
    let orders = scratch("batch-fails").join("orders");
    fs::write(&orders, "{\"amount\": 1}\n{\"amount\": \n").unwrap();
    let mut runtime = image(Some(&orders)).runtime().start();
    assert_eq!(runtime.wait_exit().code(), Some(65), "{}", runtime.shown());
    let errors = said(&runtime, Stream::Err);
    assert_eq!(
        errors.matches("line 2: JSONDecodeError").count(),
        1,
        "{errors}"
    );
}

/// It waits for a named pipe until it gets the signal.
#[test]
fn a_job_opens_no_port_and_gets_the_signal() {
    let orders = scratch("batch-waits").join("orders");
    mkfifo(&orders, Mode::S_IRWXU).unwrap();
    let mut runtime = image(Some(&orders)).runtime().start();
    let pipe = until_some("the job opens its file", || {
        // Fails as long as nobody reads.
        let writer = OpenOptions::new()
            .write(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(&orders);
        writer.ok()
    });
    assert_eq!(runtime.workers().len(), 1);
    for family in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/thread-self/net/{family}")).unwrap();
        let mut sockets = table.lines().skip(1);
        assert_eq!(sockets.next(), None, "{}", runtime.shown());
    }
    runtime.signal(Signal::SIGTERM);
    assert_eq!(
        runtime.wait_exit().code(),
        Some(128 + 15),
        "{}",
        runtime.shown()
    );
    drop(pipe);
}
