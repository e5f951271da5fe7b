//! Single operations through the API, by the same minimal client for every engine.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::io::Read;
use wharf_testkit::http::Http;

use super::{Setting, timed};
use crate::bench::engines::{IMAGE, http};
use crate::bench::report::{Promise, Row};

const PROMISES: [(&str, Option<Promise>); 5] = [
    ("API create + start, bridge", Some(Promise::Part("dockerd", 15.0))),
    ("API exec `true`, create to end", Some(Promise::Part("dockerd", 12.0))),
    ("API stop, ends on SIGTERM", Some(Promise::Part("dockerd", 8.0))),
    ("API delete of a stopped one", None),
    ("API `rm -f` of a running one", Some(Promise::Part("dockerd", 8.0))),
];

/// One row for each operation.
pub fn measure(setting: &mut Setting) -> Result<Vec<Row>> {
    let mut values: Vec<[Vec<f64>; 5]> = setting.engines.iter().map(|_| Default::default()).collect();
    for round in 0..=setting.rounds(30) {
        for (engine, values) in setting.engines.iter().zip(&mut values) {
            let Some(mut http) = http(engine.as_ref()) else { continue };
            let times = life(&mut http).with_context(|| format!("{}, round {round}", engine.name()))?;
            if round > 0 {
                values.iter_mut().zip(times).for_each(|(values, time)| values.push(time));
            }
        }
    }
    let mut rows: Vec<Row> = PROMISES.iter().map(|(what, promise)| Row::new(*what, "ms", *promise)).collect();
    for (engine, values) in setting.engines.iter().zip(values) {
        rows.iter_mut().zip(values).for_each(|(row, values)| row.add(engine.name(), values));
    }
    Ok(rows)
}

/// Two containers' lives, operation by operation, in the order of [`PROMISES`].
fn life(http: &mut Http) -> Result<[f64; 5]> {
    let listens = json!(["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]);
    let (start, id) = timed(|| create_and_start(http, &listens))?;
    let (exec, ()) = timed(|| exec(http, &id))?;
    let (stop, _) = timed(|| Ok(http.post(&format!("/containers/{id}/stop?t=10"), &Value::Null)?.checked()?))?;
    let (delete, _) = timed(|| Ok(http.delete(&format!("/containers/{id}"))?.checked()?))?;
    let second = create_and_start(http, &json!(["sleep", "1000"]))?;
    let (force, _) = timed(|| Ok(http.delete(&format!("/containers/{second}?force=1"))?.checked()?))?;
    Ok([start, exec, stop, delete, force])
}

/// Creates and starts a container and gives its id.
pub fn create_and_start(http: &mut Http, program: &Value) -> Result<String> {
    let id = create(http, program)?;
    http.post(&format!("/containers/{id}/start"), &Value::Null)?.checked()?;
    Ok(id)
}

/// Creates a container on the default network and gives its id.
pub fn create(http: &mut Http, program: &Value) -> Result<String> {
    let created = http.post("/containers/create", &json!({"Image": IMAGE, "Cmd": program}))?.checked()?.json();
    Ok(created["Id"].as_str().context("a container has an id")?.to_owned())
}

fn exec(http: &mut Http, container: &str) -> Result<()> {
    let request = json!({"Cmd": ["true"], "AttachStdout": true, "AttachStderr": true});
    let created = http.post(&format!("/containers/{container}/exec"), &request)?.checked()?.json();
    let id = created["Id"].as_str().context("an exec has an id")?;
    let mut stream = http.hijack(&format!("/exec/{id}/start"), &json!({"Detach": false, "Tty": false}))?;
    let mut output = Vec::new();
    stream.read_to_end(&mut output)?;
    Ok(())
}
