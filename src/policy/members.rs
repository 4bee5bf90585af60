//! The members of a SO_REUSEPORT group, in the order of their indexes, by which the steering program chooses.
//!
//! The kernel gives a socket that joins the next index. When one leaves, the last one moves to its index. Any process of
//! the same user may join, and nobody is told of that. So those who are in the group are compared with what is believed
//! before a socket of ours joins: then only strangers come after the last one of ours, and the program never chooses
//! them. A socket of ours that joins after a stranger has an index that is not certain for ever: it moves when the
//! stranger leaves.

/// One member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    /// The number of a listener of ours.
    Own(usize),
    /// The inode of a socket that is not ours, and whether its index is known: of several that came at once it is not
    /// known who has which.
    Stranger(u64, bool),
}

/// The members of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(Vec<Member>);

impl Members {
    /// Whether this listener of ours is a member.
    pub fn contains(&self, number: usize) -> bool {
        self.0.contains(&Member::Own(number))
    }

    /// Our listeners.
    pub fn numbers(&self) -> impl Iterator<Item = usize> {
        self.places().map(|(_, number)| number)
    }

    /// The index and the number of each of our listeners.
    pub fn places(&self) -> impl Iterator<Item = (u32, usize)> {
        (0_u32..)
            .zip(&self.0)
            .filter_map(|(index, member)| match member {
                Member::Own(number) => Some((index, *number)),
                Member::Stranger(..) => None,
            })
    }

    /// The number of members.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether these are the strangers among the members, in any order.
    pub fn are_strangers(&self, inodes: &[u64]) -> bool {
        let known = self.strangers();
        known.len() == inodes.len() && inodes.iter().all(|inode| known.contains(inode))
    }

    fn strangers(&self) -> Vec<u64> {
        let strangers = self.0.iter().filter_map(|member| match member {
            Member::Own(_) => None,
            Member::Stranger(inode, _) => Some(*inode),
        });
        strangers.collect()
    }

    /// Whether a listener of ours has an index that changes when a stranger leaves.
    pub fn is_fragile(&self) -> bool {
        self.0
            .iter()
            .skip_while(|member| matches!(member, Member::Own(_)))
            .any(|member| matches!(member, Member::Own(_)))
    }

    /// A listener of ours has joined.
    pub fn join(&mut self, number: usize) {
        self.0.push(Member::Own(number));
    }

    /// A listener of ours has left. The last member has its index now.
    pub fn leave(&mut self, number: usize) {
        let index = self.0.iter().position(|one| *one == Member::Own(number));
        if let Some(index) = index {
            self.0.swap_remove(index);
        }
    }

    /// Strangers have joined.
    fn add(&mut self, inodes: &[u64]) {
        let sure = inodes.len() == 1;
        let strangers = inodes.iter().map(|inode| Member::Stranger(*inode, sure));
        self.0.extend(strangers);
    }

    /// These strangers, by their inodes, are in the group now. Returns our listeners whose indexes are not known any more;
    /// they count as no members, and must leave and join again.
    #[must_use]
    pub fn see(&mut self, inodes: &[u64]) -> Vec<usize> {
        let known = self.strangers();
        let went: Vec<u64> = known
            .iter()
            .copied()
            .filter(|inode| !inodes.contains(inode))
            .collect();
        let came = inodes.iter().filter(|inode| !known.contains(inode));
        let came: Vec<u64> = came.copied().collect();
        let left = match went.as_slice() {
            [one] => self
                .0
                .iter()
                .position(|member| *member == Member::Stranger(*one, true)),
            _ => None,
        };
        let mut lost = Vec::new();
        match left {
            _ if went.is_empty() => self.add(&came),
            // Nobody came who could have moved instead.
            Some(index) if came.is_empty() => drop(self.0.swap_remove(index)),
            _ => {
                let ahead = self
                    .0
                    .iter()
                    .take_while(|member| matches!(member, Member::Own(_)));
                let behind = self.0.split_off(ahead.count());
                lost.extend(behind.iter().filter_map(|member| match member {
                    Member::Own(number) => Some(*number),
                    Member::Stranger(..) => None,
                }));
                self.add(inodes);
            }
        }
        lost
    }
}

impl FromIterator<usize> for Members {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        Self(numbers.into_iter().map(Member::Own).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places(members: &Members) -> Vec<(u32, usize)> {
        members.places().collect()
    }

    #[test]
    fn strangers_at_the_end_move_nobody_whatever_they_do() {
        let mut members: Members = (0..3).collect();
        for seen in [&[7][..], &[7, 8], &[9], &[], &[8, 9, 10]] {
            assert!(members.see(seen).is_empty());
            assert_eq!(places(&members), [(0, 0), (1, 1), (2, 2)], "{seen:?}");
            assert!(!members.is_fragile());
            assert!(members.are_strangers(seen));
        }
    }

    #[test]
    fn one_of_ours_behind_a_stranger_moves_when_it_leaves() {
        let mut members: Members = (0..2).collect();
        assert!(members.see(&[7]).is_empty());
        members.join(2);
        assert_eq!(places(&members), [(0, 0), (1, 1), (3, 2)]);
        assert!(members.is_fragile());
        assert!(members.see(&[]).is_empty());
        assert_eq!(places(&members), [(0, 0), (1, 1), (2, 2)]);
    }

    #[test]
    fn a_stranger_moves_to_the_index_of_one_of_ours_that_leaves() {
        let mut members: Members = (0..3).collect();
        assert!(members.see(&[7]).is_empty());
        members.leave(0);
        assert_eq!(places(&members), [(1, 1), (2, 2)]);
        assert!(members.is_fragile());
        members.join(0);
        assert_eq!(places(&members), [(1, 1), (2, 2), (3, 0)]);
    }

    #[test]
    fn only_those_behind_a_stranger_are_lost_when_it_is_not_known_who_moved() {
        let mut members: Members = (0..2).collect();
        assert!(members.see(&[7, 8]).is_empty());
        members.join(2);
        members.join(3);
        assert_eq!(members.see(&[9]), [2, 3]);
        assert_eq!(places(&members), [(0, 0), (1, 1)]);
        assert!(members.are_strangers(&[9]));
        assert!(!members.is_fragile());
    }

    /// What the kernel does, and looks that come between.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Join,
        Leave(usize),
        Comes,
        Goes(usize),
        Look,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => Just(Step::Join),
            1 => (0..8_usize).prop_map(Step::Leave),
            2 => Just(Step::Comes),
            2 => (0..8_usize).prop_map(Step::Goes),
            3 => Just(Step::Look),
        ];
        prop::collection::vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn what_is_believed_of_ours_is_what_the_kernel_has(steps in steps()) {
            let mut kernel: Vec<Member> = vec![Member::Own(0)];
            let mut believed: Members = [0].into_iter().collect();
            let mut next = (1, 1_u64);
            let inodes = |kernel: &[Member]| Members(kernel.to_vec()).strangers();
            for step in steps {
                match step {
                    Step::Comes => {
                        kernel.push(Member::Stranger(next.1, true));
                        next.1 += 1;
                        continue;
                    }
                    Step::Goes(at) => {
                        let strangers = inodes(&kernel);
                        if let Some(one) = strangers.get(at) {
                            let index = kernel.iter().position(|m| *m == Member::Stranger(*one, true));
                            kernel.swap_remove(index.unwrap());
                        }
                        continue;
                    }
                    Step::Join | Step::Leave(_) | Step::Look => {}
                }
                // We look before anything else.
                let lost = believed.see(&inodes(&kernel));
                for number in &lost {
                    let index = kernel.iter().position(|m| *m == Member::Own(*number));
                    kernel.swap_remove(index.unwrap());
                }
                for number in lost {
                    kernel.push(Member::Own(number));
                    believed.join(number);
                }
                match step {
                    Step::Join => {
                        kernel.push(Member::Own(next.0));
                        believed.join(next.0);
                        next.0 += 1;
                    }
                    Step::Leave(at) => {
                        let ours: Vec<usize> = believed.numbers().collect();
                        if let Some(number) = ours.get(at) {
                            let index = kernel.iter().position(|m| *m == Member::Own(*number));
                            kernel.swap_remove(index.unwrap());
                            believed.leave(*number);
                        }
                    }
                    Step::Comes | Step::Goes(_) | Step::Look => {}
                }
                let known: Vec<(u32, usize)> = Members(kernel.clone()).places().collect();
                prop_assert_eq!(places(&believed), known);
                prop_assert_eq!(believed.count(), kernel.len());
            }
        }
    }
}
