//! From the environment to the configuration or to all errors.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use super::admin::{ADMIN_ADDR, Admin};
use super::config::{Config, settings};
use super::control::Control;
use super::environment::{Input, Texts};
use super::faults::{Fault, Faults};
use super::health::Health;
use super::life::{Life, RESTART};
use super::log::Logging;
use super::node::Node;
use super::ports::{PORTS, Ports};
use super::program::{self, EXEC_MODE, ExecMode, INSTANCES, INSTANCES_FOLLOW, Program};
use super::reader::{Faulty, Line, Reader, Value};
use super::reload::{MAX_MEMORY, Reload, memory_budget, percent, room};
use super::rules;
use super::setting::Definition;
use super::signals::Signals;
use crate::policy::follow::FollowRule;
use crate::policy::handover::PortRule;
use crate::policy::{Instances, Restart};

/// A valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The settings of the runtime.
    pub config: Config,
    /// One message per warning.
    pub warnings: Vec<String>,
    /// Every setting, in the order of the help text.
    pub lines: Vec<Line>,
}

/// Returns the configuration or all errors.
pub fn resolve(input: &Input<'_>) -> Result<Resolved, Faults> {
    let names: Vec<&'static str> = settings().map(Definition::name).collect();
    let mut texts = Texts::read(input, &names);
    if let Some(name) = program::overruled_command(&input.args) {
        texts.overrule(name);
    }
    let mut reader = Reader::new(input, texts, settings());
    let config = read(&mut reader);
    let lines = settings().map(|setting| reader.line(setting)).collect();
    let (mut faults, warnings) = reader.complaints();
    match config {
        Ok(config) if faults.is_empty() => {
            return Ok(Resolved {
                config,
                warnings,
                lines,
            });
        }
        Err(Faulty(name)) if faults.is_empty() => faults.push(not_in_its_group(name)),
        _ => faults.sort_by_key(|fault| rank(&fault.name)),
    }
    Err(Faults { faults, warnings })
}

/// Only RPM_ADMIN_ADDR, for --healthcheck, which needs no command and must not fail because of other settings.
pub fn admin_addr(input: &Input<'_>) -> Result<Option<SocketAddr>, Faults> {
    let names: Vec<&'static str> = settings().map(Definition::name).collect();
    let only: [&dyn Definition; 1] = [&ADMIN_ADDR];
    let reader = Reader::new(input, Texts::read(input, &names), only.into_iter());
    let addr = reader.get(&ADMIN_ADDR);
    addr.map_err(|_| {
        let (mut faults, _) = reader.complaints();
        faults.retain(|fault| rank(&fault.name) == rank(ADMIN_ADDR.name));
        Faults {
            faults,
            warnings: Vec::new(),
        }
    })
}

/// The position of a name, or of its `_FILE`, in the help text. Other names come first.
fn rank(name: &str) -> usize {
    let all = || settings().map(Definition::name);
    let file = name.strip_suffix("_FILE").unwrap_or(name);
    let at = |name: &str| all().position(|known| known == name);
    at(name).or_else(|| at(file)).map_or(0, |at| at + 1)
}

/// An error in the source code, which every test finds.
fn not_in_its_group(name: &str) -> Fault {
    Fault {
        name: name.to_owned(),
        value: None,
        file: None,
        what: "is not in the list of its group, a fault of the runtime".to_owned(),
        accepted: "a version without it".to_owned(),
    }
}

/// Reads group by group and applies the rules between them. Values that depend on several groups come first.
fn read(reader: &mut Reader<'_>) -> Value<Config> {
    let instances = instances(reader);
    let restart = reader.get(&RESTART);
    let one_shot = restart == Ok(Restart::Never) && instances == Ok(NonZeroU16::MIN);
    let exec_mode = exec_mode(reader, one_shot);
    let unshared = unshared(exec_mode, reader.get(&PORTS));

    let program = Program::read(reader, instances, exec_mode);
    rules::check(reader, exec_mode);
    let ports = Ports::read(reader);
    let node = Node::read(reader);
    let life = Life::read(reader);
    let reload = Reload::read(reader, instances, unshared);
    let follow = follow(reader, instances, restart, unshared);
    let health = Health::read(reader);
    let admin = Admin::read(reader);
    let control = Control::read(reader, one_shot);
    let log = Logging::read(reader, one_shot);
    let signals = Signals::read(reader, restart, one_shot);
    Ok(Config {
        program: program?,
        ports: ports?,
        node: node?,
        life: life?,
        reload: reload?,
        follow: follow?,
        health: health?,
        signals: signals?,
        log: log?,
        admin: admin?,
        control: control?,
    })
}

/// RPM_INSTANCES. `max` depends on the CPUs, and on the memory for the workers including those of a reload.
fn instances(reader: &mut Reader<'_>) -> Value<NonZeroU16> {
    let instances = reader.get(&INSTANCES)?;
    // As far as known at this point: the role of tini depends on the number.
    let said = reader.given(&EXEC_MODE).ok().flatten();
    let unshared = said == Some(ExecMode::Fork) || reader.get(&PORTS) == Ok(PortRule::Nothing);
    let memory = memory_budget(reader, unshared);
    let (count, how) = instances.resolve(reader.input().cpus, memory);
    reader.settle(&INSTANCES, &Instances::Count(count), how);
    let cpus = reader.input().cpus;
    let max = matches!(instances, Instances::Max { .. }) && count > NonZeroU16::MIN;
    if max && cpus.hidden && cpus.quota_milli.is_none() {
        reader.warn(format!(
            "the CPU limit of this container cannot be seen: it has a cgroup namespace of its own, and /sys/fs/cgroup is a mount \
             from outside of it. RPM_INSTANCES={} counts all CPUs that it may run on: {count} workers; write the number into \
             RPM_INSTANCES",
            (INSTANCES.show)(&instances)
        ));
    } else if max && cpus.is_unlimited() {
        reader.warn(format!(
            "no CPU limit is set, so RPM_INSTANCES={} counts all CPUs of this machine: {count} workers; for another number, \
             set a CPU limit of the container (it is rounded up: 1500m, or --cpus 1.5, is 2 workers) or write the number into \
             RPM_INSTANCES",
            (INSTANCES.show)(&instances)
        ));
    }
    Ok(count)
}

/// What follows limits that change. A job that is not restarted keeps the number of its parts.
fn follow(
    reader: &mut Reader<'_>,
    workers: Value<NonZeroU16>,
    restart: Value<Restart>,
    unshared: Value<bool>,
) -> Value<Option<FollowRule>> {
    let (workers, follows) = (workers?, reader.get(&INSTANCES_FOLLOW)?);
    let rule = FollowRule {
        instances: reader.get(&INSTANCES)?,
        workers,
        room: room(reader, unshared?),
        percent: percent(reader, workers),
    };
    let rule = if restart? == Restart::Never {
        rule.without_workers()
    } else {
        rule
    };
    let rule = rule.if_any();
    if rule.is_none() && follows {
        let why = format!(
            "without RPM_INSTANCES=max or a percentage in {}, or with RPM_RESTART=never",
            MAX_MEMORY.name
        );
        reader.warn_if_set(&INSTANCES_FOLLOW, &why);
    }
    Ok(rule.filter(|_| follows))
}

/// RPM_EXEC_MODE; the role of tini needs no shared port.
fn exec_mode(reader: &mut Reader<'_>, one_shot: bool) -> Value<ExecMode> {
    if let Some(mode) = reader.given(&EXEC_MODE)? {
        return Ok(mode);
    }
    let (mode, note) = if one_shot && !reader.is_set(&PORTS) && !reader.is_broken(&PORTS) {
        let why = "RPM_RESTART=never, one instance and no RPM_PORTS";
        (ExecMode::Fork, Some(why.to_owned()))
    } else {
        (ExecMode::Cluster, None)
    };
    reader.settle(&EXEC_MODE, &mode, note);
    Ok(mode)
}

/// Whether no port is shared.
fn unshared(exec_mode: Value<ExecMode>, ports: Value<PortRule>) -> Value<bool> {
    match (exec_mode, ports) {
        (Ok(ExecMode::Fork), _) | (_, Ok(PortRule::Nothing)) => Ok(true),
        (Ok(ExecMode::Cluster), Ok(_)) => Ok(false),
        (Err(faulty), _) | (_, Err(faulty)) => Err(faulty),
    }
}

#[cfg(test)]
mod tests;
