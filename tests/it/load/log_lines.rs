//! Everything at once: eight writers, reloads, kills, rotation, reopened files, a slow and a stuck reader. Every line
//! must arrive once, complete and in the order of its stream, on stdout and in the files.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::harness::{
    Form, Ledger, Reader, Runtime, Signal, Speed, Stream, account, example, lines_of, log_files,
    log_lines, scratch, until,
};
use nix::sys::signal::kill;
use nix::unistd::Pid;

const WORKERS: usize = 8;

/// What differs between the runs.
struct Case {
    form: Form,
    split: bool,
    /// One file for each slot and stream, instead of one file for all.
    apart: bool,
    rotate_size: &'static str,
}

/// The slots and streams in the log formats are those of the writers.
#[track_caller]
fn origins(form: Form, lines: &[String]) {
    for line in lines {
        let entry = form.entry(line);
        let mut words = entry.text.split(' ').skip(1);
        // A line that was cut by a kill may lack its end.
        let (Some(id), Some(stream)) = (words.next(), words.next()) else {
            continue;
        };
        if let (Some(slot), None) = (entry.slot, &entry.own) {
            assert_eq!(id.split('.').next(), Some(&*slot.to_string()), "{line}");
        }
        if let (Some(said), Some(_)) = (entry.stream, words.next()) {
            assert_eq!(said, format!("std{stream}"), "{line}");
        }
    }
}

/// One run, from its start to its end.
struct Run<'a> {
    case: &'a Case,
    ledger: Ledger,
    directory: PathBuf,
    runtime: Runtime,
    reader: Reader,
}

impl<'a> Run<'a> {
    fn start(case: &'a Case) -> Self {
        let form = case.form;
        let ledger = Ledger::new(form.name());
        let directory = scratch(&format!("checker-{}", form.name()));
        let (reader, stdout) = Reader::pipe(65536, Speed::Fast);
        let (file, error) = if case.apart {
            ("{slot}/out.log", "{slot}/error.log")
        } else {
            ("all.log", "")
        };
        let mut builder = Runtime::builder()
            .env("RPM_PORTS", "off")
            .env("RPM_INSTANCES", WORKERS.to_string())
            .env("RPM_READY", "delay:20ms")
            .env("RPM_BACKOFF_MIN", "10ms")
            .env("RPM_MAX_RESTARTS", "0")
            .env("RPM_SIGNALS", "WINCH=reopen")
            .env("RPM_LOG_FORMAT", form.name())
            .env("RPM_LOG_STDERR", if case.split { "split" } else { "merge" })
            .env("RPM_LOG_FILE", directory.join(file))
            .env("RPM_LOG_ROTATE_EVERY", "1s")
            .env("RPM_LOG_ROTATE_SIZE", case.rotate_size)
            .env("RPM_LOG_RETAIN", "all")
            .env("RPM_LOG_COMPRESS", "true")
            .arg(example("writer"))
            .program(["--forever", "--unique", "--burst", "300", "--pause", "60"])
            .arg("--ledger")
            .arg(ledger.path());
        if !error.is_empty() {
            builder = builder.env("RPM_LOG_ERROR_FILE", directory.join(error));
        }
        Self {
            case,
            ledger,
            directory,
            runtime: builder.stdout(stdout).start(),
            reader,
        }
    }

    fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.runtime.metric_sum(name, labels).unwrap()
    }

    fn rotations(&self) -> u64 {
        self.count("rpm_log_file_rotations_total", &[("result", "success")])
    }

    fn reloads(&self) -> u64 {
        self.count("rpm_reloads_total", &[("result", "success")])
    }

    /// All eight workers run and have written their first lines.
    fn all_write(&self) -> bool {
        let workers = self.runtime.workers();
        let writing = self.ledger.pids();
        workers.len() == WORKERS && workers.iter().all(|worker| writing.contains(&worker.pid))
    }

    /// Waits while the runtime repeatedly reopens its files.
    #[track_caller]
    fn until_in_storm(&self, what: &str, signal: Signal, done: impl Fn() -> bool) {
        until(what, || {
            for _ in 0..5 {
                self.runtime.signal(signal);
            }
            done()
        });
    }

    fn reload_and_kill(&self) {
        until("eight write", || self.all_write());
        // SIGWINCH, because a starting worker that does not ignore SIGUSR1 yet would be killed by it; SIGWINCH kills no
        // worker.
        let before = self.reloads();
        self.runtime.signal(Signal::SIGHUP);
        self.until_in_storm("the reload is over", Signal::SIGWINCH, || {
            self.reloads() > before
        });
        until("eight write", || self.all_write());

        self.reader.speed(Speed::Slow);
        let before = self.rotations();
        self.until_in_storm("a second is over", Signal::SIGUSR1, || {
            self.rotations() > before
        });
        for round in 0..3 {
            let victims = self.runtime.workers();
            let victims: Vec<i32> = victims.iter().map(|worker| worker.pid).collect();
            let victims: Vec<i32> = victims.into_iter().skip(round).step_by(3).collect();
            for victim in &victims {
                kill(Pid::from_raw(*victim), Signal::SIGKILL).unwrap();
            }
            self.until_in_storm("their successors write", Signal::SIGWINCH, || {
                let mut now = self.runtime.children().into_iter();
                now.all(|child| !victims.contains(&child.pid)) && self.all_write()
            });
        }
    }

    fn stick_and_reload(&self) {
        self.reader.speed(Speed::Stopped);
        until("every worker waits in a write", || {
            let stuck = |pid: i32| {
                let place = fs::read_to_string(format!("/proc/{pid}/wchan"));
                place.is_ok_and(|place| place.contains("pipe"))
            };
            self.runtime
                .workers()
                .iter()
                .all(|worker| stuck(worker.pid))
        });
        assert_eq!(self.runtime.get("/livez").status, 200);
        let before = self.reloads();
        self.runtime.signal(Signal::SIGHUP);
        until("the reload is over", || self.reloads() > before);
        self.reader.speed(Speed::Fast);
        until("eight write", || self.all_write());
        let written = self.ledger.total();
        self.until_in_storm("more is written", Signal::SIGUSR1, || {
            self.ledger.total() > written + 5000
        });
    }

    /// Waits for files of several seconds, one of them compressed.
    fn wait_files(&self) {
        let name = if self.case.apart {
            "0/out.log"
        } else {
            "all.log"
        };
        let files = || log_files(&self.directory.join(name));
        let seconds = || -> BTreeSet<String> {
            let times = files().into_iter().filter_map(|path| {
                let (_, rest) = path.to_str()?.split_once(".log.")?;
                Some(rest.split('Z').next()?.to_owned())
            });
            times.collect()
        };
        self.until_in_storm("some seconds pass", Signal::SIGUSR1, || seconds().len() > 3);
        // The last files may never be compressed.
        let packed = |path: &PathBuf| path.extension().is_some_and(|end| end == "gz");
        until("a file is packed", || files().iter().any(packed));
    }

    /// Stops the runtime; returns the number of lines in the streams.
    fn stop(mut self) -> (Stopped<'a>, u64) {
        let failures = [("result", "failure")];
        for (name, labels) in [
            ("rpm_log_dropped_lines_total", &[][..]),
            ("rpm_log_file_dropped_lines_total", &[]),
            ("rpm_log_file_rotations_total", &failures),
        ] {
            assert_eq!(self.count(name, labels), 0, "{name}");
        }
        self.runtime.signal(Signal::SIGTERM);
        assert_eq!(self.runtime.wait_exit().code(), Some(0));
        let out = lines_of(&self.reader.rest());
        let err = lines_of(&self.runtime.bytes(Stream::Err));
        let stopped = Stopped {
            case: self.case,
            ledger: self.ledger,
            directory: self.directory,
        };
        let arrived = if self.case.split {
            stopped.check("stdout", &out, Some("out")) + stopped.check("stderr", &err, Some("err"))
        } else {
            assert!(err.is_empty(), "{err:?}");
            stopped.check("stdout", &out, None)
        };
        (stopped, arrived)
    }
}

/// The result of a run.
struct Stopped<'a> {
    case: &'a Case,
    ledger: Ledger,
    directory: PathBuf,
}

impl Stopped<'_> {
    /// Number of lines of the workers; panics if one is missing in the stream, or in both.
    #[track_caller]
    fn check(&self, what: &str, lines: &[String], stream: Option<&str>) -> u64 {
        origins(self.case.form, lines);
        let mut wanted = self.ledger.written();
        wanted.retain(|(_, of), _| stream.is_none_or(|stream| of == stream));
        let written = self.case.form.written(lines);
        let arrived = account(written.iter().map(String::as_str), &wanted);
        assert!(arrived > 1000, "{what}: {arrived} lines");
        arrived
    }

    /// The lines of a file and of its rotated files.
    #[track_caller]
    fn lines(&self, path: &str) -> Vec<String> {
        let path = self.directory.join(path);
        let files = log_files(&path);
        assert!(files.len() > 2, "{files:?}");
        log_lines(&path)
    }

    /// Number of lines in the files.
    fn in_files(&self) -> u64 {
        if !self.case.apart {
            return self.check("file", &self.lines("all.log"), None);
        }
        let both = [("out.log", "out"), ("error.log", "err")];
        let counts = both.map(|(name, stream)| {
            let slots = (0..WORKERS).map(|slot| self.lines(&format!("{slot}/{name}")));
            let lines: Vec<String> = slots.flatten().collect();
            self.check(name, &lines, Some(stream))
        });
        counts.iter().sum()
    }
}

fn everything_at_once(case: &Case) {
    let run = Run::start(case);
    for _ in 0..2 {
        run.reload_and_kill();
        run.stick_and_reload();
    }
    run.wait_files();
    let (stopped, arrived) = run.stop();
    assert_eq!(stopped.in_files(), arrived);
    // The first workers, those of four reloads, and the successors of the killed ones.
    let writers = stopped.ledger.pids().len();
    assert!(writers >= 6 * WORKERS, "{writers}");
    fs::remove_dir_all(stopped.directory).unwrap();
}

#[test]
fn every_line_survives_everything_at_once_in_raw() {
    everything_at_once(&Case {
        form: Form::Raw,
        split: false,
        apart: false,
        rotate_size: "1Mi",
    });
}

#[test]
fn every_line_survives_everything_at_once_in_prefix() {
    everything_at_once(&Case {
        form: Form::Prefix,
        split: false,
        apart: true,
        rotate_size: "off",
    });
}

#[test]
fn every_line_survives_everything_at_once_in_json() {
    everything_at_once(&Case {
        form: Form::Json,
        split: true,
        apart: false,
        rotate_size: "off",
    });
}
