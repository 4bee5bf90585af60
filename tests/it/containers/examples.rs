//! Dockerfiles of `examples`, built by the engine. No registry is asked: the bases are an empty image with this machine's `/usr`, so these are
//! the examples whose build needs no network.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::image::Root;
use super::{Container, Engine};
use crate::harness::deployed::folder;
use crate::harness::dockerfile::{Stage, stages_of};
use crate::harness::{Reply, http_get, scratch, static_runtime, until};
use serde_json::{Value, json};

const RUNTIME: &str = "localhost/rpm-examples-runtime";
const BASE: &str = "localhost/rpm-examples-base";

/// The image that holds the runtime, and the one that stands for all bases.
fn stand_ins(engine: &Engine) {
    let _lock = engine.lock();
    let context = scratch("examples-runtime");
    let runtime = static_runtime();
    for (file, name) in [
        (runtime.with_file_name("rpmctl"), "rpmctl"),
        (runtime, "rpm-runtime"),
    ] {
        fs::copy(file, context.join(name)).unwrap();
    }
    fs::write(
        context.join("Dockerfile"),
        "FROM scratch\nCOPY rpm-runtime rpmctl /\n",
    )
    .unwrap();
    engine.build(RUNTIME, &context);

    let context = scratch("examples-base");
    for directory in ["usr", "etc/alternatives", "tmp"] {
        fs::create_dir_all(context.join(directory)).unwrap();
    }
    for link in ["bin", "lib", "lib64", "sbin"] {
        symlink(format!("usr/{link}"), context.join(link)).unwrap();
    }
    let file = "FROM scratch\nCOPY . /\nENV PATH=/usr/local/bin:/usr/sbin:/usr/bin HOME=/tmp GOCACHE=/tmp/go\n";
    fs::write(context.join("Dockerfile"), file).unwrap();
    engine.build(BASE, &context);
}

/// Builds an example, and gives its tag and its last stage.
fn built(engine: &Engine, name: &str) -> (String, Stage) {
    let stages = stages_of(&folder(name));
    for stage in &stages {
        if !["scratch", "${RUNTIME}"].contains(&stage.base.as_str()) {
            engine.expect(["tag", BASE, &format!("docker.io/library/{}", stage.base)]);
        }
    }
    let tag = format!("localhost/rpm-example-{}", name.replace('/', "-"));
    // Kept between runs, because compiling the standard library takes long.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache");
    fs::create_dir_all(&cache).unwrap();
    let cache = format!("{}:/tmp/go", cache.display());
    let runtime = format!("RUNTIME={RUNTIME}");
    let fixed = [
        "build",
        "--quiet",
        "--pull=never",
        "--format",
        "docker",
        "--network",
        "none",
    ];
    let own = ["--build-arg", &runtime, "--volume", &cache, "--tag", &tag];
    let words = fixed.iter().chain(Root::Machine.options()).chain(&own);
    let words = words.map(|word| (*word).to_owned());
    engine.expect(words.chain([folder(name).display().to_string()]));
    (tag, stages.last().unwrap().clone())
}

/// What the engine has understood is what the tests read.
fn is_as_read(engine: &Engine, tag: &str, stage: &Stage) {
    let inspected = engine.expect(["image", "inspect", tag]);
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    let config = &inspected[0]["Config"];
    assert_eq!(config["User"], json!(stage.user), "{tag}");
    assert_eq!(config["Entrypoint"], json!(stage.entrypoint), "{tag}");
    assert_eq!(config["Cmd"], json!(stage.command), "{tag}");
    let env: Vec<&str> = config["Env"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for (name, value) in &stage.env {
        assert!(
            env.contains(&format!("{name}={value}").as_str()),
            "{tag}: {name} in {env:?}"
        );
    }
    let ports = config["ExposedPorts"]
        .as_object()
        .map_or(0, serde_json::Map::len);
    assert_eq!(ports, stage.exposed.len(), "{tag}");
    for port in &stage.exposed {
        assert!(
            config["ExposedPorts"].get(format!("{port}/tcp")).is_some(),
            "{tag}"
        );
    }
    let health = &inspected[0]["Healthcheck"]["Test"];
    if stage.health.is_empty() {
        assert_eq!(*health, Value::Null, "{tag}");
    } else {
        let words: Vec<&str> = ["CMD"]
            .into_iter()
            .chain(stage.health.iter().map(String::as_str))
            .collect();
        assert_eq!(*health, json!(words), "{tag}");
    }
}

#[test]
fn the_engine_builds_what_the_tests_read() {
    let engine = Engine::new();
    stand_ins(&engine);
    for name in ["php/server", "php/fpm", "static-files"] {
        let (tag, stage) = built(&engine, name);
        is_as_read(&engine, &tag, &stage);
    }
}

/// Nothing of this machine is in it: it is the image that a user gets.
#[test]
fn the_image_of_the_go_server_serves() {
    let engine = Engine::new();
    stand_ins(&engine);
    let (tag, stage) = built(&engine, "go");
    is_as_read(&engine, &tag, &stage);
    let container = Container::start(&engine, "example-go", &[tag]);
    let mut seen = BTreeSet::new();
    until("both workers answer", || {
        let reply = container.inside(|| http_get("127.0.0.1:3000", "/"));
        seen.extend(reply.as_ref().map(Reply::pid).ok());
        seen.len() == 2
    });
    let words: Vec<&str> = stage.health.iter().map(String::as_str).collect();
    until("the health check passes", || {
        container.exec(&words).status.success()
    });
    assert_eq!(container.stop(20), 0, "{}", container.logs());
}

#[test]
fn the_image_of_the_job_ends_with_its_job() {
    let engine = Engine::new();
    stand_ins(&engine);
    let (tag, stage) = built(&engine, "batch");
    is_as_read(&engine, &tag, &stage);
    // All of /usr would hide the runtime.
    let mut words: Vec<String> = ["run", "--rm", "--read-only", "--network", "none"]
        .map(str::to_owned)
        .into();
    for place in ["/usr/bin", "/usr/lib", "/usr/lib64"] {
        words.extend(["--volume".to_owned(), format!("{place}:{place}:ro")]);
    }
    words.push(tag);
    assert_eq!(engine.expect(words), "total 42");
}
