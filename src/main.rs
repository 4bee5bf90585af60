//! The program: reads the configuration, takes the duties of PID 1, starts the supervisor, runs it, and reports the
//! end.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rpm_runtime::config::{self, Input, Opening, Resolved};
use rpm_runtime::log::Flushed;
use rpm_runtime::model::Sig;
use rpm_runtime::policy::{CpuBudget, SignalTable};
use rpm_runtime::revision;
use rpm_runtime::supervisor::{Boot, BootError, Ending, boot, try_out, write_termination_log};
use rpm_runtime::sys::cgroup::{self, Places};
use rpm_runtime::sys::clock::Clock;
use rpm_runtime::sys::clone3::{self, Clone3};
use rpm_runtime::sys::inherited::Inherited;
use rpm_runtime::sys::own_binary;
use rpm_runtime::sys::pid1;
use rpm_runtime::sys::place;
use rpm_runtime::sys::signals::{self, Signals};
use tokio::net::UnixStream;

/// Exit code of an internal error (sysexits.h, EX_SOFTWARE).
const EXIT_INTERNAL: u8 = 70;
/// Time limit for writing the last log lines: a stuck reader must not keep the container from ending.
const FLUSH: Duration = Duration::from_secs(3);
/// Time limit of `--healthcheck`.
const HEALTHCHECK: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let inherited = Inherited::find();
    let clock = Clock::start();
    if std::process::id() == 1 {
        // The kernel drops signals for which PID 1 has no handler; a blocked signal stays pending until
        // `Signals::take`.
        signals::block_all();
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    let env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let places = Places::find(Path::new("/"));
    let limits = places.limits();
    let cpus = CpuBudget {
        quota_milli: limits.cpu_milli,
        cpuset: limits.cpuset,
        affinity: cgroup::affinity(),
        online: cgroup::online(Path::new("/")),
        hidden: places.is_hidden(),
    };
    let args = std::env::args_os().skip(1).collect();
    let input = Input {
        vars: env.clone(),
        args,
        cpus,
        memory: limits.memory,
        read_file: &|path| place::read_path(path, place::SETTINGS),
        found: &revision::here,
    };
    match config::open(input) {
        Opening::Say(said) => {
            say(&said.stdout, std::io::stdout());
            say(&said.stderr, std::io::stderr());
            ExitCode::from(said.code)
        }
        Opening::Healthcheck(addr) => healthcheck(addr),
        Opening::CopyTo(path) => copy_to(&path),
        Opening::Check(resolved) => ExitCode::from(check(&resolved, env)),
        Opening::Run(resolved) => ExitCode::from(serve(
            *resolved,
            Host {
                env,
                places,
                clock,
                inherited,
            },
        )),
    }
}

/// What was found at the start.
struct Host {
    env: Vec<(OsString, OsString)>,
    places: Places,
    clock: Clock,
    /// The sockets that the process was started with.
    inherited: Inherited,
}

/// Runs the supervisor. A panic is an internal error: it is reported, and the process ends with an exit code of its
/// own. An abort of PID 1 would look like a segmentation fault.
fn serve(resolved: Resolved, host: Host) -> u8 {
    let termination_log = resolved.config.admin.termination_log.clone();
    let ending = panic::catch_unwind(AssertUnwindSafe(|| live(resolved, host)));
    let ending = ending.unwrap_or_else(|_| Ending {
        code: EXIT_INTERNAL,
        text: "rpm-runtime: an internal error ended it; please report the lines above".to_owned(),
    });
    write_termination_log(&termination_log, &ending.text);
    if ending.code == EXIT_INTERNAL {
        say(&format!("{}\n", ending.text), std::io::stderr());
    }
    ending.code
}

fn live(resolved: Resolved, host: Host) -> Ending {
    match settle_and_run(resolved, host) {
        Ok(ending) => ending,
        Err(error) => {
            say(&format!("{error}\n"), std::io::stderr());
            Ending {
                code: error.code,
                text: error.to_string(),
            }
        }
    }
}

fn settle_and_run(resolved: Resolved, host: Host) -> Result<Ending, BootError> {
    let Resolved {
        config,
        mut warnings,
        lines,
    } = resolved;
    warnings.extend(threads()?);
    // Before anything that takes time: a SIGTERM during the start must not be lost.
    let signals =
        Signals::take(collected()).map_err(|error| BootError::refused("take signals", &error))?;
    let wakes = signals
        .wakes()
        .map_err(|error| BootError::refused("take signals", &error))?;
    let role = pid1::settle();
    let files = pid1::raise_file_limit().ok();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| BootError::refused("set up the event loop", &error))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let parts = Boot {
            config,
            warnings,
            lines,
            env: host.env,
            role,
            files,
            inherited: host.inherited,
            places: host.places,
            clock: host.clock,
        };
        let (supervisor, log) = boot(parts).await?;
        let wakes = UnixStream::from_std(wakes)
            .map_err(|error| BootError::refused("watch for signals", &error))?;
        let streams = supervisor.closing();
        let mut ending = supervisor.run(signals, wakes).await;
        if let Flushed::Unfinished { bytes } = log.flush(FLUSH) {
            ending.add(&format!(
                "the output was stuck, up to {bytes} bytes were not written"
            ));
        }
        streams.close().await;
        let left = log.left_for_file(Duration::ZERO);
        if left > 0 {
            ending.add(&format!(
                "RPM_LOG_OWN_FILE was stuck, {left} lines were not written to it"
            ));
        }
        let lost = log.totals().unwritten();
        if lost > 0 {
            ending.add(&format!("the output did not accept {lost} lines"));
        }
        Ok(ending)
    })
}

/// Makes sure that threads can be started, before the first one is. Returns a warning if that took something.
fn threads() -> Result<Option<String>, BootError> {
    const WHY: &str = "the seccomp profile of this container answers EPERM to clone3, as those of old engines do (Docker \
                       before 20.10.10)";
    match clone3::mend() {
        Clone3::Usable => Ok(None),
        Clone3::Mended => Ok(Some(format!(
            "{WHY}; the runtime has it answered with ENOSYS, for itself and for the workers, so that threads can be \
             started. Update the engine"
        ))),
        Clone3::Forbidden(errno) => {
            let what = format!(
                "start threads: {WHY}, and a filter that mends it cannot be installed. Update the engine, or run the \
                 container with another profile"
            );
            Err(BootError::refused(&what, &errno.into()))
        }
    }
}

/// Every signal that can be taken: one that is not forwarded must not end or suspend the runtime either.
fn collected() -> impl Iterator<Item = Sig> {
    (1..=64)
        .filter_map(Sig::new)
        .filter(|sig| SignalTable::collects(*sig))
        .chain([Sig::CHLD])
}

/// `--check`: shows the configuration, and tries what can be tried without starting anything.
fn check(resolved: &Resolved, env: Vec<(OsString, OsString)>) -> u8 {
    let tried = try_out(&resolved.config, env);
    let budget = config::stop_budget(&resolved.config);
    let budget = budget.map_or_else(String::new, |budget| format!("\n{budget}\n"));
    say(
        &format!("{}{budget}", config::table(&resolved.lines)),
        std::io::stdout(),
    );
    let warnings = [resolved.warnings.as_slice(), &tried.warnings].concat();
    say(&config::warnings(&warnings), std::io::stderr());
    tried.fault.map_or(0, |(code, fault)| {
        say(&format!("rpm-runtime: {fault}\n"), std::io::stderr());
        code
    })
}

fn healthcheck(addr: Option<std::net::SocketAddr>) -> ExitCode {
    let outcome = match addr {
        Some(addr) => rpm_runtime::admin::healthcheck(addr, HEALTHCHECK),
        None => Err("RPM_ADMIN_ADDR is off, so /readyz cannot be asked".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(
                &format!("rpm-runtime: not healthy: {why}\n"),
                std::io::stderr(),
            );
            ExitCode::FAILURE
        }
    }
}

/// `--copy-to PATH`.
fn copy_to(path: &Path) -> ExitCode {
    match own_binary::copy_to(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!(
                "rpm-runtime: cannot copy the binary to {}: {error}\n",
                path.display()
            );
            say(&text, std::io::stderr());
            ExitCode::FAILURE
        }
    }
}

/// Errors are ignored: if nothing reads the output, there is no other place to report to.
fn say(text: &str, mut to: impl Write) {
    let _ = to.write_all(text.as_bytes());
    let _ = to.flush();
}
