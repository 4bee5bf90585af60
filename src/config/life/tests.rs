//! RPM_READY and related settings, alone and in combination.

use super::*;
use crate::config::testing::{good, told};
use crate::model::{Page, Scheme};

/// Only the error text.
fn what<T: std::fmt::Debug>(result: Result<T, Wrong>) -> String {
    result.unwrap_err().what
}

#[test]
fn nothing_set_is_the_documented_default() {
    let expected = Life {
        ready: Ready::Auto,
        ready_port: None,
        ready_timeout: Duration::from_secs(30),
        stop_signal: Sig::TERM,
        stop_timeout: Duration::from_secs(10),
        stop_message: false,
        drain_timeout: Duration::from_secs(5),
        udp_grace: Duration::from_millis(50),
        shutdown_delay: Duration::ZERO,
        restart: Restart::Always,
        stop_exit_codes: vec![],
        min_uptime: Duration::from_secs(1),
        max_restarts: Some(16),
        backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(15)).unwrap(),
    };
    assert_eq!(good(&[]).config.life, expected);
}

#[test]
fn readiness() {
    let first = |what| Ok(AtPort::first(what));
    assert_eq!(ready("Auto"), first(Ready::Auto));
    assert_eq!(
        ready("delay:2s"),
        first(Ready::Delay(Duration::from_secs(2)))
    );
    assert_eq!(what(ready("delay:2")), "\"2\" needs a unit");
    assert_eq!(what(ready("delay:")), "\"\" is blank");
    assert_eq!(ready(" NOTIFY"), first(Ready::Notify));
    let page = |scheme| Ready::Http(Page::new(scheme, "/healthz"));
    let path = || page(Scheme::Http);
    assert_eq!(ready("http:/healthz"), first(path()));
    assert_eq!(ready("TCP"), first(Ready::Tcp));
    let port = NonZeroU16::new(8080);
    let there = |what| Ok(AtPort { what, port });
    assert_eq!(ready("http::8080/healthz"), there(path()));
    assert_eq!(ready("tcp:8080"), there(Ready::Tcp));
    assert_eq!(what(ready("tcp:x")), "\"x\" is not a port");
    assert_eq!(ready("https:/healthz"), first(page(Scheme::Https)));
    assert_eq!(ready("https::8080/healthz"), there(page(Scheme::Https)));
    let shown = READY.show;
    assert_eq!(
        shown(&ready("https::8080/healthz").unwrap()),
        "https::8080/healthz"
    );
    assert_eq!(what(ready("http:")), "names no path behind http:");
    assert_eq!(ready("Message"), first(Ready::Message));
    assert_eq!(what(ready("file:/x")), "is not one of the known words");
}

#[test]
fn signals_that_stop() {
    assert_eq!(stop_signal("sigterm"), Ok(Sig::TERM));
    assert_eq!(stop_signal("KILL"), Ok(Sig::KILL));
    assert_eq!(what(stop_signal("STOP")), "SIGSTOP does not end a process");
}

#[test]
fn rules_hold_at_their_edges() {
    for vars in [("RPM_BACKOFF_MIN", "15s"), ("RPM_READY", "delay:29999ms")] {
        good(&[vars]);
    }
    for vars in [
        ("RPM_BACKOFF_MIN", "15001ms"),
        ("RPM_BACKOFF_MAX", "99ms"),
        ("RPM_READY", "delay:30s"),
    ] {
        assert_eq!(told(&[vars]).len(), 1, "{vars:?}");
    }
}

#[test]
fn a_grace_for_datagrams_that_no_drain_can_reach_is_told() {
    let warnings = |vars: &[(&str, &str)]| good(vars).warnings;
    for fine in [
        &[("RPM_UDP_GRACE", "4999ms")][..],
        &[("RPM_UDP_GRACE", "6s"), ("RPM_DRAIN_TIMEOUT", "7s")],
        // Nobody asked for a grace, and the program may serve no UDP port.
        &[("RPM_DRAIN_TIMEOUT", "0")],
    ] {
        assert_eq!(warnings(fine), [""; 0], "{fine:?}");
    }
    for (grace, drain) in [("5s", "5s"), ("6s", "5s"), ("1ms", "0s")] {
        let told = warnings(&[("RPM_UDP_GRACE", grace), ("RPM_DRAIN_TIMEOUT", drain)]);
        let start = format!("RPM_UDP_GRACE ({grace}) is not below RPM_DRAIN_TIMEOUT ({drain})");
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with(&start), "{told:?}");
    }
}

#[test]
fn a_grace_for_datagrams_without_a_shared_port_is_told() {
    let told = good(&[("RPM_UDP_GRACE", "1s"), ("RPM_PORTS", "off")]).warnings;
    assert_eq!(
        told,
        ["RPM_UDP_GRACE has no effect: RPM_PORTS=off shares no port"]
    );
}
