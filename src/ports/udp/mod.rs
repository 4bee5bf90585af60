//! Shared UDP ports. A datagram belongs to no connection, so the same client must reach the same worker, and when a
//! worker leaves, only its own clients may move (see [`crate::policy::steering::flow_program`]).

mod group;
mod mend;
mod own;
mod registry;

pub(super) use group::DatagramGroup;
