//! Holds what the workers were told against what a new engine says.

use std::time::Duration;

use serde_json::Value;

use super::belief::Belief;
use super::containers::{Container, Containers, State};
use super::things::{Kind, Things, path_of};
use super::{Report, containers::Tally};
use crate::engine::TempEngine;
use crate::{TempRegistry, wait};

/// How long an engine may take to see that something ended.
const SOON: Duration = Duration::from_secs(10);

impl Containers {
    /// What is not as it was said, a line each; afterwards everything is known again.
    pub(super) fn judge(&mut self, engine: &TempEngine, report: &mut Report) -> Vec<String> {
        let mut wrong = self.tally.settle(report);
        for container in &mut self.all {
            if let Err(problem) = container.judge(engine, report) {
                wrong.push(format!("{}: {problem} (last: {})", container.name, container.last));
            }
        }
        wrong
    }
}

impl Container {
    fn judge(&mut self, engine: &TempEngine, report: &mut Report) -> Result<(), String> {
        let mut document = Value::Null;
        let seen = wait::within(SOON, || {
            document = inspect(engine, &self.name);
            state(&document).filter(|state| self.belief.allows(*state))
        });
        let Some(seen) = seen else {
            return Err(format!("should be {:?}, and is {}", self.belief, document["State"]));
        };
        let pid = document["State"]["Pid"].as_i64().filter(|pid| *pid > 0);
        if matches!(seen, State::Running | State::Paused) {
            match self.pid {
                Some(before) if pid != Some(before) => {
                    return Err(format!("was process {before}, and is {pid:?}"));
                }
                Some(_) => report.survivors += 1,
                None => {}
            }
        }
        if seen != State::Absent {
            report.lines += lines(document["LogPath"].as_str().unwrap_or_default())?;
        }
        self.pid = pid;
        // What was cut off may still be on its way: a process that was killed takes a moment to die.
        let is_settled = self.belief.state().is_some() || std::mem::replace(&mut self.has_rested, true);
        if is_settled {
            (self.belief, self.has_rested) = (Belief::Known(seen), false);
        }
        Ok(())
    }
}

impl Things {
    /// As for containers.
    pub(super) fn judge(&mut self, engine: &TempEngine, registry: &TempRegistry, report: &mut Report) -> Vec<String> {
        let mut wrong = self.tally.settle(report);
        for thing in &mut self.all {
            let path = path_of(thing) + if matches!(thing.kind, Kind::Image | Kind::Commit) { "/json" } else { "" };
            let is_there = engine.http().get(&path).is_ok_and(|answer| answer.status == 200);
            if !thing.belief.allows(is_there) {
                let there = if is_there { "there" } else { "not there" };
                wrong.push(format!("{} is {there} (last: {})", thing.name, thing.last));
            }
            thing.belief = Belief::Known(is_there);
            if thing.is_pushed && !has(registry, &thing.name) {
                wrong.push(format!("{} was pushed, and the registry has it not", thing.name));
            }
        }
        wrong
    }
}

impl Tally {
    fn settle(&mut self, report: &mut Report) -> Vec<String> {
        let tally = std::mem::take(self);
        report.acknowledged += tally.acknowledged;
        report.cut_off += tally.cut_off;
        report.monitors_killed += tally.monitors_killed;
        tally.wrong
    }
}

fn inspect(engine: &TempEngine, name: &str) -> Value {
    match engine.http().get(&format!("/containers/{name}/json")) {
        Ok(answer) if answer.status == 200 => answer.json(),
        Ok(answer) if answer.status == 404 => Value::Null,
        Ok(answer) => serde_json::json!({"State": {"Status": answer.text()}}),
        Err(error) => serde_json::json!({"State": {"Status": error.to_string()}}),
    }
}

fn state(document: &Value) -> Option<State> {
    if document.is_null() {
        return Some(State::Absent);
    }
    match document["State"]["Status"].as_str()? {
        "created" => Some(State::Created),
        "running" => Some(State::Running),
        "paused" => Some(State::Paused),
        "exited" => Some(State::Exited),
        _ => None,
    }
}

/// How many lines a log has, each following on the one before or beginning a new run.
fn lines(path: &str) -> Result<usize, String> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(0) };
    let mut last: Option<u64> = None;
    let mut count = 0;
    // The last line may be on its way.
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let record: Value = serde_json::from_str(line).map_err(|error| format!("no log record: {error}: {line}"))?;
        let number = record["log"].as_str().and_then(|text| text.trim_end().parse().ok());
        let number: u64 = number.ok_or_else(|| format!("no line of the program: {line}"))?;
        if number != 0 && last.map(|last| last + 1) != Some(number) {
            return Err(format!("line {number} in the log follows on {last:?}"));
        }
        (last, count) = (Some(number), count + 1);
    }
    Ok(count)
}

fn has(registry: &TempRegistry, name: &str) -> bool {
    let name = name.strip_prefix(registry.address()).unwrap_or(name).trim_start_matches('/');
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let path = format!("/v2/{repository}/manifests/{tag}");
    let accept =
        ("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json");
    registry.request("GET", &path, &[accept], b"").is_ok_and(|reply| reply.status == 200)
}
