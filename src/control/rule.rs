//! Who may use the control socket.

use super::find::Address;
use crate::sys::links::effective_user;
use crate::sys::peer::{Peer, may_stand_for_others};

/// Decides who may use the socket: root, and the user of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The user of the runtime.
    pub uid: u32,
    /// Only processes that are visible in our PID namespace may. An abstract name is in the network namespace, which other
    /// containers may share, and no file has a mode that keeps them away.
    pub visible: bool,
    /// The number of our user also stands for users that our user namespace does not know.
    pub ambiguous: bool,
}

/// Why a peer may not use the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The kernel does not say who it is.
    Unknown,
    /// It is neither root nor the user of the runtime.
    Foreign,
    /// Its process is not visible in our PID namespace.
    Invisible,
}

impl Why {
    /// What the log says.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unknown => "the kernel does not say who it is",
            Self::Foreign => "it is neither root nor our user",
            Self::Invisible => {
                "it is not visible in our PID namespace: a process outside of our container"
            }
        }
    }
}

impl Rule {
    /// The rule for a socket of this process with this name.
    pub fn here(address: &Address) -> Self {
        let uid = effective_user();
        Self {
            uid,
            visible: matches!(address, Address::Abstract(_)),
            ambiguous: may_stand_for_others(uid),
        }
    }

    /// Why this peer may not use the socket. `None`: it may.
    pub fn refuses(&self, peer: Option<Peer>) -> Option<Why> {
        let Some(peer) = peer else {
            return Some(Why::Unknown);
        };
        let ours = peer.uid == self.uid;
        if peer.uid != 0 && !ours {
            return Some(Why::Foreign);
        }
        let doubtful = self.visible || (ours && self.ambiguous);
        (doubtful && peer.pid <= 0).then_some(Why::Invisible)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_rule_says_who_may_use_which_socket() {
        let rule = |uid, visible, ambiguous| Rule {
            uid,
            visible,
            ambiguous,
        };
        let file = rule(1000, false, false);
        let name = rule(1000, true, false);
        let nobody = rule(65534, false, true);
        let table = [
            (file, Some((7, 1000)), None),
            (file, Some((7, 0)), None),
            (file, Some((7, 1001)), Some(Why::Foreign)),
            (file, None, Some(Why::Unknown)),
            // Whoever reaches the file was let through by its mode.
            (file, Some((0, 0)), None),
            (file, Some((0, 1000)), None),
            (name, Some((7, 1000)), None),
            (name, Some((7, 0)), None),
            (name, Some((0, 1000)), Some(Why::Invisible)),
            (name, Some((0, 0)), Some(Why::Invisible)),
            (name, Some((0, 1001)), Some(Why::Foreign)),
            (nobody, Some((7, 65534)), None),
            (nobody, Some((0, 65534)), Some(Why::Invisible)),
            (nobody, Some((0, 0)), None),
        ];
        for (rule, peer, why) in table {
            let peer = peer.map(|(pid, uid)| Peer { pid, uid });
            assert_eq!(rule.refuses(peer), why, "{rule:?} {peer:?}");
        }
    }

    #[test]
    fn a_name_without_a_file_is_only_for_visible_processes() {
        let rule = Rule::here(&Address::Abstract("rpm-runtime/1-1".to_owned()));
        assert_eq!((rule.uid, rule.visible), (effective_user(), true));
        assert!(!Rule::here(&Address::Path(PathBuf::from("/run/1-1.sock"))).visible);
    }
}
