//! Memory use of real processes, and which of them the kernel would kill first.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::rc::Rc;

use crate::harness::{self, patience, until};
use rpm_runtime::model::{Exit, Pid, Sig};
use rpm_runtime::policy::Bytes;
use rpm_runtime::sys::pid1::worker_oom_score_adj;
use rpm_runtime::sys::proc::{Proc, ProcDir};
use rpm_runtime::sys::spawn::{Plan, Stdin, spawn};
use rpm_runtime::sys::{io, reaper, signals};
use rpm_runtime::triggers::{Fired, memory};

const MI: u64 = 1 << 20;

/// A worker whose output can be read.
struct Worker {
    pid: Pid,
    output: BufReader<File>,
}

impl Worker {
    fn start(script: &str, oom_score_adj: Option<i32>) -> Self {
        let pipe = io::OutputPipe::new().unwrap();
        io::set_nonblocking(&pipe.read, false).unwrap();
        let argv = ["sh", "-c", script].map(OsString::from);
        let plan = Plan {
            argv: &argv,
            env: &[("PATH".into(), std::env::var_os("PATH").unwrap())],
            stdin: Stdin::Null,
            output: Some((pipe.write.as_fd(), pipe.write.as_fd())),
            activation: &[],
            channel: None,
            filter: None,
            death_signal: None,
            file_limit: None,
            oom_score_adj,
            foreground: false,
            keep_inherited: false,
        };
        let pid = spawn(&plan).unwrap().pid;
        Self {
            pid,
            output: BufReader::new(File::from(pipe.read)),
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// All its output until it ends.
    fn rest(&mut self) -> String {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        assert_eq!(reaper::wait_for(self.pid), Ok(Exit::Code(0)));
        text.trim().to_owned()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended and been reaped.
        if harness::process(self.pid.get()).is_some() {
            let _ = signals::send_group(self.pid, Sig::KILL);
            let _ = reaper::wait_for(self.pid);
        }
    }
}

#[test]
fn a_worker_is_told_to_be_killed_before_the_runtime() {
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let own: i32 = own.trim().parse().unwrap();
    let raised = worker_oom_score_adj().unwrap();
    assert_eq!(raised, (own + 100).min(1000));
    let score = |adj| Worker::start("cat /proc/self/oom_score_adj", adj).rest();
    assert_eq!(score(Some(raised)), raised.to_string());
    assert_eq!(score(None), own.to_string());
    // Above the maximum: the worker starts nevertheless.
    assert_eq!(score(Some(4000)), own.to_string());
    let after = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(after.trim(), own.to_string());
}

/// A shell command that holds this amount of memory, prints a line, and waits.
fn hog(mebibytes: u32) -> String {
    format!(
        "x=$(head -c {mebibytes}M /dev/zero | tr '\\0' x); echo held ${{#x}}; exec 9<>/dev/null; while :; do sleep 600; done"
    )
}

#[test]
fn the_worker_that_uses_too_much_is_named_and_no_other() {
    // The second worker keeps the memory in another process of its group, not in its leader.
    let scripts = [hog(1), format!("( {} ) & wait", hog(60)), hog(2)];
    let mut workers: Vec<Worker> = scripts
        .iter()
        .map(|script| Worker::start(script, None))
        .collect();
    for (worker, held) in workers.iter_mut().zip([1, 60, 2]) {
        assert_eq!(worker.line(), format!("held {}", held * MI));
    }
    let leaders: Vec<Pid> = workers.iter().map(|worker| worker.pid).collect();
    let proc = Proc::new("/proc");
    let leader = proc.stat(ProcDir::Of(leaders[1])).unwrap();
    assert!(leader.resident_bytes < 30 * MI, "{leader:?}");
    let looks = Rc::new(Cell::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let fired = local.block_on(&runtime, async {
        let (counted, named) = (Rc::clone(&looks), leaders.clone());
        let workers = move || {
            counted.set(counted.get() + 1);
            named.clone()
        };
        let (sender, mut fired) = tokio::sync::mpsc::unbounded_channel();
        let (_constant, limit) = tokio::sync::watch::channel(Some(Bytes(40 * MI)));
        let tell = move |what| drop(sender.send(what));
        tokio::task::spawn_local(memory(limit, proc, workers, tell));
        tokio::time::timeout(patience(), fired.recv()).await
    });
    assert_eq!(looks.get(), 2, "twice in a row");
    let Ok(Some(Fired::Memory { pid, bytes, limit })) = fired else {
        panic!("{fired:?}");
    };
    assert_eq!((pid, limit), (leaders[1], Bytes(40 * MI)));
    assert!((60 * MI..90 * MI).contains(&bytes), "{bytes}");
}

#[test]
fn memory_that_is_shared_is_counted_once() {
    // Four processes forked with the same 30 MiB: together they seem to use 150.
    let script = "x=$(head -c 30M /dev/zero | tr '\\0' x); for n in 1 2 3 4; do (echo up; sleep 600; echo $x) & done; wait";
    let mut worker = Worker::start(script, None);
    for _ in 0..4 {
        assert_eq!(worker.line(), "up");
    }
    let proc = Proc::new("/proc");
    let group = || {
        let mut members = proc.pids().unwrap();
        members.retain(|pid| {
            let stat = proc.stat(ProcDir::Of(*pid));
            stat.is_ok_and(|stat| stat.group == Some(worker.pid))
        });
        members
    };
    // Each shell and its sleep.
    until("all are there", || group().len() >= 9);
    let sum = |bytes: &dyn Fn(Pid) -> u64| group().into_iter().map(bytes).sum::<u64>();
    let resident = sum(&|pid| proc.stat(ProcDir::Of(pid)).unwrap().resident_bytes);
    let proportional = sum(&|pid| proc.memory(ProcDir::Of(pid)).unwrap().proportional);
    assert!(resident > 140 * MI, "{resident}");
    assert!((30 * MI..70 * MI).contains(&proportional), "{proportional}");
}
