//! What each folder holds, and that its files agree.

use std::fs;

use crate::chart::helm::{Render, objects};
use crate::chart::pod_security::broken;
use crate::harness::deployed::{folder, folders};
use crate::harness::dockerfile::{Copy, Stage, stages, stages_of};

/// The last stage, which is the image.
fn image(name: &str) -> Stage {
    stages_of(&folder(name)).pop().unwrap()
}

fn read(name: &str, file: &str) -> String {
    let path = folder(name).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A job is the only one without a port, and has a Job in the place of the values.
fn serves(name: &str) -> bool {
    name != "batch"
}

fn variable<'a>(stage: &'a Stage, name: &str) -> Option<&'a str> {
    let mut found = stage.env.iter().filter(|(key, _)| key == name);
    found.next().map(|(_, value)| value.as_str())
}

#[test]
fn every_language_of_the_index_has_its_folder() {
    let found = folders();
    assert!(found.len() >= 12, "{found:?}");
    let index = fs::read_to_string(folder("README.md")).unwrap();
    for name in found {
        assert!(
            index.contains(&format!("]({name}/README.md)")),
            "{name} is not in the index"
        );
    }
}

#[test]
fn each_readme_has_five_lines_and_names_the_commands() {
    for name in folders() {
        let text = read(&name, "README.md");
        assert_eq!(
            text.lines().filter(|line| !line.is_empty()).count(),
            5,
            "{name}"
        );
        let mut wanted = vec!["docker build -t ".to_owned(), "docker run --rm ".to_owned()];
        if serves(&name) {
            let [port] = image(&name).exposed[..] else {
                panic!("{name}: one port")
            };
            wanted.push(format!("-p {port}:{port} "));
            wanted.push("docker kill --signal HUP ".to_owned());
            let up = "../".repeat(name.split('/').count() + 1);
            wanted.push(format!("{up}charts/rpm-runtime --values values.yaml"));
        } else {
            wanted.push("kubectl apply -f job.yaml".to_owned());
        }
        for words in wanted {
            assert!(text.contains(&words), "{name}: {words}");
        }
    }
}

#[test]
fn every_file_that_a_dockerfile_copies_is_there() {
    for name in folders() {
        let stages = stages_of(&folder(&name));
        for (at, stage) in stages.iter().enumerate() {
            for copy in &stage.copies {
                match &copy.from {
                    None => {
                        for source in &copy.sources {
                            assert!(folder(&name).join(source).exists(), "{name}: {source}");
                        }
                    }
                    Some(from) => {
                        let earlier = stages[..at].iter().any(|stage| stage.name == *from);
                        assert!(earlier, "{name}: no stage {from}");
                    }
                }
            }
        }
    }
}

/// The runtime is copied in as README says, and is what starts; nothing runs as root, and nothing is built in the image itself.
#[test]
fn each_image_starts_the_runtime_as_another_user_than_root() {
    for name in folders() {
        let text = read(&name, "Dockerfile");
        assert!(
            text.contains("\nARG RUNTIME=rpm-runtime\nFROM ${RUNTIME} AS runtime\n"),
            "{name}"
        );
        let stage = image(&name);
        let copied = Copy {
            from: Some("runtime".to_owned()),
            sources: vec!["/rpm-runtime".to_owned(), "/rpmctl".to_owned()],
            target: "/usr/local/bin/".to_owned(),
        };
        assert!(stage.copies.contains(&copied), "{name}");
        assert_eq!(stage.user, "65532:65532", "{name}");
        assert_eq!(stage.entrypoint, ["rpm-runtime"], "{name}");
        assert!(!stage.command.is_empty(), "{name}");
        assert_eq!(stage.runs, Vec::<String>::new(), "{name}");
        if serves(&name) {
            assert_eq!(
                stage.health,
                ["/usr/local/bin/rpm-runtime", "--healthcheck"],
                "{name}"
            );
            assert!(variable(&stage, "RPM_INSTANCES").is_some(), "{name}");
        } else {
            assert_eq!(variable(&stage, "RPM_RESTART"), Some("never"));
            assert_eq!((stage.exposed.len(), stage.health.len()), (0, 0));
        }
        // An empty base has no PATH.
        let path = (stage.base == "scratch").then_some("/usr/local/bin");
        assert_eq!(variable(&stage, "PATH"), path, "{name}");
    }
}

#[test]
fn the_values_say_what_the_dockerfile_says() {
    for name in folders().into_iter().filter(|name| serves(name)) {
        let stage = image(&name);
        let rendered = Render::of(&format!("examples/{name}/values.yaml")).objects();
        let app = rendered.app();
        // The image names the program.
        assert!(app["command"].is_null() && app["args"].is_null(), "{name}");
        let ports = app["ports"].as_array().unwrap().iter();
        let ports: Vec<_> = ports
            .filter(|port| port["name"] != "admin")
            .map(|port| port["containerPort"].as_u64())
            .collect();
        let exposed: Vec<_> = stage
            .exposed
            .iter()
            .map(|port| Some(u64::from(*port)))
            .collect();
        assert_eq!(ports, exposed, "{name}");
        let settings = stage
            .env
            .iter()
            .filter(|(name, _)| name.starts_with("RPM_"));
        for (variable, value) in settings {
            assert_eq!(
                rendered.variable(variable),
                Some(value.as_str()),
                "{name}: {variable}"
            );
        }
    }
}

#[test]
fn the_job_is_what_kubernetes_takes_and_is_restricted() {
    let manifest = read("batch", "job.yaml");
    for version in ["1.25", "1.30", "newest"] {
        let found = objects(&manifest, &[version]);
        let [job] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(job["kind"], "Job");
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(broken(pod), Vec::<String>::new());
        let container = &pod["containers"][0];
        let args: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
        let stage = image("batch");
        assert_eq!(args, stage.command);
        for entry in container["env"].as_array().unwrap() {
            let set = variable(&stage, entry["name"].as_str().unwrap());
            assert_eq!(set, entry["value"].as_str());
        }
    }
}

#[test]
fn a_dockerfile_is_read_by_its_stages() {
    let text = "# first\nARG A=b\nFROM ${A} AS one\nWORKDIR /src\nCOPY x y ./\nRUN cc \\\n    # within\n    && ld\n\n\
                FROM two\nCOPY --from=one /src/x /usr/bin/\nWORKDIR /app\nCOPY z ./dir\nENV A=1 \\\n    B=2\nEXPOSE 80 81\n\
                USER 1:2\nHEALTHCHECK --interval=1s CMD [\"a\", \"b\"]\nENTRYPOINT [\"e\"]\nCMD [\"c\", \"d e\"]\n";
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let first = Stage {
        name: "one".into(),
        base: "${A}".into(),
        work: "/src".into(),
        copies: vec![Copy {
            from: None,
            sources: words(&["x", "y"]),
            target: "/src/".into(),
        }],
        runs: words(&["cc && ld"]),
        ..Stage::default()
    };
    let from = Copy {
        from: Some("one".into()),
        sources: words(&["/src/x"]),
        target: "/usr/bin/".into(),
    };
    let renamed = Copy {
        from: None,
        sources: words(&["z"]),
        target: "/app/dir".into(),
    };
    assert_eq!(from.place("/src/x").to_str(), Some("/usr/bin/x"));
    assert_eq!(renamed.place("z").to_str(), Some("/app/dir"));
    let second = Stage {
        base: "two".into(),
        work: "/app".into(),
        copies: vec![from, renamed],
        env: vec![("A".into(), "1".into()), ("B".into(), "2".into())],
        exposed: vec![80, 81],
        user: "1:2".into(),
        health: words(&["a", "b"]),
        entrypoint: words(&["e"]),
        command: words(&["c", "d e"]),
        ..Stage::default()
    };
    assert_eq!(stages(text), [first, second]);
}
