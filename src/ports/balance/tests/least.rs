//! RPM_BALANCE=least: the workers with the fewest connections come first.

use std::sync::{Arc, Mutex};

use super::*;

type Kept = Arc<Mutex<Vec<TcpStream>>>;

/// Workers that keep every client, and how many each has.
fn keepers(ports: &SharedPorts, key: PortKey, count: u16) -> (Vec<Worker>, Vec<Kept>) {
    let keeper = |number| {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        let mut events = Vec::new();
        let handed = ports.hand(
            key,
            ListenerId(number),
            (true, &Options::default()),
            &mut events,
        );
        let fd = handed.unwrap().unwrap().fd;
        let worker = Worker::start(fd, move |client| keep.lock().unwrap().push(client));
        (worker, kept)
    };
    (0..count).map(keeper).unzip()
}

/// Waits until arrivals are seen.
fn until_watched(ports: &SharedPorts) {
    wait_for("the listeners are watched", || {
        let state = ports.lock();
        let mut listeners = state.groups.iter().flat_map(|group| &group.listeners);
        listeners.all(|one| one.watched.is_some())
    });
}

/// Opens connections one after another, each after the choice that follows the one before.
fn open_in_turn(ports: &SharedPorts, addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    let sum = || -> (u32, bool) {
        let (loads, chosen) = ports.lock().arrivals.known(&[0, 1, 2, 3]);
        (loads.iter().sum(), chosen)
    };
    let open = |_| {
        let (before, _) = sum();
        let client = TcpStream::connect(addr).unwrap();
        wait_for("it was seen", || {
            let (now, chosen) = sum();
            now > before && chosen
        });
        client
    };
    (0..count).map(open).collect()
}

fn kept(of: &[Kept]) -> Vec<usize> {
    of.iter().map(|kept| kept.lock().unwrap().len()).collect()
}

#[test]
fn few_connections_are_spread_exactly_though_workers_accept_at_once() {
    let (ports, key) = served(4, Balance::Least);
    let (_workers, clients) = keepers(&ports, key, 4);
    balancer(&ports);
    until_watched(&ports);
    let opened = open_in_turn(&ports, key.addr, 16);
    wait_for("all are accepted", || {
        kept(&clients).iter().sum::<usize>() == 16
    });
    assert_eq!(kept(&clients), [4; 4]);
    drop(opened);
}

#[test]
fn a_count_says_who_has_fewer_now() {
    let (ports, key) = served(4, Balance::Least);
    let (_workers, clients) = keepers(&ports, key, 4);
    let counted = clients.clone();
    let census = move || {
        let open = kept(&counted).into_iter();
        Some(
            (0..4)
                .map(SlotId)
                .zip(open.map(|open| open as u64))
                .collect(),
        )
    };
    Balancer::start(&ports, |event| panic!("{event:?}"), Box::new(census)).unwrap();
    until_watched(&ports);
    let opened = open_in_turn(&ports, key.addr, 12);
    let all = |count| move |clients: &[_]| kept(clients).iter().sum::<usize>() == count;
    wait_for("all are accepted", || all(12)(&clients));
    // All clients of one leave; nobody tells of that.
    clients[2].lock().unwrap().clear();
    let one = open_in_turn(&ports, key.addr, 1);
    wait_for("it was counted", || {
        ports.lock().arrivals.known(&[2]).0[0] <= 1
    });
    let chances = || -> Vec<u32> {
        let state = ports.lock();
        let listeners = state.groups[0].listeners.iter().take(4);
        listeners.map(|one| one.standing.chance).collect()
    };
    wait_for("it has the best chance", || {
        let now = chances();
        (0..4).all(|at| at == 2 || now[at] < now[2])
    });
    drop((opened, one));
}
