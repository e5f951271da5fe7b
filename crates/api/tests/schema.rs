//! Every type against the published schema of the API, in both directions: a document with every property of the schema
//! must survive being read and written, and what is written must hold no property that the schema does not know.
//!
//! The schema is found through `WHARF_API_SCHEMA`, or beside the workspace in `shared/spec`; without it the test is
//! skipped, and says so.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests, which fail with the place")]

use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use wharf_api::{container, event, exec, image, network, system, volume};

/// Properties that are in the schema but not in our types: none of them is sent by this engine.
const NOT_OURS: &[&str] = &[
    "Storage",           // of containerd's snapshotters
    "Identity",          // of signed images
    "Manifests",         // of containerd's image store
    "ClusterVolume",     // swarm
    "ClusterVolumeSpec", // swarm
    "Peers",             // swarm
    "Services",          // swarm
    "RemoteManagers",    // swarm; ours is always null
    "GenericResources",  // swarm
    "Nodes",             // swarm
    "Managers",          // swarm
    "Cluster",           // swarm
    "NRI",               // containerd's plugins
    "Status",            // of a network: numbers about its addresses
    "commitbytes",       // Windows
    "commitpeakbytes",   // Windows
    "privateworkingset", // Windows
    "read_count_normalized",
    "read_size_bytes",
    "write_count_normalized",
    "write_size_bytes",
    "endpoint_id", // Windows
    "instance_id", // Windows
    "BuildCache",
];

/// Properties that we write for older versions or as extensions, and the newest schema does not know.
const NOT_THEIRS: &[&str] = &["EndpointConfig.", "GwPriority", "LayersSize"];

fn schema() -> Option<Value> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/spec/engine-api-v1.55.yaml");
    let further = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/spec/engine-api-v1.55.yaml");
    let named = std::env::var_os("WHARF_API_SCHEMA").map(PathBuf::from);
    let path = named.into_iter().chain([beside, further]).find(|path| path.exists());
    let Some(path) = path else {
        eprintln!("SKIPPED: no schema of the API; name it with WHARF_API_SCHEMA");
        return None;
    };
    Some(serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

/// A schema with its references followed and its parts merged.
fn resolve(root: &Value, schema: &Value) -> Map<String, Value> {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolve(root, root.pointer(reference.trim_start_matches('#')).unwrap());
    }
    let mut merged = schema.as_object().cloned().unwrap_or_default();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        for (key, value) in resolve(root, part) {
            match (merged.get_mut(&key), value) {
                (Some(Value::Object(have)), Value::Object(more)) => have.extend(more),
                (Some(_), _) => {}
                (None, value) => drop(merged.insert(key, value)),
            }
        }
    }
    merged
}

/// A document with every property.
fn sample(root: &Value, schema: &Value, name: &str) -> Value {
    let schema = resolve(root, schema);
    if let Some(first) = schema.get("enum").and_then(Value::as_array).and_then(|all| all.iter().find(|v| *v != "")) {
        return first.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") if name.contains("Port") => json!("80"),
        Some("string") => json!(format!("some {name}")),
        Some("integer") => json!(7),
        Some("boolean") => json!(true),
        Some("array") => {
            let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1);
            let item = || match sample(root, &schema["items"], name) {
                // Lists of lists are lists of pairs wherever the length matters.
                Value::Array(one) if one.len() == 1 => Value::Array([one.clone(), one].concat()),
                item => item,
            };
            (0..count).map(|_| item()).collect()
        }
        Some("object") | None => sample_object(root, &schema, name),
        other => panic!("{name}: type {other:?}"),
    }
}

fn sample_object(root: &Value, schema: &Map<String, Value>, name: &str) -> Value {
    let mut document = Map::new();
    for (key, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if !NOT_OURS.contains(&key.as_str()) || key == "Status" && property["type"] == "string" {
            document.insert(key.clone(), sample(root, property, key));
        }
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        let key = if name.contains("Port") { "80/tcp" } else { "key" };
        document.insert(key.to_owned(), sample(root, values, name));
    }
    Value::Object(document)
}

/// Fails where `want` holds something that `have` does not.
fn assert_holds(have: &Value, want: &Value, path: &str) {
    match (have, want) {
        (Value::Object(have), Value::Object(want)) => {
            // An empty map says nothing, so it may be left out.
            for (key, value) in want.iter().filter(|(_, value)| **value != json!({})) {
                let found = have.get(key).unwrap_or_else(|| panic!("{path}.{key} was lost"));
                assert_holds(found, value, &format!("{path}.{key}"));
            }
        }
        (Value::Array(have), Value::Array(want)) => {
            assert_eq!(have.len(), want.len(), "{path}");
            have.iter().zip(want).for_each(|(have, want)| assert_holds(have, want, path));
        }
        _ => assert_eq!(have, want, "{path}"),
    }
}

/// Reads and writes a document with every property of `pointer`; `extra` may be written besides.
fn check<T: DeserializeOwned + Serialize>(root: &Value, pointer: &str, extra: &[&str]) {
    let schema = root.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in the schema"));
    let full = sample(root, schema, pointer.rsplit('/').next().unwrap());
    let read: T = wharf_api::decode_value(&full).unwrap_or_else(|error| panic!("{pointer}: {error}\n{full:#}"));
    let written = serde_json::to_value(&read).unwrap();
    assert_holds(&written, &full, pointer);
    if let (Value::Object(written), Value::Object(full)) = (&written, &full) {
        let known = |key: &str| full.contains_key(key) || extra.contains(&key) || NOT_THEIRS.contains(&key);
        let unknown: Vec<_> = written.keys().filter(|key| !known(key) && !NOT_OURS.contains(&key.as_str())).collect();
        assert!(unknown.is_empty(), "{pointer}: the schema does not know {unknown:?}");
    }
    let again: T = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), written, "{pointer} does not read what it writes");
}

fn definition<T: DeserializeOwned + Serialize>(root: &Value, name: &str, extra: &[&str]) {
    check::<T>(root, &format!("/definitions/{name}"), extra);
}

/// The schema of a request's body or an answer.
fn operation<T: DeserializeOwned + Serialize>(root: &Value, path: &str, method: &str, what: &str) {
    let pointer = format!("/paths/{}/{method}", path.replace('/', "~1"));
    let operation = root.pointer(&pointer).unwrap();
    let rest = match what {
        "body" => {
            let parameters = operation["parameters"].as_array().unwrap();
            let body = parameters.iter().position(|parameter| parameter["in"] == "body").unwrap();
            format!("parameters/{body}/schema")
        }
        status => format!("responses/{status}/schema"),
    };
    check::<T>(root, &format!("{pointer}/{rest}"), &[]);
}

#[test]
fn containers_match_the_schema() {
    let Some(root) = schema() else { return };
    definition::<container::Config>(&root, "ContainerConfig", &["MacAddress"]);
    definition::<container::HostConfig>(&root, "HostConfig", &["KernelMemory", "KernelMemoryTCP"]);
    definition::<container::Inspect>(&root, "ContainerInspectResponse", &[]);
    definition::<container::Summary>(&root, "ContainerSummary", &[]);
    definition::<container::NetworkSettings>(&root, "NetworkSettings", &[]);
    definition::<container::CreateResponse>(&root, "ContainerCreateResponse", &[]);
    definition::<container::UpdateResponse>(&root, "ContainerUpdateResponse", &[]);
    definition::<container::WaitResponse>(&root, "ContainerWaitResponse", &[]);
    definition::<container::Stats>(&root, "ContainerStatsResponse", &[]);
    definition::<container::Top>(&root, "ContainerTopResponse", &[]);
    definition::<container::Change>(&root, "FilesystemChange", &[]);
    operation::<container::PruneReport>(&root, "/containers/prune", "post", "200");
    operation::<container::CreateRequest>(&root, "/containers/create", "post", "body");
    operation::<exec::ExecConfig>(&root, "/containers/{id}/exec", "post", "body");
    operation::<exec::ExecStart>(&root, "/exec/{id}/start", "post", "body");
    operation::<exec::ExecInspect>(&root, "/exec/{id}/json", "get", "200");
}

#[test]
fn images_match_the_schema() {
    let Some(root) = schema() else { return };
    definition::<image::Config>(&root, "ImageConfig", &[]);
    definition::<image::Inspect>(&root, "ImageInspect", &[]);
    definition::<image::Summary>(&root, "ImageSummary", &[]);
    definition::<image::HistoryItem>(&root, "ImageHistoryResponseItem", &[]);
    definition::<image::DeleteItem>(&root, "ImageDeleteResponseItem", &[]);
    definition::<image::Descriptor>(&root, "OCIDescriptor", &[]);
    definition::<image::Progress>(&root, "CreateImageInfo", &[]);
    operation::<image::PruneReport>(&root, "/images/prune", "post", "200");
    check::<image::SearchResult>(&root, "/paths/~1images~1search/get/responses/200/schema/items", &[]);
}

#[test]
fn networks_volumes_and_the_system_match_the_schema() {
    let Some(root) = schema() else { return };
    definition::<network::Network>(&root, "NetworkInspect", &[]);
    definition::<network::EndpointSettings>(&root, "EndpointSettings", &[]);
    definition::<network::NetworkingConfig>(&root, "NetworkingConfig", &[]);
    definition::<network::CreateResponse>(&root, "NetworkCreateResponse", &[]);
    definition::<network::ConnectRequest>(&root, "NetworkConnectRequest", &[]);
    definition::<network::DisconnectRequest>(&root, "NetworkDisconnectRequest", &[]);
    operation::<network::CreateRequest>(&root, "/networks/create", "post", "body");
    operation::<network::PruneReport>(&root, "/networks/prune", "post", "200");
    definition::<volume::Volume>(&root, "Volume", &[]);
    definition::<volume::CreateRequest>(&root, "VolumeCreateRequest", &[]);
    definition::<volume::ListResponse>(&root, "VolumeListResponse", &[]);
    operation::<volume::PruneReport>(&root, "/volumes/prune", "post", "200");
    definition::<system::Version>(&root, "SystemVersion", &[]);
    definition::<system::Info>(&root, "SystemInfo", &[]);
    definition::<system::AuthConfig>(&root, "AuthConfig", &[]);
    definition::<system::AuthResponse>(&root, "AuthResponse", &[]);
    definition::<event::Message>(&root, "EventMessage", &[]);
    definition::<wharf_api::ErrorResponse>(&root, "ErrorResponse", &[]);
    operation::<system::DiskUsage>(&root, "/system/df", "get", "200");
}
