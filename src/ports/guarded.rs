//! Socket options by which a worker would spoil its listener for its successors, or the group for the other workers. On
//! our listeners nobody sets them; on its own sockets a program sets what it likes.

use nix::errno::Errno;

use crate::sys::guarded::{
    ATTACH_BPF, ATTACH_FILTER, ATTACH_STEERING, ATTACH_STEERING_BPF, DETACH_FILTER,
    DETACH_STEERING, KEY, KEYS_REQUIRED, LOCK_FILTER, SIGNATURE, SIGNATURES,
};
use crate::sys::sockopt::{DEVICE, OptionId, REUSE_PORT};

/// The answer to a call that would set such an option on a listener.
///
/// What only says who of the workers gets a connection is the runtime's business: it is answered as done. What shall keep
/// clients away is refused, as by a socket whose filter its owner has locked, so that no program believes to be
/// protected by what does not exist.
pub(super) fn on_option(id: OptionId) -> Option<Result<(), Errno>> {
    match id {
        ATTACH_STEERING | ATTACH_STEERING_BPF | DETACH_STEERING | REUSE_PORT | LOCK_FILTER => {
            Some(Ok(()))
        }
        // There is none of the program's.
        DETACH_FILTER => Some(Err(Errno::ENOENT)),
        ATTACH_FILTER | ATTACH_BPF | DEVICE | SIGNATURE | SIGNATURES | KEY | KEYS_REQUIRED => {
            Some(Err(Errno::EPERM))
        }
        _ => None,
    }
}

/// Whether it decides who of a whole group gets a connection, through whichever socket it is set.
pub(super) fn is_steering(id: OptionId) -> bool {
    [ATTACH_STEERING, ATTACH_STEERING_BPF, DETACH_STEERING].contains(&id)
}

/// Why a socket cannot be replaced by a listener once this option is set on it: what keeps clients away would be lost.
pub(super) fn keeps_away(id: OptionId) -> Option<&'static str> {
    match id {
        ATTACH_FILTER | ATTACH_BPF => Some("its socket has a filter (SO_ATTACH_FILTER)"),
        SIGNATURE | SIGNATURES | KEY | KEYS_REQUIRED => {
            Some("its socket accepts signed connections alone (TCP_MD5SIG, TCP-AO)")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sockopt::{RECEIVE_BUFFER, REPORTED, REUSE_ADDR, V6ONLY};

    #[test]
    fn what_decides_who_gets_a_connection_is_done_for_nobody_and_what_keeps_clients_away_is_refused()
     {
        for id in [
            ATTACH_STEERING,
            ATTACH_STEERING_BPF,
            DETACH_STEERING,
            LOCK_FILTER,
            REUSE_PORT,
        ] {
            assert_eq!(on_option(id), Some(Ok(())), "{id:?}");
        }
        for id in [
            ATTACH_FILTER,
            ATTACH_BPF,
            DEVICE,
            SIGNATURE,
            SIGNATURES,
            KEY,
            KEYS_REQUIRED,
        ] {
            assert_eq!(on_option(id), Some(Err(Errno::EPERM)), "{id:?}");
        }
        assert_eq!(on_option(DETACH_FILTER), Some(Err(Errno::ENOENT)));
        for id in [REUSE_ADDR, V6ONLY, RECEIVE_BUFFER] {
            assert_eq!(on_option(id), None, "{id:?}");
        }
    }

    /// Otherwise the kernel would execute the call, and nobody would know.
    #[test]
    fn every_option_that_is_answered_is_reported_by_the_filter() {
        let answered = (0..300)
            .flat_map(|level| (0..120).map(move |name| (level, name)))
            .filter(|id| on_option(*id).is_some());
        let reported = |(level, name): &OptionId| {
            REPORTED
                .iter()
                .any(|(one, names)| one == level && names.contains(name))
        };
        let answered: Vec<OptionId> = answered.collect();
        assert_eq!(answered.len(), 13);
        assert!(answered.iter().all(reported), "{answered:?}");
    }
}
