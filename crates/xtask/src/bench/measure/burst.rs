//! Many containers at once.

use std::sync::Mutex;

use anyhow::{Result, ensure};
use serde_json::json;

use super::api::create_and_start;
use super::{Setting, timed};
use crate::bench::engines::{Engine, http};
use crate::bench::report::{Promise, Row};

const AT_ONCE: usize = 8;

/// The rate of starts and of removals.
pub fn measure(setting: &mut Setting) -> Result<Vec<Row>> {
    let number = if setting.quick { 24 } else { 100 };
    let starts = format!("{number} starts, {AT_ONCE} at a time, bridge");
    let mut starts = Row::new(starts, "a second", Some(Promise::Rate("dockerd", 8.0)));
    let mut removals = Row::new(format!("`rm -f` of the {number}, {AT_ONCE} at a time"), "a second", None);
    for engine in setting.engines.iter().filter(|engine| engine.socket().is_some()) {
        let ids = Mutex::new(Vec::new());
        let (time, failures) = timed(|| {
            at_once(number, || {
                let id = start(engine.as_ref())?;
                ids.lock().map_err(poisoned)?.push(id);
                Ok(())
            })
        })?;
        starts.add(engine.name(), vec![number as f64 / time * 1e3]);
        let left = Mutex::new(ids.into_inner().map_err(poisoned)?);
        let (time, failed_removals) = timed(|| {
            at_once(number, || {
                let next = left.lock().map_err(poisoned)?.pop();
                next.map_or(Ok(()), |id| remove(engine.as_ref(), &id))
            })
        })?;
        removals.add(engine.name(), vec![number as f64 / time * 1e3]);
        ensure!(
            engine.name() != "wharf" || (failures, failed_removals) == (0, 0),
            "{failures} starts and {failed_removals} removals failed"
        );
        println!("{}: {failures} failed starts, {failed_removals} failed removals", engine.name());
    }
    Ok(vec![starts, removals])
}

fn start(engine: &dyn Engine) -> Result<String> {
    let mut http = http(engine).ok_or_else(|| anyhow::anyhow!("no socket"))?;
    create_and_start(&mut http, &json!(["sleep", "1000"]))
}

fn remove(engine: &dyn Engine, id: &str) -> Result<()> {
    let mut http = http(engine).ok_or_else(|| anyhow::anyhow!("no socket"))?;
    let answer = http.delete(&format!("/containers/{id}?force=1"))?;
    ensure!(answer.status == 204, "HTTP {}: {}", answer.status, answer.text());
    Ok(())
}

/// Does the work `number` times in [`AT_ONCE`] threads and gives how often it failed.
fn at_once(number: usize, work: impl Fn() -> Result<()> + Sync) -> Result<usize> {
    let left = Mutex::new(number);
    let failures = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while take_one(&left) {
                    if let Err(error) = work() {
                        println!("{error:#}");
                        *failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
                    }
                }
            });
        }
    });
    failures.into_inner().map_err(poisoned)
}

fn take_one(left: &Mutex<usize>) -> bool {
    let mut left = left.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}

fn poisoned<T>(_: std::sync::PoisonError<T>) -> anyhow::Error {
    anyhow::anyhow!("a thread of the benchmark has panicked")
}
