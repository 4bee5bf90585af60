use super::*;
use crate::sys::architecture::{AARCH64, X86_64};

const NOTHING: Extra = Extra {
    removals: false,
    connects: false,
};

const REMOVALS: Extra = Extra {
    removals: true,
    connects: false,
};

const ALL: Extra = Extra {
    removals: true,
    connects: true,
};

const V6ONLY: [i32; 2] = [libc::IPPROTO_IPV6, libc::IPV6_V6ONLY];
const NODELAY: [i32; 2] = [libc::IPPROTO_TCP, libc::TCP_NODELAY];

/// What the kernel would answer to a call of that number, with these arguments behind the descriptor.
fn answer(program: &[libc::sock_filter], audit: u32, number: u32, arguments: [i32; 2]) -> u32 {
    let mut data = [0; 64];
    let mut put = |at: usize, value: u32| data[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(0, number);
    put(4, audit);
    for (at, argument) in [24, 32].into_iter().zip(arguments) {
        put(at, u32::try_from(argument).unwrap());
    }
    let (mut at, mut loaded) = (0, 0);
    loop {
        let step = program[at];
        at += 1;
        match step.code {
            LD_W_ABS => {
                let from = usize::try_from(step.k).unwrap();
                loaded = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
            }
            JEQ_K if loaded == step.k => at += usize::from(step.jt),
            JEQ_K => at += usize::from(step.jf),
            RET_K => return step.k,
            code => panic!("instruction {code}"),
        }
    }
}

#[test]
fn on_every_architecture_these_calls_are_trapped_and_no_other() {
    for of in [X86_64, AARCH64] {
        let program = filter(of, NOTHING);
        let asked = |number, arguments| answer(&program, of.audit, number, arguments);
        let always = [of.bind, of.listen, of.epoll_create1].into_iter();
        let always: Vec<u32> = always.chain(of.epoll_create).collect();
        for trapped in &always {
            assert_eq!(asked(*trapped, [0, 0]), libc::SECCOMP_RET_USER_NOTIF);
        }
        let others = (0..600).filter(|nr| *nr != of.setsockopt && !always.contains(nr));
        for other in others {
            assert_eq!(asked(other, V6ONLY), libc::SECCOMP_RET_ALLOW, "{other}");
        }
    }
}

/// Programs ask for other options of each connection: those stay free.
#[test]
fn of_the_options_that_are_asked_for_only_the_state_of_listening_is_trapped() {
    for (of, extra) in [(X86_64, NOTHING), (X86_64, ALL), (AARCH64, REMOVALS)] {
        let program = filter(of, extra);
        for (level, name) in (0..300).flat_map(|level| (0..120).map(move |name| (level, name))) {
            let answered = answer(&program, of.audit, of.getsockopt, [level, name]);
            assert_eq!(
                answered == libc::SECCOMP_RET_USER_NOTIF,
                (level, name) == (libc::SOL_SOCKET, libc::SO_ACCEPTCONN),
                "{level} {name}"
            );
        }
    }
}

/// A program may set options on each connection that it accepts: those stay free.
#[test]
fn exactly_the_listed_socket_options_are_trapped() {
    for (of, extra) in [X86_64, AARCH64]
        .map(|of| [(of, NOTHING), (of, REMOVALS), (of, ALL)])
        .concat()
    {
        let program = filter(of, extra);
        for (level, name) in (0..300).flat_map(|level| (0..120).map(move |name| (level, name))) {
            let listed = REPORTED
                .iter()
                .any(|(one, names)| *one == level && names.contains(&name));
            let answered = answer(&program, of.audit, of.setsockopt, [level, name]);
            assert_eq!(
                answered == libc::SECCOMP_RET_USER_NOTIF,
                listed,
                "{level} {name}"
            );
        }
        for often in [
            [libc::IPPROTO_TCP, libc::TCP_NODELAY],
            [libc::IPPROTO_TCP, libc::TCP_QUICKACK],
            [libc::IPPROTO_TCP, libc::TCP_CORK],
            [libc::IPPROTO_TCP, libc::TCP_KEEPIDLE],
            [libc::SOL_SOCKET, libc::SO_KEEPALIVE],
            [libc::SOL_SOCKET, libc::SO_LINGER],
            [libc::SOL_SOCKET, libc::SO_RCVTIMEO],
            [libc::IPPROTO_IP, libc::IP_RECVERR],
        ] {
            let answered = answer(&program, of.audit, of.setsockopt, often);
            assert_eq!(answered, libc::SECCOMP_RET_ALLOW, "{often:?}");
        }
    }
}

#[test]
fn removals_of_files_are_trapped_where_paths_are_shared_and_those_of_directories_never() {
    const FILE: [i32; 2] = [0, 0];
    const DIRECTORY: [i32; 2] = [0, libc::AT_REMOVEDIR];
    for of in [X86_64, AARCH64] {
        let program = filter(of, REMOVALS);
        let asked = |number, arguments| answer(&program, of.audit, number, arguments);
        let trapped = [of.bind, of.listen, of.unlinkat];
        for number in trapped.into_iter().chain(of.unlink) {
            assert_eq!(asked(number, FILE), libc::SECCOMP_RET_USER_NOTIF);
        }
        assert_eq!(asked(of.unlinkat, DIRECTORY), libc::SECCOMP_RET_ALLOW);
        assert_eq!(asked(of.setsockopt, V6ONLY), libc::SECCOMP_RET_USER_NOTIF);
        assert_eq!(asked(of.setsockopt, NODELAY), libc::SECCOMP_RET_ALLOW);
        let known = [of.setsockopt, of.epoll_create1].into_iter().chain(trapped);
        let known: Vec<u32> = known.chain(of.unlink).chain(of.epoll_create).collect();
        let others = (0..600).filter(|nr| !known.contains(nr));
        for other in others {
            assert_eq!(asked(other, V6ONLY), libc::SECCOMP_RET_ALLOW, "{other}");
        }
    }
}

/// What the kernel would answer to `connect` with an address of that length.
fn answer_to_connect(of: Architecture, extra: Extra, len: usize) -> u32 {
    let len = i32::try_from(len).unwrap();
    // The second of the two is the third argument of the call.
    answer(&filter(of, extra), of.audit, of.connect, [0, len])
}

#[test]
fn connections_are_trapped_where_paths_may_be_in_use_and_those_to_the_internet_never() {
    for of in [X86_64, AARCH64] {
        for len in [
            size_of::<libc::sockaddr_in>(),
            size_of::<libc::sockaddr_in6>(),
        ] {
            assert_eq!(answer_to_connect(of, ALL, len), libc::SECCOMP_RET_ALLOW);
        }
        for len in [3, 15, 17, 27, 29, size_of::<libc::sockaddr_un>()] {
            assert_eq!(
                answer_to_connect(of, ALL, len),
                libc::SECCOMP_RET_USER_NOTIF
            );
            assert_eq!(
                answer_to_connect(of, REMOVALS, len),
                libc::SECCOMP_RET_ALLOW
            );
        }
        let program = filter(of, ALL);
        let asked = |number| answer(&program, of.audit, number, [0, 0]);
        for also in [of.bind, of.listen, of.unlinkat, of.epoll_create1] {
            assert_eq!(asked(also), libc::SECCOMP_RET_USER_NOTIF);
        }
        for other in (0..600).filter(|number| asked(*number) != libc::SECCOMP_RET_ALLOW) {
            let always = [
                of.bind,
                of.listen,
                of.epoll_create1,
                of.unlinkat,
                of.connect,
            ];
            let maybe = [of.unlink, of.epoll_create];
            assert!(
                always.contains(&other) || maybe.contains(&Some(other)),
                "{other}"
            );
        }
    }
}

#[test]
fn calls_of_a_foreign_architecture_pass() {
    for (of, foreign) in [(X86_64, AARCH64), (AARCH64, X86_64)] {
        let program = filter(of, REMOVALS);
        for number in [of.bind, of.listen, of.setsockopt, of.getsockopt] {
            let answered = answer(&program, foreign.audit, number, V6ONLY);
            assert_eq!(answered, libc::SECCOMP_RET_ALLOW);
        }
    }
}
