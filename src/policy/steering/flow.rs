//! The program that selects the socket of a datagram, in classic BPF.
//!
//! The same client must reach the same worker, and when a worker leaves only its own clients may move. So the client's
//! address is hashed twice: first over all slots; if that slot has no live worker, over the live ones.

use crate::model::Bpf;

use super::{
    ADD_K, JA, JEQ_K, JGE_K, LD_B_ABS, LD_H_ABS, LD_W_ABS, MAX_INSTRUCTIONS, MOD_K, MUL_K, NET,
    RET_A, RSH_K, TAX, XOR_X, jump, op, ranks_to_indices,
};

const LD_H_IND: u16 = 0x48;
const LDX_MSH: u16 = 0xb1;
const LD_IMM: u16 = 0x00;
const LD_MEM: u16 = 0x60;
const ST: u16 = 0x02;

/// The golden ratio, as a fraction of 2^32, and another odd number without a pattern: they mix the bits.
const MIX: [u32; 2] = [0x9e37_79b1, 0x85eb_ca6b];

/// Where the program keeps the hash, and the client's port.
const HASH: u32 = 0;
const PORT: u32 = 1;

/// Builds the program for a group with this number of `members`. `homes` has, for each slot, the index in the group of
/// its worker's socket if that worker is live; `live` has the indexes that may get datagrams, without repetition.
/// `None` if `live` is empty or an index is not a member.
pub fn flow_program(members: u32, homes: &[Option<u32>], live: &[u32]) -> Option<Vec<Bpf>> {
    let used = homes.iter().flatten().chain(live);
    if live.is_empty() || used.into_iter().any(|index| *index >= members) {
        return None;
    }
    let mut code = Vec::with_capacity(64);
    hash(&mut code);
    if homes.iter().any(Option::is_some) {
        code.push(op(MOD_K, u32::try_from(homes.len()).ok()?));
        home(&mut code, homes)?;
    }
    if homes.iter().any(Option::is_none) || homes.is_empty() {
        // Other bits than in the first step, so that the clients of one slot spread over all live ones.
        code.extend([
            op(LD_MEM, HASH),
            op(MUL_K, MIX[1]),
            op(RSH_K, 15),
            op(MOD_K, u32::try_from(live.len()).ok()?),
        ]);
        code.extend(ranks_to_indices(live)?);
    }
    (code.len() <= MAX_INSTRUCTIONS).then_some(code)
}

/// Hashes the client's address and port, into the accumulator and into memory. A datagram whose port is not where it
/// is expected (IPv6 with an extension header) is hashed by its address alone.
fn hash(code: &mut Vec<Bpf>) {
    code.extend([
        op(LD_B_ABS, NET),      // 0: version and header length
        op(RSH_K, 4),           // 1
        jump(JEQ_K, 6, 6, 0),   // 2: to 9
        op(LDX_MSH, NET),       // 3: length of the header
        op(LD_H_IND, NET),      // 4: source port
        op(ST, PORT),           // 5
        op(LD_W_ABS, NET + 12), // 6: source address
        op(MUL_K, MIX[0]),      // 7
        op(JA, 16),             // 8: to 25
        op(LD_IMM, 0),          // 9
        op(ST, PORT),           // 10
        op(LD_B_ABS, NET + 6),  // 11: the next header
        jump(JEQ_K, 17, 0, 2),  // 12: UDP, else to 15
        op(LD_H_ABS, NET + 40), // 13: source port
        op(ST, PORT),           // 14
        op(LD_W_ABS, NET + 8), // 15: source address, without its third word, which seldom differs alone
        op(MUL_K, MIX[0]),     // 16
        op(TAX, 0),            // 17
        op(LD_W_ABS, NET + 12), // 18
        op(XOR_X, 0),          // 19
        op(MUL_K, MIX[1]),     // 20
        op(TAX, 0),            // 21
        op(LD_W_ABS, NET + 20), // 22
        op(XOR_X, 0),          // 23
        op(MUL_K, MIX[0]),     // 24
        op(ST, HASH),          // 25
        op(LD_MEM, PORT),      // 26
        op(MUL_K, MIX[1]),     // 27
        op(TAX, 0),            // 28
        op(LD_MEM, HASH),      // 29
        op(XOR_X, 0),          // 30
        op(TAX, 0),            // 31: high bits into low ones, which the modulo needs
        op(RSH_K, 15),         // 32
        op(XOR_X, 0),          // 33
        op(MUL_K, MIX[0]),     // 34
        op(TAX, 0),            // 35
        op(RSH_K, 13),         // 36
        op(XOR_X, 0),          // 37
        op(ST, HASH),          // 38
    ]);
}

/// Returns the index for the slot in the accumulator, or continues after this code if the slot has no live worker.
fn home(code: &mut Vec<Bpf>, homes: &[Option<u32>]) -> Option<()> {
    // First slot of each run, and index - slot within it; `None`: no live worker.
    let mut runs: Vec<(u32, Option<u32>)> = Vec::new();
    for (slot, index) in (0_u32..).zip(homes) {
        let shift = index.map(|index| index.wrapping_sub(slot));
        if runs.last().is_none_or(|(_, last)| *last != shift) {
            runs.push((slot, shift));
        }
    }
    let len = 3 * runs.len() - 1;
    let start = code.len();
    for (at, (_, shift)) in runs.iter().enumerate() {
        if let Some((next, _)) = runs.get(at + 1) {
            code.push(jump(JGE_K, *next, 2, 0));
        }
        if let Some(shift) = shift {
            code.extend([op(ADD_K, *shift), op(RET_A, 0)]);
        } else {
            // Two instructions, as above.
            let left = start + len - code.len() - 1;
            code.extend([op(JA, u32::try_from(left).ok()?), op(RET_A, 0)]);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Runs a program like the kernel, on an IP packet.
    fn run(code: &[Bpf], packet: &[u8]) -> u32 {
        let (mut pc, mut a, mut x, mut memory) = (0_usize, 0_u32, 0_u32, [0_u32; 16]);
        loop {
            let insn = code[pc];
            pc += 1;
            let at = |k: u32, len: usize| {
                let from = usize::try_from(k.wrapping_sub(NET)).unwrap();
                let bytes = packet.get(from..from + len)?;
                Some(
                    bytes
                        .iter()
                        .fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
                )
            };
            let slot = usize::try_from(insn.k).unwrap_or(usize::MAX);
            match insn.code {
                LD_W_ABS | LD_H_ABS | LD_B_ABS | LD_H_IND => {
                    let (k, len) = match insn.code {
                        LD_W_ABS => (insn.k, 4),
                        LD_H_ABS => (insn.k, 2),
                        LD_H_IND => (insn.k.wrapping_add(x), 2),
                        _ => (insn.k, 1),
                    };
                    let Some(value) = at(k, len) else { return 0 };
                    a = value;
                }
                LDX_MSH => x = 4 * (at(insn.k, 1).unwrap() & 0xf),
                LD_IMM => a = insn.k,
                LD_MEM => a = memory[slot],
                ST => memory[slot] = a,
                ADD_K => a = a.wrapping_add(insn.k),
                MUL_K => a = a.wrapping_mul(insn.k),
                MOD_K => a %= insn.k,
                RSH_K => a >>= insn.k,
                XOR_X => a ^= x,
                TAX => x = a,
                JA => pc += slot,
                JEQ_K => pc += usize::from(if a == insn.k { insn.jt } else { insn.jf }),
                JGE_K => pc += usize::from(if a >= insn.k { insn.jt } else { insn.jf }),
                RET_A => return a,
                other => panic!("unknown operation {other:#x}"),
            }
        }
    }

    fn v4(source: [u8; 4], port: u16, options: usize) -> Vec<u8> {
        let mut packet = vec![0_u8; 40 + options];
        packet[0] = 0x45 + u8::try_from(options / 4).unwrap();
        packet[12..16].copy_from_slice(&source);
        packet[20 + options..22 + options].copy_from_slice(&port.to_be_bytes());
        packet
    }

    fn v6(source: u128, port: u16, next: u8) -> Vec<u8> {
        let mut packet = vec![0_u8; 60];
        packet[0] = 0x60;
        packet[6] = next;
        packet[8..24].copy_from_slice(&source.to_be_bytes());
        packet[40..42].copy_from_slice(&port.to_be_bytes());
        packet
    }

    /// 2 000 clients: of one host, of many hosts, and over IPv6.
    fn clients() -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for n in 0..500_u16 {
            let [high, low] = n.to_be_bytes();
            all.push(v4([127, 0, 0, 1], 40_000 + n, 0));
            all.push(v4([10, 1, high, low], 5353, 0));
            all.push(v6(1, 40_000 + n, 17));
            all.push(v6(0xfd00 << 112 | u128::from(n), 5353, 17));
        }
        all
    }

    fn spread(homes: &[Option<u32>], live: &[u32]) -> Vec<u32> {
        let code = flow_program(8, homes, live).unwrap();
        clients().iter().map(|packet| run(&code, packet)).collect()
    }

    #[test]
    fn clients_are_spread_over_all_slots() {
        let homes = [Some(3), Some(0), Some(1), Some(2)];
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for index in spread(&homes, &[0, 1, 2, 3]) {
            *counts.entry(index).or_default() += 1;
        }
        assert_eq!(counts.len(), 4);
        assert!(
            counts.values().all(|count| (400..600).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn only_the_clients_of_the_slot_that_leaves_move_and_to_all_that_stay() {
        let before = spread(&[Some(0), Some(1), Some(2), Some(3)], &[0, 1, 2, 3]);
        let after = spread(&[Some(0), Some(1), None, Some(3)], &[0, 1, 3]);
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for (old, new) in before.iter().zip(&after) {
            if *old == 2 {
                *counts.entry(*new).or_default() += 1;
            } else {
                assert_eq!(old, new);
            }
        }
        assert!(
            counts.keys().eq(&[0, 1, 3]) && counts.values().all(|count| *count > 120),
            "{counts:?}"
        );
    }

    #[test]
    fn a_successor_gets_the_clients_of_its_predecessor_and_no_others() {
        let before = spread(&[Some(0), Some(1), Some(2)], &[0, 1, 2]);
        let after = spread(&[Some(0), Some(3), Some(2)], &[0, 3, 2]);
        for (old, new) in before.iter().zip(&after) {
            assert_eq!(if *old == 1 { 3 } else { *old }, *new);
        }
    }

    #[test]
    fn options_of_the_header_change_nothing() {
        let code = flow_program(8, &[Some(0), Some(1), Some(2), Some(3)], &[0, 1, 2, 3]).unwrap();
        for port in 40_000..40_200 {
            let plain = run(&code, &v4([10, 0, 0, 7], port, 0));
            assert_eq!(run(&code, &v4([10, 0, 0, 7], port, 8)), plain);
        }
        let strange = run(&code, &v6(77, 1, 0));
        assert_eq!(run(&code, &v6(77, 2, 0)), strange, "by the address alone");
    }

    #[test]
    fn whoever_is_live_is_chosen_and_nobody_else() {
        for homes in 0..16_u32 {
            let live: Vec<u32> = (0..4).filter(|slot| homes >> slot & 1 == 1).collect();
            let homes: Vec<Option<u32>> = (0..4)
                .map(|slot| (homes >> slot & 1 == 1).then_some(slot))
                .collect();
            if live.is_empty() {
                assert_eq!(flow_program(8, &homes, &live), None);
                // Nobody is live: clients wait where a worker is expected.
                assert!(spread(&homes, &[5]).iter().all(|index| *index == 5));
            } else {
                assert!(
                    spread(&homes, &live)
                        .iter()
                        .all(|index| live.contains(index))
                );
            }
        }
        assert_eq!(flow_program(3, &[Some(3)], &[0]), None);
        assert_eq!(flow_program(3, &[None], &[3]), None);
    }

    #[test]
    fn the_largest_fleet_with_every_second_slot_fits() {
        let homes: Vec<Option<u32>> = (0..512).map(|n| (n % 2 == 0).then_some(n)).collect();
        let live: Vec<u32> = homes.iter().flatten().copied().collect();
        let code = flow_program(513, &homes, &live).unwrap();
        // optmem_max (20 KiB on older kernels) is another limit, with eight bytes per instruction.
        assert!(code.len() * 8 <= 20 * 1024, "{}", code.len());
    }
}
