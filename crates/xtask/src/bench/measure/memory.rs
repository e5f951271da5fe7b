//! Memory of the engines' own processes: their proportional set size (PSS), which counts shared pages in parts.

use anyhow::{Context, Result};
use serde_json::json;
use wharf_testkit::wait;

use super::Setting;
use super::api::create_and_start;
use crate::bench::engines::{Engine, http};
use crate::bench::report::{Promise, Row};

const CONTAINERS: usize = 20;

/// The idle engine, and what each running container adds.
pub fn measure(setting: &mut Setting) -> Result<Vec<Row>> {
    let mut idle = Row::new("engine's processes idle, PSS", "MiB", Some(Promise::Limit(15.0)));
    let what = format!("each of {CONTAINERS} running containers adds, PSS");
    let mut each = Row::new(what, "MiB", Some(Promise::Limit(0.6)));
    for engine in &mut setting.engines {
        if engine.socket().is_none() {
            continue;
        }
        // An idle engine is one that has just been started, not one that has just been through a benchmark.
        engine.stop()?;
        engine.start()?;
        let Some(mut http) = http(engine.as_ref()) else { continue };
        let before = settled(engine.as_ref())?;
        let sleep = json!(["sleep", "1000"]);
        let ids: Vec<String> = (0..CONTAINERS).map(|_| create_and_start(&mut http, &sleep)).collect::<Result<_>>()?;
        let after = settled(engine.as_ref())?;
        for id in ids {
            http.delete(&format!("/containers/{id}?force=1"))?.checked()?;
        }
        idle.add(engine.name(), vec![before]);
        each.add(engine.name(), vec![(after - before) / CONTAINERS as f64]);
    }
    Ok(vec![idle, each])
}

/// The sum, once it has stopped moving.
fn settled(engine: &dyn Engine) -> Result<f64> {
    let mut last = pss(engine)?;
    let steady = wait::within(std::time::Duration::from_secs(5), || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = pss(engine).ok()?;
        let steady = (now - last).abs() < 0.05;
        last = now;
        steady.then_some(now)
    });
    Ok(steady.unwrap_or(last))
}

fn pss(engine: &dyn Engine) -> Result<f64> {
    let processes = engine.processes();
    anyhow::ensure!(!processes.is_empty(), "no process of {} is found", engine.name());
    let sizes = processes.iter().map(|process| rollup(process.pid));
    Ok(sizes.sum::<Result<f64>>()? / 1024.0)
}

/// `Pss:` of smaps_rollup in KiB; a process that has ended meanwhile has none.
pub(super) fn rollup(pid: i32) -> Result<f64> {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { return Ok(0.0) };
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let value = line.and_then(|line| line.trim().strip_suffix("kB")).context("smaps_rollup has a sum")?;
    Ok(value.trim().parse()?)
}
