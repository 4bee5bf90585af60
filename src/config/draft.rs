//! A configuration in the making: each field stays `None` if what was given for it is faulty.
#![expect(clippy::option_option, reason = "faulty, absent and present are three")]

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use super::command::{argv, base_name, first_number};
use super::env::Raw;
use super::resolve::{Input, Reader};
use super::types::{Balance, Config, ExecMode, Handover, PortRule, Ready, Restart, Scope};
use super::{app_metrics, health, output, parse, ports, reload, signals};
use crate::model::Sig;
use crate::policy::{Backoff, SignalTable};

/// `Config` with every field in doubt.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) argv: Option<Vec<OsString>>,
    pub(super) app_name: Option<String>,
    pub(super) instances: Option<NonZeroU16>,
    pub(super) exec_mode: Option<ExecMode>,
    /// Nobody chose a mode: it follows from the others.
    mode_is_open: bool,
    pub(super) instance_var: Option<String>,
    pub(super) increment: Option<Option<(String, u64)>>,
    pub(super) ports: Option<PortRule>,
    pub(super) handover: Option<Handover>,
    pub(super) balance: Option<Balance>,
    pub(super) backlog: Option<u32>,
    pub(super) ready: Option<Ready>,
    pub(super) ready_timeout: Option<Duration>,
    pub(super) stop_signal: Option<Sig>,
    pub(super) stop_timeout: Option<Duration>,
    pub(super) shutdown_delay: Option<Duration>,
    pub(super) restart: Option<Restart>,
    pub(super) stop_exit_codes: Option<Vec<u8>>,
    pub(super) min_uptime: Option<Duration>,
    pub(super) max_restarts: Option<u32>,
    pub(super) backoff_min: Option<Duration>,
    pub(super) backoff_max: Option<Duration>,
    pub(super) reload: reload::Draft,
    pub(super) health: health::Draft,
    pub(super) signals: Option<SignalTable>,
    pub(super) signal_scope: Option<Scope>,
    pub(super) exit_ok: Option<Vec<u8>>,
    pub(super) pdeathsig: Option<Option<Sig>>,
    pub(super) output: output::Draft,
    pub(super) admin_addr: Option<Option<SocketAddr>>,
    pub(super) app_metrics: app_metrics::Draft,
    pub(super) termination_log: Option<PathBuf>,
}

impl Draft {
    /// Every setting by itself, group by group.
    pub(super) fn read(raw: &Raw, input: &Input<'_>, reader: &mut Reader) -> Self {
        let mut draft = Self {
            reload: reload::Draft::read(raw, input, reader),
            health: health::Draft::read(raw, reader),
            output: output::Draft::read(raw, reader),
            app_metrics: app_metrics::Draft::read(raw, input, reader),
            ..Self::default()
        };
        draft.sharing(raw, reader);
        draft.program(raw, input, reader);
        draft.life(raw, reader);
        if draft.exec_mode.is_none() && draft.mode_is_open {
            draft.exec_mode = Some(draft.usual_mode(raw, reader));
        }
        let (instances, unshared) = (draft.instances, draft.unshared());
        let reload = &mut draft.reload;
        reload.settle(instances, unshared, input.memory, raw, reader);
        draft.signalling(raw, reader);
        let one_shot = draft.is_one_shot();
        draft.output.settle(one_shot, raw, reader);
        draft.administration(raw, reader);
        draft
    }

    fn program(&mut self, raw: &Raw, input: &Input<'_>, reader: &mut Reader) {
        self.argv = argv(raw, input, reader);
        self.app_name = if raw.app_name.is_some() || reader.is_broken("RPM_APP_NAME") {
            reader.get("RPM_APP_NAME", raw.app_name.as_ref(), parse::app_name)
        } else {
            self.argv
                .as_ref()
                .and_then(|argv| argv.first())
                .map(|program| base_name(program))
        };
        let instances = reader.get("RPM_INSTANCES", raw.instances.as_ref(), parse::instances);
        self.instances = instances.map(|instances| {
            // As far as it is known by now: the role of tini depends on the number.
            let unshared = self.unshared() == Some(true);
            let memory = self.reload.memory_budget(input.memory, unshared);
            let (count, how) = instances.resolve(input.cpus, memory);
            if let Some(how) = how {
                reader.notes.insert("RPM_INSTANCES", how);
            }
            count
        });
        self.instance_var = reader.get(
            "RPM_INSTANCE_VAR",
            raw.instance_var.as_ref(),
            parse::variable,
        );
        let increment = reader.optional("RPM_INCREMENT_VAR", raw.increment_var.as_ref(), |text| {
            let name = parse::variable(text)?;
            let first = first_number(&name, &input.vars)?;
            Ok((name, first))
        });
        self.increment = increment;
    }

    fn life(&mut self, raw: &Raw, reader: &mut Reader) {
        self.ready = reader.get("RPM_READY", raw.ready.as_ref(), parse::ready);
        self.ready_timeout = reader.get(
            "RPM_READY_TIMEOUT",
            raw.ready_timeout.as_ref(),
            parse::positive_duration,
        );
        self.stop_signal = reader.get(
            "RPM_STOP_SIGNAL",
            raw.stop_signal.as_ref(),
            parse::stop_signal,
        );
        self.stop_timeout = reader.get(
            "RPM_STOP_TIMEOUT",
            raw.stop_timeout.as_ref(),
            parse::duration,
        );
        self.shutdown_delay = reader.get(
            "RPM_SHUTDOWN_DELAY",
            raw.shutdown_delay.as_ref(),
            parse::duration,
        );
        let known = [
            ("always", Restart::Always),
            ("on-failure", Restart::OnFailure),
            ("never", Restart::Never),
        ];
        self.restart = reader.get("RPM_RESTART", raw.restart.as_ref(), |text| {
            parse::keyword(text, &known, &[])
        });
        self.stop_exit_codes = reader
            .optional(
                "RPM_STOP_EXIT_CODES",
                raw.stop_exit_codes.as_ref(),
                parse::exit_codes,
            )
            .map(Option::unwrap_or_default);
        self.min_uptime = reader.get("RPM_MIN_UPTIME", raw.min_uptime.as_ref(), parse::duration);
        self.max_restarts = reader.get(
            "RPM_MAX_RESTARTS",
            raw.max_restarts.as_ref(),
            parse::max_restarts,
        );
        // Not 0: a program that cannot start would be tried at full speed.
        self.backoff_min = reader.get(
            "RPM_BACKOFF_MIN",
            raw.backoff_min.as_ref(),
            parse::positive_duration,
        );
        self.backoff_max = reader.get(
            "RPM_BACKOFF_MAX",
            raw.backoff_max.as_ref(),
            parse::positive_duration,
        );
    }

    fn sharing(&mut self, raw: &Raw, reader: &mut Reader) {
        self.ports = reader.get("RPM_PORTS", raw.ports.as_ref(), ports::ports);
        let modes = [("cluster", ExecMode::Cluster), ("fork", ExecMode::Fork)];
        let said = reader.optional("RPM_EXEC_MODE", raw.exec_mode.as_ref(), |text| {
            parse::keyword(text, &modes, &[])
        });
        self.mode_is_open = said == Some(None);
        self.exec_mode = said.flatten();
        let known = [
            ("auto", Handover::Auto),
            ("intercept", Handover::Intercept),
            ("activation", Handover::Activation),
        ];
        self.handover = reader.get("RPM_HANDOVER", raw.handover.as_ref(), |text| {
            parse::keyword(text, &known, &["node"])
        });
        let known = [
            ("adaptive", Balance::Adaptive),
            ("random", Balance::Random),
            ("hash", Balance::Hash),
            ("cpu", Balance::Cpu),
        ];
        self.balance = reader.get("RPM_BALANCE", raw.balance.as_ref(), |text| {
            parse::keyword(text, &known, &[])
        });
        self.backlog = reader.get("RPM_BACKLOG", raw.backlog.as_ref(), |text| {
            parse::number(text, 1, 65_535)
        });
    }

    /// The mode when nobody chose one: tini's role needs no shared port.
    fn usual_mode(&self, raw: &Raw, reader: &mut Reader) -> ExecMode {
        if self.is_one_shot() && raw.ports.is_none() && !reader.is_broken("RPM_PORTS") {
            let why = "RPM_RESTART=never, one instance and no RPM_PORTS";
            reader.notes.insert("RPM_EXEC_MODE", why.to_owned());
            ExecMode::Fork
        } else {
            ExecMode::Cluster
        }
    }

    /// Whether no port is shared; `None` if that is not known.
    fn unshared(&self) -> Option<bool> {
        match (&self.exec_mode, &self.ports) {
            (Some(ExecMode::Fork), _) | (_, Some(PortRule::Nothing)) => Some(true),
            (Some(ExecMode::Cluster), Some(_)) => Some(false),
            _ => None,
        }
    }

    /// Whether the runtime plays tini's role.
    pub(super) fn is_one_shot(&self) -> bool {
        self.restart == Some(Restart::Never) && self.instances == Some(NonZeroU16::MIN)
    }

    fn signalling(&mut self, raw: &Raw, reader: &mut Reader) {
        let mut table = if self.is_one_shot() {
            SignalTable::one_shot()
        } else {
            SignalTable::service()
        };
        self.signals = match &raw.signals {
            _ if reader.is_broken("RPM_SIGNALS") => None,
            None => Some(table),
            Some(text) => match signals::overrides(text) {
                Ok(overrides) => {
                    overrides.apply(&mut table);
                    Some(table)
                }
                Err(wrong) => {
                    reader.fault("RPM_SIGNALS", Some(text), wrong);
                    None
                }
            },
        };
        let known = [("process", Scope::Process), ("group", Scope::Group)];
        self.signal_scope = reader.get("RPM_SIGNAL_SCOPE", raw.signal_scope.as_ref(), |text| {
            parse::keyword(text, &known, &[])
        });
        self.exit_ok = reader
            .optional("RPM_EXIT_OK", raw.exit_ok.as_ref(), parse::exit_codes)
            .map(Option::unwrap_or_default);
        self.pdeathsig = reader.get(
            "RPM_PDEATHSIG",
            raw.pdeathsig.as_ref(),
            parse::optional_signal,
        );
    }

    fn administration(&mut self, raw: &Raw, reader: &mut Reader) {
        self.admin_addr = reader.get("RPM_ADMIN_ADDR", raw.admin_addr.as_ref(), parse::admin_addr);
        self.termination_log = reader.get(
            "RPM_TERMINATION_LOG",
            raw.termination_log.as_ref(),
            parse::absolute_path,
        );
    }

    /// The configuration, if nothing is missing.
    pub(super) fn finish(mut self) -> Option<Config> {
        Some(Config {
            argv: self.argv?,
            app_name: self.app_name?,
            instances: self.instances?,
            exec_mode: self.exec_mode?,
            instance_var: self.instance_var?,
            increment: self.increment?,
            env_file: self.reload.env_file.take()?,
            ports: self.ports?,
            handover: self.handover?,
            balance: self.balance?,
            backlog: self.backlog?,
            ready: self.ready?,
            ready_timeout: self.ready_timeout?,
            stop_signal: self.stop_signal?,
            stop_timeout: self.stop_timeout?,
            drain_timeout: self.reload.drain_timeout?,
            shutdown_delay: self.shutdown_delay?,
            restart: self.restart?,
            stop_exit_codes: self.stop_exit_codes?,
            min_uptime: self.min_uptime?,
            max_restarts: Some(self.max_restarts?).filter(|most| *most > 0),
            backoff: Backoff::new(self.backoff_min?, self.backoff_max?).ok()?,
            surge: self.reload.surge??,
            unavailable: self.reload.unavailable??,
            min_ready: self.reload.min_ready?,
            max_memory: self.reload.max_memory?,
            cron_reload: self.reload.cron.take()?,
            watch: self.reload.watch()?,
            health: self.health.finish()?,
            signals: self.signals?,
            signal_scope: self.signal_scope?,
            exit_ok: self.exit_ok?,
            pdeathsig: self.pdeathsig?,
            log: self.output.finish()?,
            admin_addr: self.admin_addr?,
            app_metrics: self.app_metrics.finish()?,
            termination_log: self.termination_log?,
        })
    }
}
