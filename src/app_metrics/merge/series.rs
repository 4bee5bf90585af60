//! What all kinds of series have in common.

use super::account::{Account, Cost};
use crate::exposition::{Exemplar, Labels};

/// What one number of one worker takes, with room that a growing list has to spare.
pub(super) const ENTRY: usize = 32;

/// What labels take as the key of a map: their text, its header, and a place that may be half used.
pub(super) fn bytes(labels: &Labels) -> usize {
    const KEY: usize = 64;
    labels.as_str().len() + KEY
}

/// Keeps the newer of two exemplars; one that has a time is newer than one that has none.
pub(super) fn newer(
    kept: &mut Option<Box<Exemplar>>,
    new: Option<Box<Exemplar>>,
    account: &mut Account<'_>,
) {
    let Some(new) = new else { return };
    let is_newer = is_newer(kept.as_deref(), &new);
    if !is_newer {
        return;
    }
    if let Some(old) = kept.take() {
        account.refund(cost(&old));
    }
    if account.charge(cost(&new)) {
        *kept = Some(new);
    }
}

/// Whether `new` is to be shown in place of `old`.
pub(super) fn is_newer(old: Option<&Exemplar>, new: &Exemplar) -> bool {
    match (old.map(|old| old.timestamp), new.timestamp) {
        (Some(Some(old)), Some(new)) => new >= old,
        (Some(Some(_)), None) => false,
        (None | Some(None), _) => true,
    }
}

/// What one takes.
pub(super) fn cost(exemplar: &Exemplar) -> Cost {
    Cost::bytes(size_of::<Exemplar>() + bytes(&exemplar.labels))
}
