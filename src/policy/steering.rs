//! Generates the program that selects the listener of a new connection, in classic BPF.
//!
//! The kernel runs it for each connection request of a SO_REUSEPORT group and uses the result as an index into the
//! group (socket(7), SO_ATTACH_REUSEPORT_CBPF). The program has no memory between runs, so it can only use random
//! numbers and the packet. For a result outside of the group, the kernel uses its own hash over all members, including
//! those that must get nothing; so the program never returns one.

use crate::model::{Bpf, Word};

/// RPM_BALANCE: how the live listener of a new connection is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Randomly, among those whose queues are short and move ([`super::balance`]).
    Adaptive,
    /// Randomly.
    Random,
    /// By client address and port.
    Hash,
    /// By the CPU that handles the request.
    Cpu,
}

impl Word for Balance {
    const ALL: &'static [Self] = &[Self::Adaptive, Self::Random, Self::Hash, Self::Cpu];

    fn word(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::Random => "random",
            Self::Hash => "hash",
            Self::Cpu => "cpu",
        }
    }
}

/// Source ports that select a listener: from a loopback address, the source port `base + n` reaches listener `n`, live
/// or not. The runtime uses them to reach one worker through the shared port. The address is checked because a client
/// behind NAT may use any port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePorts {
    /// Source port of listener 0.
    pub base: u16,
    /// Number of listeners with such a port.
    pub count: u16,
}

impl ProbePorts {
    /// Source port that reaches this listener.
    pub fn port(self, listener: u16) -> Option<u16> {
        let port = self.base.checked_add(listener);
        port.filter(|_| listener < self.count)
    }
}

const LD_W_ABS: u16 = 0x20;
const LD_H_ABS: u16 = 0x28;
const LD_B_ABS: u16 = 0x30;
const ADD_K: u16 = 0x04;
const SUB_K: u16 = 0x14;
const MUL_K: u16 = 0x24;
const MOD_K: u16 = 0x94;
const RSH_K: u16 = 0x74;
const XOR_X: u16 = 0xac;
const TAX: u16 = 0x07;
const JA: u16 = 0x05;
const JEQ_K: u16 = 0x15;
const JGE_K: u16 = 0x35;
const RET_A: u16 = 0x16;

/// SKF_NET_OFF: offsets from here start at the network header (linux/filter.h).
const NET: u32 = 0xfff0_0000;
/// SKF_AD_OFF + SKF_AD_CPU.
const CPU: u32 = 0xffff_f000 + 36;
/// SKF_AD_OFF + SKF_AD_RANDOM.
const RANDOM: u32 = 0xffff_f000 + 56;

/// Maximal length of a program (BPF_MAXINSNS).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// Builds the program for a group with this number of `members`. `places` has the index in the group of each listener,
/// by listener number. `live` has the indexes that may get connections, without repetition and ordered by rank. `None`
/// if `live` is empty or an index is not a member.
pub fn program(
    members: u32,
    places: &[u32],
    live: &[u32],
    balance: Balance,
    probe: Option<ProbePorts>,
) -> Option<Vec<Bpf>> {
    if live.is_empty() || live.iter().chain(places).any(|index| *index >= members) {
        return None;
    }
    let mut code = Vec::with_capacity(64);
    if let Some(ports) = probe {
        probe_prologue(&mut code, places, ports)?;
    }
    match balance {
        // The set of live listeners makes the difference.
        Balance::Adaptive | Balance::Random => code.push(op(LD_W_ABS, RANDOM)),
        Balance::Hash => hash(&mut code),
        Balance::Cpu => code.push(op(LD_W_ABS, CPU)),
    }
    code.push(op(MOD_K, u32::try_from(live.len()).ok()?));
    code.extend(ranks_to_indices(live)?);
    (code.len() <= MAX_INSTRUCTIONS).then_some(code)
}

fn op(code: u16, k: u32) -> Bpf {
    Bpf {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Bpf {
    Bpf { code, jt, jf, k }
}

/// If the packet has a loopback source and a source port of the range, returns the place of listener (port - base).
/// Otherwise continues after this code.
fn probe_prologue(code: &mut Vec<Bpf>, places: &[u32], ports: ProbePorts) -> Option<()> {
    let places = places.get(..usize::from(ports.count)).unwrap_or(places);
    let numbers = u32::try_from(places.len()).ok()?;
    let found = ranks_to_indices(places)?;
    // Jump distances count from the next instruction.
    code.extend([
        op(LD_B_ABS, NET),                        // 0: version and header length
        jump(JEQ_K, 0x45, 0, 5), // 1: IPv4 without options; the runtime's own probes have none
        op(LD_W_ABS, NET + 12),  // 2: source address
        op(RSH_K, 24),           // 3
        jump(JEQ_K, 127, 0, 18), // 4: else to 23
        op(LD_H_ABS, NET + 20),  // 5: source port
        op(JA, 13),              // 6: to 20
        op(RSH_K, 4),            // 7
        jump(JEQ_K, 6, 0, 14),   // 8
        op(LD_B_ABS, NET + 6),   // 9: TCP follows at once, no extension header
        jump(JEQ_K, 6, 0, 12),   // 10
        op(LD_W_ABS, NET + 8),   // 11: source address ::1, word by word
        jump(JEQ_K, 0, 0, 10),   // 12
        op(LD_W_ABS, NET + 12),  // 13
        jump(JEQ_K, 0, 0, 8),    // 14
        op(LD_W_ABS, NET + 16),  // 15
        jump(JEQ_K, 0, 0, 6),    // 16
        op(LD_W_ABS, NET + 20),  // 17
        jump(JEQ_K, 1, 0, 4),    // 18
        op(LD_H_ABS, NET + 40),  // 19: source port
        jump(JGE_K, u32::from(ports.base), 0, 2), // 20: below the range: a client
        op(SUB_K, u32::from(ports.base)), // 21
        jump(JGE_K, numbers, 0, 1), // 22: above it: a client too
        op(JA, u32::try_from(found.len()).ok()?), // 23: a client
    ]);
    code.extend(found);
    Some(())
}

/// Mixes the low word of the client's address with its port. The device's own hash (SKF_AD_RXHASH) is 0 on some
/// devices.
fn hash(code: &mut Vec<Bpf>) {
    const MIX: u32 = 0x9e37_79b1;
    code.extend([
        op(LD_B_ABS, NET),      // 0
        op(RSH_K, 4),           // 1
        jump(JEQ_K, 6, 4, 0),   // 2: to 7
        op(LD_W_ABS, NET + 12), // 3
        op(TAX, 0),             // 4
        op(LD_H_ABS, NET + 20), // 5
        op(JA, 3),              // 6: to 10
        op(LD_W_ABS, NET + 20), // 7
        op(TAX, 0),             // 8
        op(LD_H_ABS, NET + 40), // 9
        op(MUL_K, MIX),         // 10
        op(XOR_X, 0),           // 11
        op(MUL_K, MIX),         // 12
        op(RSH_K, 16),          // 13
    ]);
}

/// Generates the conversion of a rank to the index at this rank, and its return. Within a run of consecutive indexes
/// both differ by a constant (modulo 2^32), so the size of the program depends on the number of gaps, not of members.
fn ranks_to_indices(indices: &[u32]) -> Option<Vec<Bpf>> {
    let mut runs: Vec<(u32, u32)> = Vec::new(); // (first rank, index - rank)
    for (rank, index) in indices.iter().enumerate() {
        let rank = u32::try_from(rank).ok()?;
        let shift = index.wrapping_sub(rank);
        if runs.last().is_none_or(|(_, last)| *last != shift) {
            runs.push((rank, shift));
        }
    }
    let mut code = Vec::with_capacity(3 * runs.len());
    for (at, (_, shift)) in runs.iter().enumerate() {
        if let Some((next, _)) = runs.get(at + 1) {
            code.push(jump(JGE_K, *next, 2, 0));
        }
        code.push(op(ADD_K, *shift));
        code.push(op(RET_A, 0));
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a program like the kernel, on an IP packet. `random` is the random number and the CPU number.
    fn run(code: &[Bpf], packet: &[u8], random: u32) -> u32 {
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
                RSH_K => a >>= insn.k,
                XOR_X => a ^= x,
                TAX => x = a,
                JA => pc += usize::try_from(insn.k).unwrap(),
                JEQ_K => pc += usize::from(if a == insn.k { insn.jt } else { insn.jf }),
                JGE_K => pc += usize::from(if a >= insn.k { insn.jt } else { insn.jf }),
                RET_A => return a,
                other => panic!("unknown operation {other:#x}"),
            }
        }
    }

    fn in_order(members: u32) -> Vec<u32> {
        (0..members).collect()
    }

    fn v4(source: [u8; 4], port: u16) -> Vec<u8> {
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

    const PORTS: Option<ProbePorts> = Some(ProbePorts {
        base: 61_000,
        count: 1000,
    });

    #[test]
    fn a_probe_reaches_its_slot_even_one_that_is_not_live() {
        let code = program(5, &in_order(5), &[0, 1], Balance::Random, PORTS).unwrap();
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
        let code = program(6, &places, &[1, 3], Balance::Random, PORTS).unwrap();
        for (number, place) in (0_u16..).zip(places) {
            assert_eq!(run(&code, &v4([127, 0, 0, 1], 61_000 + number), 0), place);
        }
        assert!([1, 3].contains(&run(&code, &v4([127, 0, 0, 1], 61_006), 9)));
    }

    #[test]
    fn only_a_loopback_source_is_a_probe() {
        let code = program(5, &in_order(5), &[0, 1], Balance::Random, PORTS).unwrap();
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
        assert_eq!(program(4, &in_order(4), &[], Balance::Random, None), None);
        assert_eq!(program(4, &in_order(4), &[4], Balance::Random, None), None);
    }

    #[test]
    fn the_largest_fleet_with_every_second_slot_fits() {
        let live: Vec<u32> = (0..513).step_by(2).collect();
        let code = program(513, &in_order(513), &live, Balance::Hash, PORTS).unwrap();
        // optmem_max (20 KiB on older kernels) is another limit, with eight bytes per instruction.
        assert!(code.len() * 8 <= 20 * 1024, "{}", code.len());
    }

    #[test]
    fn hash_spreads_and_is_stable() {
        let code = program(
            8,
            &in_order(8),
            &[0, 1, 2, 3, 4, 5, 6, 7],
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

    proptest! {
        #[test]
        fn every_live_listener_and_no_other_is_chosen(
            members in 1_u32..600,
            picks in prop::collection::btree_set(0_u32..600, 1..40),
            random: u32,
            source: [u8; 4],
            port: u16,
        ) {
            let live: Vec<u32> = picks.into_iter().filter(|index| *index < members).collect();
            prop_assume!(!live.is_empty());
            let packet = v4(source, port);
            let probe = source[0] == 127 && port >= 61_000 && u32::from(port - 61_000) < members;
            for choice in [Balance::Adaptive, Balance::Random, Balance::Hash, Balance::Cpu] {
                let code = program(members, &in_order(members), &live, choice, PORTS).unwrap();
                let chosen = run(&code, &packet, random);
                prop_assert!(probe || live.contains(&chosen));
            }
            for choice in [Balance::Random, Balance::Cpu] {
                let code = program(members, &in_order(members), &live, choice, None).unwrap();
                for (rank, index) in live.iter().enumerate() {
                    let random = u32::try_from(rank + live.len() * 3).unwrap();
                    prop_assert_eq!(run(&code, &packet, random), *index);
                }
            }
        }
    }
}
