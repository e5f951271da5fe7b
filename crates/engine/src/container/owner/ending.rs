//! What an owner does about what its monitor tells: a health check, the end of a process, the end of everything.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wharf_monitor::protocol::{Event, Exit, Health, HealthStatus};

use super::Owner;
use crate::container::state::{Exited, State};
use crate::container::{SIGKILL, STOP_TIMEOUT, health, signal, teardown};

/// How long a monitor may take to clear the network and the cgroup after its container's end.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

impl Owner {
    pub(super) async fn on_monitor(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Exited(exit)) => self.on_exit(&exit).await,
            Some(Event::ExecExited { id, code }) => (self.on_exec_end)(&id, code),
            Some(Event::Detached { .. }) => self.tell("detach", []),
            Some(Event::Health(health)) => self.on_health(health).await,
            None => self.on_monitor_gone().await,
        }
    }

    async fn on_exit(&mut self, exit: &Exit) {
        let State::Running(running) = self.state() else { return };
        let mut attributes = vec![("exitCode".to_owned(), exit.code.to_string())];
        if let Ok(duration) = crate::time::between(&running.started_at, &exit.finished_at) {
            attributes.push(("execDuration".to_owned(), duration.as_secs().to_string()));
        }
        if exit.oom_killed {
            self.tell("oom", []);
        }
        if let Some(run) = &mut self.run {
            run.tidy = exit.problems.is_empty();
        }
        self.services.networks.silence(self.record().id);
        self.restart.ended(exit.code, self.replacing.take().is_some());
        let exited = Exited { again: self.restart.is_due(), ..running.exited(exit) };
        self.publish(State::Exited(exited), |snapshot| snapshot.exits += 1);
        self.tell("die", attributes);
        if self.record().auto_remove() && !self.restart.is_due() {
            self.remove_by_itself().await;
        } else {
            self.save_later();
        }
    }

    /// A check was made; whoever wants it so is started again when it is no longer well.
    async fn on_health(&mut self, health: Health) {
        let Some(running) = self.state().running().cloned() else { return };
        let before = self.snapshot.borrow().health.as_ref().map(|health| health.status);
        let now = health.status;
        self.publish_with(|snapshot| snapshot.health = Some(Arc::new(health)));
        if before.is_some_and(|before| before != now) {
            self.tell(&format!("health_status: {}", health::word(now)), []);
        }
        let replace = now == HealthStatus::Unhealthy && self.replacing.is_none() && !running.paused;
        if replace && health::restarts(&self.record()) {
            self.replace_unhealthy().await;
        }
    }

    /// Asks an unhealthy container to end, in order to start it again.
    async fn replace_unhealthy(&mut self) {
        let config = self.record().config.clone();
        let patience = u64::try_from(config.stop_timeout.unwrap_or(STOP_TIMEOUT));
        // Waits for ever where the person wants that, as a stop would.
        self.replacing = Some(patience.ok().map(|seconds| Instant::now() + Duration::from_secs(seconds)));
        tracing::info!(container = %self.record().id, "unhealthy; it is ended and started again");
        let name = Some(config.stop_signal.as_str()).filter(|name| !name.is_empty()).unwrap_or("SIGTERM");
        let signal = signal::parse(name).unwrap_or(SIGKILL);
        self.end_unhealthy(signal).await;
    }

    /// It did not end in good time.
    pub(super) async fn kill_unhealthy(&mut self) {
        self.replacing = Some(None);
        self.end_unhealthy(SIGKILL).await;
    }

    async fn end_unhealthy(&self, signal: i32) {
        match self.send_signal(signal).await {
            Ok(()) => self.tell("kill", [("signal".to_owned(), signal.to_string())]),
            Err(error) => tracing::warn!(container = %self.record().id, error = %error.chain(), "cannot end it"),
        }
    }

    async fn remove_by_itself(&mut self) {
        if let Err(error) = self.remove(true).await {
            tracing::error!(container = %self.record().id, error = %error.chain(), "cannot remove the ended container");
        }
    }

    /// The connection closed: after an exit all is well, otherwise the monitor was killed.
    pub(super) async fn on_monitor_gone(&mut self) {
        if let Some(run) = &mut self.run {
            run.monitor = None;
        }
        if self.state().is_live() {
            let record = self.record();
            tracing::error!(container = %record.id, "the monitor is gone; cleaning up behind it");
            let exit = teardown::find_exit(&self.services, &record).await.unwrap_or_else(teardown::lost);
            self.sweep().await;
            self.on_exit(&exit).await;
        } else {
            self.sweep().await;
        }
    }

    /// Waits until the last run's monitor has cleared the kernel of it; clears it ourselves if it does not.
    pub(super) async fn settle(&mut self) {
        if let Some(mut live) = self.run.as_mut().and_then(|run| run.monitor.take()) {
            let on_exec_end = Arc::clone(&self.on_exec_end);
            let drain = async {
                while let Ok(Some(event)) = live.events.next().await {
                    if let Event::ExecExited { id, code } = event {
                        on_exec_end(&id, code);
                    }
                }
            };
            if tokio::time::timeout(SETTLE_TIMEOUT, drain).await.is_err() {
                tracing::warn!(container = %self.record().id, "the monitor does not end; killing it");
                teardown::kill_monitor(live.pid, &self.services.config.monitor_dir(self.record().id));
            }
        }
        self.sweep().await;
    }

    /// Makes sure that nothing of the last run is left, whoever took it down, and gives back what it held.
    async fn sweep(&mut self) {
        let Some(run) = self.run.take() else { return };
        let record = self.record();
        // A port may have been put back into the firewall after its monitor took it out.
        if !run.tidy || run.restored != self.services.networks.restored() {
            for problem in teardown::sweep(&self.services, &record, Some(&run.sandbox)).await {
                tracing::warn!(container = %record.id, problem = %problem.chain(), "left over after the container's end");
            }
        }
        self.services.networks.release(record.id);
        for volume in record.volumes() {
            self.services.volumes.release(volume, record.id).await;
        }
        self.publish_with(|snapshot| snapshot.settled = true);
    }
}
