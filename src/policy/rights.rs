//! Whether the kernel would let a program do by itself what the runtime does for it. The runtime may have rights that the
//! program has not: what it does not have, it must not get.

use std::fmt;

use crate::model::{Guard, Rights};

use super::handover::{BindAnswer, PortKey};

// linux/capability.h
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_FOWNER: u32 = 3;
const CAP_NET_BIND_SERVICE: u32 = 10;
const CAP_NET_ADMIN: u32 = 12;

/// The capabilities that decide about files.
const FILES: u64 = 1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH | 1 << CAP_FOWNER;

/// S_ISVTX: files can be removed by their owner and that of the directory alone (inode(7)).
const STICKY: u32 = 0o1000;

/// Why a `bind` is left to the kernel although the port is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The socket is in another network, where this port is another one.
    OtherNetwork,
    /// Ports below this number need CAP_NET_BIND_SERVICE, and the caller does not have it.
    LowPort(u16),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherNetwork => f.write_str("its socket is in another network namespace"),
            Self::LowPort(first) => write!(
                f,
                "the process that binds it has no CAP_NET_BIND_SERVICE, which ports below {first} need (net.ipv4.ip_unprivileged_port_start)"
            ),
        }
    }
}

impl BindAnswer {
    /// The port that it is about, unless the call is none of the runtime's business.
    pub fn key(&self) -> Option<PortKey> {
        match self {
            Self::Leave | Self::Done => None,
            Self::LeaveEverybody(key)
            | Self::LeaveElsewhere(key)
            | Self::LeaveUnlisted(key)
            | Self::Share(key) => Some(*key),
        }
    }
}

impl Rights {
    fn has(&self, capability: u32) -> bool {
        self.here && self.effective & 1 << capability != 0
    }

    /// Whether it may set socket options that need CAP_NET_ADMIN.
    pub fn administers_network(&self) -> bool {
        self.has(CAP_NET_ADMIN)
    }

    /// Whether it may bind a port of this number, if `first` is the first one that everybody may bind.
    pub fn bind(&self, port: u16, first: u16) -> Result<(), Denied> {
        if port >= first || self.has(CAP_NET_BIND_SERVICE) {
            Ok(())
        } else {
            Err(Denied::LowPort(first))
        }
    }

    /// Whether everything that `other` may do with files is allowed to this one too.
    pub fn cover_files_of(&self, other: &Self) -> bool {
        let member = |group: &u32| self.groups.contains(group);
        self.here
            && other.here
            && (self.uid, self.gid) == (other.uid, other.gid)
            && other.groups.iter().all(member)
            && other.effective & FILES & !self.effective == 0
    }

    /// Whether the permission bits give it all of `wanted` (4: read, 2: write, 1: search), as the kernel reads them
    /// (path_resolution(7)). Nobody can be asked what a list says, so it gives nothing.
    fn bits(&self, guard: Guard, wanted: u32) -> bool {
        let bits = if self.uid == guard.uid {
            guard.mode >> 6
        } else if guard.listed {
            0
        } else if self.gid == guard.gid || self.groups.contains(&guard.gid) {
            guard.mode >> 3
        } else {
            guard.mode
        };
        bits & wanted == wanted
    }

    fn searches(&self, guard: Guard) -> bool {
        self.has(CAP_DAC_OVERRIDE) || self.has(CAP_DAC_READ_SEARCH) || self.bits(guard, 1)
    }

    /// Whether it may make a file in the last of these directories. The others lead there, from where the path begins.
    pub fn make_file(&self, way: &[Guard]) -> bool {
        let Some((last, before)) = way.split_last() else {
            return false;
        };
        before.iter().all(|guard| self.searches(*guard))
            && (self.has(CAP_DAC_OVERRIDE) || self.bits(*last, 3))
    }

    /// As [`Self::make_file`], for the removal of a file that `owner` has.
    pub fn remove_file(&self, way: &[Guard], owner: u32) -> bool {
        let Some(last) = way.last().filter(|_| self.make_file(way)) else {
            return false;
        };
        let restricted = last.mode & STICKY != 0;
        !restricted || [owner, last.uid].contains(&self.uid) || self.has(CAP_FOWNER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: u64 = u64::MAX;

    fn root() -> Rights {
        Rights {
            effective: EVERYTHING,
            here: true,
            ..Rights::default()
        }
    }

    /// A user without capabilities.
    fn user(uid: u32, groups: &[u32]) -> Rights {
        Rights {
            uid,
            gid: uid,
            groups: groups.to_vec(),
            effective: 0,
            here: true,
        }
    }

    fn guard(mode: u32, uid: u32, gid: u32) -> Guard {
        Guard {
            mode,
            uid,
            gid,
            listed: false,
        }
    }

    const OPEN: Guard = Guard {
        mode: 0o755,
        uid: 0,
        gid: 0,
        listed: false,
    };

    #[test]
    fn a_low_port_needs_the_capability_and_another_uid_alone_is_no_reason() {
        let with = |effective, here| Rights {
            effective,
            here,
            ..user(1000, &[])
        };
        let service = 1 << CAP_NET_BIND_SERVICE;
        for (rights, port, first, answer) in [
            (root(), 84, 1024, Ok(())),
            (user(1000, &[]), 84, 1024, Err(Denied::LowPort(1024))),
            (user(1000, &[]), 1023, 1024, Err(Denied::LowPort(1024))),
            (user(1000, &[]), 1024, 1024, Ok(())),
            (user(1000, &[]), 84, 0, Ok(())),
            (user(1000, &[]), 5000, 5001, Err(Denied::LowPort(5001))),
            (with(service, true), 84, 1024, Ok(())),
            (with(!service, true), 84, 1024, Err(Denied::LowPort(1024))),
            // It has all capabilities in a user namespace of its own, and none over this network.
            (
                with(EVERYTHING, false),
                84,
                1024,
                Err(Denied::LowPort(1024)),
            ),
            // Root that has given its capabilities away.
            (user(0, &[]), 84, 1024, Err(Denied::LowPort(1024))),
        ] {
            assert_eq!(
                rights.bind(port, first),
                answer,
                "{rights:?} {port} {first}"
            );
        }
    }

    #[test]
    fn who_makes_a_file_in_a_directory_is_judged_by_its_bits() {
        let way = |mode, uid, gid| [OPEN, guard(mode, uid, gid)];
        for (rights, way, may) in [
            (user(7, &[]), way(0o700, 7, 7), true),
            (user(7, &[]), way(0o755, 0, 0), false),
            (user(7, &[]), way(0o777, 0, 0), true),
            (user(7, &[]), way(0o776, 0, 0), false),
            (user(7, &[8]), way(0o770, 0, 8), true),
            (user(7, &[]), way(0o770, 0, 8), false),
            // The owner is judged by its own bits, even if others may do more.
            (user(7, &[]), way(0o077, 7, 7), false),
            (user(7, &[8]), way(0o707, 0, 8), false),
            (root(), way(0o000, 7, 7), true),
            // Root that has given its capabilities away is a user like any other.
            (user(0, &[]), way(0o755, 7, 7), false),
        ] {
            assert_eq!(rights.make_file(&way), may, "{rights:?} {way:?}");
        }
        let closed = [OPEN, guard(0o700, 0, 0), guard(0o777, 0, 0)];
        assert!(!user(7, &[]).make_file(&closed), "no way to it");
        let reader = Rights {
            effective: 1 << CAP_DAC_READ_SEARCH,
            ..user(7, &[])
        };
        assert!(reader.make_file(&closed));
        assert!(!reader.make_file(&[OPEN]));
        assert!(!root().make_file(&[]));
    }

    #[test]
    fn a_list_gives_nothing_but_to_the_owner() {
        let listed = Guard {
            listed: true,
            ..guard(0o777, 9, 8)
        };
        assert!(!user(7, &[8]).make_file(&[OPEN, listed]));
        assert!(user(9, &[]).make_file(&[OPEN, listed]));
    }

    #[test]
    fn in_a_sticky_directory_files_belong_to_their_owners() {
        let sticky = [OPEN, guard(0o1777, 0, 0)];
        assert!(user(7, &[]).make_file(&sticky));
        assert!(user(7, &[]).remove_file(&sticky, 7));
        assert!(!user(7, &[]).remove_file(&sticky, 9));
        assert!(root().remove_file(&sticky, 9));
        assert!(user(5, &[]).remove_file(&[OPEN, guard(0o1777, 5, 5)], 9));
        assert!(user(7, &[]).remove_file(&[OPEN, guard(0o777, 0, 0)], 9));
        assert!(!user(7, &[]).remove_file(&[OPEN, guard(0o755, 0, 0)], 7));
    }

    #[test]
    fn rights_cover_others_only_if_nothing_is_missing() {
        assert!(root().cover_files_of(&root()));
        assert!(user(7, &[8, 9]).cover_files_of(&user(7, &[9])));
        assert!(!user(7, &[8]).cover_files_of(&user(7, &[9])));
        assert!(!user(0, &[]).cover_files_of(&root()));
        assert!(!user(7, &[]).cover_files_of(&user(9, &[])));
        let elsewhere = Rights {
            here: false,
            ..root()
        };
        assert!(!elsewhere.cover_files_of(&root()));
        // What does not decide about files does not matter.
        let network = Rights {
            effective: 1 << CAP_NET_ADMIN,
            ..user(7, &[])
        };
        assert!(user(7, &[]).cover_files_of(&network));
        assert!(network.administers_network() && !user(0, &[]).administers_network());
    }
}
