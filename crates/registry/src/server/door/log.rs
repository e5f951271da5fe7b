//! The access log: one line of JSON for each request, written when its answer is sent.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::json;

use crate::server::metrics::Metrics;

/// Where the lines go.
#[derive(Default)]
pub struct AccessLog(Option<Mutex<Box<dyn Write + Send>>>);

impl AccessLog {
    /// Lines are written here.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Self(Some(Mutex::new(Box::new(writer))))
    }

    fn write(&self, line: &serde_json::Value) {
        if let Some(writer) = &self.0 {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            // A log that cannot be written stops nobody.
            let _ = writer.write_all(format!("{line}\n").as_bytes());
            let _ = writer.flush();
        }
    }
}

/// One request, from its head to the last byte of its answer.
pub struct Visit {
    pub(super) metrics: Arc<Metrics>,
    pub(super) log: Arc<AccessLog>,
    pub(super) began: Instant,
    pub(super) peer: SocketAddr,
    pub(super) method: http::Method,
    pub(super) path: String,
    pub(super) agent: String,
    pub(super) user: Option<String>,
    pub(super) status: u16,
    pub(super) sent: u64,
    pub(super) length: u64,
}

impl Visit {
    /// Notes bytes of the answer.
    pub fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
        self.metrics.sent.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.log.0.is_none() {
            return;
        }
        self.log.write(&json!({
            "time": jiff::Timestamp::now().to_string(),
            "remote": self.peer.to_string(),
            "user": self.user,
            "method": self.method.as_str(),
            "path": self.path,
            "status": self.status,
            "bytes": self.sent,
            "complete": self.sent >= self.length,
            "seconds": self.began.elapsed().as_secs_f64(),
            "agent": self.agent,
        }));
    }
}
