//! Health checks: when to make one, and what its outcome means.
//!
//! The monitor makes them itself, so that they go on when no engine runs. The rules are Docker's.
//!
//! ```text
//!              until the time has come              its end, or its time-out
//!  ┌─────────┐ ───────────────────────► ┌─────────┐ ─────────────────────────► Waiting again
//!  │ Waiting │                          │ Probing │
//!  └─────────┘ ◄─────────────────────── └─────────┘
//!       frozen: no time passes in either state
//! ```

mod driver;
mod socket;

use std::time::Instant;

use crate::protocol::{Checked, Health, HealthPlan, HealthStatus};
use socket::Connecting;

/// How many checks are remembered.
const REMEMBERED: usize = 5;

/// Decides when to check, and what the outcome means.
pub(crate) struct Checker {
    plan: HealthPlan,
    health: Health,
    started: Instant,
    phase: Phase,
    suspended: bool,
}

enum Phase {
    Waiting { until: Instant },
    Probing { began: Instant, start: String, probing: Probing },
}

/// A check that is under way.
enum Probing {
    /// The session of a process.
    Process(u32),
    /// A connection.
    Socket(Connecting),
}

impl Checker {
    /// A container that starts now.
    pub(crate) fn new(plan: HealthPlan, now: Instant) -> Self {
        let health = Health { status: HealthStatus::Starting, failing_streak: 0, log: Vec::new() };
        let phase = Phase::Waiting { until: now };
        let mut checker = Self { plan, health, started: now, phase, suspended: false };
        checker.wait(now);
        checker
    }

    /// What is known.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// When something has to be done: a check begun, or given up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let at = match &self.phase {
            Phase::Waiting { until } => *until,
            Phase::Probing { began, .. } => *began + self.plan.timeout,
        };
        (!self.suspended).then_some(at)
    }

    /// Stops all clocks while the container is frozen. What was under way gets its whole time again.
    pub(crate) fn suspend(&mut self, suspended: bool, now: Instant) {
        self.suspended = suspended;
        if !suspended {
            match &mut self.phase {
                Phase::Waiting { until } => *until = (*until).max(now),
                Phase::Probing { began, .. } => *began = now,
            }
        }
    }

    /// Takes note of an outcome.
    fn conclude(&mut self, checked: Checked, now: Instant) {
        let health = &mut self.health;
        if checked.exit_code == 0 {
            (health.status, health.failing_streak) = (HealthStatus::Healthy, 0);
        } else if health.status != HealthStatus::Starting || now - self.started >= self.plan.start_period {
            health.failing_streak += 1;
            if health.failing_streak >= self.plan.retries {
                health.status = HealthStatus::Unhealthy;
            }
        }
        if health.log.len() == REMEMBERED {
            health.log.remove(0);
        }
        health.log.push(checked);
        self.wait(now);
    }

    fn wait(&mut self, now: Instant) {
        let starting = self.health.status == HealthStatus::Starting && now - self.started < self.plan.start_period;
        let pause = if starting { self.plan.start_interval } else { self.plan.interval };
        self.phase = Phase::Waiting { until: now + pause };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Probe;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn checker(now: Instant) -> Checker {
        let plan = HealthPlan {
            probe: Probe::Tcp(([127, 0, 0, 1], 80).into()),
            interval: 30 * SECOND,
            timeout: 5 * SECOND,
            start_period: 10 * SECOND,
            start_interval: SECOND,
            retries: 2,
        };
        Checker::new(plan, now)
    }

    fn outcome(exit_code: i32) -> Checked {
        Checked { start: String::new(), end: String::new(), exit_code, output: String::new() }
    }

    #[test]
    fn failures_count_only_after_the_start_period() {
        let begin = Instant::now();
        let mut checker = checker(begin);
        assert_eq!(checker.deadline(), Some(begin + SECOND));
        checker.conclude(outcome(1), begin + 2 * SECOND);
        assert_eq!((checker.health.status, checker.health.failing_streak), (HealthStatus::Starting, 0));
        assert_eq!(checker.deadline(), Some(begin + 3 * SECOND));
        checker.conclude(outcome(1), begin + 11 * SECOND);
        assert_eq!((checker.health.status, checker.health.failing_streak), (HealthStatus::Starting, 1));
        checker.conclude(outcome(1), begin + 41 * SECOND);
        assert_eq!(checker.health.status, HealthStatus::Unhealthy);
        checker.conclude(outcome(0), begin + 71 * SECOND);
        assert_eq!((checker.health.status, checker.health.failing_streak), (HealthStatus::Healthy, 0));
        assert_eq!(checker.health.log.len(), 4);
    }

    #[test]
    fn one_success_ends_the_start_period() {
        let begin = Instant::now();
        let mut checker = checker(begin);
        checker.conclude(outcome(0), begin + SECOND);
        assert_eq!(checker.deadline(), Some(begin + 31 * SECOND));
        checker.conclude(outcome(1), begin + 2 * SECOND);
        checker.conclude(outcome(1), begin + 3 * SECOND);
        assert_eq!(checker.health.status, HealthStatus::Unhealthy);
    }

    #[test]
    fn no_time_passes_while_the_container_is_frozen() {
        let begin = Instant::now();
        let mut checker = checker(begin);
        checker.suspend(true, begin);
        assert_eq!(checker.deadline(), None);
        checker.suspend(false, begin + 100 * SECOND);
        assert_eq!(checker.deadline(), Some(begin + 100 * SECOND));
    }

    #[test]
    fn five_checks_are_remembered() {
        let begin = Instant::now();
        let mut checker = checker(begin);
        (0..9).for_each(|code| checker.conclude(outcome(code), begin));
        let codes: Vec<_> = checker.health.log.iter().map(|checked| checked.exit_code).collect();
        assert_eq!(codes, [4, 5, 6, 7, 8]);
    }
}
