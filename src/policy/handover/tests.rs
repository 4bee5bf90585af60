use std::num::NonZeroU16;

use super::*;

fn decide(rule: &PortRule, kind: SocketKind, addr: &str) -> BindAnswer {
    on_bind(rule, kind, addr.parse().unwrap(), true, None)
}

#[test]
fn nothing_of_a_programs_own_business_is_touched() {
    use SocketKind::{Other, Tcp4, Tcp6};
    let any = PortRule::Any;
    assert_eq!(decide(&any, Tcp4, "0.0.0.0:0"), BindAnswer::Leave);
    assert_eq!(decide(&any, Other, "0.0.0.0:53"), BindAnswer::Leave);
    assert_eq!(decide(&any, Tcp4, "[::]:80"), BindAnswer::Leave);
    assert_eq!(decide(&any, Tcp6, "1.2.3.4:80"), BindAnswer::Leave);
    assert_eq!(
        decide(&PortRule::Nothing, Tcp4, "0.0.0.0:80"),
        BindAnswer::LeaveUnlisted(PortKey::new("0.0.0.0:80".parse().unwrap(), false))
    );
    let spec = |ip: Option<&str>, port| PortSpec {
        transport: Transport::Tcp,
        ip: ip.map(|ip| ip.parse().unwrap()),
        port: NonZeroU16::new(port).unwrap(),
    };
    let listed = PortRule::Listed(vec![spec(None, 80), spec(Some("127.0.0.1"), 81)].into());
    assert!(matches!(
        decide(&listed, Tcp4, "0.0.0.0:82"),
        BindAnswer::LeaveUnlisted(_)
    ));
    assert!(matches!(
        decide(&listed, Tcp4, "0.0.0.0:81"),
        BindAnswer::LeaveElsewhere(_)
    ));
    assert!(matches!(
        decide(&listed, Tcp4, "127.0.0.1:81"),
        BindAnswer::Share(_)
    ));
    assert!(matches!(
        decide(&listed, Tcp6, "[::1]:80"),
        BindAnswer::Share(_)
    ));
}

#[test]
fn a_port_is_told_apart_by_family_address_and_v6only() {
    let addr: SocketAddr = "[::]:80".parse().unwrap();
    let share = |v6only| on_bind(&PortRule::Any, SocketKind::Tcp6, addr, v6only, None);
    assert_eq!(share(false), BindAnswer::Share(PortKey::new(addr, false)));
    assert_eq!(share(true), BindAnswer::Share(PortKey::new(addr, true)));
    let v4 = decide(&PortRule::Any, SocketKind::Tcp4, "0.0.0.0:80");
    assert_eq!(
        v4,
        BindAnswer::Share(PortKey::new("0.0.0.0:80".parse().unwrap(), false))
    );
}

#[test]
fn wildcards_overlap_by_family() {
    let key = |addr: &str, v6only| PortKey::new(addr.parse().unwrap(), v6only);
    let (v4, v6, dual) = (
        key("0.0.0.0:80", false),
        key("[::]:80", true),
        key("[::]:80", false),
    );
    assert!(v4.overlaps(&dual) && dual.overlaps(&v4) && v6.overlaps(&dual));
    assert!(!v4.overlaps(&v6) && !key("0.0.0.0:81", false).overlaps(&dual));
    assert!(!key("127.0.0.1:80", false).overlaps(&dual));
    assert_eq!(key("[::1]:80", false), key("[::1]:80", true));
}

/// The JVM binds every IPv4 address so.
#[test]
fn an_ipv4_mapped_address_is_that_ipv4_address_on_an_ipv6_socket() {
    let mapped: SocketAddr = "[::ffff:127.0.0.1]:80".parse().unwrap();
    let bind = |rule: &PortRule, v6only| on_bind(rule, SocketKind::Tcp6, mapped, v6only, None);
    let BindAnswer::Share(key) = bind(&PortRule::Any, false) else {
        panic!("not shared")
    };
    assert_eq!((key.addr, key.v6only), (mapped, false));
    assert_eq!(key.reached_at(), "127.0.0.1:80".parse().unwrap());
    let v4 = PortKey::new("127.0.0.1:80".parse().unwrap(), false);
    assert!(key.overlaps(&v4) && v4.overlaps(&key) && v4 != key);
    assert_eq!(bind(&PortRule::Any, true), BindAnswer::Leave);
    for listed in ["127.0.0.1", "::ffff:127.0.0.1"] {
        let rule = PortRule::Listed(
            vec![PortSpec {
                transport: Transport::Tcp,
                ip: Some(listed.parse().unwrap()),
                port: NonZeroU16::new(80).unwrap(),
            }]
            .into(),
        );
        assert_eq!(bind(&rule, false), BindAnswer::Share(key), "{listed}");
        let v4 = on_bind(&rule, SocketKind::Tcp4, v4.addr, false, None);
        assert!(matches!(v4, BindAnswer::Share(_)), "{listed}");
    }
    let every = PortKey::new("[::ffff:0.0.0.0]:80".parse().unwrap(), false);
    assert!(every.overlaps(&PortKey::new("0.0.0.0:80".parse().unwrap(), false)));
    assert!(every.overlaps(&PortKey::dual_stack(80)));
    assert!(!every.overlaps(&PortKey::new("[::]:80".parse().unwrap(), true)));
}

#[test]
fn a_restarted_bind_is_done_already_and_a_second_one_is_an_error() {
    let addr: SocketAddr = "0.0.0.0:80".parse().unwrap();
    let again = |ours: &str| {
        let ours = PortKey::new(ours.parse().unwrap(), false);
        on_bind(&PortRule::Any, SocketKind::Tcp4, addr, false, Some(ours))
    };
    assert_eq!(again("0.0.0.0:80"), BindAnswer::Done);
    assert_eq!(again("0.0.0.0:81"), BindAnswer::Leave);
}

#[test]
fn what_bind_does_not_look_at_makes_no_other_port() {
    let key = |flow, scope, ip: &str| {
        let ip: Ipv6Addr = ip.parse().unwrap();
        PortKey::new(
            SocketAddr::V6(SocketAddrV6::new(ip, 80, flow, scope)),
            false,
        )
    };
    assert_eq!(key(7, 3, "::"), key(0, 0, "::"));
    assert_eq!(key(7, 3, "2001:db8::1"), key(0, 0, "2001:db8::1"));
    assert_ne!(key(0, 3, "fe80::1"), key(0, 4, "fe80::1"));
}

#[test]
fn conflicts_are_those_of_the_kernel() {
    let key = |addr: &str, v6only| PortKey::new(addr.parse().unwrap(), v6only);
    let table = [
        ("127.0.0.1:80", "127.0.0.1:80", true),
        ("127.0.0.1:80", "127.0.0.1:81", false),
        ("127.0.0.1:80", "127.0.0.2:80", false),
        ("127.0.0.1:80", "0.0.0.0:80", true),
        ("127.0.0.1:80", "[::]:80", true),
        ("127.0.0.1:80", "[::1]:80", false),
        ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
        ("0.0.0.0:80", "[::ffff:127.0.0.1]:80", true),
        ("[::]:80", "[::ffff:127.0.0.1]:80", true),
        ("[::1]:80", "[::]:80", true),
    ];
    for (one, two, expected) in table {
        let (a, b) = (key(one, false), key(two, false));
        assert_eq!(a.conflicts(&b), expected, "{one} {two}");
        assert_eq!(b.conflicts(&a), expected, "{two} {one}");
    }
    assert!(!key("[::]:80", true).conflicts(&key("0.0.0.0:80", false)));
    assert!(!key("[::]:80", true).conflicts(&key("[::ffff:127.0.0.1]:80", false)));
}

#[test]
fn a_udp_port_is_a_port_of_its_own() {
    use SocketKind::{Tcp4, Udp4, Udp6};
    let any = PortRule::Any;
    let BindAnswer::Share(udp) = decide(&any, Udp4, "0.0.0.0:53") else {
        panic!("not shared")
    };
    let BindAnswer::Share(tcp) = decide(&any, Tcp4, "0.0.0.0:53") else {
        panic!("not shared")
    };
    assert_eq!(
        (udp.to_string(), tcp.to_string()),
        ("udp:0.0.0.0:53".into(), "0.0.0.0:53".into())
    );
    assert!(udp != tcp && !udp.conflicts(&tcp) && !udp.overlaps(&tcp));
    assert_eq!(decide(&any, Udp4, "0.0.0.0:0"), BindAnswer::Leave);
    for (kind, everybody) in [
        (Udp4, "224.0.0.251:5353"),
        (Udp4, "255.255.255.255:68"),
        (Udp6, "[ff02::fb]:5353"),
    ] {
        let answer = decide(&any, kind, everybody);
        assert!(
            matches!(answer, BindAnswer::LeaveEverybody(key) if key.transport == Transport::Udp),
            "{everybody}"
        );
    }
    let listed = |transport| {
        PortRule::Listed(
            vec![PortSpec {
                transport,
                ip: None,
                port: NonZeroU16::new(53).unwrap(),
            }]
            .into(),
        )
    };
    let (tcp, udp) = (listed(Transport::Tcp), listed(Transport::Udp));
    for (rule, kind) in [(&tcp, Udp4), (&udp, Tcp4)] {
        let answer = decide(rule, kind, "0.0.0.0:53");
        assert!(matches!(answer, BindAnswer::LeaveUnlisted(_)), "{answer:?}");
    }
    assert!(matches!(
        decide(&udp, Udp4, "0.0.0.0:53"),
        BindAnswer::Share(_)
    ));
    assert_eq!(udp.to_string(), "udp:53");
}

#[test]
fn who_excludes_a_second_process() {
    let reuse = |addr, port| Reuse { addr, port };
    for (reuse, tcp, udp) in [
        (reuse(false, false), true, true),
        (reuse(true, false), true, false),
        (reuse(false, true), false, false),
        (reuse(true, true), false, false),
    ] {
        assert_eq!(reuse.excludes(Transport::Tcp), tcp, "{reuse:?}");
        assert_eq!(reuse.excludes(Transport::Udp), udp, "{reuse:?}");
    }
}

#[test]
fn without_ipv6_all_addresses_are_all_of_ipv4_and_what_a_worker_binds_there_is_shared() {
    let spec = |ip: Option<&str>, port| PortSpec {
        transport: Transport::Tcp,
        ip: ip.map(|ip| ip.parse().unwrap()),
        port: NonZeroU16::new(port).unwrap(),
    };
    let rule = |specs: Vec<PortSpec>| PortRule::Listed(specs.into());
    let listed = rule(vec![
        spec(Some("::"), 80),
        spec(Some("0.0.0.0"), 80),
        spec(None, 81),
        spec(Some("::1"), 82),
    ]);
    let here = listed.without_ipv6().unwrap();
    assert_eq!(
        here,
        rule(vec![
            spec(Some("0.0.0.0"), 80),
            spec(None, 81),
            spec(Some("::1"), 82)
        ])
    );
    let bound = decide(&here, SocketKind::Tcp4, "0.0.0.0:80");
    assert!(matches!(bound, BindAnswer::Share(_)), "{bound:?}");
    for same in [PortRule::Any, PortRule::Nothing, here] {
        assert_eq!(same.without_ipv6(), None);
    }
}
