//! Checks of the runtime are connections too.

use super::kept::{Service, echoes};
use crate::harness::shared_port::v4;
use crate::harness::{free_port, until};

#[test]
fn checks_do_not_keep_the_clients_from_getting_even() {
    let port = free_port();
    let service = echoes(port)
        .env("RPM_READY", "http:/health")
        .env("RPM_HEALTH", "http:/health")
        .env("RPM_HEALTH_INTERVAL", "200ms");
    let mut service = Service::start(service, 4);
    for _ in 0..2 {
        for _ in 0..8 {
            service.open(v4(port));
            // Each worker is checked meanwhile.
            let before = service.seen().arrivals;
            until("checks arrive", || service.seen().arrivals >= before + 4);
        }
        // A check that was open while the clients were counted may have sent one elsewhere. When the client comes again,
        // that is mended.
        let mut left = 100;
        while service.difference() > 1 && left > 0 {
            let tally = service.tally();
            let most = (0..4).max_by_key(|slot| tally[usize::from(*slot)]);
            service.close(most.unwrap(), 1);
            service.counted_with(v4(port));
            left -= 1;
        }
        assert!(service.difference() <= 1, "{:?}", service.tally());
    }
    service.stop();
}
