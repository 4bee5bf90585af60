//! What a thread may do, as far as the kernel tells it.

/// The identity and the capabilities by which the kernel judges a thread (credentials(7), capabilities(7)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// The user id for files.
    pub uid: u32,
    /// The group id for files.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
    /// The effective capabilities, a bit for each number. They count in the thread's own user namespace.
    pub effective: u64,
    /// Its user namespace is that of the runtime.
    pub here: bool,
}

/// A directory, as far as it decides who may do what in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// An access control list says more than the bits (acl(5)).
    pub listed: bool,
}
