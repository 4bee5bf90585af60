//! Rules between settings of several groups: settings that need a shared port, and ports that can be shared. A rule is
//! skipped while one of its settings is faulty by itself. Rules between settings of one group are in the group's file.

use std::num::NonZeroU16;

use super::admin::{ADMIN_ADDR, APP_METRICS, MetricsSource};
use super::faults::{Wrong, quote};
use super::health::HEALTH;
use super::life::{DRAIN_TIMEOUT, MIN_UPTIME, READY, READY_TIMEOUT, Ready, UDP_GRACE};
use super::ports::{BACKLOG, BALANCE, HANDOVER, Handover, PORTS, collides};
use super::program::{EXEC_MODE, ExecMode};
use super::reader::{Reader, Value};
use super::setting::Definition;
use super::show;
use crate::policy::handover::PortRule;

/// Applies every rule.
pub(super) fn check(reader: &mut Reader<'_>, exec_mode: Value<ExecMode>) {
    match unshared(reader, exec_mode) {
        Some(why) => without_sharing(&why, reader),
        None => with_sharing(reader),
    }
}

/// Why no port is shared, as text; `None` if ports are shared or if that is unknown.
fn unshared(reader: &Reader<'_>, exec_mode: Value<ExecMode>) -> Option<String> {
    if exec_mode == Ok(ExecMode::Fork) {
        Some(if reader.is_set(&EXEC_MODE) {
            "RPM_EXEC_MODE=fork".to_owned()
        } else {
            "the fork mode that RPM_RESTART=never implies with one instance and no RPM_PORTS"
                .to_owned()
        })
    } else if reader.get(&PORTS) == Ok(PortRule::Nothing) {
        Some("RPM_PORTS=off".to_owned())
    } else {
        None
    }
}

/// Without shared ports, no setting may depend on one.
fn without_sharing(why: &str, reader: &mut Reader<'_>) {
    let needs = format!("needs a shared port, and {why} shares none");
    let remedy = if why == "RPM_PORTS=off" {
        "leaving it unset, or RPM_PORTS=auto or a list"
    } else {
        "leaving it unset, or RPM_EXEC_MODE=cluster"
    };
    if let Ok(PortRule::Listed(_)) = reader.get(&PORTS) {
        let what = format!("opens shared ports, and {why} shares none");
        reader.fault(&PORTS, Wrong::new(what, remedy));
    }
    if let Ok(Some(_)) = reader.given(&HANDOVER) {
        reader.fault(&HANDOVER, Wrong::new(needs.as_str(), remedy));
    }
    let ready = reader
        .given(&READY)
        .map(|asked| asked.map(|asked| asked.what));
    if let Ok(Some(Ready::Listen | Ready::Tcp | Ready::Http(_))) = ready {
        let remedy = remedy.trim_start_matches("leaving it unset, ");
        let remedy = format!("auto, notify, delay:DURATION, {remedy}");
        reader.fault(&READY, Wrong::new(needs.as_str(), remedy));
    }
    if let Ok(Some(_)) = reader.get(&HEALTH) {
        reader.fault(&HEALTH, Wrong::new(needs.as_str(), remedy));
    }
    if let Ok(Some(MetricsSource::Path { .. })) = reader.get(&APP_METRICS) {
        let what = format!("asks each worker over a shared port, and {why} shares none");
        let wrong = Wrong::new(what, format!("multiproc (Python), {remedy}"));
        reader.fault(&APP_METRICS, wrong);
    }
    let unused: [&dyn Definition; 4] = [&BALANCE, &BACKLOG, &DRAIN_TIMEOUT, &UDP_GRACE];
    for name in unused {
        if reader.is_set(name) {
            let name = name.name();
            reader.warn(format!("{name} has no effect: {why} shares no port"));
        }
    }
    if let (Ok(Ready::Auto), Ok(uptime), Ok(timeout)) = (
        reader.get(&READY).map(|asked| asked.what),
        reader.get(&MIN_UPTIME),
        reader.get(&READY_TIMEOUT),
    ) && uptime >= timeout
    {
        let what = format!(
            "without a shared port a worker is ready after this time, which is not below RPM_READY_TIMEOUT ({})",
            show::duration(&timeout)
        );
        let wrong = Wrong::new(what, "a shorter time, or a longer RPM_READY_TIMEOUT");
        reader.fault(&MIN_UPTIME, wrong);
    }
}

fn with_sharing(reader: &mut Reader<'_>) {
    side_ports(reader);
    if reader.given(&HANDOVER) == Ok(Some(Handover::Activation))
        && reader.get(&PORTS) == Ok(PortRule::Any)
    {
        let wrong = Wrong::new(
            "hands over ports that are open before the first worker, and RPM_PORTS lists none",
            "activation with a list of ports in RPM_PORTS, or auto, or intercept",
        );
        reader.fault(&HANDOVER, wrong);
    }
    let (Ok(PortRule::Listed(specs)), Ok(Some(addr))) =
        (reader.get(&PORTS), reader.get(&ADMIN_ADDR))
    else {
        return;
    };
    if let Some(spec) = specs.iter().find(|spec| collides(**spec, addr)) {
        let what = format!(
            "{} is also RPM_ADMIN_ADDR ({addr})",
            quote(spec.to_string())
        );
        let wrong = Wrong::new(
            what,
            "another port here, or another RPM_ADMIN_ADDR, or RPM_ADMIN_ADDR=off",
        );
        reader.fault(&PORTS, wrong);
    }
}

/// Workers can be asked over a port only if it is shared, and only the program may answer on it.
fn side_ports(reader: &mut Reader<'_>) {
    let metrics = match reader.get(&APP_METRICS) {
        Ok(Some(MetricsSource::Path { port, .. })) => port,
        _ => None,
    };
    let ready = reader.get(&READY).ok().and_then(|asked| asked.port);
    let health = reader.get(&HEALTH).ok().flatten();
    let health = health.and_then(|asked| asked.port);
    let named: [(&dyn Definition, Option<NonZeroU16>); 3] =
        [(&READY, ready), (&HEALTH, health), (&APP_METRICS, metrics)];
    for (setting, port) in named {
        if let Some(port) = port {
            side_port(reader, setting, port);
        }
    }
}

fn side_port(reader: &mut Reader<'_>, setting: &dyn Definition, port: NonZeroU16) {
    let wrong = match (reader.get(&PORTS), reader.get(&ADMIN_ADDR)) {
        (Ok(PortRule::Listed(specs)), _) if specs.iter().all(|spec| spec.port != port) => {
            Wrong::new(
                format!(
                    "port {port} is not in RPM_PORTS, so it is not shared and no single worker can be asked"
                ),
                format!(
                    "a port of RPM_PORTS, or a longer list there, {},{port}",
                    PortRule::Listed(specs)
                ),
            )
        }
        // The entries of a list were already compared with the address.
        (Ok(PortRule::Any), Ok(Some(addr)))
            if addr.port() == port.get() && addr.ip().is_unspecified() =>
        {
            let what =
                format!("port {port} is RPM_ADMIN_ADDR ({addr}), where the runtime answers itself");
            Wrong::new(what, "a port of the program, or a path alone")
        }
        _ => return,
    };
    reader.fault(setting, wrong);
}
