//! Generates the program that selects the listener of a new connection, in classic BPF.
//!
//! The kernel runs it for each connection request of a SO_REUSEPORT group and uses the result as an index into the
//! group (socket(7), SO_ATTACH_REUSEPORT_CBPF). The program has no memory between runs, so it can only use random
//! numbers and the packet. For a result outside of the group, the kernel uses its own hash over all members, including
//! those that must get nothing; so the program never returns one.

mod draw;
mod flow;

use crate::model::{Bpf, Word};

pub use draw::drawing_program;
pub use flow::flow_program;

/// RPM_BALANCE: how the live listener of a new connection is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Randomly, among those whose queues are short and move ([`super::balance`]).
    Adaptive,
    /// Of these, to those with the fewest connections.
    Least,
    /// Randomly.
    Random,
    /// By client address and port.
    Hash,
    /// By client address alone.
    Source,
    /// By the CPU that handles the request.
    Cpu,
}

impl Balance {
    /// Whether connections are counted, and new ones go to the workers with the fewest. That replaces the steering program
    /// often. `safely`: the kernel is known to bear that ([`super::kernel`]).
    pub fn follows(self, safely: bool) -> bool {
        match self {
            Self::Adaptive => safely,
            // Somebody has decided it for this kernel.
            Self::Least => true,
            Self::Random | Self::Hash | Self::Source | Self::Cpu => false,
        }
    }

    /// Whether the accept queues are looked at.
    pub fn watches_queues(self) -> bool {
        matches!(self, Self::Adaptive | Self::Least)
    }
}

impl Word for Balance {
    const ALL: &'static [Self] = &[
        Self::Adaptive,
        Self::Least,
        Self::Random,
        Self::Hash,
        Self::Source,
        Self::Cpu,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::Least => "least",
            Self::Random => "random",
            Self::Hash => "hash",
            Self::Source => "source",
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
const DIV_K: u16 = 0x34;
const MOD_K: u16 = 0x94;
const RSH_K: u16 = 0x74;
const XOR_X: u16 = 0xac;
const TAX: u16 = 0x07;
const TXA: u16 = 0x87;
const JA: u16 = 0x05;
const JEQ_K: u16 = 0x15;
const JGE_K: u16 = 0x35;
const RET_K: u16 = 0x06;
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
/// by listener number. `live` has the indexes that may get connections, without repetition and ordered by rank. `homes`
/// has for each slot the index of its listener if that is live; [`Balance::Source`] needs it. `None` if `live` is empty
/// or an index is not a member.
pub fn program(
    members: u32,
    places: &[u32],
    live: &[u32],
    homes: &[Option<u32>],
    balance: Balance,
    probe: Option<ProbePorts>,
) -> Option<Vec<Bpf>> {
    let homely = homes.iter().flatten();
    if live.is_empty()
        || live
            .iter()
            .chain(places)
            .chain(homely)
            .any(|index| *index >= members)
    {
        return None;
    }
    let mut code = Vec::with_capacity(64);
    if let Some(ports) = probe {
        probe_prologue(&mut code, places, ports)?;
    }
    match balance {
        // The set of live listeners makes the difference.
        Balance::Adaptive | Balance::Least | Balance::Random => code.push(op(LD_W_ABS, RANDOM)),
        Balance::Hash => hash(&mut code),
        Balance::Source => {
            source(&mut code);
            home(&mut code, homes)?;
        }
        Balance::Cpu => code.push(op(LD_W_ABS, CPU)),
    }
    code.push(op(MOD_K, u32::try_from(live.len()).ok()?));
    code.extend(ranks_to_indices(live)?);
    (code.len() <= MAX_INSTRUCTIONS).then_some(code)
}

/// The longest program that a group with this number of members needs: every second listener is live.
pub fn longest(members: u16, balance: Balance, probe: Option<ProbePorts>) -> Option<Vec<Bpf>> {
    let all: Vec<u32> = (0..u32::from(members)).collect();
    let live: Vec<u32> = all.iter().copied().step_by(2).collect();
    let homes: Vec<Option<u32>> = all
        .iter()
        .map(|index| live.contains(index).then_some(*index))
        .collect();
    program(u32::from(members), &all, &live, &homes, balance, probe)
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

/// An odd number with well spread bits: 2^32 divided by the golden ratio.
const MIX: u32 = 0x9e37_79b1;

/// Mixes the low word of the client's address with its port. The device's own hash (SKF_AD_RXHASH) is 0 on some
/// devices.
fn hash(code: &mut Vec<Bpf>) {
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

/// Hashes the client's address alone. A client has the same hash on an IPv4 listener and on one for both families,
/// because the packet is the same.
fn source(code: &mut Vec<Bpf>) {
    code.extend([
        op(LD_B_ABS, NET),      // 0
        op(RSH_K, 4),           // 1
        jump(JEQ_K, 6, 2, 0),   // 2: to 5
        op(LD_W_ABS, NET + 12), // 3
        op(JA, 13),             // 4: to 18
        op(LD_W_ABS, NET + 8),  // 5
    ]);
    for word in [12, 16, 20] {
        // 6 to 17
        code.extend([
            op(MUL_K, MIX),
            op(TAX, 0),
            op(LD_W_ABS, NET + word),
            op(XOR_X, 0),
        ]);
    }
    stir(code, 0x85eb_ca6b); // 18
}

/// Spreads the bits of the hash. Neighbouring addresses differ in the last bits only.
fn stir(code: &mut Vec<Bpf>, by: u32) {
    for _ in 0..2 {
        code.extend([op(TAX, 0), op(RSH_K, 16), op(XOR_X, 0), op(MUL_K, by)]);
    }
    code.extend([op(TAX, 0), op(RSH_K, 15), op(XOR_X, 0)]);
}

/// The first of two steps: if the slot that the hash selects is live, its listener gets the connection. Otherwise a
/// second hash continues after this code, for the choice among those that are live. So a slot that leaves moves its own
/// clients and no others, and they come back with it.
fn home(code: &mut Vec<Bpf>, homes: &[Option<u32>]) -> Option<()> {
    // With no live slot, the choice is among the queues that wait for their workers.
    if homes.iter().all(Option::is_none) {
        return Some(());
    }
    code.push(op(TAX, 0));
    code.push(op(MOD_K, u32::try_from(homes.len()).ok()?));
    let mut found = Vec::new();
    // The shift between slot and index is the same within a run of slots; `None` for slots that are out.
    let mut runs: Vec<(u32, Option<u32>)> = Vec::new();
    for (slot, index) in (0_u32..).zip(homes) {
        let shift = index.map(|index| index.wrapping_sub(slot));
        if runs.last().is_none_or(|(_, last)| *last != shift) {
            runs.push((slot, shift));
        }
    }
    let out = runs.iter().filter(|(_, shift)| shift.is_none()).count();
    // Each run has a test if another one follows, and then two instructions, or one jump to the end.
    let length = 3 * runs.len() - 1 - out;
    for (at, (_, shift)) in runs.iter().enumerate() {
        let body = if shift.is_some() { 2 } else { 1 };
        if let Some((next, _)) = runs.get(at + 1) {
            found.push(jump(JGE_K, *next, body, 0));
        }
        if let Some(shift) = shift {
            found.extend([op(ADD_K, *shift), op(RET_A, 0)]);
        } else {
            let left = length.checked_sub(found.len() + 1)?;
            found.push(op(JA, u32::try_from(left).ok()?));
        }
    }
    code.extend(found);
    code.push(op(TXA, 0));
    stir(code, 0xc2b2_ae35);
    Some(())
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
mod tests;
