//! Finds many labels in a map, in order.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};

use super::processes::ProcessKey;
use crate::exposition::Labels;

/// How many entries after the last match to compare before using a look-up.
const NEAR: usize = 4;

/// Calls `take` with the entry of `map` for the labels of each item. Returns the items without an entry and those out
/// of order. Pages are sorted and contain the same labels each time, so the next entry is usually near the last one; a
/// look-up would compare many labels with a common prefix.
pub(super) fn visit<V, T>(
    map: &mut BTreeMap<Labels, V>,
    items: impl Iterator<Item = (Labels, T)>,
    mut take: impl FnMut(&mut V, T),
) -> Vec<(Labels, T)> {
    let mut rest = Vec::new();
    let mut behind = map.range_mut::<Labels, _>(..);
    let mut next = behind.next();
    for (labels, item) in items {
        let mut steps = 0;
        let found = loop {
            let order = next.as_ref().map(|(key, _)| (*key).cmp(&labels));
            if order != Some(Ordering::Less) {
                break order == Some(Ordering::Equal);
            }
            if steps == NEAR {
                behind = map.range_mut::<Labels, _>((Included(&labels), Unbounded));
            }
            next = behind.next();
            steps += 1;
        };
        match &mut next {
            Some((_, value)) if found => take(value, item),
            _ => rest.push((labels, item)),
        }
    }
    rest
}

/// The index of `process` in a list sorted by process, or where it would be inserted. `usual` is tried first, because the
/// index is the same in most lists.
pub(super) fn place<T>(
    list: &[(ProcessKey, T)],
    process: ProcessKey,
    usual: &mut usize,
) -> Result<usize, usize> {
    if list.get(*usual).is_some_and(|(there, _)| *there == process) {
        return Ok(*usual);
    }
    let found = list.binary_search_by_key(&process, |(there, _)| *there);
    if let Ok(at) = found {
        *usual = at;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(number: usize) -> Labels {
        Labels::new([("n", format!("{number:03}"))]).unwrap()
    }

    /// What is found of `wanted` in a map of the even numbers below 40, and what is not found.
    fn found(wanted: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let mut map: BTreeMap<Labels, usize> = (0..40).step_by(2).map(|n| (labels(n), n)).collect();
        let mut found = Vec::new();
        let items = wanted.iter().map(|number| (labels(*number), *number));
        let rest = visit(&mut map, items, |value, number| {
            assert_eq!(*value, number);
            found.push(number);
        });
        let rest = rest.into_iter().map(|(key, number)| {
            assert_eq!(key, labels(number));
            number
        });
        (found, rest.collect())
    }

    #[test]
    fn what_is_there_is_found_near_and_far() {
        let all: Vec<usize> = (0..40).step_by(2).collect();
        assert_eq!(found(&all), (all.clone(), vec![]));
        assert_eq!(found(&[38]), (vec![38], vec![]));
        assert_eq!(found(&[8, 10, 30, 30]), (vec![8, 10, 30, 30], vec![]));
        assert_eq!(found(&[]), (vec![], vec![]));
    }

    #[test]
    fn what_is_not_there_comes_back() {
        assert_eq!(
            found(&[1, 2, 25, 26, 39, 50]),
            (vec![2, 26], vec![1, 25, 39, 50])
        );
        let out_of_order = found(&[30, 2, 32]);
        assert_eq!(out_of_order, (vec![30, 32], vec![2]));
    }

    #[test]
    fn the_usual_place_is_only_a_guess() {
        let list: Vec<(ProcessKey, ())> = [1, 3, 5].map(|process| (ProcessKey(process), ())).into();
        let mut usual = 0;
        assert_eq!(place(&list, ProcessKey(5), &mut usual), Ok(2));
        assert_eq!(usual, 2);
        assert_eq!(place(&list, ProcessKey(5), &mut usual), Ok(2));
        assert_eq!(place(&list, ProcessKey(4), &mut usual), Err(2));
        assert_eq!(place(&list, ProcessKey(1), &mut usual), Ok(0));
        assert_eq!(place(&list[..1], ProcessKey(9), &mut usual), Err(1));
    }
}
