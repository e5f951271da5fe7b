//! What the engine really answers, against the published schema of the API: types, required properties, enumerations.
//!
//! The schema is no part of this project; the test is skipped, and says so, where it lies nowhere beside it.

use std::path::PathBuf;

use serde_json::{Map, Value};
use wharf_testkit::TempEngine;

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn schema() -> Option<Value> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let beside = ["../../../shared/spec/engine-api-v1.55.yaml", "../../../../shared/spec/engine-api-v1.55.yaml"];
    let named = std::env::var_os("WHARF_API_SCHEMA").map(PathBuf::from);
    let path = named.into_iter().chain(beside.map(|path| own.join(path))).find(|path| path.exists());
    let Some(path) = path else {
        eprintln!("SKIPPED: no schema of the API; name it with WHARF_API_SCHEMA");
        return None;
    };
    Some(serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

/// A schema with its references followed and its parts merged.
fn resolve(root: &Value, schema: &Value) -> Map<String, Value> {
    let mut merged = match schema["$ref"].as_str() {
        Some(reference) => resolve(root, root.pointer(reference.trim_start_matches('#')).unwrap()),
        None => Map::new(),
    };
    for part in schema["allOf"].as_array().into_iter().flatten().chain([schema]) {
        let part = if std::ptr::eq(part, schema) {
            schema.as_object().cloned().unwrap_or_default()
        } else {
            resolve(root, part)
        };
        for (key, value) in part {
            match (merged.get_mut(&key), value) {
                (Some(Value::Object(have)), Value::Object(more)) if key == "properties" => have.extend(more),
                (_, value) => drop(merged.insert(key, value)),
            }
        }
    }
    merged
}

/// What breaches the schema.
fn breaches(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = resolve(root, schema);
    let kind = schema.get("type").and_then(Value::as_str);
    // Go writes null for every list, map and pointer that is not there, and the schema says so here and there only.
    if value.is_null() {
        // A process that has not ended has no exit code, and a container that asks for no swappiness none, with Docker too.
        let may = schema.get("x-nullable") == Some(&Value::Bool(true))
            || matches!(kind, Some("array" | "object") | None)
            || at.ends_with("/json.ExitCode")
            || at.ends_with(".HostConfig.MemorySwappiness");
        if !may {
            found.push(format!("{at} is null, not {}", kind.unwrap_or_default()));
        }
        return;
    }
    let fits = match kind {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    };
    if !fits {
        found.push(format!("{at} is {value}, not {}", kind.unwrap_or_default()));
        return;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        found.push(format!("{at} is {value}, none of {allowed:?}"));
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        list.iter().enumerate().for_each(|(i, item)| breaches(root, items, item, &format!("{at}[{i}]"), found));
    }
    let Some(document) = value.as_object() else { return };
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if !document.contains_key(name) {
            found.push(format!("{at}.{name} is missing"));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, value) in document {
        let known = properties.and_then(|properties| properties.get(key));
        let known = known.or_else(|| schema.get("additionalProperties").filter(|schema| schema.is_object()));
        if let Some(schema) = known {
            breaches(root, schema, value, &format!("{at}.{key}"), found);
        }
    }
}

#[test]
fn answers_are_what_the_schema_says() {
    let Some(root) = schema() else { return };
    let engine = TempEngine::start();
    engine.cli(&["volume", "create", "vol", "--label", "a=b"]).ok();
    engine
        .cli(&[
            "run",
            "-d",
            "--init",
            "--name",
            "box",
            "-p",
            "127.0.0.1::80",
            "-v",
            "vol:/data",
            "-e",
            "A=b",
            "--health-cmd",
            "true",
            "busybox:test",
            "sleep",
            "1000",
        ])
        .ok();
    engine
        .cli(&[
            "create",
            "--name",
            "made",
            "-it",
            "--tmpfs",
            "/t",
            "--mount",
            "type=bind,src=/etc,dst=/e,ro",
            "busybox:test",
        ])
        .ok();
    let exec =
        engine.http().request("POST", "/containers/box/exec", br#"{"Cmd": ["true"]}"#, "application/json").unwrap();
    let exec = exec.ok().json()["Id"].as_str().unwrap().to_owned();
    let mut found = Vec::new();
    for (path, url) in [
        ("/containers/json", "/containers/json?all=1&size=1"),
        ("/containers/{id}/json", "/containers/box/json?size=1"),
        ("/containers/{id}/json", "/containers/made/json"),
        ("/containers/{id}/top", "/containers/box/top"),
        ("/containers/{id}/changes", "/containers/box/changes"),
        ("/containers/{id}/stats", "/containers/box/stats?stream=0&one-shot=1"),
        ("/exec/{id}/json", &format!("/exec/{exec}/json")),
        ("/images/json", "/images/json"),
        ("/images/{name}/json", "/images/busybox:test/json"),
        ("/images/{name}/history", "/images/busybox:test/history"),
        ("/networks", "/networks"),
        ("/networks/{id}", "/networks/bridge"),
        ("/volumes", "/volumes"),
        ("/volumes/{name}", "/volumes/vol"),
        ("/info", "/info"),
        ("/version", "/version"),
        ("/system/df", "/system/df?verbose=1"),
        ("/plugins", "/plugins"),
    ] {
        let responses = &root["paths"][path]["get"]["responses"];
        // YAML's keys are numbers here.
        let schema =
            responses.as_object().unwrap().iter().find(|(status, _)| *status == "200").unwrap().1["schema"].clone();
        breaches(&root, &schema, &engine.get(url), url, &mut found);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    engine.cli(&["rm", "-f", "box", "made"]).ok();
    engine.cli(&["volume", "rm", "vol"]).ok();
    engine.finish();
}

/// No path of the schema is unknown to the engine: what it does not do it says so.
#[test]
fn every_path_is_answered() {
    let Some(root) = schema() else { return };
    let engine = TempEngine::start();
    let mut unknown = Vec::new();
    for (path, methods) in root["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|method| *method != "parameters") {
            let url = path.replace("{id}", "none").replace("{name}", "none");
            // These never end, remove everything, or ask a registry that is far away.
            if url == "/events" || url.ends_with("/prune") || url == "/session" || url.starts_with("/distribution") {
                continue;
            }
            let answer = engine.http().request(&method.to_uppercase(), &url, b"", "application/json").unwrap();
            if method != "head" && (answer.text().contains("page not found") || answer.status == 500) {
                unknown.push(format!("{method} {path}: {} {}", answer.status, answer.text().trim_end()));
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    engine.finish();
}
