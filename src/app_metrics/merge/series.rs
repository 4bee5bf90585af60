//! Shared by all kinds of series.

use super::account::{Account, Cost};
use crate::exposition::{Exemplar, Labels};

/// Cost of one value of one worker, including spare capacity of a growing list.
pub(super) const ENTRY: usize = 32;

/// Cost of labels as a map key, bytes: their text, its header, and a map entry that may be half used.
pub(super) fn bytes(labels: &Labels) -> usize {
    const KEY: usize = 64;
    labels.as_str().len() + KEY
}

/// Keeps the newer of two exemplars. One with a timestamp is newer than one without.
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

/// Whether `new` replaces `old`.
pub(super) fn is_newer(old: Option<&Exemplar>, new: &Exemplar) -> bool {
    match (old.map(|old| old.timestamp), new.timestamp) {
        (Some(Some(old)), Some(new)) => new >= old,
        (Some(Some(_)), None) => false,
        (None | Some(None), _) => true,
    }
}

/// Cost of one exemplar.
pub(super) fn cost(exemplar: &Exemplar) -> Cost {
    Cost::bytes(size_of::<Exemplar>() + bytes(&exemplar.labels))
}
