//! Which variables are settings, and the source of their text.

use super::*;
use crate::config::setting::Definition;
use crate::config::settings;

fn gathered(vars: &[(&str, &str)]) -> Texts {
    let names: Vec<&str> = settings().map(Definition::name).collect();
    let vars = vars.iter();
    let input = Input {
        vars: vars
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        args: vec![],
        cpus: CpuBudget::default(),
        memory: None,
        found: &crate::model::Found::default,
        read_file: &|path| match path.to_str() {
            Some("/instances") => Ok(b"3\n".to_vec()),
            Some("/crlf") => Ok(b"3\r\n".to_vec()),
            Some("/lines") => Ok(b"3\n\n".to_vec()),
            Some("/empty") => Ok(b"\n".to_vec()),
            Some("/binary") => Ok(vec![0xff]),
            Some("/nul") => Ok(vec![b'a', 0]),
            _ => Err(io::Error::from_raw_os_error(2)),
        },
    };
    Texts::read(&input, &names)
}

#[test]
fn empty_is_unset_and_others_are_none_of_our_business() {
    let given = gathered(&[
        ("RPM_INSTANCES", ""),
        ("PATH", "/bin"),
        ("rpm_instances", "7"),
        ("RPM_READY_FILE", ""),
    ]);
    assert!(given.get("RPM_INSTANCES").is_none());
    assert!(given.faults.is_empty() && given.warnings.is_empty() && given.sources.is_empty());
}

#[test]
fn a_file_gives_its_content_without_the_line_end() {
    for (file, expected) in [("/instances", "3"), ("/crlf", "3"), ("/lines", "3\n")] {
        let given = gathered(&[("RPM_INSTANCES_FILE", file)]);
        assert_eq!(given.get("RPM_INSTANCES"), Some(expected));
        assert_eq!(given.sources["RPM_INSTANCES"], Source::File(file.into()));
    }
    assert!(
        gathered(&[("RPM_INSTANCES_FILE", "/empty")])
            .get("RPM_INSTANCES")
            .is_none()
    );
    for file in ["/binary", "/nul", "/missing"] {
        let given = gathered(&[("RPM_INSTANCES_FILE", file)]);
        assert_eq!(given.faults.len(), 1, "{file}");
        assert!(given.broken.contains("RPM_INSTANCES"));
    }
}

#[test]
fn every_setting_has_a_text() {
    for setting in settings() {
        let name = setting.name();
        let given = gathered(&[(name, "marked value")]);
        assert!(
            given.faults.is_empty() && given.warnings.is_empty(),
            "{name}"
        );
        assert_eq!(given.get(name), Some("marked value"), "{name}");
    }
}

#[test]
fn service_links_are_ignored() {
    let given = gathered(&[
        ("RPM_SERVICE_HOST", "10.0.0.1"),
        ("RPM_SERVICE_PORT", "80"),
        ("RPM_SERVICE_PORT_HTTP", "80"),
        ("RPM_PORT", "tcp://10.0.0.1:80"),
        ("RPM_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("RPM_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("RPM_RUNTIME_SERVICE_HOST", "10.0.0.1"),
        ("RPM_RUNTIME_PORT", "udp://10.0.0.1:80"),
        ("RPM_RUNTIME_PORT_53_UDP_PROTO", "udp"),
    ]);
    assert_eq!(given.warnings, [""; 0]);
    assert!(given.faults.is_empty());
}

#[test]
fn what_we_set_for_workers_is_told_unless_an_outer_runtime_set_it() {
    let ignored =
        "is set by the runtime for each worker, and the value that it has here is ignored";
    for (name, hint) in [
        ("RPM_INSTANCE", "; did you mean RPM_INSTANCES?"),
        ("RPM_WORKERS", "; did you mean RPM_INSTANCES?"),
        ("RPM_GENERATION", ""),
    ] {
        let given = gathered(&[(name, "4")]);
        assert_eq!(given.warnings, [format!("{name} {ignored}{hint}")]);
        assert!(given.faults.is_empty());
        assert!(gathered(&[(name, "")]).warnings.is_empty(), "{name}");
    }
    let ours = worker_vars::ALL.iter().map(|var| var.name);
    for name in ours.filter(|name| name.starts_with("RPM_")) {
        assert!(NUMBERS.iter().any(|(number, _)| *number == name), "{name}");
    }
    let both = gathered(&[("RPM_INSTANCE", "4"), ("RPM_WORKERS", "4")]);
    assert_eq!(both.warnings.len(), 2);
    let nested = gathered(&[
        ("RPM_INSTANCE", "0"),
        ("RPM_WORKERS", "4"),
        ("RPM_GENERATION", "0"),
    ]);
    assert_eq!(nested.warnings, [""; 0]);
}

#[test]
fn unknown_names_are_told_with_the_nearest_known_one() {
    let table = [
        ("RPM_INSTANSES", "; did you mean RPM_INSTANCES?"),
        ("RPM_INSTANSES_FILE", "; did you mean RPM_INSTANCES_FILE?"),
        ("RPM_PORT", "; did you mean RPM_PORTS?"),
        ("RPM_MAX_MEMROY", "; did you mean RPM_MAX_MEMORY?"),
        ("RPM_ENVFILE", "; did you mean RPM_ENV_FILE?"),
        ("RPM_Instances", "; did you mean RPM_INSTANCES?"),
        ("RPM_SOMETHING_ELSE", ""),
        ("RPM_", ""),
    ];
    for (name, hint) in table {
        let expected = format!("{name} is not a known variable and is ignored{hint}");
        assert_eq!(gathered(&[(name, "1")]).warnings, [expected]);
    }
}

#[test]
fn the_first_of_two_counts() {
    let given = gathered(&[("RPM_INSTANCES", "1"), ("RPM_INSTANCES", "2")]);
    assert_eq!(given.get("RPM_INSTANCES"), Some("1"));
    assert_eq!(given.warnings.len(), 1);
}
