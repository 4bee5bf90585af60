//! One runtime under test, and the processes that it started.

use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use std::{io, thread};

use nix::sys::signal::{self, Signal};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::builder::Builder;
use super::http::{Reply, http_get};
use super::output::{Line, Output, Stream};
use super::processes::{self, Process};
use super::{eventually, patience, until_some};

/// True once the child has ended.
pub(super) type Ended = Arc<(Mutex<bool>, Condvar)>;

/// A running or ended runtime. On drop, everything that it started is killed. If it ended by itself and one of its
/// processes still lives, the test fails.
pub struct Runtime {
    pub(super) child: Child,
    /// The PID of the runtime: of `child`, or under `unshare` of its child.
    pub(super) pid: i32,
    pub(super) mark: String,
    pub(super) admin: u16,
    pub(super) output: Output,
    pub(super) ended: Ended,
    pub(super) status: Option<ExitStatus>,
    pub(super) leftovers: bool,
}

/// Watches for the end of a child without reaping it, so its PID is not reused before [`Runtime`] is dropped.
pub(super) fn watch(pid: u32) -> Ended {
    let ended = Arc::new((Mutex::new(false), Condvar::new()));
    let shared = Arc::clone(&ended);
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    thread::spawn(move || {
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
            == Err(nix::Error::EINTR)
        {}
        *shared.0.lock().unwrap() = true;
        shared.1.notify_all();
    });
    ended
}

impl Runtime {
    /// One worker, a free admin port on 127.0.0.1, no program.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The PID of the runtime, as seen from here.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The write end of `stdin(Stdio::piped())`; dropping it closes it.
    #[track_caller]
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("stdin is a pipe")
    }

    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.signal_number(signal as i32);
    }

    /// For signals without a name. Not called after the end: the PID is held until then.
    #[track_caller]
    pub fn signal_number(&self, number: i32) {
        assert!(self.status.is_none(), "the runtime has ended");
        #[allow(unsafe_code, reason = "nix knows no real-time signals")]
        // SAFETY: takes numbers only.
        let result = unsafe { nix::libc::kill(self.pid, number) };
        assert_eq!(result, 0, "kill: {}", io::Error::last_os_error());
    }

    /// Living and dead children of the runtime: workers, and other processes that are not reaped.
    pub fn children(&self) -> Vec<Process> {
        processes::children(self.pid)
    }

    /// Living children of the runtime.
    pub fn workers(&self) -> Vec<Process> {
        self.children()
            .into_iter()
            .filter(|process| !process.is_zombie())
            .collect()
    }

    /// Children of the runtime that are not reaped.
    pub fn zombies(&self) -> usize {
        self.children()
            .iter()
            .filter(|process| process.is_zombie())
            .count()
    }

    /// Waits for `count` living children.
    #[track_caller]
    pub fn wait_workers(&self, count: usize) -> Vec<Process> {
        until_some(&format!("{count} workers"), || {
            Some(self.workers()).filter(|workers| workers.len() == count)
        })
    }

    /// All lines so far of both streams, in the order of arrival.
    pub fn lines(&self) -> Vec<Line> {
        self.output.lines()
    }

    /// The text of all lines so far, of both streams.
    pub fn texts(&self) -> Vec<String> {
        self.lines().into_iter().map(|line| line.text).collect()
    }

    /// All bytes of a stream so far.
    pub fn bytes(&self, stream: Stream) -> Vec<u8> {
        self.output.bytes(stream)
    }

    /// The output for a person to read.
    pub fn shown(&self) -> String {
        self.output.shown()
    }

    /// A position in the output, for [`Runtime::wait_for_line_after`].
    pub fn mark(&self) -> usize {
        self.output.count()
    }

    /// The first line, past or future, that `fits`.
    #[track_caller]
    pub fn wait_for_line(&self, fits: impl Fn(&str) -> bool) -> String {
        self.wait_for_line_after(0, fits)
    }

    /// The first line after `mark` that `fits`.
    #[track_caller]
    pub fn wait_for_line_after(&self, mark: usize, fits: impl Fn(&str) -> bool) -> String {
        self.output.wait(|lines| {
            lines
                .iter()
                .skip(mark)
                .find(|line| fits(&line.text))
                .map(|line| line.text.clone())
        })
    }

    /// The first `count` lines that fit.
    #[track_caller]
    pub fn wait_for_lines(&self, count: usize, fits: impl Fn(&str) -> bool) -> Vec<String> {
        self.output.wait(|lines| {
            let fitting = lines.iter().filter(|line| fits(&line.text)).take(count);
            let found: Vec<String> = fitting.map(|line| line.text.clone()).collect();
            (found.len() == count).then_some(found)
        })
    }

    /// The admin address, unless the test has set `RPM_ADMIN_ADDR`.
    pub fn admin(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.admin).into()
    }

    /// Requests a path from the admin address.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        let reply = http_get(self.admin(), path);
        reply.unwrap_or_else(|error| {
            panic!("GET {path}: {error}; the output was:\n{}", self.shown())
        })
    }

    /// Waits until the admin address answers `path` with `status`.
    #[track_caller]
    pub fn wait_for_status(&self, path: &str, status: u16) -> Reply {
        let asked = || {
            http_get(self.admin(), path)
                .ok()
                .filter(|reply| reply.status == status)
        };
        let mut last = None;
        let came = eventually(|| {
            last = asked();
            last.is_some() || self.has_ended()
        });
        match last {
            Some(reply) if came => reply,
            _ => panic!(
                "{path} never answered {status}; the output was:\n{}",
                self.shown()
            ),
        }
    }

    /// The value of a metric with all its labels as exported: `metric("rpm_worker_restarts_total{worker=\"0\"}")`.
    /// `None` if absent.
    #[track_caller]
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = self.get("/metrics").text();
        text.lines().find_map(|line| {
            line.strip_prefix(series)?
                .strip_prefix(' ')?
                .split(' ')
                .next()?
                .parse()
                .ok()
        })
    }

    /// The sum of the series of `name` that have all of `labels`; `None` if there is none.
    #[track_caller]
    pub fn metric_sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        // The admin port may not be open yet.
        let text = self.wait_for_status("/metrics", 200).text();
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (found, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.split_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            let carries = |(key, value): &(&str, &str)| {
                let wanted = format!("{key}=\"{value}\"");
                found.split(',').any(|label| label == wanted)
            };
            let value = value.split(' ').next()?;
            // All sums are sums of counts.
            labels
                .iter()
                .all(carries)
                .then(|| value.parse::<u64>().unwrap())
        });
        values.reduce(|sum, value| sum + value)
    }

    pub fn has_ended(&self) -> bool {
        *self.ended.0.lock().unwrap()
    }

    /// Waits for the end of the runtime, and for the end of its output unless a left-over process holds it open.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        if let Some(status) = self.status {
            return status;
        }
        let ended = self.ended.0.lock().unwrap();
        let timeout = self
            .ended
            .1
            .wait_timeout_while(ended, patience(), |ended| !*ended)
            .unwrap()
            .1;
        assert!(
            !timeout.timed_out(),
            "the runtime never ended; the output was:\n{}",
            self.shown()
        );
        let status = self.child.wait().unwrap();
        self.status = Some(status);
        if self.alive().is_empty() {
            self.output.wait_end();
        }
        status
    }

    /// Every living process that came from this runtime, including itself.
    pub fn alive(&self) -> Vec<Process> {
        let mut alive = processes::marked(&self.mark);
        if self.status.is_none() {
            let below = processes::descendants(i32::try_from(self.child.id()).unwrap());
            alive.extend(below.into_iter().filter(|process| !process.is_zombie()));
        }
        alive.sort_by_key(|process| process.pid);
        alive.dedup_by_key(|process| process.pid);
        alive
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let ended = self.status.is_some() || self.has_ended();
        // A process that was just sent SIGKILL may need a moment to disappear.
        let end = Instant::now() + patience().min(Duration::from_secs(1));
        while ended && !self.alive().is_empty() && Instant::now() < end {
            thread::yield_now();
        }
        let left = if ended { self.alive() } else { Vec::new() };
        if self.status.is_none() {
            // It is not reaped, so the PID is its own. Kill it first, so that it starts nothing more.
            let _ = signal::kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
        let gone = eventually(|| {
            let alive = self.alive();
            for process in &alive {
                let _ = signal::kill(Pid::from_raw(process.pid), Signal::SIGKILL);
            }
            alive.is_empty()
        });
        if self.status.is_none() {
            self.status = self.child.wait().ok();
        }
        if thread::panicking() {
            eprintln!("the output was:\n{}", self.shown());
            return;
        }
        assert!(gone, "processes that do not die: {:?}", self.alive());
        assert!(
            left.is_empty() || self.leftovers,
            "left behind: {left:?}; the output was:\n{}",
            self.shown()
        );
    }
}
