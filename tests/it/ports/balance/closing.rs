//! Clients that leave.

use super::kept::{Service, echoes};
use crate::harness::free_port;
use crate::harness::shared_port::v4;

#[test]
fn a_worker_whose_clients_leave_gets_the_next_ones() {
    let port = free_port();
    let mut service = Service::start(echoes(port), 4);
    service.even_after_each(16, |_| v4(port));
    service.close(2, service.tally()[2]);
    service.gets_even_with_time(v4(port));
    service.stop();
}

#[test]
fn clients_that_have_all_left_are_spread_anew() {
    let port = free_port();
    let mut service = Service::start(echoes(port), 4);
    service.even_after_each(7, |_| v4(port));
    for clients in [10, 16] {
        service.kept.clear();
        service.wait_connections();
        // Nobody tells the balance of it; with the next client it counts.
        service.counted_with(v4(port));
        service.even_after_each(clients, |_| v4(port));
    }
    service.stop();
}
