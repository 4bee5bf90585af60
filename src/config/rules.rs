//! Rules between settings. A rule is silent while one of its settings is faulty by itself.

use super::app_metrics::{MULTIPROC_DIR, MetricsSource};
use super::draft::Draft;
use super::env::Raw;
use super::faults::{Wrong, quote};
use super::ports::collides;
use super::resolve::Reader;
use super::types::{ExecMode, Handover, PortRule, Ready, Restart};
use super::{output_rules, show};
use crate::model::Sig;
use crate::policy::{Share, SignalAction};

/// Applies every rule.
pub(super) fn check(draft: &Draft, raw: &Raw, reader: &mut Reader) {
    match unshared(draft, raw) {
        Some(why) => without_sharing(&why, draft, raw, reader),
        None => with_sharing(draft, raw, reader),
    }
    app_metrics(draft, raw, reader);
    variables(draft, raw, reader);
    times(draft, raw, reader);
    replacing(draft, raw, reader);
    idle(draft, raw, reader);
    output_rules::check(&draft.output, raw, reader);
    stopping(draft, reader);
}

/// Why no port is shared, in words; `None` if ports are shared, or that is not known.
fn unshared(draft: &Draft, raw: &Raw) -> Option<String> {
    if draft.exec_mode == Some(ExecMode::Fork) {
        Some(if raw.exec_mode.is_some() {
            "RPM_EXEC_MODE=fork".to_owned()
        } else {
            "the fork mode that RPM_RESTART=never implies with one instance and no RPM_PORTS"
                .to_owned()
        })
    } else if draft.ports == Some(PortRule::Nothing) {
        Some("RPM_PORTS=off".to_owned())
    } else {
        None
    }
}

/// With no shared port nothing may depend on one.
fn without_sharing(why: &str, draft: &Draft, raw: &Raw, reader: &mut Reader) {
    let needs = format!("needs a shared port, and {why} shares none");
    let remedy = if why == "RPM_PORTS=off" {
        "leaving it unset, or RPM_PORTS=auto or a list"
    } else {
        "leaving it unset, or RPM_EXEC_MODE=cluster"
    };
    if let (Some(PortRule::Listed(_)), Some(text)) = (&draft.ports, &raw.ports) {
        let what = format!("opens shared ports, and {why} shares none");
        reader.fault("RPM_PORTS", Some(text), Wrong::new(what, remedy));
    }
    if let (Some(_), Some(text)) = (draft.handover, &raw.handover) {
        reader.fault(
            "RPM_HANDOVER",
            Some(text),
            Wrong::new(needs.as_str(), remedy),
        );
    }
    if let (Some(Ready::Listen | Ready::Tcp | Ready::Http(_)), Some(text)) =
        (&draft.ready, &raw.ready)
    {
        let remedy = format!(
            "auto, notify, delay:DURATION, {}",
            remedy.trim_start_matches("leaving it unset, ")
        );
        reader.fault("RPM_READY", Some(text), Wrong::new(needs.as_str(), remedy));
    }
    if let (Some(Some(_)), Some(text)) = (&draft.health.check, &raw.health) {
        reader.fault("RPM_HEALTH", Some(text), Wrong::new(needs.as_str(), remedy));
    }
    if let Some(Some(MetricsSource::Path { .. })) = &draft.app_metrics.source {
        let remedy = format!("multiproc (Python), {remedy}");
        let what = format!("asks each worker over a shared port, and {why} shares none");
        let wrong = Wrong::new(what, remedy);
        reader.fault("RPM_APP_METRICS", raw.app_metrics.as_deref(), wrong);
    }
    let idle = [
        ("RPM_BALANCE", &raw.balance),
        ("RPM_BACKLOG", &raw.backlog),
        ("RPM_DRAIN_TIMEOUT", &raw.drain_timeout),
    ];
    for (name, given) in idle {
        if given.is_some() {
            reader
                .warnings
                .push(format!("{name} has no effect: {why} shares no port"));
        }
    }
    if let (Some(Ready::Auto), Some(uptime), Some(timeout)) =
        (&draft.ready, draft.min_uptime, draft.ready_timeout)
        && uptime >= timeout
    {
        let what = format!(
            "without a shared port a worker is ready after this time, which is not below RPM_READY_TIMEOUT ({})",
            show::duration(timeout)
        );
        let text = show::duration(uptime);
        let text = raw.min_uptime.as_deref().unwrap_or(&text);
        let wrong = Wrong::new(what, "a shorter time, or a longer RPM_READY_TIMEOUT");
        reader.fault("RPM_MIN_UPTIME", Some(text), wrong);
    }
}

fn with_sharing(draft: &Draft, raw: &Raw, reader: &mut Reader) {
    side_port(draft, raw, reader);
    if draft.handover == Some(Handover::Activation)
        && draft.ports == Some(PortRule::Any)
        && let Some(text) = &raw.handover
    {
        let wrong = Wrong::new(
            "hands over ports that are open before the first worker, and RPM_PORTS lists none",
            "activation with a list of ports in RPM_PORTS, or auto, or intercept",
        );
        reader.fault("RPM_HANDOVER", Some(text), wrong);
    }
    let (Some(PortRule::Listed(specs)), Some(Some(addr))) = (&draft.ports, draft.admin_addr) else {
        return;
    };
    if let Some(spec) = specs.iter().find(|spec| collides(**spec, addr)) {
        let what = format!(
            "{} is also RPM_ADMIN_ADDR ({addr})",
            quote(show::port(*spec))
        );
        let wrong = Wrong::new(
            what,
            "another port here, or another RPM_ADMIN_ADDR, or RPM_ADMIN_ADDR=off",
        );
        reader.fault("RPM_PORTS", raw.ports.as_deref(), wrong);
    }
}

/// Workers can be asked over a port only if it is shared, and only the program's own answers for it.
fn side_port(draft: &Draft, raw: &Raw, reader: &mut Reader) {
    let Some(Some(MetricsSource::Path {
        port: Some(port), ..
    })) = &draft.app_metrics.source
    else {
        return;
    };
    let wrong = match (&draft.ports, draft.admin_addr) {
        (Some(PortRule::Listed(specs)), _) if specs.iter().all(|spec| spec.port != *port) => {
            Wrong::new(
                format!(
                    "port {port} is not in RPM_PORTS, so it is not shared and no single worker can be asked"
                ),
                format!(
                    "a port of RPM_PORTS, or a longer list there, {},{port}",
                    show::ports(&PortRule::Listed(specs.clone()))
                ),
            )
        }
        // What a list has was held against the address already.
        (Some(PortRule::Any), Some(Some(addr)))
            if addr.port() == port.get() && addr.ip().is_unspecified() =>
        {
            let what =
                format!("port {port} is RPM_ADMIN_ADDR ({addr}), where the runtime answers itself");
            Wrong::new(what, "a port of the program, or a path alone")
        }
        _ => return,
    };
    reader.fault("RPM_APP_METRICS", raw.app_metrics.as_deref(), wrong);
}

/// Metrics of workers can be had, and are counted once.
fn app_metrics(draft: &Draft, raw: &Raw, reader: &mut Reader) {
    let metrics = &draft.app_metrics;
    if let (Some(Some(_)), Some(None)) = (&metrics.source, draft.admin_addr) {
        let wrong = Wrong::new(
            "is for /metrics of the runtime, and RPM_ADMIN_ADDR=off: nobody could read them",
            "off, or another RPM_ADMIN_ADDR",
        );
        reader.fault("RPM_APP_METRICS", raw.app_metrics.as_deref(), wrong);
    }
    if let (Some(Some(MetricsSource::Path { .. })), Some(_)) = (&metrics.source, &metrics.dir) {
        reader.warnings.push(format!(
            "RPM_APP_METRICS asks each worker, and {MULTIPROC_DIR} is set: a worker of Python that answers for all would \
             be counted once for each; RPM_APP_METRICS=multiproc reads that directory instead"
        ));
    }
}

/// The variables that workers get do not clash, and counting up has room.
fn variables(draft: &Draft, raw: &Raw, reader: &mut Reader) {
    let Some(Some((name, first))) = &draft.increment else {
        return;
    };
    let text = raw.increment_var.as_deref();
    if draft.instance_var.as_ref() == Some(name) {
        let what = "is RPM_INSTANCE_VAR too, and one variable cannot hold both";
        reader.fault(
            "RPM_INCREMENT_VAR",
            text,
            Wrong::new(what, "another variable"),
        );
    }
    let Some(instances) = draft.instances else {
        return;
    };
    let slot = instances.get() - 1;
    let note = match first.checked_add(u64::from(slot)) {
        None => {
            let what = format!("{name}={first} cannot be counted up for {instances} instances");
            reader.fault(
                "RPM_INCREMENT_VAR",
                text,
                Wrong::new(what, "a smaller number"),
            );
            return;
        }
        Some(_) if slot == 0 => format!("{name}={first} for slot 0"),
        Some(last) => format!("{name}={first} for slot 0, {name}={last} for slot {slot}"),
    };
    reader.notes.insert("RPM_INCREMENT_VAR", note);
}

fn times(draft: &Draft, raw: &Raw, reader: &mut Reader) {
    if let (Some(low), Some(high)) = (draft.backoff_min, draft.backoff_max)
        && low > high
    {
        let (name, given, what) = if raw.backoff_min.is_some() {
            let other = if raw.backoff_max.is_some() {
                ""
            } else {
                ", its default"
            };
            let what = format!("is above RPM_BACKOFF_MAX ({}{other})", show::duration(high));
            ("RPM_BACKOFF_MIN", &raw.backoff_min, what)
        } else {
            let what = format!(
                "is below RPM_BACKOFF_MIN ({}, its default)",
                show::duration(low)
            );
            ("RPM_BACKOFF_MAX", &raw.backoff_max, what)
        };
        let wrong = Wrong::new(what, "RPM_BACKOFF_MIN at most RPM_BACKOFF_MAX");
        reader.fault(name, given.as_deref(), wrong);
    }
    if let (Some(Ready::Delay(delay)), Some(timeout)) = (&draft.ready, draft.ready_timeout)
        && *delay >= timeout
    {
        let what = format!(
            "is not below RPM_READY_TIMEOUT ({}), so no worker could become ready",
            show::duration(timeout)
        );
        let wrong = Wrong::new(what, "a shorter delay, or a longer RPM_READY_TIMEOUT");
        reader.fault("RPM_READY", raw.ready.as_deref(), wrong);
    }
}

/// A reload must be able to go on, and what it may cost be there.
fn replacing(draft: &Draft, raw: &Raw, reader: &mut Reader) {
    let (surge, unavailable) = (
        draft.reload.surge.flatten(),
        draft.reload.unavailable.flatten(),
    );
    let text = raw.reload_unavailable.as_deref();
    match (surge, unavailable) {
        (Some(surge), Some(unavailable)) if surge.is_zero() && unavailable.is_zero() => {
            let what = "is nothing, and so is RPM_RELOAD_SURGE: no worker could ever be replaced";
            let wrong = Wrong::new(what, "at least 1 of either");
            reader.fault("RPM_RELOAD_UNAVAILABLE", text, wrong);
        }
        (_, Some(Share::Number(count))) => {
            if let Some(instances) = draft.instances.filter(|instances| count > instances.get()) {
                let what = format!("is more than all workers (RPM_INSTANCES is {instances})");
                let wrong = Wrong::new(what, format!("0 to {instances}, or a percentage"));
                reader.fault("RPM_RELOAD_UNAVAILABLE", text, wrong);
            }
        }
        _ => {}
    }
}

/// Settings of something that is off.
fn idle(draft: &Draft, raw: &Raw, reader: &mut Reader) {
    let watching = raw.watch.is_some() || reader.is_broken("RPM_WATCH");
    let asking = draft.health.check != Some(None);
    let merging = draft.app_metrics.source != Some(None);
    let rows = [
        ("RPM_WATCH_IGNORE", &raw.watch_ignore, watching, "RPM_WATCH"),
        ("RPM_WATCH_DELAY", &raw.watch_delay, watching, "RPM_WATCH"),
        (
            "RPM_HEALTH_INTERVAL",
            &raw.health_interval,
            asking,
            "RPM_HEALTH",
        ),
        (
            "RPM_HEALTH_TIMEOUT",
            &raw.health_timeout,
            asking,
            "RPM_HEALTH",
        ),
        (
            "RPM_HEALTH_FAILURES",
            &raw.health_failures,
            asking,
            "RPM_HEALTH",
        ),
        (
            "RPM_APP_METRICS_GAUGES",
            &raw.app_metrics_gauges,
            merging,
            "RPM_APP_METRICS",
        ),
        (
            "RPM_APP_METRICS_INTERVAL",
            &raw.app_metrics_interval,
            merging,
            "RPM_APP_METRICS",
        ),
    ];
    for (name, given, on, of) in rows {
        if given.is_some() && !on {
            reader
                .warnings
                .push(format!("{name} has no effect without {of}"));
        }
    }
}

/// A service should have an end that is not SIGKILL.
fn stopping(draft: &Draft, reader: &mut Reader) {
    let (Some(signals), Some(restart)) = (&draft.signals, draft.restart) else {
        return;
    };
    let stops = |sig| signals.action(sig) == SignalAction::Stop;
    if restart != Restart::Never && !(1..=64).filter_map(Sig::new).any(stops) {
        let text = "RPM_SIGNALS leaves no signal that stops the runtime; only SIGKILL will end it";
        reader.warnings.push(text.to_owned());
    }
}
