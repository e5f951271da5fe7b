//! The states of a container.
//!
//! ```text
//!   create
//!     │
//!     ▼                 start fails
//!  ┌─────────┐ start ┌──────────┐──────────► Exited
//!  │ Created │──────►│ Starting │
//!  └─────────┘       └──────────┘
//!                        │ the monitor says: it runs
//!       start            ▼           exit
//!  Exited ─────────► ┌─────────┐ ──────────► Exited ──► (again: shown as restarting) Starting
//!                    │ Running │
//!                    └─────────┘ ──────────► Dead: its monitor is gone or does not answer
//!                      │     ▲
//!                pause ▼     │ unpause
//!                    (paused flag)
//!
//!  any state but Running ── remove ──► Removed (final)
//! ```
//!
//! Each state carries what is true only in it, so there is no running container without a process id and no exit
//! code of one that never ran. The state is written to the database *before* the effect that it announces
//! (`Starting` before the monitor is made) and *after* the effect that it reports (`Running`, `Exited`).

use serde::{Deserialize, Serialize};
use wharf_monitor::protocol::Exit;
use wharf_network::plan::SandboxPlan;

/// Where a container is in its life; see the module's diagram.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Made, never started.
    #[default]
    Created,
    /// A monitor is being made, or was when the engine died.
    Starting {
        /// What the container was given on the network.
        sandbox: SandboxPlan,
    },
    /// Its first process runs.
    Running(Running),
    /// Its first process ended, or could not be started.
    Exited(Exited),
    /// Nothing is known of its end, or it cannot be cleaned up: set aside with the reason, blocking nobody else.
    Dead(Exited),
    /// Gone; only those who waited for it see this.
    Removed {
        /// The last exit code.
        exit_code: i32,
    },
}

/// A container whose first process runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// Its process id in the host's namespace.
    pub pid: i32,
    /// When it started, RFC 3339 with nanoseconds.
    pub started_at: String,
    /// Whether its cgroup is frozen.
    #[serde(default)]
    pub paused: bool,
    /// What the container was given on the network.
    pub sandbox: SandboxPlan,
}

/// How the last run went.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Exited {
    /// Exit code; 128 + signal for a process that was killed; 125 to 127 for one that could not be started.
    pub exit_code: i32,
    /// When it had started, RFC 3339; `None` when it could not be started.
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    pub finished_at: Option<String>,
    /// Whether the kernel's out-of-memory killer struck.
    #[serde(default)]
    pub oom_killed: bool,
    /// Why it could not be started or was lost.
    #[serde(default)]
    pub error: Option<String>,
    /// Whether the restart policy is about to start it again; an engine that dies meanwhile leaves that to the next.
    #[serde(default)]
    pub again: bool,
}

impl Running {
    /// What this becomes at its end.
    pub fn exited(&self, exit: &Exit) -> Exited {
        Exited {
            exit_code: exit.code,
            started_at: Some(self.started_at.clone()),
            finished_at: Some(exit.finished_at.clone()),
            oom_killed: exit.oom_killed,
            error: (!exit.problems.is_empty()).then(|| exit.problems.join("; ")),
            again: false,
        }
    }
}

impl State {
    /// The running process, if one runs.
    pub fn running(&self) -> Option<&Running> {
        match self {
            State::Running(running) => Some(running),
            _ => None,
        }
    }

    /// A container whose monitor was found alive.
    pub fn running_again(pid: i32, started_at: String, paused: bool, sandbox: SandboxPlan) -> Self {
        State::Running(Running { pid, started_at, paused, sandbox })
    }

    /// What this becomes when the run ends; a start that was under way counts as a run.
    pub fn after(&self, exit: &Exit) -> Self {
        match self {
            State::Running(running) => State::Exited(running.exited(exit)),
            _ => State::Exited(Exited {
                exit_code: exit.code,
                finished_at: Some(exit.finished_at.clone()),
                oom_killed: exit.oom_killed,
                error: (!exit.problems.is_empty()).then(|| exit.problems.join("; ")),
                ..Exited::default()
            }),
        }
    }

    /// How the last run went, where one has ended.
    pub fn exited(&self) -> Option<&Exited> {
        match self {
            State::Exited(exited) | State::Dead(exited) => Some(exited),
            _ => None,
        }
    }

    /// Whether a monitor exists or may exist.
    pub fn is_live(&self) -> bool {
        matches!(self, State::Starting { .. } | State::Running(_))
    }

    /// Whether its restart policy is about to start it again.
    pub fn is_restarting(&self) -> bool {
        matches!(self, State::Exited(Exited { again: true, .. }))
    }

    /// What the container holds on the network.
    pub fn sandbox(&self) -> Option<&SandboxPlan> {
        match self {
            State::Starting { sandbox } => Some(sandbox),
            State::Running(running) => Some(&running.sandbox),
            _ => None,
        }
    }

    /// Docker's word for the state.
    pub fn word(&self) -> &'static str {
        match self {
            State::Created | State::Starting { .. } => "created",
            State::Running(Running { paused: true, .. }) => "paused",
            State::Running(_) => "running",
            State::Exited(Exited { again: true, .. }) => "restarting",
            State::Exited(_) => "exited",
            State::Dead(_) => "dead",
            State::Removed { .. } => "removing",
        }
    }
}
