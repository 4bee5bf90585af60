//! The program that draws a listener, each with its own chance.
//!
//! The range of the random number is divided: a listener has a part as long as its chance. Listeners with the same chance
//! and consecutive indexes share a part. The part of a number is found by halves, so the time for a connection grows with
//! the logarithm of the number of parts.

use crate::model::Bpf;

use super::{
    ADD_K, Balance, DIV_K, JA, JGE_K, LD_B_ABS, LD_H_ABS, LD_W_ABS, MAX_INSTRUCTIONS, MOD_K,
    ProbePorts, RANDOM, RET_A, RET_K, SUB_K, jump, op, probe_prologue, program,
};

/// Size of a program that every kernel takes: optmem_max is 20 KiB before Linux 6.8. The rest is for what the kernel adds.
const MOST_BYTES: usize = 20 * 1024 - 512;

/// As [`program`] with [`Balance::Random`], but not all listeners have the same chance: `live` has the index of each
/// and its chance, as a share of their sum. If the program would be too long (many listeners that all differ), those with a
/// chance have the same. `None` if all chances are 0 or an index is not a member.
pub fn drawing_program(
    members: u32,
    places: &[u32],
    live: &[(u32, u32)],
    probe: Option<ProbePorts>,
) -> Option<Vec<Bpf>> {
    let indexes = live.iter().map(|(index, _)| index);
    if indexes.chain(places).any(|index| *index >= members) {
        return None;
    }
    let live: Vec<(u32, u32)> = live
        .iter()
        .copied()
        .filter(|(_, chance)| *chance > 0)
        .collect();
    drawn(places, &live, probe).or_else(|| {
        let live: Vec<u32> = live.iter().map(|(index, _)| *index).collect();
        program(members, places, &live, &[], Balance::Random, probe)
    })
}

/// `None` if it is too long or there is nobody.
fn drawn(places: &[u32], live: &[(u32, u32)], probe: Option<ProbePorts>) -> Option<Vec<Bpf>> {
    let add = |sum: u32, (_, chance): &(u32, u32)| sum.checked_add(*chance);
    let sum = live.iter().try_fold(0, add).filter(|sum| *sum > 0)?;
    let mut code = Vec::with_capacity(64);
    if let Some(ports) = probe {
        probe_prologue(&mut code, places, ports)?;
    }
    code.extend([op(LD_W_ABS, RANDOM), op(MOD_K, sum)]);
    search(&mut code, &parts(live))?;
    let fits = code.len() <= MAX_INSTRUCTIONS && size_in_kernel(&code) <= MOST_BYTES;
    fits.then_some(code)
}

/// A part of the range: `count` listeners from `index` on, with the same `chance`.
struct Part {
    /// Its first number.
    start: u32,
    chance: u32,
    index: u32,
    count: u32,
}

/// The sum of the chances must be a number.
fn parts(live: &[(u32, u32)]) -> Vec<Part> {
    let mut live = live.to_vec();
    // The order is free. This one makes long parts.
    live.sort_unstable_by_key(|(index, chance)| (*chance, *index));
    let mut parts: Vec<Part> = Vec::new();
    let mut start = 0;
    for (index, chance) in live {
        let fits = |part: &&mut Part| (part.chance, part.index + part.count) == (chance, index);
        if let Some(part) = parts.last_mut().filter(fits) {
            part.count += 1;
        } else {
            parts.push(Part {
                start,
                chance,
                index,
                count: 1,
            });
        }
        start += chance;
    }
    parts
}

/// Finds the part of the number in the accumulator, and returns its listener.
fn search(code: &mut Vec<Bpf>, parts: &[Part]) -> Option<()> {
    let (before, from) = parts.split_at(parts.len() / 2);
    let first = from.first()?;
    if before.is_empty() {
        pick(code, first);
        return Some(());
    }
    let at = code.len();
    code.push(op(JA, 0));
    search(code, before)?;
    let over = code.len() - at - 1;
    if let Ok(over) = u8::try_from(over) {
        *code.get_mut(at)? = jump(JGE_K, first.start, over, 0);
    } else {
        // A comparison does not reach so far.
        *code.get_mut(at)? = jump(JGE_K, first.start, 0, 1);
        code.insert(at + 1, op(JA, u32::try_from(over).ok()?));
    }
    search(code, from)
}

/// Returns the listener of a number that is in this part.
fn pick(code: &mut Vec<Bpf>, part: &Part) {
    match part {
        Part {
            count: 1, index, ..
        } => code.push(op(RET_K, *index)),
        Part {
            chance: 1,
            start,
            index,
            ..
        } => code.extend([op(ADD_K, index.wrapping_sub(*start)), op(RET_A, 0)]),
        Part {
            start,
            chance,
            index,
            ..
        } => code.extend([
            op(SUB_K, *start),
            op(DIV_K, *chance),
            op(ADD_K, *index),
            op(RET_A, 0),
        ]),
    }
}

/// Bytes of the program after the kernel has converted it (`bpf_convert_filter`): instructions of eight bytes, of which a
/// return of a number needs two, and a load of a packet's field up to twelve.
fn size_in_kernel(code: &[Bpf]) -> usize {
    let converted = |insn: &Bpf| match insn.code {
        LD_W_ABS | LD_H_ABS | LD_B_ABS => 12,
        RET_K => 2,
        _ => 1,
    };
    8 * code.iter().map(converted).sum::<usize>()
}

#[cfg(test)]
mod tests;
