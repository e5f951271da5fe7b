//! Numbers about the engine, in the text format of Prometheus (exposition format 0.0.4), under Docker's names.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use wharf_engine::Engine;
use wharf_types::{Result, ResultExt};

use crate::response::{self, Answer, AnswerBody};

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Listens for those who come for numbers. There is nothing else to be had, so no certificate is asked for.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot serve metrics on {address}"))
}

/// Answers those who come for numbers, for ever.
pub async fn serve(engine: Engine, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let engine = engine.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer(&engine, request.method(), request.uri().path());
            async move { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(async move {
            // A client that goes away early is told nothing.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

/// The answer to `GET /metrics`; everything else is not there.
fn answer(engine: &Engine, method: &Method, path: &str) -> Answer {
    match (method, path) {
        (&Method::GET, "/metrics") => {
            let body = AnswerBody::Full(http_body_util::Full::from(text(engine)));
            response::with_type(response::with_body(StatusCode::OK, body), CONTENT_TYPE)
        }
        _ => response::empty(StatusCode::NOT_FOUND),
    }
}

/// All numbers.
fn text(engine: &Engine) -> String {
    let info = engine.info();
    let mut out = String::new();
    family(&mut out, "engine_daemon_container_states_containers", "gauge", "The count of containers in various states");
    for (state, count) in
        [("paused", info.containers_paused), ("running", info.containers_running), ("stopped", info.containers_stopped)]
    {
        sample(&mut out, &format!("engine_daemon_container_states_containers{{state=\"{state}\"}}"), count);
    }
    family(
        &mut out,
        "engine_daemon_engine_info",
        "gauge",
        "The information related to the engine and the OS it is running on",
    );
    let labels = [
        ("architecture", &info.architecture),
        ("daemon_id", &info.id),
        ("graphdriver", &info.driver),
        ("kernel", &info.kernel_version),
        ("os", &info.operating_system),
        ("os_type", &info.os_type),
        ("version", &info.server_version),
    ];
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
    sample(&mut out, &format!("engine_daemon_engine_info{{{}}}", labels.join(",")), 1);
    for (name, kind, what, value) in [
        (
            "engine_daemon_engine_cpus_cpus",
            "gauge",
            "The number of cpus that the host system of the engine has",
            info.ncpu,
        ),
        (
            "engine_daemon_engine_memory_bytes",
            "gauge",
            "The number of bytes of memory that the host system of the engine has",
            info.mem_total,
        ),
        ("engine_daemon_images", "gauge", "The number of images", info.images),
        ("process_open_fds", "gauge", "Number of open file descriptors.", info.n_fd),
        ("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", resident()),
        ("process_threads", "gauge", "Number of threads of the engine.", threads()),
    ] {
        family(&mut out, name, kind, what);
        sample(&mut out, name, value);
    }
    out
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a text cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(out: &mut String, name: &str, value: i64) {
    let _ = writeln!(out, "{name} {value}");
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Resident memory of the engine in bytes (proc(5), status).
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<i64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn threads() -> i64 {
    std::fs::read_dir("/proc/self/task").map_or(0, |tasks| i64::try_from(tasks.count()).unwrap_or(i64::MAX))
}
