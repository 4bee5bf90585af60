//! What a worker finds in its environment.
#![forbid(unsafe_code)]

use std::ffi::OsString;

use crate::config::Config;
use crate::model::{Generation, SlotId};

/// The runtime's own environment, whole and in order, with the worker's variables set in their places or at the end.
/// A value that is not UTF-8 passes untouched.
pub fn build(
    base: &[(OsString, OsString)],
    config: &Config,
    slot: SlotId,
    generation: Generation,
) -> Vec<(OsString, OsString)> {
    let mut env = base.to_vec();
    let mut set = |name: &str, value: String| {
        let value = OsString::from(value);
        match env.iter_mut().find(|(known, _)| known == name) {
            Some((_, place)) => *place = value,
            None => env.push((name.into(), value)),
        }
    };
    set(&config.instance_var, slot.to_string());
    set("RPM_INSTANCE", slot.to_string());
    set("RPM_WORKERS", config.instances.to_string());
    set("RPM_GENERATION", generation.to_string());
    set("pm_id", slot.to_string());
    set("name", config.app_name.clone());
    if let Some((name, first)) = &config.increment {
        set(name, first.saturating_add(u64::from(slot.0)).to_string());
    }
    // A server that is one of our workers must not fork workers of its own.
    if !env.iter().any(|(name, _)| name == "WEB_CONCURRENCY") {
        env.push(("WEB_CONCURRENCY".into(), "1".into()));
    }
    env
}
