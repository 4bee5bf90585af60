use std::os::unix::net::UnixListener;

use super::super::socket_name;
use super::*;
use crate::sys::proc::ProcDir;

#[test]
fn only_the_names_of_runtimes_are_taken() {
    let path = |name: &str| of_runtime(&Address::Path(PathBuf::from(name)));
    assert_eq!(path("/run/rpm-runtime/17-2300.sock"), Some(17));
    for other in [
        "/run/17-2300",
        "/run/x-2300.sock",
        "/run/17.sock",
        "/run/-5.sock",
        "/run/1-+5.sock",
        "/run/99999999999999-5.sock",
    ] {
        assert_eq!(path(other), None, "{other}");
    }
    let name = |name: &str| of_runtime(&Address::Abstract(name.to_owned()));
    assert_eq!(name("rpm-runtime/1-50"), Some(1));
    assert_eq!(name("other/1-50"), None);
}

#[test]
fn an_address_is_read_as_it_is_shown() {
    for text in ["/run/rpm-runtime/17-2300.sock", "@rpm-runtime/1-50", "x"] {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
    }
    assert!("".parse::<Address>().is_err());
    assert!("@".parse::<Address>().is_err());
}

#[test]
fn the_process_of_the_name_is_preferred_to_one_that_has_taken_a_name() {
    let home = std::env::temp_dir().join(format!("rpm-proven-{}", std::process::id()));
    // Left by an earlier process with our PID.
    let _ = fs::remove_dir_all(&home);
    fs::create_dir(&home).unwrap();
    let search = |pid| Search {
        place: Place::Home(home.clone()),
        pid,
        uid: crate::sys::links::effective_user(),
    };
    let names = |found: Found| -> Vec<String> {
        let open = found.open.into_iter().map(|open| open.address);
        open.map(|address| address.to_string()).collect()
    };
    let listen = |name: &str| {
        let path = home.join(name);
        let listener = UnixListener::bind(&path).unwrap();
        (listener, path.to_str().unwrap().to_owned())
    };
    let (_taken, taken) = listen("1-5.sock");
    assert_eq!(names(search(None).run()), [taken.as_str()]);
    let proc = Proc::new("/proc");
    let started = proc.stat(ProcDir::Own).unwrap().started;
    let own = std::process::id();
    let (_own, real) = listen(&format!("{}{SUFFIX}", socket_name(own, started)));
    assert_eq!(names(search(None).run()), [real.as_str()]);
    assert_eq!(names(search(Some(1)).run()), [taken]);
    assert_eq!(names(search(Some(own)).run()), [real]);
    fs::remove_dir_all(&home).unwrap();
}

#[test]
fn abstract_names_are_read_from_the_table_of_the_kernel() {
    let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
                  0000000000000000: 00000002 00000000 00010000 0001 01 1 @rpm-runtime/1-50\n\
                  0000000000000000: 00000002 00000000 00010000 0001 01 2 /run/x.sock\n\
                  0000000000000000: 00000002 00000000 00010000 0001 01 3\n\
                  0000000000000000: 00000002 00000000 00010000 0001 01 4 @other\n\
                  0000000000000000: 00000002 00000000 00010000 0001 01 5 @\xff\n";
    let root = std::env::temp_dir().join(format!("rpm-find-{}", std::process::id()));
    fs::create_dir_all(root.join("net")).unwrap();
    fs::write(root.join("net/unix"), table).unwrap();
    let found = abstract_names(&Proc::new(&root));
    fs::remove_dir_all(&root).unwrap();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["@rpm-runtime/1-50"]);
}

#[test]
fn directories_of_others_together_are_looked_at_within_a_number_and_a_time() {
    let place = std::env::temp_dir().join(format!("rpm-elsewhere-{}", std::process::id()));
    let _ = fs::remove_dir_all(&place);
    let home = |name: &str| place.join(format!("rpm-runtime-{name}"));
    for name in ["own", "1", "2", "3"] {
        fs::create_dir_all(home(name)).unwrap();
        for pid in 0..ELSEWHERE * 2 / 3 {
            fs::write(home(name).join(format!("{pid}-5.sock")), "").unwrap();
        }
        fs::write(home(name).join("note"), "").unwrap();
    }
    let look = |end| elsewhere(&home(""), &[home("own")], end);
    let (addresses, unread) = look(instant() + Duration::from_hours(1));
    assert_eq!((addresses.len(), unread.len()), (ELSEWHERE, 0));
    let own = |address: &Address| address.to_string().contains("-own/");
    assert!(!addresses.iter().any(own));
    let (late, _) = look(instant());
    assert_eq!(late, []);
    fs::remove_dir_all(&place).unwrap();
}

#[test]
fn what_is_in_directories_of_others_denies_nothing() {
    let denied = || Closed::Failed(io::ErrorKind::PermissionDenied.into());
    assert!(denied().is_denied());
    assert!(!Closed::Elsewhere(Box::new(denied())).is_denied());
    let unproven = Closed::Elsewhere(Box::new(Closed::Unproven(7)));
    assert!(unproven.can_be_chosen() && !unproven.is_denied());
}
