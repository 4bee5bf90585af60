//! The generated programs, run as the kernel runs them.

use super::*;
use proptest::prelude::*;

/// Runs a program like the kernel, on an IP packet. `random` is the random number and the CPU number.
pub(super) fn run(code: &[Bpf], packet: &[u8], random: u32) -> u32 {
    let (mut pc, mut a, mut x) = (0_usize, 0_u32, 0_u32);
    loop {
        let insn = code[pc];
        pc += 1;
        let load = |width: usize| -> Option<u32> {
            let at = usize::try_from(insn.k.checked_sub(NET)?).unwrap();
            Some(
                packet
                    .get(at..at + width)?
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
            )
        };
        match insn.code {
            LD_W_ABS if [RANDOM, CPU].contains(&insn.k) => a = random,
            LD_W_ABS | LD_H_ABS | LD_B_ABS => {
                match load(match insn.code {
                    LD_W_ABS => 4,
                    LD_H_ABS => 2,
                    _ => 1,
                }) {
                    Some(value) => a = value,
                    None => return 0,
                }
            }
            ADD_K => a = a.wrapping_add(insn.k),
            SUB_K => a = a.wrapping_sub(insn.k),
            MUL_K => a = a.wrapping_mul(insn.k),
            MOD_K => a %= insn.k,
            DIV_K => a /= insn.k,
            RSH_K => a >>= insn.k,
            XOR_X => a ^= x,
            TAX => x = a,
            TXA => a = x,
            JA => pc += usize::try_from(insn.k).unwrap(),
            JEQ_K => pc += usize::from(if a == insn.k { insn.jt } else { insn.jf }),
            JGE_K => pc += usize::from(if a >= insn.k { insn.jt } else { insn.jf }),
            RET_K => return insn.k,
            RET_A => return a,
            other => panic!("unknown operation {other:#x}"),
        }
    }
}

pub(super) fn in_order(members: u32) -> Vec<u32> {
    (0..members).collect()
}

pub(super) fn v4(source: [u8; 4], port: u16) -> Vec<u8> {
    let mut packet = vec![0_u8; 40];
    packet[0] = 0x45;
    packet[12..16].copy_from_slice(&source);
    packet[20..22].copy_from_slice(&port.to_be_bytes());
    packet
}

fn v6(source: u128, port: u16) -> Vec<u8> {
    let mut packet = vec![0_u8; 60];
    packet[0] = 0x60;
    packet[6] = 6;
    packet[8..24].copy_from_slice(&source.to_be_bytes());
    packet[40..42].copy_from_slice(&port.to_be_bytes());
    packet
}

pub(super) const PORTS: Option<ProbePorts> = Some(ProbePorts {
    base: 61_000,
    count: 1000,
});

#[test]
fn connections_are_counted_where_the_kernel_bears_it_or_it_is_wished() {
    // On any kernel, and on one that bears it.
    let expected = [
        (Balance::Adaptive, false, true),
        (Balance::Least, true, true),
        (Balance::Random, false, false),
        (Balance::Hash, false, false),
        (Balance::Source, false, false),
        (Balance::Cpu, false, false),
    ];
    assert_eq!(expected.map(|(balance, ..)| balance), Balance::ALL);
    for (balance, anywhere, safely) in expected {
        assert_eq!(balance.follows(false), anywhere, "{balance:?}");
        assert_eq!(balance.follows(true), safely, "{balance:?}");
    }
}

#[test]
fn a_probe_reaches_its_slot_even_one_that_is_not_live() {
    let code = program(5, &in_order(5), &[0, 1], &[], Balance::Random, PORTS).unwrap();
    for index in 0..5_u16 {
        assert_eq!(
            run(&code, &v4([127, 9, 9, 9], 61_000 + index), 0),
            u32::from(index)
        );
        assert_eq!(run(&code, &v6(1, 61_000 + index), 0), u32::from(index));
    }
}

#[test]
fn a_probe_finds_its_listener_whatever_its_place() {
    let places = [3, 0, 1, 4, 2, 5];
    let code = program(6, &places, &[1, 3], &[], Balance::Random, PORTS).unwrap();
    for (number, place) in (0_u16..).zip(places) {
        assert_eq!(run(&code, &v4([127, 0, 0, 1], 61_000 + number), 0), place);
    }
    assert!([1, 3].contains(&run(&code, &v4([127, 0, 0, 1], 61_006), 9)));
}

#[test]
fn only_a_loopback_source_is_a_probe() {
    let code = program(5, &in_order(5), &[0, 1], &[], Balance::Random, PORTS).unwrap();
    let mut extension = v6(1, 61_004);
    extension[6] = 0;
    let mut options = v4([127, 0, 0, 1], 61_004);
    options[0] = 0x46;
    let others = [
        v4([10, 0, 0, 1], 61_004),
        v4([127, 0, 0, 1], 61_005),
        v4([127, 0, 0, 1], 60_999),
        v6(2, 61_004),
        v6(1 << 100 | 1, 61_004),
        v6(1 << 64 | 1, 61_004),
        v6(1 << 33 | 1, 61_004),
        v6(1, 61_005),
        extension,
        options,
    ];
    for packet in others {
        assert!(run(&code, &packet, 7) < 2);
    }
}

#[test]
fn nobody_live_is_no_program() {
    assert_eq!(
        program(4, &in_order(4), &[], &[], Balance::Random, None),
        None
    );
    assert_eq!(
        program(4, &in_order(4), &[4], &[], Balance::Random, None),
        None
    );
}

#[test]
fn the_largest_fleet_with_every_second_slot_fits() {
    let live: Vec<u32> = (0..513).step_by(2).collect();
    let code = program(513, &in_order(513), &live, &[], Balance::Hash, PORTS).unwrap();
    // optmem_max (20 KiB on older kernels) is another limit, with eight bytes per instruction.
    assert!(code.len() * 8 <= 20 * 1024, "{}", code.len());
}

#[test]
fn no_set_of_live_listeners_needs_a_longer_program() {
    for balance in Balance::ALL {
        let most = longest(6, *balance, PORTS).unwrap().len();
        for set in 1_u32..64 {
            let live: Vec<u32> = (0..6).filter(|n| set >> n & 1 == 1).collect();
            let homes: Vec<Option<u32>> = (0..6).map(|n| live.contains(&n).then_some(n)).collect();
            let code = program(6, &in_order(6), &live, &homes, *balance, PORTS).unwrap();
            assert!(
                code.len() <= most,
                "{balance:?} {live:?}: {} of {most}",
                code.len()
            );
        }
    }
}

#[test]
fn hash_spreads_and_is_stable() {
    let code = program(
        8,
        &in_order(8),
        &[0, 1, 2, 3, 4, 5, 6, 7],
        &[],
        Balance::Hash,
        PORTS,
    )
    .unwrap();
    let mut counts = [0_u32; 8];
    for port in (32_768..60_000).step_by(2) {
        let packet = v4([10, 1, 2, 3], port);
        let index = run(&code, &packet, u32::from(port));
        assert_eq!(index, run(&code, &packet, 0));
        counts[usize::try_from(index).unwrap()] += 1;
    }
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least * 5 > *most * 4, "{counts:?}");
}

/// The slot of each of many clients, if these of four slots are live. Slot `k` has index `3 - k`.
fn homes_of(live: &[u32], packets: &[Vec<u8>]) -> Vec<u32> {
    let homes: Vec<Option<u32>> = (0..4)
        .map(|slot| live.contains(&slot).then_some(3 - slot))
        .collect();
    let indexes: Vec<u32> = live.iter().map(|slot| 3 - slot).collect();
    let code = program(4, &in_order(4), &indexes, &homes, Balance::Source, PORTS).unwrap();
    packets
        .iter()
        .map(|packet| 3 - run(&code, packet, 0))
        .collect()
}

/// Clients of both families: neighbours in one network, and others far away.
fn clients() -> Vec<Vec<u8>> {
    let near = (0..1000_u32).map(|n| v4((0x0a01_0000 + n).to_be_bytes(), 40_000));
    let far = (0..1000_u32).map(|n| v4((n << 22 | 0x0007_0001).to_be_bytes(), 40_000));
    let near6 = (0..1000_u128).map(|n| v6(0x2001_0db8 << 96 | n, 40_000));
    let far6 = (0..1000_u128).map(|n| v6(0x2001_0db8 << 96 | n << 64 | 1, 40_000));
    near.chain(far).chain(near6).chain(far6).collect()
}

#[test]
fn by_source_the_port_of_a_client_does_not_matter() {
    for (one, other) in [
        (v4([10, 1, 2, 3], 1), v4([10, 1, 2, 3], 50_001)),
        (v6(0xfd00 << 112 | 7, 1), v6(0xfd00 << 112 | 7, 50_001)),
    ] {
        for live in [&[0, 1, 2, 3][..], &[1, 3]] {
            let slots = homes_of(live, &[one.clone(), other.clone()]);
            assert_eq!(slots[0], slots[1]);
        }
    }
}

#[test]
fn by_source_each_kind_of_neighbours_is_spread() {
    let slots = homes_of(&[0, 1, 2, 3], &clients());
    for (kind, slots) in slots.chunks(1000).enumerate() {
        let count = |slot| slots.iter().filter(|one| **one == slot).count();
        let counts = [0, 1, 2, 3].map(count);
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 200 && *most < 300, "{kind}: {counts:?}");
    }
}

#[test]
fn by_source_only_the_clients_of_a_slot_that_leaves_move_and_they_come_back() {
    let clients = clients();
    let all = homes_of(&[0, 1, 2, 3], &clients);
    for gone in 0..4 {
        let live: Vec<u32> = (0..4).filter(|slot| *slot != gone).collect();
        let left = homes_of(&live, &clients);
        let mut taken = [0; 4];
        for (before, after) in all.iter().zip(&left) {
            if *before == gone {
                assert!(live.contains(after));
                taken[usize::try_from(*after).unwrap()] += 1;
            } else {
                assert_eq!(before, after);
            }
        }
        // Those that move are spread too.
        let moved: i32 = taken.iter().sum();
        for slot in live {
            let share = taken[usize::try_from(slot).unwrap()];
            assert!(share * 4 > moved, "{taken:?}");
        }
    }
}

#[test]
fn by_source_clients_without_any_live_slot_wait_at_all_queues() {
    let code = program(4, &in_order(4), &[1, 2], &[None; 4], Balance::Source, None).unwrap();
    let mut found: Vec<u32> = clients().iter().map(|one| run(&code, one, 0)).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, [1, 2]);
}

#[test]
fn by_source_the_largest_fleet_with_every_second_slot_fits() {
    let homes: Vec<Option<u32>> = (0..512)
        .map(|slot| (slot % 2 == 0).then_some(slot))
        .collect();
    let live: Vec<u32> = homes.iter().flatten().copied().collect();
    let code = program(513, &in_order(513), &live, &homes, Balance::Source, PORTS).unwrap();
    assert!(code.len() * 8 <= 20 * 1024, "{}", code.len());
}

proptest! {
    #[test]
    fn every_live_listener_and_no_other_is_chosen(
        members in 1_u32..600,
        picks in prop::collection::btree_set(0_u32..600, 1..40),
        random: u32,
        source: [u8; 4],
        port: u16,
        seats in prop::collection::vec(0_u8..60, 0..40),
    ) {
        let live: Vec<u32> = picks.into_iter().filter(|index| *index < members).collect();
        prop_assume!(!live.is_empty());
        let homes: Vec<Option<u32>> = seats.iter().map(|seat| live.get(usize::from(*seat)).copied()).collect();
        let packet = v4(source, port);
        let probe = source[0] == 127 && port >= 61_000 && u32::from(port - 61_000) < members;
        for choice in [Balance::Adaptive, Balance::Random, Balance::Hash, Balance::Source, Balance::Cpu] {
            let code = program(members, &in_order(members), &live, &homes, choice, PORTS).unwrap();
            let chosen = run(&code, &packet, random);
            prop_assert!(probe || live.contains(&chosen));
        }
        for choice in [Balance::Random, Balance::Cpu] {
            let code = program(members, &in_order(members), &live, &homes, choice, None).unwrap();
            for (rank, index) in live.iter().enumerate() {
                let random = u32::try_from(rank + live.len() * 3).unwrap();
                prop_assert_eq!(run(&code, &packet, random), *index);
            }
        }
    }
}
