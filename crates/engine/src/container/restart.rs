//! Restart policies: whether and when a container that ended starts again.
//!
//! The policy alone, without effects: the owner asks it and carries it out.
//!
//! ```text
//!                 start                    the run ends, and the policy says again
//!  ┌──────┐ ─────────────────► ┌───────┐ ──────────────────────────────────────► ┌─────────┐
//!  │ Idle │                    │ Armed │                                          │ Planned │
//!  └──────┘ ◄───────────────── └───────┘ ◄────────────────────────────────────── └─────────┘
//!      ▲     stop by hand, or            the delay has passed: start                  │
//!      │     the policy says no                                                       │
//!      └──────────────────────────────────────────────────────────────────────────────┘
//!                                    stop by hand
//! ```

use std::time::Duration;

use tokio::time::Instant;

use super::record::{Record, RestartPolicy};

/// The first delay; doubled after each run that was short, as Docker does.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// The longest delay.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A run that lasted this long makes the next delay the first one again.
const LONG_RUN: Duration = Duration::from_secs(10);

/// Decides about one container.
#[derive(Debug)]
pub struct Restart {
    policy: RestartPolicy,
    phase: Phase,
    /// How often it was started again since a person started it.
    attempts: u32,
}

/// See the module's diagram.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Nothing is planned: a person stopped it, or the policy has given up.
    Idle,
    /// It runs, or may, since then; should it end, the next start waits for `delay`.
    Armed { since: Instant, delay: Duration },
    /// It ended and is started again then.
    Planned { at: Instant, delay: Duration },
}

impl Restart {
    /// The decider for a container as it was created, which was started again so many times already.
    pub fn new(record: &Record, attempts: u32) -> Self {
        let phase = Phase::Armed { since: Instant::now(), delay: FIRST_DELAY };
        Self { policy: record.restart_policy(), phase, attempts }
    }

    /// Takes over a changed policy.
    pub fn adopt(&mut self, record: &Record) {
        self.policy = record.restart_policy();
    }

    /// A person starts it: what was held against it is forgotten.
    pub fn forgive(&mut self) {
        self.attempts = 0;
        self.phase = Phase::Armed { since: Instant::now(), delay: FIRST_DELAY };
    }

    /// A person wants it to end: it is not started again by itself.
    pub fn stopped_by_hand(&mut self) {
        self.phase = Phase::Idle;
    }

    /// A run ended with this exit code. `regardless`: it was ended in order to be started again, whatever the policy.
    pub fn ended(&mut self, exit_code: i32, regardless: bool) {
        let Phase::Armed { since, delay } = self.phase else { return };
        let again = regardless
            || match self.policy {
                RestartPolicy::No => false,
                RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
                RestartPolicy::OnFailure { most } => exit_code != 0 && (most == 0 || self.attempts < most),
            };
        if !again {
            self.phase = Phase::Idle;
            return;
        }
        let delay = if since.elapsed() >= LONG_RUN { FIRST_DELAY } else { delay };
        self.phase = Phase::Planned { at: Instant::now() + delay, delay: (delay * 2).min(LONGEST_DELAY) };
        self.attempts += 1;
    }

    /// Whether a start is planned.
    pub fn is_due(&self) -> bool {
        matches!(self.phase, Phase::Planned { .. })
    }

    /// Returns when the planned start is due; never, where none is planned.
    pub async fn due(&mut self) {
        let Phase::Planned { at, delay } = self.phase else { return std::future::pending().await };
        tokio::time::sleep_until(at).await;
        self.phase = Phase::Armed { since: Instant::now(), delay };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(policy: RestartPolicy) -> Restart {
        Restart { policy, phase: Phase::Armed { since: Instant::now(), delay: FIRST_DELAY }, attempts: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn delays_double_and_a_long_run_resets_them() {
        let mut restart = with(RestartPolicy::Always);
        let begin = Instant::now();
        for _ in 0..3 {
            restart.ended(0, false);
            restart.due().await;
        }
        assert_eq!(begin.elapsed().as_millis(), 100 + 200 + 400);
        tokio::time::sleep(LONG_RUN).await;
        let begin = Instant::now();
        restart.ended(0, false);
        restart.due().await;
        assert_eq!(begin.elapsed().as_millis(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn policies_differ_in_what_they_bring_back() {
        for (policy, code, again) in [
            (RestartPolicy::No, 1, false),
            (RestartPolicy::Always, 0, true),
            (RestartPolicy::UnlessStopped, 0, true),
            (RestartPolicy::OnFailure { most: 0 }, 0, false),
            (RestartPolicy::OnFailure { most: 0 }, 1, true),
        ] {
            let mut restart = with(policy);
            restart.ended(code, false);
            assert_eq!(restart.is_due(), again, "{policy:?} {code}");
            restart.stopped_by_hand();
            restart.ended(code, true);
            assert!(!restart.is_due(), "{policy:?} after a stop by hand");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn on_failure_gives_up_after_the_agreed_attempts() {
        let mut restart = with(RestartPolicy::OnFailure { most: 2 });
        for expected in [true, true, false] {
            restart.ended(1, false);
            assert_eq!(restart.is_due(), expected);
            if expected {
                restart.due().await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unhealthy_container_comes_back_whatever_its_policy() {
        let mut restart = with(RestartPolicy::No);
        restart.ended(143, true);
        assert!(restart.is_due());
    }
}
