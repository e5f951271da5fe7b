//! Restart policies: whether and when a container that ended starts again.
//!
//! The policy alone, without effects: the owner asks it and carries it out.

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
    delay: Duration,
    attempts: u32,
    stopped: bool,
    started: Instant,
    due: Option<Instant>,
}

impl Restart {
    /// The decider for a container as it was created.
    pub fn new(record: &Record) -> Self {
        Self {
            policy: record.restart_policy(),
            delay: FIRST_DELAY,
            attempts: 0,
            stopped: false,
            started: Instant::now(),
            due: None,
        }
    }

    /// Takes over a changed policy.
    pub fn adopt(&mut self, record: &Record) {
        self.policy = record.restart_policy();
    }

    /// A person starts it: what was held against it is forgotten.
    pub fn forgive(&mut self) {
        (self.delay, self.attempts, self.stopped, self.due) = (FIRST_DELAY, 0, false, None);
        self.started = Instant::now();
    }

    /// A person wants it to end: it is not started again by itself.
    pub fn stopped_by_hand(&mut self) {
        (self.stopped, self.due) = (true, None);
    }

    /// A run ended with this exit code.
    pub fn ended(&mut self, exit_code: i32) {
        let again = !self.stopped
            && match self.policy {
                RestartPolicy::No => false,
                RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
                RestartPolicy::OnFailure { most } => exit_code != 0 && (most == 0 || self.attempts < most),
            };
        if !again {
            self.due = None;
            return;
        }
        if self.started.elapsed() >= LONG_RUN {
            self.delay = FIRST_DELAY;
        }
        self.due = Some(Instant::now() + self.delay);
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
        self.attempts += 1;
    }

    /// Whether a start is planned.
    pub fn is_due(&self) -> bool {
        self.due.is_some()
    }

    /// Returns when the planned start is due; never, where none is planned.
    pub async fn due(&mut self) {
        match self.due {
            Some(when) => tokio::time::sleep_until(when).await,
            None => std::future::pending().await,
        }
        self.due = None;
        self.started = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(policy: RestartPolicy) -> Restart {
        let now = Instant::now();
        Restart { policy, delay: FIRST_DELAY, attempts: 0, stopped: false, started: now, due: None }
    }

    #[tokio::test(start_paused = true)]
    async fn delays_double_and_a_long_run_resets_them() {
        let mut restart = with(RestartPolicy::Always);
        let begin = Instant::now();
        for _ in 0..3 {
            restart.ended(0);
            restart.due().await;
        }
        assert_eq!(begin.elapsed().as_millis(), 100 + 200 + 400);
        tokio::time::sleep(LONG_RUN).await;
        let begin = Instant::now();
        restart.ended(0);
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
            restart.ended(code);
            assert_eq!(restart.is_due(), again, "{policy:?} {code}");
            restart.stopped_by_hand();
            restart.ended(code);
            assert!(!restart.is_due(), "{policy:?} after a stop by hand");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn on_failure_gives_up_after_the_agreed_attempts() {
        let mut restart = with(RestartPolicy::OnFailure { most: 2 });
        for expected in [true, true, false] {
            restart.ended(1);
            assert_eq!(restart.is_due(), expected);
        }
    }
}
