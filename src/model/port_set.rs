//! Ports as the policy compares them: small numbers and sets of them.

/// A port of this service, as a number in the table of its names (see [`crate::policy::PortTable`]). The address does
/// not count: a new version may listen on another address of the same port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(u8);

impl PortId {
    /// One above the highest number.
    pub const END: u8 = 128;

    /// `None` from [`Self::END`] on.
    pub fn new(number: u8) -> Option<Self> {
        (number < Self::END).then_some(Self(number))
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }

    fn bit(self) -> u128 {
        1 << self.0
    }
}

/// A set of ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortSet(u128);

impl PortSet {
    /// No port.
    pub const EMPTY: Self = Self(0);

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it contains this port.
    pub fn contains(self, port: PortId) -> bool {
        self.0 & port.bit() != 0
    }

    /// Whether each of its ports is in `other`.
    pub fn is_subset(self, other: Self) -> bool {
        self.minus(other).is_empty()
    }

    /// Whether both have a port in common.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The set with this port.
    #[must_use]
    pub fn with(self, port: PortId) -> Self {
        Self(self.0 | port.bit())
    }

    /// The ports of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The ports that both have.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The ports that are not in `other`.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Its ports, by number.
    pub fn iter(self) -> impl Iterator<Item = PortId> {
        let all = (0..PortId::END).filter_map(PortId::new);
        all.filter(move |port| self.contains(*port))
    }
}

impl FromIterator<PortId> for PortSet {
    fn from_iter<T: IntoIterator<Item = PortId>>(ports: T) -> Self {
        ports.into_iter().fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: &[u8]) -> PortSet {
        numbers.iter().filter_map(|nr| PortId::new(*nr)).collect()
    }

    #[test]
    fn sets_are_compared() {
        assert!(set(&[]).is_empty() && set(&[]).is_subset(set(&[])) && !set(&[]).meets(set(&[1])));
        assert!(set(&[0, 127]).is_subset(set(&[0, 5, 127])));
        assert!(!set(&[0, 6]).is_subset(set(&[0, 5])) && set(&[0, 6]).meets(set(&[0, 5])));
        assert_eq!(
            set(&[1, 2]).and(set(&[2, 3])).minus(set(&[1])),
            set(&[2, 3])
        );
        let numbers: Vec<u8> = set(&[127, 0, 9]).iter().map(PortId::get).collect();
        assert_eq!(numbers, [0, 9, 127]);
        assert_eq!(set(&[128]), set(&[]), "there is no such number");
    }
}
