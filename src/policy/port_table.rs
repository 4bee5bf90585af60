//! Numbers for ports, so that the policy compares small sets.

use crate::model::{PortId, PortSet};

/// The ports that were seen so far, by the name that RPM_PORTS would have for them, without the address.
#[derive(Clone, Debug, Default)]
pub struct PortTable {
    names: Vec<String>,
}

impl PortTable {
    /// The number of the port with this name. If there is no free number, that of a port which is not `in_use` is given
    /// to the new name; `None` if all are in use. Only then `in_use` is called.
    pub fn id(&mut self, name: &str, in_use: impl FnOnce() -> PortSet) -> Option<PortId> {
        let number = |at: usize| u8::try_from(at).ok().and_then(PortId::new);
        if let Some(at) = self.names.iter().position(|known| known == name) {
            return number(at);
        }
        if let Some(new) = number(self.names.len()) {
            self.names.push(name.to_owned());
            return Some(new);
        }
        let in_use = in_use();
        let mut all = (0..self.names.len()).filter_map(number);
        let unused = all.find(|port| !in_use.contains(*port))?;
        if let Some(place) = self.names.get_mut(usize::from(unused.get())) {
            name.clone_into(place);
        }
        Some(unused)
    }

    /// The name of a port.
    pub fn name(&self, port: PortId) -> &str {
        let name = self.names.get(usize::from(port.get()));
        name.map_or("?", String::as_str)
    }

    /// The names, in the order in which the ports were first seen, with a comma between them.
    pub fn names(&self, ports: PortSet) -> String {
        let names: Vec<&str> = ports.iter().map(|port| self.name(port)).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_until_the_number_is_needed_and_free() {
        let mut table = PortTable::default();
        let none = PortSet::EMPTY;
        let nobody = || PortSet::EMPTY;
        let first = table.id("3000", nobody).unwrap();
        let second = table.id("udp:53", nobody).unwrap();
        assert_eq!(table.id("3000", nobody), Some(first));
        assert_eq!(table.names(none.with(second).with(first)), "3000, udp:53");
        for more in 2..PortId::END {
            assert!(table.id(&more.to_string(), nobody).is_some());
        }
        let used = none.with(first);
        assert_eq!(table.id("9999", || used), Some(second));
        assert_eq!((table.name(first), table.name(second)), ("3000", "9999"));
        let all = (0..PortId::END).filter_map(PortId::new).collect();
        assert_eq!(table.id("8888", || all), None);
    }
}
