//! The chart: what helm makes of it, held against the schemas of Kubernetes and of custom resources, and against the runtime.

mod by_hand;
mod deployment;
mod environment;
pub mod helm;
mod judges;
mod monitoring;
mod objects;
pub mod pod_security;
mod refusals;
mod stop;
