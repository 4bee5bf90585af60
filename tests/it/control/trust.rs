//! Which of several sockets `rpmctl` believes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::peers::FOREIGN;
use super::{Home, Said, apart, rpmctl, said};
use crate::harness::shared_port::stop;
use crate::harness::{Builder, Runtime};

/// A runtime with its socket in this directory.
fn with_home(home: &Path) -> Builder {
    Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home)
        .env("RPM_PORTS", "off")
        .program(["sleep", "1000"])
}

/// `rpmctl WORDS` in the namespaces of a process.
fn inside(runtime: &Runtime, words: &[&str], home: &Path) -> Said {
    let target = runtime.pid().to_string();
    let mut command = Command::new("nsenter");
    command.args(["--target", &target, "--pid", "--mount", "--"]);
    command.arg(env!("CARGO_BIN_EXE_rpmctl")).args(words);
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command.env("RPM_HOME", home);
    said(command)
}

#[test]
fn of_two_runtimes_that_are_both_pid_1_the_one_of_the_own_container_is_meant() {
    let home = Home::new("twins");
    let start = |app: &str| {
        let runtime = with_home(home.path())
            .env("RPM_APP_NAME", app)
            .pid1()
            .start();
        runtime.wait_for_line(|line| line.contains("control socket: rpmctl"));
        runtime
    };
    let (one, other) = (start("one"), start("other"));
    for (runtime, app) in [(&one, "one"), (&other, "other")] {
        let seen = inside(runtime, &["version"], home.path());
        assert_eq!(seen.code, 0, "{seen:?}");
        assert!(seen.out.contains(&format!("pid 1, of {app}\n")), "{seen:?}");
    }
    // From outside both are seen: by their addresses, and by their PIDs there.
    let unclear = home.ctl(&["version"]);
    assert_eq!(unclear.code, 64, "{unclear:?}");
    for file in home.files() {
        let path = home.path().join(file);
        let address = path.to_str().unwrap();
        assert!(
            unclear.err.contains(&format!("--socket {address}")),
            "{unclear:?}"
        );
        let chosen = said(rpmctl(&["version", "--socket", address]));
        assert_eq!(chosen.code, 0, "{chosen:?}");
    }
    let pid = other.pid().to_string();
    let chosen = home.ctl(&["version", "--pid", &pid]);
    assert!(chosen.out.contains("of other\n"), "{chosen:?}");
    stop(one);
    stop(other);
}

#[test]
fn an_abstract_name_is_an_address_too_and_no_other_choice_goes_with_it() {
    let runtime = with_home(Path::new("/proc/nowhere")).start();
    let line = runtime.wait_for_line(|line| line.contains("control socket: rpmctl"));
    let name = line.split("@rpm-runtime/").nth(1).unwrap();
    let address = format!("@rpm-runtime/{}", name.split([' ', '"']).next().unwrap());
    let seen = said(rpmctl(&["version", "--json", "--socket", &address]));
    assert_eq!(seen.code, 0, "{seen:?}");
    assert!(
        seen.out.contains(&format!("\"pid\":{}", runtime.pid())),
        "{seen:?}"
    );
    let both = said(rpmctl(&["version", "--socket", &address, "--pid", "1"]));
    assert_eq!(both.code, 64, "{both:?}");
    let nobody = said(rpmctl(&["health", "--socket", "/proc/nowhere/x"]));
    assert_eq!(nobody.code, 69, "{nobody:?}");
    assert!(nobody.err.contains("at /proc/nowhere/x"), "{nobody:?}");
    stop(runtime);
}

/// What another user can do: listen under the name of a runtime, in a directory where everybody may.
#[test]
fn root_uses_the_socket_of_another_user_only_if_it_is_proven_or_chosen() {
    let place = std::env::temp_dir().join(format!("rpm-decoy-{}", std::process::id()));
    let _ = fs::remove_dir_all(&place);
    let home = place.join("home");
    fs::create_dir_all(&home).unwrap();
    for path in [&place, &home] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o1777)).unwrap();
    }
    let program = place.join("rpm-runtime");
    fs::copy(env!("CARGO_BIN_EXE_rpm-runtime"), &program).unwrap();
    let decoy = with_home(&home)
        .under(["setpriv"].into_iter().chain(FOREIGN))
        .binary(&program)
        .start();
    decoy.wait_for_line(|line| line.contains("control socket: rpmctl"));
    let ctl = |words: &[&str]| {
        let mut command = apart(words);
        command.env("RPM_HOME", &home);
        said(command)
    };
    let only = || -> PathBuf {
        let mut files = fs::read_dir(&home).unwrap();
        files.next().unwrap().unwrap().path()
    };
    let proven = ctl(&["version"]);
    assert_eq!(proven.code, 0, "{proven:?}");

    let taken = home.join("1-1.sock");
    let own = only();
    fs::rename(&own, &taken).unwrap();
    let refused = ctl(&["reload"]);
    assert_eq!(refused.code, 77, "{refused:?}");
    assert!(refused.err.contains("user 61234 runs it"), "{refused:?}");
    assert!(refused.err.contains("--socket"), "{refused:?}");
    assert!(
        !decoy
            .texts()
            .iter()
            .any(|line| line.contains("command=reload"))
    );
    // It may be another one that is waited for.
    let late = ctl(&["wait", "--timeout", "300ms"]);
    assert_eq!(late.code, 2, "{late:?}");
    let address = taken.to_str().unwrap();
    let directory = home.to_str().unwrap();
    for choice in [["--socket", address], ["--home", directory], ["--pid", "1"]] {
        let chosen = ctl(&[&["version"][..], &choice].concat());
        assert_eq!(chosen.code, 0, "{choice:?}: {chosen:?}");
    }

    // Beside the real one it makes no choice necessary, not even under its true name.
    let real = with_home(&home).start();
    real.wait_for_line(|line| line.contains("control socket: rpmctl"));
    for name in [&taken, &own] {
        fs::rename(&taken, name).unwrap();
        for choice in [&[][..], &["--home", directory]] {
            let seen = ctl(&[&["version", "--json"], choice].concat());
            assert_eq!((seen.code, seen.err.as_str()), (0, ""), "{seen:?}");
            assert!(
                seen.out.contains(&format!("\"pid\":{}", real.pid())),
                "{seen:?}"
            );
        }
    }
    stop(real);
    stop(decoy);
    fs::remove_dir_all(&place).unwrap();
}
