//! Other kernels, and cgroup version 2 as the kubelet uses it. These tests need a machine of their own: `make kernels`
//! (scripts/kernels) starts one for each kernel and runs them in it. Elsewhere they are ignored.

mod container;
mod limits;
mod machine;
mod memory;
mod resize;
mod serving;

pub use container::Container;
