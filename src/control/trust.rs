//! Whether `rpmctl` may believe who listens at a socket. In a directory that many can write, and among abstract names,
//! anybody can listen under the name of a runtime.

use crate::sys::peer::Peer;

/// How sure it is that a runtime listens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Another user's, and only its name says that it is a runtime. The person has chosen it.
    Claimed,
    /// Another user's, and it is the process that the name says. Each user can run what he likes under its true name, so it goes
    /// after ours.
    Foreign,
    /// The user may be believed; the process is not visible from here, or is another one than the name says.
    Believed,
    /// The user may be believed, and the process is visible and is the one that the name says.
    Proven,
}

/// Why somebody who listens is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It is neither root nor our user.
    Foreign,
    /// We are root, and it is another user, and nothing proves that it is the process of its name.
    Unproven,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// Our user.
    pub uid: u32,
    /// The number of our user also stands for users that our user namespace does not know.
    pub ambiguous: bool,
    /// The person has named this socket, its directory or its process.
    pub chosen: bool,
}

impl Judge {
    /// Whether the process that listens may be believed. `proven`: it is the one that the name says.
    pub fn hears(self, peer: Peer, proven: bool) -> Result<Standing, Doubt> {
        let ours = peer.uid == self.uid && !(self.ambiguous && peer.pid <= 0);
        let root = self.uid == 0;
        match (ours || peer.uid == 0, proven) {
            (true, true) => Ok(Standing::Proven),
            (true, false) => Ok(Standing::Believed),
            (false, true) if root => Ok(Standing::Foreign),
            (false, false) if root && self.chosen => Ok(Standing::Claimed),
            (false, _) if root => Err(Doubt::Unproven),
            (false, _) => Err(Doubt::Foreign),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Doubt::Unproven;
    use super::Standing::{Believed, Claimed, Foreign, Proven};
    use super::*;

    #[test]
    fn root_believes_others_only_with_a_proof_or_by_choice() {
        let judge = |uid, ambiguous, chosen| Judge {
            uid,
            ambiguous,
            chosen,
        };
        let root = judge(0, false, false);
        let user = judge(1000, false, false);
        let nobody = judge(65534, true, false);
        let chosen = |who: Judge| Judge {
            chosen: true,
            ..who
        };
        let table = [
            (root, (7, 0), true, Ok(Proven)),
            (root, (7, 0), false, Ok(Believed)),
            (root, (7, 1000), true, Ok(Foreign)),
            (root, (7, 1000), false, Err(Unproven)),
            (root, (0, 1000), false, Err(Unproven)),
            (chosen(root), (7, 1000), true, Ok(Foreign)),
            (chosen(root), (7, 1000), false, Ok(Claimed)),
            (user, (7, 1000), true, Ok(Proven)),
            (user, (0, 1000), false, Ok(Believed)),
            (user, (0, 0), false, Ok(Believed)),
            (user, (7, 0), true, Ok(Proven)),
            (user, (7, 1001), true, Err(Doubt::Foreign)),
            (chosen(user), (7, 1001), false, Err(Doubt::Foreign)),
            (nobody, (7, 65534), true, Ok(Proven)),
            (nobody, (0, 65534), false, Err(Doubt::Foreign)),
        ];
        for (who, (pid, uid), proven, expected) in table {
            let peer = Peer { pid, uid };
            assert_eq!(who.hears(peer, proven), expected, "{who:?} {peer:?}");
        }
        // Whatever another user runs goes after ours.
        assert!(Claimed < Foreign && Foreign < Believed && Believed < Proven);
    }
}
