//! The kernel's OOM killer in a container with a memory limit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::{fs, io};

use super::{Container, Engine, payloads};
use crate::harness::shared_port::{send, v4};
use crate::harness::status::to_slot;
use crate::harness::{Connection, SetOnDrop, Signal, children, http_get, until, until_some};
use serde_json::Value;

const WORKERS: u16 = 3;
/// Far more than the workers take, and far less than the greedy one wants.
const LIMIT: u64 = 96 << 20;
/// The worker that wants too much.
const GREEDY: u16 = 2;

fn text(container: &Container, path: &str) -> String {
    let reply = container.inside(|| http_get("127.0.0.1:9464", path));
    reply.unwrap().text()
}

/// The sum of a metric; `labels` as it is exported, or empty.
fn metric(container: &Container, name: &str, labels: &str) -> u64 {
    let page = text(container, "/metrics/runtime");
    let series = format!("{name}{labels} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&series));
    let value = value.unwrap_or_else(|| panic!("no {series}: {page}"));
    value.parse().unwrap()
}

fn exits(container: &Container, cause: &str) -> u64 {
    let labels = format!("{{cause=\"{cause}\"}}");
    metric(container, "rpm_worker_exits_total", &labels)
}

/// The slots of `/status`, by their number.
fn slots(container: &Container) -> BTreeMap<u16, Value> {
    let status: Value = serde_json::from_str(&text(container, "/status")).unwrap();
    let slots = status["slots"].as_array().unwrap().iter();
    let number = |slot: &Value| u16::try_from(slot["slot"].as_u64().unwrap()).unwrap();
    slots.map(|slot| (number(slot), slot.clone())).collect()
}

fn wait_serving(container: &Container) {
    until("all workers are ready", || {
        let slots = slots(container);
        let ready = slots.values().filter(|slot| slot["state"] == "ready");
        ready.count() == usize::from(WORKERS)
    });
}

/// Kept connections, by the slot of their worker.
fn connections(container: &Container) -> BTreeMap<u16, Connection> {
    let mut found = BTreeMap::new();
    until("each worker has a connection", || {
        for slot in 0..WORKERS {
            let mut connection = container.inside(|| to_slot(v4(3000), slot));
            let reply = connection.get("/").unwrap();
            let answers = reply.json()["slot"].as_str().unwrap().parse().unwrap();
            found.insert(answers, connection);
        }
        found.len() == usize::from(WORKERS)
    });
    found
}

/// Asks over one connection until `over`. Returns the number of answers, and why it ended before, if it did.
fn ask(connection: &mut Connection, over: &AtomicBool) -> (u64, Option<io::Error>) {
    let mut answered = 0;
    while !over.load(Ordering::SeqCst) {
        if let Err(error) = connection.get("/") {
            return (answered, Some(error));
        }
        answered += 1;
    }
    (answered, None)
}

/// Asks over a new connection each time, until `over`. Whom the greedy worker had accepted is cut; nobody is refused.
fn knock(container: &Container, over: &AtomicBool) -> u64 {
    let mut answered = 0;
    while !over.load(Ordering::SeqCst) {
        match container.inside(|| http_get("127.0.0.1:3000", "/")) {
            Ok(_) => answered += 1,
            Err(error) => assert_ne!(error.kind(), io::ErrorKind::ConnectionRefused),
        }
    }
    answered
}

/// The PID of a process as its container sees it.
fn pid_inside(pid: i32) -> Option<i64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

#[test]
fn an_oom_kill_takes_one_worker_is_told_apart_and_the_others_serve() {
    let engine = Engine::new();
    let limit = LIMIT.to_string();
    let instances = format!("RPM_INSTANCES={WORKERS}");
    // As kubelet does it for a limit of memory: no swap beyond it.
    let options = ["--memory", &limit, "--memory-swap", &limit];
    let program = ["--env", &instances, payloads(&engine), "/app/echo_server"];
    let words = options.iter().chain(&program);
    let words: Vec<String> = words.map(|word| (*word).to_owned()).collect();
    let container = Container::start(&engine, "oom", &words);
    until("the admin port answers", || {
        container
            .inside(|| http_get("127.0.0.1:9464", "/readyz"))
            .is_ok_and(|reply| reply.status == 200)
    });
    wait_serving(&container);
    assert_eq!(
        metric(&container, "rpm_cgroup_memory_limit_bytes", ""),
        LIMIT
    );
    assert_eq!(metric(&container, "rpm_oom_kills_total", ""), 0);

    let mut served = connections(&container);
    let mut greedy = served.remove(&GREEDY).unwrap();
    let before = slots(&container);
    let over = AtomicBool::new(false);
    let (kept, new) = thread::scope(|scope| {
        let ends = SetOnDrop(&over);
        let kept = served.iter_mut().map(|(slot, connection)| {
            let over = &over;
            (*slot, scope.spawn(move || ask(connection, over)))
        });
        let kept: Vec<_> = kept.collect();
        let new = scope.spawn(|| knock(&container, &over));
        assert!(greedy.get("/alloc/300").is_err(), "there is no such memory");
        until("the worker is started again", || {
            let slot = &slots(&container)[&GREEDY];
            slot["state"] == "ready" && slot["pid"] != before[&GREEDY]["pid"]
        });
        drop(ends);
        let kept = kept
            .into_iter()
            .map(|(slot, thread)| (slot, thread.join().unwrap()));
        (kept.collect::<BTreeMap<_, _>>(), new.join().unwrap())
    });

    // Told apart, in each of the three places.
    let pid = before[&GREEDY]["pid"].as_i64().unwrap();
    let ended = format!("slot={GREEDY} pid={pid} exit=SIGKILL cause=oom");
    until_some("the line about its end", || container.logs().find(&ended));
    let after = slots(&container);
    assert_eq!(after[&GREEDY]["last_exit"]["signal"], "SIGKILL");
    assert_eq!(after[&GREEDY]["last_cause"], "oom");
    let killed = exits(&container, "oom");
    assert_eq!(metric(&container, "rpm_oom_kills_total", ""), killed);
    // The kernel may take another one before the memory of the first is free. Nobody else lost a connection.
    let taken = after.values().filter(|slot| slot["last_cause"] == "oom");
    assert_eq!(taken.count() as u64, killed);
    for (slot, (answered, failed)) in kept {
        assert!(answered > 0, "slot {slot}");
        let struck = after[&slot]["last_cause"] == "oom";
        assert_eq!(failed.is_some(), struck, "slot {slot}: {failed:?}");
        assert_eq!(after[&slot]["pid"] != before[&slot]["pid"], struck);
    }
    assert!(killed < u64::from(WORKERS), "somebody serves all the time");
    assert!(new > 0);

    // A kill by somebody else is not taken for one by the kernel.
    let pid = after[&0]["pid"].as_i64().unwrap();
    let workers = children(container.pid).into_iter();
    let mut found = workers.filter(|worker| pid_inside(worker.pid) == Some(pid));
    send(found.next().unwrap().pid, Signal::SIGKILL);
    until("it is counted", || exits(&container, "signal") == 1);
    assert_eq!(exits(&container, "oom"), killed);
    wait_serving(&container);
    assert_eq!(slots(&container)[&0]["last_cause"], "signal");
    assert_eq!(container.stop(20), 0, "{}", container.logs());
}
