//! What flows: output into the log and back, through attached clients, into containers; and what goes on at rest.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wharf_testkit::http::Http;

use super::api::create_and_start;
use super::{Setting, timed};
use crate::bench::engines::{Engine, IMAGE, http};
use crate::bench::report::{Promise, Row};
use crate::command;

/// One row for each kind of stream.
pub fn measure(setting: &mut Setting) -> Result<Vec<Row>> {
    let mut rows = throughput(setting)?;
    rows.push(tail(setting)?);
    rows.push(many(setting)?);
    rows.push(health(setting)?);
    rows.extend(copies(setting)?);
    Ok(rows)
}

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// A way of moving bytes: the megabytes to move, and the seconds they took.
type Way = fn(&dyn Engine, u32) -> Result<f64>;

const WAYS: [(&str, Way, Option<Promise>); 5] = [
    ("stdout to json-file", into_log, Some(Promise::Rate("dockerd", 8.0))),
    ("`logs` read back", out_of_log, Some(Promise::Rate("dockerd", 15.0))),
    ("`run --rm` of cat, log driver none", run_cat, Some(Promise::Rate("dockerd", 3.0))),
    ("`exec` of cat", exec_cat, Some(Promise::Rate("dockerd", 3.0))),
    ("stdin of `run -i` into wc", into_stdin, Some(Promise::Rate("dockerd", 3.0))),
];

fn throughput(setting: &Setting) -> Result<Vec<Row>> {
    let megabytes = if setting.quick { 64 } else { 256 };
    let mut rows = Vec::new();
    for (what, way, promise) in WAYS {
        let mut row = Row::new(format!("{what}, {megabytes} MiB"), "MiB/s", promise);
        for engine in setting.engines.iter().filter(|engine| engine.socket().is_some()) {
            let once = || Ok(f64::from(megabytes) / way(engine.as_ref(), megabytes)?);
            let values = (0..setting.rounds(5)).map(|_| once()).collect::<Result<Vec<f64>>>();
            row.add(engine.name(), values.with_context(|| format!("{what}, {}", engine.name()))?);
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Lines of a hundred bytes, newline included.
fn lines(megabytes: u32) -> String {
    let line = "x".repeat(99);
    format!("yes {line} | head -c {}", u64::from(megabytes) << 20)
}

fn into_log(engine: &dyn Engine, megabytes: u32) -> Result<f64> {
    let mut http = http(engine).context("no socket")?;
    let (time, id) = timed(|| {
        let id = create_and_start(&mut http, &json!(["sh", "-c", lines(megabytes)]))?;
        http.post(&format!("/containers/{id}/wait"), &Value::Null)?.checked()?;
        Ok(id)
    })?;
    remove(&mut http, &id)?;
    Ok(time / 1e3)
}

fn out_of_log(engine: &dyn Engine, megabytes: u32) -> Result<f64> {
    let mut http = http(engine).context("no socket")?;
    let id = create_and_start(&mut http, &json!(["sh", "-c", lines(megabytes)]))?;
    http.post(&format!("/containers/{id}/wait"), &Value::Null)?.checked()?;
    let (time, count) = timed(|| output_of(engine, &["logs", &id]))?;
    remove(&mut http, &id)?;
    expect(count, megabytes)?;
    Ok(time / 1e3)
}

fn run_cat(engine: &dyn Engine, megabytes: u32) -> Result<f64> {
    let script = format!("head -c {} /dev/zero", u64::from(megabytes) << 20);
    let (time, count) =
        timed(|| output_of(engine, &["run", "--rm", "--log-driver", "none", IMAGE, "sh", "-c", &script]))?;
    expect(count, megabytes)?;
    Ok(time / 1e3)
}

fn exec_cat(engine: &dyn Engine, megabytes: u32) -> Result<f64> {
    let mut http = http(engine).context("no socket")?;
    let id = create_and_start(&mut http, &json!(["sleep", "1000"]))?;
    let script = format!("head -c {} /dev/zero", u64::from(megabytes) << 20);
    let (time, count) = timed(|| output_of(engine, &["exec", &id, "sh", "-c", &script]))?;
    remove(&mut http, &id)?;
    expect(count, megabytes)?;
    Ok(time / 1e3)
}

fn into_stdin(engine: &dyn Engine, megabytes: u32) -> Result<f64> {
    let arguments = ["run", "--rm", "-i", "--log-driver", "none", IMAGE, "wc", "-c"];
    let (time, counted) = timed(|| {
        let mut child = engine.cli(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().context("no pipe")?;
        let block = vec![0; 1 << 20];
        (0..megabytes).try_for_each(|_| input.write_all(&block))?;
        drop(input);
        let output = child.wait_with_output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().parse::<u64>()?)
    })?;
    expect(counted, megabytes)?;
    Ok(time / 1e3)
}

/// Reads all that a command writes and counts it.
fn output_of(engine: &dyn Engine, arguments: &[&str]) -> Result<u64> {
    let mut child = engine.cli(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut output = child.stdout.take().context("no pipe")?;
    let (mut block, mut count) = (vec![0; 1 << 20], 0);
    loop {
        match output.read(&mut block)? {
            0 => break,
            some => count += some as u64,
        }
    }
    child.wait()?;
    Ok(count)
}

fn expect(count: u64, megabytes: u32) -> Result<()> {
    ensure!(count == u64::from(megabytes) << 20, "{count} bytes arrived instead of {megabytes} MiB");
    Ok(())
}

fn remove(http: &mut Http, id: &str) -> Result<()> {
    http.delete(&format!("/containers/{id}?force=1"))?.checked()?;
    Ok(())
}

/// The end of a long log.
fn tail(setting: &Setting) -> Result<Row> {
    let megabytes = if setting.quick { 256 } else { 2048 };
    let mut row = Row::new(format!("API `logs --tail 10` of {megabytes} MiB"), "ms", Some(Promise::Limit(50.0)));
    for engine in setting.engines.iter().filter(|engine| engine.socket().is_some()) {
        let Some(mut http) = http(engine.as_ref()) else { continue };
        let body = json!({
            "Image": IMAGE,
            "Cmd": ["sh", "-c", lines(megabytes)],
            "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"max-size": "-1"}}},
        });
        let created = http.post("/containers/create", &body)?.checked()?.json();
        let id = created["Id"].as_str().context("no id")?.to_owned();
        http.post(&format!("/containers/{id}/start"), &Value::Null)?.checked()?;
        http.post(&format!("/containers/{id}/wait"), &Value::Null)?.checked()?;
        let mut once = || Ok(timed(|| Ok(http.get(&format!("/containers/{id}/logs?stdout=1&tail=10"))?.checked()?))?.0);
        let values = (0..setting.rounds(10)).map(|_| once()).collect::<Result<Vec<f64>>>()?;
        row.add(engine.name(), values);
        remove(&mut http, &id)?;
    }
    Ok(row)
}

/// A list of many containers.
fn many(setting: &Setting) -> Result<Row> {
    let number = if setting.quick { 100 } else { 1000 };
    let mut row = Row::new(format!("API ps -a with {number} containers"), "ms", Some(Promise::Limit(10.0)));
    for engine in setting.engines.iter().filter(|engine| engine.socket().is_some()) {
        let Some(mut http) = http(engine.as_ref()) else { continue };
        let create = |http: &mut Http| super::api::create(http, &json!(["true"]));
        let ids = (0..number).map(|_| create(&mut http)).collect::<Result<Vec<_>>>()?;
        let mut once = || Ok(timed(|| Ok(http.get("/containers/json?all=1")?.checked()?))?.0);
        let values = (0..setting.rounds(10)).map(|_| once()).collect::<Result<Vec<f64>>>()?;
        row.add(engine.name(), values);
        ids.iter().try_for_each(|id| remove(&mut http, id))?;
    }
    Ok(row)
}

/// How long health checks are watched.
const WATCHED: Duration = Duration::from_secs(20);

/// The processor time of containers that are checked every second: engine, monitors, and the checks themselves.
fn health(setting: &Setting) -> Result<Row> {
    let number = if setting.quick { 20 } else { 500 };
    let what = format!("{number} containers with a health check each second, CPU");
    let mut row = Row::new(what, "% of one processor", Some(Promise::Part("dockerd", 10.0)));
    for engine in setting.engines.iter().filter(|engine| engine.socket().is_some()) {
        let Some(mut http) = http(engine.as_ref()) else { continue };
        let second = 1_000_000_000_u64;
        let body = json!({
            "Image": IMAGE,
            "Cmd": ["sleep", "100000"],
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": second, "Timeout": 30 * second},
            "HostConfig": {"NetworkMode": "none"},
        });
        let mut ids = Vec::new();
        for _ in 0..number {
            let created = http.post("/containers/create", &body)?.checked()?.json();
            let id = created["Id"].as_str().context("no id")?.to_owned();
            http.post(&format!("/containers/{id}/start"), &Value::Null)?.checked()?;
            ids.push(id);
        }
        let before = processor_time(engine.as_ref());
        std::thread::sleep(WATCHED);
        let used = processor_time(engine.as_ref()) - before;
        row.add(engine.name(), vec![used * 100.0 / WATCHED.as_secs_f64()]);
        ids.iter().try_for_each(|id| remove(&mut http, id))?;
    }
    Ok(row)
}

/// Seconds that the engine's processes and the children that they have waited for have used (proc(5), 14 to 17).
fn processor_time(engine: &dyn Engine) -> f64 {
    let ticks = |pid: i32| -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields = stat.rsplit_once(')')?.1.split_whitespace();
        Some(fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum())
    };
    engine.processes().iter().filter_map(|process| ticks(process.pid)).sum::<u64>() as f64 / 100.0
}

/// Many files into a container and out again.
fn copies(setting: &Setting) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("files");
    fill(&source, 1000, 200.0 * MEGABYTE / 1000.0)?;
    let promise = Some(Promise::Times("dockerd", 0.4));
    let mut into = Row::new("`cp` of 200 MB in 1000 files, in", "ms", promise);
    let mut out = Row::new("the same, out", "ms", promise);
    for engine in setting.engines.iter().filter(|engine| engine.socket().is_some()) {
        let Some(mut http) = http(engine.as_ref()) else { continue };
        let id = create_and_start(&mut http, &json!(["sleep", "1000"]))?;
        let (mut times_in, mut times_out) = (Vec::new(), Vec::new());
        for round in 0..setting.rounds(5) {
            let inside = format!("{id}:/copy{round}");
            let outside = folder.path().join("back").display().to_string();
            let copy = |from: &str, to: &str| command::quietly(&mut engine.cli(&["cp", from, to])).map(drop);
            times_in.push(timed(|| copy(&source.display().to_string(), &inside))?.0);
            times_out.push(timed(|| copy(&inside, &outside))?.0);
            std::fs::remove_dir_all(&outside)?;
        }
        into.add(engine.name(), times_in);
        out.add(engine.name(), times_out);
        remove(&mut http, &id)?;
    }
    Ok(vec![into, out])
}

fn fill(folder: &Path, files: u32, size: f64) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let content = vec![b'x'; size as usize];
    (0..files).try_for_each(|number| std::fs::write(folder.join(number.to_string()), &content))?;
    Ok(())
}
