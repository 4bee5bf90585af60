//! The terminal is as it was, whatever ends the screen; and what happens where there is none.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use super::Home;
use crate::harness::shared_port::stop;
use crate::harness::{Signal, Tmux, process, scratch, terminal, threads, until, until_some};

/// The process of monit in the window.
fn monit(screen: &Tmux) -> i32 {
    let shell = screen.show("#{pane_pid}").parse().unwrap();
    until_some("monit runs", || {
        let mut found = crate::harness::descendants(shell).into_iter();
        let found = found.find(|one| one.name == "rpmctl");
        found.map(|one| one.pid)
    })
}

fn kill(pid: i32, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

/// Ends monit as told, and compares the terminal with what it was.
#[track_caller]
fn restores(home: &Home, name: &str, end: impl FnOnce(&Tmux), code: &str) {
    // The shell tells the modes before and after; what it wrote before stands on the first screen.
    let modes = scratch(&format!("m-modes-{name}"));
    let script = format!(
        "cd {}; stty -a >before; echo it was here before; {}; echo ended with $?; \
         stty -a >after; cmp before after && echo modes are the same; cat",
        modes.display(),
        home.monit("")
    );
    let screen = Tmux::start(&format!("r-{name}"), (80, 24), &script);
    screen.wait_for("2 of 2 ready");
    assert_eq!(
        screen.show("#{alternate_on} #{cursor_flag}"),
        "1 0",
        "{name}"
    );
    end(&screen);
    let shown = screen.wait_for("modes are the same");
    assert!(
        shown.contains(&format!("ended with {code}\n")),
        "{name}: {shown}"
    );
    assert!(shown.starts_with("it was here before\n"), "{name}: {shown}");
    assert!(!shown.contains("QUEUE"), "{name}: {shown}");
    assert_eq!(
        screen.show("#{alternate_on} #{cursor_flag}"),
        "0 1",
        "{name}"
    );
    let _ = fs::remove_dir_all(&modes);
}

#[test]
fn the_terminal_is_as_it_was_after_every_end() {
    let home = Home::new("ends");
    let runtime = home.serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    restores(&home, "q", |screen| screen.keys(&["q"]), "0");
    restores(&home, "c", |screen| screen.keys(&["C-c"]), "0");
    for (signal, code) in [
        (Signal::SIGTERM, "143"),
        (Signal::SIGHUP, "129"),
        (Signal::SIGINT, "130"),
        (Signal::SIGQUIT, "131"),
    ] {
        let end = |screen: &Tmux| kill(monit(screen), signal);
        restores(&home, signal.as_str(), end, code);
    }
    stop(runtime);
}

/// The key is known only to a build with debug assertions.
#[test]
fn a_panic_leaves_the_terminal_as_it_was_and_its_message_to_be_read() {
    let home = Home::new("panic");
    let runtime = home.serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    let end = |screen: &Tmux| {
        screen.keys(&["C-x"]);
        screen.wait_for("a panic was asked for");
    };
    restores(&home, "panic", end, "101");
    stop(runtime);
}

#[test]
fn ctrl_z_leads_to_the_shell_and_back() {
    let home = Home::new("stop");
    let runtime = home.serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    let screen = Tmux::start("stop", (80, 24), "PS1='ready> ' exec sh -i");
    screen.wait_for("ready>");
    screen.keys(&[&home.monit(""), "Enter"]);
    for round in 0..2 {
        screen.wait_for("2 of 2 ready");
        let pid = monit(&screen);
        if round == 0 {
            screen.keys(&["C-z"]);
        } else {
            kill(pid, Signal::SIGTSTP);
        }
        screen.wait("the shell is there", |shown| shown.contains("Stopped"));
        assert_eq!(screen.show("#{alternate_on} #{cursor_flag}"), "0 1");
        screen.keys(&["clear; fg", "Enter"]);
    }
    screen.wait_for("2 of 2 ready");
    screen.keys(&["q"]);
    screen.wait("the shell is there", |shown| {
        shown.trim_end().ends_with("ready>") && !shown.contains("QUEUE")
    });
    stop(runtime);
}

/// As by `kubectl exec`: a stopped monit would be a dead terminal.
#[test]
fn without_a_shell_to_go_to_ctrl_z_does_nothing() {
    let home = Home::new("orphan");
    let runtime = home.serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    let screen = Tmux::start("orphan", (80, 24), &format!("exec {}", home.monit("")));
    screen.wait_for("2 of 2 ready");
    screen.keys(&["C-z", "?"]);
    screen.wait_for("replace all workers");
    screen.keys(&["q", "q"]);
    screen.wait_for_end(0);
    stop(runtime);
}

#[test]
fn a_runtime_that_ends_is_told_and_the_next_one_is_shown() {
    let home = Home::new("ended");
    let mut runtime = home.serving(2).allow_leftovers().start();
    runtime.wait_for_status("/startupz", 200);
    let screen = home.screen("ended", (80, 24));
    screen.wait_for("2 of 2 ready");
    runtime.signal(Signal::SIGKILL);
    assert_eq!(runtime.wait_exit().signal(), Some(9));
    screen.wait_for("NO ANSWER, trying again each second.");
    screen.keys(&["r"]);
    screen.wait_for("no runtime can be reached now");
    let next = home.serving(3).start();
    next.wait_for_status("/startupz", 200);
    screen.wait_for("another runtime answers now");
    screen.wait("the new one", |shown| {
        shown.contains("3 of 3 ready") && !shown.contains("NO ANSWER")
    });
    screen.keys(&["q"]);
    screen.wait_for("ended with 0");
    stop(next);
}

#[test]
fn without_a_terminal_or_with_a_dumb_one_it_says_what_to_use() {
    let home = Home::new("none");
    let runtime = home.serving(1).start();
    runtime.wait_for_status("/startupz", 200);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rpmctl"));
    command
        .arg("--home")
        .arg(home.path())
        .arg("monit")
        .env_clear();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{text}");
    assert!(
        text.contains("needs a terminal") && text.contains("`rpmctl list`"),
        "{text}"
    );
    assert!(output.stdout.is_empty());

    let script = format!("{}; echo ended with $?; cat", home.monit("TERM=dumb"));
    let screen = Tmux::start("dumb", (80, 24), &script);
    let shown = screen.wait_for("ended with 64").replace('\n', "");
    assert!(shown.contains("`rpmctl list` needs none"), "{shown}");
    let script = format!("{} --json; echo ended with $?; cat", home.monit(""));
    let screen = Tmux::start("json", (80, 24), &script);
    assert!(
        screen
            .wait_for("ended with 64")
            .contains("rpmctl list --json")
    );
    stop(runtime);
}

#[test]
fn without_a_runtime_the_screen_does_not_begin() {
    let home = Home::new("nobody");
    let screen = home.screen("nobody", (80, 24));
    let shown = screen.wait_for("ended with 69");
    assert!(shown.contains("no runtime can be reached"), "{shown}");
}

#[test]
fn colours_are_there_unless_no_color_is_set() {
    let home = Home::new("colour");
    let runtime = home.serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    let coloured = |variables: &str| {
        let script = format!("{}; cat", home.monit(variables));
        let screen = Tmux::start(&format!("colour{}", variables.len()), (80, 24), &script);
        screen.wait_for("2 of 2 ready");
        screen.coloured()
    };
    let green = |text: &str| text.contains("\x1b[32m");
    assert!(green(&coloured("")));
    let plain = coloured("NO_COLOR=1");
    for colour in (30..38).chain(40..48) {
        let code = format!("{colour}m");
        assert!(
            !plain.contains(&format!("[{code}")) && !plain.contains(&format!(";{code}")),
            "{plain:?}"
        );
    }
    stop(runtime);
}

/// Nobody reads from this terminal, as on a link that is down: its buffer is full after the first screen.
#[test]
fn a_terminal_that_takes_nothing_does_not_keep_it_from_ending() {
    let home = Home::new("stuck");
    let runtime = home.serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    let (mut person, program) = terminal();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rpmctl"));
    command
        .arg("--home")
        .arg(home.path())
        .arg("monit")
        .env_clear()
        .stdin(program.try_clone().unwrap())
        .stdout(program)
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    let pid = i32::try_from(child.id()).unwrap();
    // The first letters tell that the screen has begun; each Ctrl-L writes all of it again.
    let mut bytes = [0; 8];
    person.read_exact(&mut bytes).unwrap();
    let writes = format!("{} 0x1 ", nix::libc::SYS_write);
    let blocked = || {
        let calls = threads(pid).into_iter();
        let mut calls = calls.filter_map(|(_, path)| fs::read_to_string(path.join("syscall")).ok());
        calls.any(|call| call.starts_with(&writes))
    };
    until("its writer is stuck", || {
        person.write_all(b"\x0c").unwrap();
        blocked()
    });
    kill(pid, Signal::SIGTERM);
    until("it has ended", || {
        process(pid).is_none_or(|one| one.state == 'Z')
    });
    assert_eq!(child.wait().unwrap().code(), Some(143));
    fs::remove_dir_all(home.path()).ok();
    stop(runtime);
}
