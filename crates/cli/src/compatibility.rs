//! Writes docs/COMPATIBILITY.md from what the program itself knows: each command and its flags, those without effect, the
//! API's paths, the clients that tests drive. The test fails where the document is not what it writes; with
//! `INSTA_UPDATE=always` it writes it.

use std::fmt::Write as _;

use crate::commands::{Definition, all, is_absent};
use crate::engine_main::{dockerd_command, without_effect};

/// Paths of the API and what becomes of them.
const API: &[(&str, &str, &str)] = &[
    ("/_ping, /version, /info, /events, /system/df, /auth", "works", ""),
    ("/containers/...", "works", "checkpoints: not there (needs CRIU)"),
    ("/exec/...", "works", ""),
    ("/images/..., /commit, /distribution/...", "works", ""),
    ("/networks/...", "works", "drivers of swarms and of plugins are not there"),
    ("/volumes/...", "works", "PUT (cluster volumes) answers as outside a swarm; volume plugins work"),
    ("/build, /build/prune, /build/cancel", "works", "the classic builder's requests"),
    ("/session, /grpc", "works", "BuildKit's protocol"),
    ("/plugins", "differs", "none are managed; volume and authorisation plugins are found by their sockets"),
    ("/swarm, /nodes, /services, /tasks, /secrets, /configs", "differs", "503, as Docker answers outside a swarm"),
    ("/swarm/init, /swarm/join", "not there", "501: there is no swarm mode"),
];

/// Clients that tests drive, unmodified.
const CLIENTS: &[(&str, &str, &str)] = &[
    ("docker (Docker's own command line, 20.10 and 28)", "works", "e2e docker_cli"),
    ("docker-compose 1.29, from Debian", "works", "e2e clients::compose"),
    (
        "Ansible, community.docker: container, image, network, volume, exec, info",
        "works; a second run changes nothing",
        "e2e clients::ansible",
    ),
    ("docker-py 7", "works", "e2e clients::python::docker_py"),
    (
        "Testcontainers for Python 4",
        "works (without Ryuk, whose image is on Docker Hub)",
        "e2e clients::python::testcontainers",
    ),
    ("bollard 0.21", "works", "e2e clients::bollard"),
    ("dockerode 5", "works", "e2e clients::dockerode"),
    ("skopeo, podman, docker-registry", "work", "e2e archives, registries, registry"),
    (
        "Compose 2, as a plugin of the command line",
        "plugins are run; Compose itself is not tested",
        "e2e commands::plugins_add_commands",
    ),
];

fn document() -> String {
    let mut out = String::from(
        "# What is compatible with Docker\n\nWritten by a test (`cargo test -p wharf compatibility`); do not edit.\n\n\
         *Works*: as with Docker. *Differs*: taken, with another answer or without effect. *Not there*: refused, with a \
         sentence that says so.\n\n## Clients\n\n| client | | checked by |\n|---|---|---|\n",
    );
    for (client, how, test) in CLIENTS {
        // Writing to a text cannot fail.
        let _ = writeln!(out, "| {client} | {how} | {test} |");
    }
    out.push_str("\n## Engine API, versions 1.24 to 1.55\n\n| paths | | |\n|---|---|---|\n");
    for (paths, how, why) in API {
        let _ = writeln!(out, "| {paths} | {how} | {why} |");
    }
    out.push_str("\n## Commands\n\n| command | | flags without effect |\n|---|---|---|\n");
    let mut definitions: Vec<&Definition> = all().collect();
    definitions.sort_by_key(|definition| definition.names[0]);
    for definition in definitions {
        let how = match definition.names[0].split(' ').next() {
            _ if !is_absent(definition) => "works",
            Some("plugin") => "differs: no plugins are managed",
            Some("checkpoint") => "not there: needs CRIU",
            _ => "differs: answered as outside a swarm",
        };
        let names = definition.names.join("`, `");
        let _ = writeln!(out, "| `{names}` | {how} | {} |", hidden(definition).join(" "));
    }
    out.push_str("\n## Flags of dockerd that have no effect\n\nEach is taken, and the engine's log says why it changes nothing. All others work.\n\n| flag | why |\n|---|---|\n");
    let mut flags = without_effect(&dockerd_command());
    flags.sort_by_key(|(name, ..)| *name);
    for (name, _, why) in flags {
        let _ = writeln!(out, "| `--{name}` | {why} |");
    }
    out
}

/// Flags that are taken for Docker's sake only, which is why help does not show them.
fn hidden(definition: &Definition) -> Vec<String> {
    let command = crate::usage::command(definition);
    let flags = command.get_arguments().filter(|arg| arg.is_hide_set() && !arg.is_positional());
    let mut flags: Vec<String> = flags.filter_map(|arg| Some(format!("`--{}`", arg.get_long()?))).collect();
    flags.sort();
    flags
}

#[test]
fn the_document_says_what_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/COMPATIBILITY.md");
    let document = document();
    if std::env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always") {
        std::fs::write(path, &document).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == document,
        "docs/COMPATIBILITY.md is not what the program is: run the test with INSTA_UPDATE=always"
    );
}
