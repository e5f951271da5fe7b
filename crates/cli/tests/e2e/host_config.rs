//! What ties a container to its host: every field of the API's `HostConfig`, good values and bad ones.

mod dockerd;
mod effects;
mod table;

use serde_json::{Value, json};
use wharf_testkit::TempEngine;
use wharf_testkit::http::Http;

/// Says why something is not tested here, where that is no mistake of the machine's.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn skipped(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}

/// An answer to a create, and what an inspect shows then.
#[derive(Debug, Clone, PartialEq)]
struct Created {
    status: u16,
    message: String,
    warnings: Vec<String>,
    host: Value,
    id: String,
}

/// Creates a container that is never started, and removes it.
fn create(http: &mut Http, version: &str, host: &Value) -> Created {
    let created = create_and_keep(http, version, host);
    if created.status == 201 {
        http.delete(&format!("/{version}/containers/{}?v=1&force=1", created.id)).unwrap().ok();
    }
    created
}

fn create_and_keep(http: &mut Http, version: &str, host: &Value) -> Created {
    let mut host = host.clone();
    if host["NetworkMode"].is_null() {
        host["NetworkMode"] = json!("none");
    }
    let body = json!({"Image": "busybox:test", "Cmd": ["true"], "HostConfig": host});
    let answer = http.post(&format!("/{version}/containers/create"), &body).unwrap();
    let document = answer.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let id = text(&document["Id"]);
    let host = match answer.status {
        201 => http.get(&format!("/{version}/containers/{id}/json")).unwrap().ok().json()["HostConfig"].clone(),
        _ => Value::Null,
    };
    let warnings = document["Warnings"].as_array().into_iter().flatten().map(text).collect();
    Created { status: answer.status, message: text(&document["message"]), warnings, host, id }
}

/// Kernel memory came to an end with version 1.42 of the API.
#[test]
fn kernel_memory_depends_on_the_version() {
    let engine = TempEngine::start();
    let wanted = json!({"KernelMemory": 64 << 20});
    let old = create(&mut engine.http(), "v1.41", &wanted);
    assert_eq!((old.status, &old.host["KernelMemory"]), (201, &json!(64 << 20)), "{old:?}");
    assert!(old.warnings[0].contains("kernel memory limit is deprecated"), "{old:?}");
    let new = create(&mut engine.http(), "v1.42", &wanted);
    assert_eq!((new.status, &new.host["KernelMemory"], &new.warnings[..]), (201, &Value::Null, &[][..]), "{new:?}");
    engine.finish();
}
