//! A crash affects no client that the worker had not accepted: the queue waits for the successor, and no new connection
//! joins it while other workers serve.

use std::fs;
use std::net::TcpStream;

use crate::harness::shared_port::{
    all_answer, ask, connect_to, connect_to_slot, freeze, queue_length, say, send, sockets, spread,
    stop, v4, wait_ready, wait_rotation, worker,
};
use crate::harness::status::exits;
use crate::harness::{
    Builder, Connection, Reply, Runtime, Signal, example, free_port, scratch, until,
};

/// Workers that listen on all IPv4 addresses and are ready when they listen.
fn servers(port: u16, instances: u16) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", instances.to_string())
        .env("RPM_READY", "listen")
        .env("PORT", port.to_string())
        .arg(example("echo_server"))
}

/// Dead workers return late: every run counts as too short.
fn slow_to_return(builder: Builder, wait: &str) -> Builder {
    builder
        .env("RPM_MIN_UPTIME", "1h")
        .env("RPM_BACKOFF_MIN", wait)
        .env("RPM_BACKOFF_MAX", wait)
}

fn request(stream: TcpStream) -> Reply {
    Connection::from(stream)
        .request("/", &["Connection: close"])
        .unwrap()
}

#[test]
fn the_queue_of_a_killed_worker_is_served_by_its_successor() {
    let port = free_port();
    let runtime = servers(port, 4).start();
    wait_ready(&runtime, 4);
    let victim = worker(&runtime, 2);
    freeze(victim);
    let clients: Vec<TcpStream> = (1..=100)
        .map(|nr| connect_to_slot(v4(port), 2, nr))
        .collect();
    let listener = format!("0.0.0.0:{port}");
    until("all wait", || queue_length(&runtime, &listener, 2) > 99.5);
    send(victim, Signal::SIGKILL);
    wait_ready(&runtime, 5);
    let successor = worker(&runtime, 2);
    assert_ne!(successor, victim);
    for client in clients {
        assert_eq!(request(client).pid(), i64::from(successor));
    }
    stop(runtime);
}

#[test]
fn one_worker_alone_that_crashes_loses_nobody_who_waits() {
    let port = free_port();
    let runtime = servers(port, 1).start();
    for round in 1..=3 {
        wait_ready(&runtime, round);
        let victim = worker(&runtime, 0);
        freeze(victim);
        let clients: Vec<TcpStream> = (0..30).map(|_| connect_to(v4(port))).collect();
        send(victim, Signal::SIGKILL);
        for client in clients {
            assert_ne!(request(client).pid(), i64::from(victim));
        }
    }
    stop(runtime);
}

#[test]
fn a_dead_slot_gets_nobody_while_others_live() {
    let port = free_port();
    let mut runtime = slow_to_return(servers(port, 4), "1h").start();
    wait_ready(&runtime, 4);
    send(worker(&runtime, 1), Signal::SIGKILL);
    wait_rotation(&runtime, &[0, 2, 3]);
    let slots = spread(v4(port), 400);
    assert_eq!(
        slots.keys().collect::<Vec<_>>(),
        ["0", "2", "3"],
        "{slots:?}"
    );
    assert!(queue_length(&runtime, &format!("0.0.0.0:{port}"), 1) < 0.5);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn while_all_are_dead_clients_wait_and_none_is_refused() {
    let port = free_port();
    let runtime = slow_to_return(servers(port, 2), "1s").start();
    wait_ready(&runtime, 2);
    for slot in 0..2 {
        send(worker(&runtime, slot), Signal::SIGKILL);
    }
    runtime.wait_for_lines(2, |line| line.contains("worker ended"));
    let clients: Vec<TcpStream> = (0..50).map(|_| connect_to(v4(port))).collect();
    for client in clients {
        assert_eq!(request(client).status, 200);
    }
    stop(runtime);
}

/// The listener leaves the group and returns at its end, so the indexes of two slots have changed.
#[test]
fn a_listener_that_a_worker_shuts_down_is_mended() {
    let port = free_port();
    let runtime = slow_to_return(Runtime::builder(), "1h")
        .env("RPM_INSTANCES", "4")
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    wait_ready(&runtime, 4);
    all_answer(v4(port), "a", 4);
    for (round, slot) in [0, 2, 0, 3].into_iter().enumerate() {
        until("chance brings the slot", || {
            let reply = say(&mut connect_to(v4(port)), &format!("shutdown {slot}")).unwrap();
            reply.ends_with(&format!(" {slot}\n"))
        });
        runtime.wait_for_lines(round + 1, |line| {
            line.contains("a worker shut its listener down")
        });
        all_answer(v4(port), "a", 4);
    }
    // The map is right if only the slot of a dead worker gets no connection.
    send(worker(&runtime, 0), Signal::SIGKILL);
    wait_rotation(&runtime, &[1, 2, 3]);
    for _ in 0..200 {
        let reply = ask(&mut connect_to(v4(port))).unwrap();
        assert!(!reply.ends_with(" 0\n"), "{reply}");
    }
    stop(runtime);
}

/// At the start there was no listener for the last workers.
#[test]
fn a_listener_that_a_change_of_scale_added_is_mended_too() {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "1")
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    wait_ready(&runtime, 1);
    for workers in 2..=4 {
        runtime.signal(Signal::SIGTTIN);
        wait_ready(&runtime, workers);
        all_answer(v4(port), "a", workers);
    }
    until("chance brings the slot", || {
        let reply = say(&mut connect_to(v4(port)), "shutdown 3").unwrap();
        reply.ends_with(" 3\n")
    });
    runtime.wait_for_line(|line| line.contains("a worker shut its listener down"));
    all_answer(v4(port), "a", 4);
    stop(runtime);
}

/// The worker of slot 1 dies with clients in its queue, and every next one dies at its start. The back-off is far longer
/// than the clients would wait.
#[test]
fn clients_of_a_slot_that_keeps_crashing_are_passed_on_to_a_live_worker() {
    let port = free_port();
    let broken = scratch("crashing").join("broken");
    let program = format!(
        "import os, socket, sys\n\
         slot = os.environ['NODE_APP_INSTANCE']\n\
         if slot == '1' and os.path.exists('{}'): sys.exit(3)\n\
         s = socket.create_server(('127.0.0.1', {port}), backlog=64)\n\
         while True:\n\
         \x20   c = s.accept()[0]\n\
         \x20   c.recv(64)\n\
         \x20   c.sendall(b'slot ' + slot.encode() + b'\\n')\n\
         \x20   c.close()\n",
        broken.display()
    );
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .env("RPM_MAX_RESTARTS", "0")
        .env("RPM_BACKOFF_MIN", "1h")
        .env("RPM_BACKOFF_MAX", "1h")
        .program(["/usr/bin/python3", "-c", &program])
        .start();
    wait_ready(&runtime, 2);
    let crashing = worker(&runtime, 1);
    freeze(crashing);
    let mut clients: Vec<TcpStream> = (1..=5).map(|nr| connect_to_slot(v4(port), 1, nr)).collect();
    until("they wait in the queue of slot 1", || {
        queue_length(&runtime, &format!("127.0.0.1:{port}"), 1) >= 5.0
    });
    fs::write(&broken, "").unwrap();
    send(crashing, Signal::SIGKILL);
    for client in &mut clients {
        assert_eq!(ask(client).unwrap().trim(), "slot 0", "{}", runtime.shown());
    }
    runtime.wait_for_line(|line| line.contains("connections came to a listener without a worker"));
    stop(runtime);
}

/// It says that it is ready only after its listener is gone.
#[test]
fn a_worker_that_shuts_its_listener_down_before_it_is_ready_is_replaced_too() {
    let port = free_port();
    let mark = scratch("shutting-early").join("mark");
    let program = format!(
        "import os, socket, threading, time\n\
         s = socket.create_server(('127.0.0.1', {port}), backlog=64)\n\
         def ready():\n\
         \x20   n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
         \x20   name = os.environ['NOTIFY_SOCKET']\n\
         \x20   n.sendto(b'READY=1', '\\0' + name[1:] if name[0] == '@' else name)\n\
         if not os.path.exists('{0}'):\n\
         \x20   open('{0}', 'w')\n\
         \x20   def shut():\n\
         \x20       while True:\n\
         \x20           try: s.shutdown(socket.SHUT_RDWR)\n\
         \x20           except OSError: pass\n\
         \x20   threading.Thread(target=shut, daemon=True).start()\n\
         \x20   while not os.path.exists('{0}.go'): time.sleep(0.001)\n\
         ready()\n\
         while True:\n\
         \x20   try: c = s.accept()[0]\n\
         \x20   except OSError: continue\n\
         \x20   c.recv(64)\n\
         \x20   c.sendall(b'slot 0\\n')\n\
         \x20   c.close()\n",
        mark.display()
    );
    let runtime = Runtime::builder()
        .env("RPM_READY", "notify")
        .program(["/usr/bin/python3", "-c", &program])
        .start();
    runtime.wait_for_line(|line| line.contains("shuts its listener down again and again"));
    fs::write(format!("{}.go", mark.display()), "").unwrap();
    until("it is replaced", || exits(&runtime, "unhealthy") == 1);
    until("its successor serves", || {
        ask(&mut connect_to(v4(port))).is_ok_and(|reply| reply.trim() == "slot 0")
    });
    stop(runtime);
}

/// As fast as it can, so that the port would be closed half of the time and every line of it would be logged.
#[test]
fn a_worker_that_shuts_its_listener_down_for_ever_is_replaced_and_the_others_serve() {
    let port = free_port();
    let mark = scratch("shutting").join("mark");
    let program = format!(
        "import os, socket\n\
         slot = os.environ['NODE_APP_INSTANCE']\n\
         s = socket.create_server(('127.0.0.1', {port}), backlog=64)\n\
         if slot == '0' and not os.path.exists('{0}'):\n\
         \x20   open('{0}', 'w')\n\
         \x20   while True:\n\
         \x20       try: s.shutdown(socket.SHUT_RDWR)\n\
         \x20       except OSError: pass\n\
         while True:\n\
         \x20   c = s.accept()[0]\n\
         \x20   c.recv(64)\n\
         \x20   c.sendall(b'slot ' + slot.encode() + b'\\n')\n\
         \x20   c.close()\n",
        mark.display()
    );
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .program(["/usr/bin/python3", "-c", &program])
        .start();
    wait_ready(&runtime, 2);
    runtime.wait_for_line(|line| line.contains("shuts its listener down again and again"));
    for _ in 0..200 {
        let reply = ask(&mut connect_to(v4(port))).unwrap();
        assert!(reply.starts_with("slot "), "{reply}");
    }
    until("it is replaced", || exits(&runtime, "unhealthy") == 1);
    until("its successor serves", || {
        ask(&mut connect_to(v4(port))).unwrap().trim() == "slot 0"
    });
    let texts = runtime.texts();
    let told = texts
        .iter()
        .filter(|line| line.contains("a worker shut its listener down"));
    assert!(told.count() <= 5, "{}", runtime.shown());
    stop(runtime);
}
