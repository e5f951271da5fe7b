//! A worker with some containers of its own.

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::belief::Belief;
use super::link::{Link, Outcome};
use crate::golden;

/// What they run: each line has a number, and each run begins with 0.
const COUNTING: &str = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.03; done";

/// What a container may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not there.
    Absent,
    /// Never started.
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Ended.
    Exited,
}

/// One container.
#[derive(Debug)]
pub struct Container {
    /// Its name, which it has again after a removal.
    pub name: String,
    /// Its state.
    pub belief: Belief<State>,
    /// Its first process while it runs, where that was said.
    pub pid: Option<i64>,
    /// Whether a doubt about it has outlived one judgement.
    pub has_rested: bool,
    /// The last thing that was done to it, for the report of a failure.
    pub last: String,
}

/// What a worker has counted since the last judgement.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests that were acknowledged.
    pub acknowledged: usize,
    /// Requests that were cut off.
    pub cut_off: usize,
    /// Monitors that were killed.
    pub monitors_killed: usize,
    /// Refusals of what had to be possible.
    pub wrong: Vec<String>,
}

/// A worker.
pub struct Containers {
    pub(super) all: Vec<Container>,
    pub(super) tally: Tally,
    rng: Rng,
}

/// A request about a container: what it is, and what the container is afterwards.
struct Change {
    method: &'static str,
    path: String,
    body: Value,
    after: State,
    /// What it may be besides before and after, if nobody heard the answer.
    between: Option<State>,
}

impl Containers {
    /// The worker with this number.
    pub fn new(number: usize, rng: Rng) -> Self {
        let all = (0..3).map(|slot| Container::absent(format!("t{number}-{slot}"))).collect();
        Self { all, tally: Tally::default(), rng }
    }

    /// Somebody has removed them all.
    pub fn clear(&mut self) {
        for container in &mut self.all {
            *container = Container::absent(std::mem::take(&mut container.name));
        }
    }

    /// Does one random thing.
    pub fn step(&mut self, link: &mut Link) {
        let slot = self.rng.usize(0..self.all.len());
        let Some(state) = self.all[slot].belief.state() else { return };
        let name = self.all[slot].name.clone();
        if state == State::Running {
            match self.rng.u8(0..10) {
                0..4 => return self.exec(link, slot),
                4 => return self.kill_monitor(slot),
                _ => {}
            }
        }
        let change = self.change(&name, state);
        let container = &mut self.all[slot];
        container.last = format!("{} {} when {state:?}", change.method, change.path);
        match link.ask(change.method, &change.path, &change.body) {
            Outcome::Done(_) => {
                self.tally.acknowledged += 1;
                container.belief = Belief::Known(change.after);
                container.pid = container.pid.filter(|_| same_processes(state, change.after, &change.path));
                if change.after == State::Running && container.pid.is_none() {
                    container.pid = pid_of(link, &name);
                }
            }
            Outcome::Refused(status, sentence) => {
                self.tally.wrong.push(format!("{}: refused with {status}: {sentence}", container.last));
            }
            Outcome::CutOff => {
                self.tally.cut_off += 1;
                let mut states = vec![state, change.after];
                states.extend(change.between);
                container.belief = Belief::OneOf(states);
                container.pid = container.pid.filter(|_| !change.path.contains("/restart"));
            }
        }
    }

    fn change(&mut self, name: &str, state: State) -> Change {
        let post = |action: &str, after, between| Change {
            method: "POST",
            path: format!("/containers/{name}/{action}"),
            body: Value::Null,
            after,
            between,
        };
        let remove = |between| Change {
            method: "DELETE",
            path: format!("/containers/{name}?force=1&v=1"),
            body: Value::Null,
            after: State::Absent,
            between,
        };
        match (state, self.rng.u8(0..10)) {
            (State::Absent, dice) => create(name, dice),
            (State::Created | State::Exited, 0..7) => post("start", State::Running, Some(State::Exited)),
            (State::Created | State::Exited, _) => remove(None),
            (State::Running, 0..4) => post("stop?t=0", State::Exited, None),
            (State::Running, 4..6) => post("restart?t=0", State::Running, Some(State::Exited)),
            (State::Running, 6..8) => post("pause", State::Paused, None),
            (State::Running, _) => remove(Some(State::Exited)),
            (State::Paused, 0..8) => post("unpause", State::Running, None),
            (State::Paused, _) => remove(Some(State::Exited)),
        }
    }

    fn exec(&mut self, link: &mut Link, slot: usize) {
        let name = &self.all[slot].name;
        let body = json!({"Cmd": ["true"], "AttachStdout": true});
        let made = match link.ask("POST", &format!("/containers/{name}/exec"), &body) {
            Outcome::Done(answer) => answer.json()["Id"].as_str().unwrap_or_default().to_owned(),
            Outcome::Refused(status, text) => return self.tally.wrong.push(format!("exec in {name}: {status} {text}")),
            Outcome::CutOff => return self.tally.cut_off += 1,
        };
        match link.ask("POST", &format!("/exec/{made}/start"), &json!({"Detach": true})) {
            Outcome::Done(_) => self.tally.acknowledged += 1,
            Outcome::Refused(status, text) => self.tally.wrong.push(format!("exec in {name}: {status} {text}")),
            Outcome::CutOff => self.tally.cut_off += 1,
        }
    }

    /// A container whose monitor dies is dead, and said to be.
    fn kill_monitor(&mut self, slot: usize) {
        let container = &mut self.all[slot];
        let Some(monitor) = container.pid.and_then(parent_of) else { return };
        if kill_process(monitor, Signal::KILL).is_ok() {
            container.last = "killed its monitor".into();
            container.belief = Belief::Becoming(State::Exited);
            container.pid = None;
            self.tally.monitors_killed += 1;
        }
    }
}

impl Container {
    fn absent(name: String) -> Self {
        Self { name, belief: Belief::Known(State::Absent), pid: None, has_rested: false, last: String::new() }
    }
}

fn create(name: &str, dice: u8) -> Change {
    let mut host = json!({"NetworkMode": if dice < 3 { "none" } else { "bridge" }});
    if dice >= 7 {
        host["PortBindings"] = json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]});
    }
    if dice.is_multiple_of(2) {
        host["Mounts"] = json!([{"Type": "volume", "Target": "/data"}]);
    }
    Change {
        method: "POST",
        path: format!("/containers/create?name={name}"),
        body: json!({"Image": golden::BUSYBOX, "Cmd": ["sh", "-c", COUNTING], "HostConfig": host}),
        after: State::Created,
        between: None,
    }
}

/// Whether a container's processes are the ones from before.
fn same_processes(before: State, after: State, path: &str) -> bool {
    let alive = |state| matches!(state, State::Running | State::Paused);
    alive(before) && alive(after) && !path.contains("/restart")
}

fn pid_of(link: &mut Link, name: &str) -> Option<i64> {
    match link.ask("GET", &format!("/containers/{name}/json"), &Value::Null) {
        Outcome::Done(answer) => answer.json()["State"]["Pid"].as_i64().filter(|pid| *pid > 0),
        _ => None,
    }
}

fn parent_of(pid: i64) -> Option<Pid> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    Pid::from_raw(parent.trim().parse().ok()?).filter(|pid| pid.as_raw_nonzero().get() > 1)
}
