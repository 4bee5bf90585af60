//! Programs that draw, run as the kernel runs them, with every number that makes a difference.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::policy::steering::tests::{PORTS, in_order, run, v4};
use crate::policy::steering::{JEQ_K, RET_A};

/// What the kernel checks before it takes a program (`bpf_check_classic`).
fn check(code: &[Bpf]) {
    assert!(code.len() <= MAX_INSTRUCTIONS, "{}", code.len());
    let last = code.last().unwrap().code;
    assert!([RET_K, RET_A].contains(&last), "{last:#x}");
    for (at, insn) in code.iter().enumerate() {
        let reach = match insn.code {
            JA => usize::try_from(insn.k).unwrap(),
            JEQ_K | JGE_K => usize::from(insn.jt.max(insn.jf)),
            _ => 0,
        };
        assert!(at + 1 + reach < code.len() || at + 1 == code.len(), "{at}");
        assert!(
            ![DIV_K, MOD_K].contains(&insn.code) || insn.k > 0,
            "{at}: division by zero"
        );
    }
}

/// How many numbers of a whole range choose each index, and the length of the range.
fn shares(code: &[Bpf], sum: u32) -> BTreeMap<u32, u32> {
    let client = v4([10, 0, 0, 1], 40_000);
    let mut shares = BTreeMap::new();
    // Not the first range, so that the remainder is taken.
    for random in sum..2 * sum {
        *shares.entry(run(code, &client, random)).or_default() += 1;
    }
    shares
}

/// `live` with the share that each is to have.
fn wanted(live: &[(u32, u32)]) -> BTreeMap<u32, u32> {
    let chosen = live.iter().copied().filter(|(_, chance)| *chance > 0);
    chosen.collect()
}

fn sum(live: &[(u32, u32)]) -> u32 {
    live.iter().map(|(_, chance)| chance).sum()
}

#[test]
fn each_is_drawn_as_often_as_its_chance_says() {
    let live = [(3, 2), (0, 0), (1, 5), (2, 1)];
    let code = drawing_program(4, &in_order(4), &live, PORTS).unwrap();
    check(&code);
    assert_eq!(shares(&code, 8), wanted(&live));
    let probe = v4([127, 0, 0, 1], 61_000);
    assert_eq!(run(&code, &probe, 7), 0, "a probe reaches its slot");
}

#[test]
fn a_single_one_is_always_drawn() {
    let code = drawing_program(4, &in_order(4), &[(2, 7), (1, 0)], None).unwrap();
    check(&code);
    assert_eq!(shares(&code, 70), BTreeMap::from([(2, 70)]));
}

#[test]
fn without_a_chance_nobody_is_drawn() {
    for live in [&[][..], &[(0, 0), (1, 0)], &[(4, 1)]] {
        assert_eq!(drawing_program(4, &in_order(4), live, None), None);
    }
    assert_eq!(drawing_program(4, &[0, 1, 4], &[(0, 1)], None), None);
}

/// So many listeners, with gaps between their indexes or not, and their chances.
fn many(count: u32, gaps: bool, chance: impl Fn(u32) -> u32) -> Vec<(u32, u32)> {
    let index = |number| if gaps { number + number / 3 } else { number };
    (0..count)
        .map(|number| (index(number), chance(number)))
        .collect()
}

#[test]
fn any_number_of_listeners_is_drawn_from_exactly() {
    let members = 1_400;
    let chances: [fn(u32) -> u32; 5] = [
        |number| 1 + number % 16,
        |number| number % 3,
        |number| if number == 0 { 16 } else { 1 },
        |number| if number < 5 { 0 } else { 7 },
        |number| 1 + (number / 7) % 4,
    ];
    for count in [1, 2, 3, 16, 255, 256, 257, 512] {
        for (kind, chance) in chances.iter().enumerate() {
            for (gaps, probe) in [(false, None), (false, PORTS), (true, None), (true, PORTS)] {
                let live = many(count, gaps, chance);
                let code = drawing_program(members, &in_order(members), &live, probe);
                if sum(&live) == 0 {
                    assert_eq!(code, None);
                    continue;
                }
                let code = code.unwrap();
                check(&code);
                let found = shares(&code, sum(&live));
                assert_eq!(found, wanted(&live), "{count} of kind {kind}, {gaps}");
            }
        }
    }
}

#[test]
fn a_thousand_listeners_are_drawn_from_exactly_if_many_are_alike() {
    for live in [
        many(
            1_000,
            false,
            |number| if number % 250 == 3 { 16 } else { 1 },
        ),
        many(1_000, true, |number| 1 + number / 100),
        many(1_000, false, |number| number % 2),
    ] {
        let code = drawing_program(1_400, &in_order(1_400), &live, PORTS).unwrap();
        check(&code);
        assert_eq!(shares(&code, sum(&live)), wanted(&live));
    }
}

#[test]
fn if_too_many_differ_those_with_a_chance_have_the_same() {
    let live = many(1_000, true, |number| number * 7 % 16);
    let code = drawing_program(1_400, &in_order(1_400), &live, PORTS).unwrap();
    check(&code);
    assert!(size_in_kernel(&code) <= MOST_BYTES);
    let chosen = wanted(&live).into_keys().map(|index| (index, 1));
    let chosen: BTreeMap<u32, u32> = chosen.collect();
    assert!(chosen.len() < live.len());
    assert_eq!(
        shares(&code, u32::try_from(chosen.len()).unwrap()),
        chosen,
        "membership instead of weights"
    );
    // Chances that cannot be added are treated so too.
    let live = [(0, u32::MAX), (1, 1), (2, 0)];
    let code = drawing_program(4, &in_order(4), &live, None).unwrap();
    assert_eq!(shares(&code, 2), BTreeMap::from([(0, 1), (1, 1)]));
}

#[test]
fn the_most_workers_that_all_differ_are_drawn_from_on_every_kernel() {
    let most = crate::policy::MAX_INSTANCES;
    // No two neighbours have the same chance, and every second index is a spare.
    let live: Vec<(u32, u32)> = (0..u32::from(most))
        .map(|number| (2 * number, 1 + number % 16))
        .collect();
    let code = drawing_program(1_025, &in_order(1_025), &live, PORTS).unwrap();
    check(&code);
    assert!(size_in_kernel(&code) <= MOST_BYTES);
    assert_eq!(shares(&code, sum(&live)), wanted(&live));
}

#[test]
fn few_comparisons_find_one_of_many() {
    let live = many(512, true, |number| 1 + number % 16);
    let code = drawing_program(1_025, &in_order(1_025), &live, None).unwrap();
    // Comparisons on the longest way from each instruction.
    let mut longest = vec![0_u32; code.len()];
    for (at, insn) in code.iter().enumerate().rev() {
        let after = |by: usize| longest.get(at + 1 + by).copied().unwrap_or(0);
        longest[at] = match insn.code {
            RET_K | RET_A => 0,
            JA => after(usize::try_from(insn.k).unwrap()),
            JGE_K => 1 + after(insn.jt.into()).max(after(insn.jf.into())),
            _ => after(0),
        };
    }
    assert!(longest[0] <= 10, "{}", longest[0]);
}

proptest! {
    #[test]
    fn shares_are_exact_whatever_the_chances_and_the_order(
        drawn in prop::collection::btree_map(0_u32..700, 0_u32..=16, 1..300),
        turn in 0_usize..300,
        probe: bool,
    ) {
        let mut live: Vec<(u32, u32)> = drawn.into_iter().collect();
        let turn = turn % live.len();
        live.rotate_left(turn);
        let code = drawing_program(700, &in_order(700), &live, PORTS.filter(|_| probe));
        if sum(&live) == 0 {
            prop_assert_eq!(code, None);
        } else {
            let code = code.unwrap();
            check(&code);
            prop_assert_eq!(shares(&code, sum(&live)), wanted(&live));
        }
    }

    #[test]
    fn nobody_without_a_chance_is_drawn_however_many_differ(
        chances in prop::collection::vec(0_u32..=16, 1..1_300),
        random: u32,
    ) {
        let live: Vec<(u32, u32)> = (0_u32..).zip(chances).collect();
        let code = drawing_program(1_300, &in_order(1_300), &live, PORTS);
        if sum(&live) > 0 {
            let code = code.unwrap();
            check(&code);
            prop_assert!(size_in_kernel(&code) <= MOST_BYTES);
            let chosen = run(&code, &v4([10, 0, 0, 1], 40_000), random);
            prop_assert!(wanted(&live).contains_key(&chosen));
        }
    }
}
